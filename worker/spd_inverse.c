#include "worker/spd_inverse.h"

#include "common/blas.h"
#include "common/lapack.h"
#include "common/mem.h"
#include "common/panic.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { SWEEP_BLOCK = 256, SWEEP_TILE = 512, SWEEP_THREADS_MAX = 64 };

/* Sweeping rows [begin, begin + size): with P the inverse of their diagonal block and R their panel
 * (rows of the symmetric matrix, the diagonal block as 0),
 *     A -= R^T P R,   panel = P R,   diagonal block = -P.
 * After every block was swept, A is minus the inverse. */
typedef struct sweep {
    float *a;
    size_t n, begin, size;
    float *p;       /* [size, size] */
    float *panel;   /* R [size, n] */
    float *product; /* P R [size, n] */
} sweep;

typedef struct sweep_thread {
    const sweep *s;
    uint32_t thread, threads;
} sweep_thread;

/* Fills R from the upper triangle. */
static void gather_panel(sweep *s)
{
    for (size_t k = 0; k < s->size; k++) {
        float *row = s->panel + k * s->n;
        for (size_t j = 0; j < s->begin; j++) row[j] = s->a[j * s->n + s->begin + k];
        memset(row + s->begin, 0, s->size * sizeof *row);
        size_t after = s->begin + s->size;
        memcpy(row + after, s->a + (s->begin + k) * s->n + after, (s->n - after) * sizeof *row);
    }
}

static err_code invert_diagonal(sweep *s)
{
    for (size_t k = 0; k < s->size; k++) {
        memcpy(s->p + k * s->size, s->a + (s->begin + k) * s->n + s->begin, s->size * sizeof *s->p);
    }
    return lapack_invert(s->p, s->size);
}

static size_t tile_size(const sweep *s, size_t tile)
{
    size_t begin = tile * SWEEP_TILE;
    return begin + SWEEP_TILE < s->n ? SWEEP_TILE : s->n - begin;
}

static void *update_tiles(void *argument)
{
    const sweep_thread *t = argument;
    const sweep *s = t->s;
    size_t tiles = (s->n + SWEEP_TILE - 1) / SWEEP_TILE, number = 0;
    for (size_t i = 0; i < tiles; i++) {
        for (size_t j = i; j < tiles; j++) {
            if (number++ % t->threads != t->thread) continue;
            size_t row = i * SWEEP_TILE, column = j * SWEEP_TILE;
            blas_tn(s->a + row * s->n + column, s->panel + row, s->product + column,
                    tile_size(s, i), tile_size(s, j), s->size, -1, 1, s->n, s->n, s->n);
        }
    }
    return NULL;
}

static void update(const sweep *s, uint32_t threads)
{
    sweep_thread job[SWEEP_THREADS_MAX];
    pthread_t thread[SWEEP_THREADS_MAX];
    uint32_t started = 1;
    for (uint32_t t = 0; t < threads; t++) job[t] = (sweep_thread){s, t, threads};
    while (started < threads &&
           pthread_create(&thread[started], NULL, update_tiles, &job[started]) == 0) {
        started++;
    }
    update_tiles(&job[0]);
    for (uint32_t t = 1; t < threads; t++) {
        if (t < started) {
            ASSERT(pthread_join(thread[t], NULL) == 0);
        } else {
            update_tiles(&job[t]); /* No thread to be had: done here. */
        }
    }
}

static void scatter_panel(sweep *s)
{
    size_t after = s->begin + s->size;
    for (size_t k = 0; k < s->size; k++) {
        const float *row = s->product + k * s->n;
        float *to = s->a + (s->begin + k) * s->n;
        for (size_t j = 0; j < s->begin; j++) s->a[j * s->n + s->begin + k] = row[j];
        for (size_t j = 0; j < s->size; j++) to[s->begin + j] = -s->p[k * s->size + j];
        memcpy(to + after, row + after, (s->n - after) * sizeof *to);
    }
}

/* a = -a, the lower triangle from the upper, in blocks that fit the cache. */
static void negate_and_mirror(float *a, size_t n)
{
    enum { BLOCK = 64 };
    for (size_t i0 = 0; i0 < n; i0 += BLOCK) {
        for (size_t j0 = i0; j0 < n; j0 += BLOCK) {
            for (size_t i = i0; i < n && i < i0 + BLOCK; i++) {
                for (size_t j = j0 > i ? j0 : i; j < n && j < j0 + BLOCK; j++) {
                    a[i * n + j] = -a[i * n + j];
                    a[j * n + i] = a[i * n + j];
                }
            }
        }
    }
}

err_code spd_inverse(float *a, size_t n, uint32_t threads, const progress *p)
{
    if (n == 0) return ERR_OK;
    if (threads < 1) threads = 1;
    if (threads > SWEEP_THREADS_MAX) threads = SWEEP_THREADS_MAX;
    sweep s = {.a = a, .n = n};
    s.p = try_aligned(SWEEP_BLOCK * SWEEP_BLOCK, sizeof *s.p);
    s.panel = try_aligned(SWEEP_BLOCK * n, sizeof *s.panel);
    s.product = try_aligned(SWEEP_BLOCK * n, sizeof *s.product);
    err_code rc = s.p && s.panel && s.product ? ERR_OK : ERR_NO_MEMORY;
    for (; rc == ERR_OK && s.begin < n; s.begin += s.size) {
        s.size = s.begin + SWEEP_BLOCK < n ? SWEEP_BLOCK : n - s.begin;
        gather_panel(&s);
        rc = progress_stopped(p) ? ERR_STOPPED : ERR_OK;
        if (rc == ERR_OK) rc = invert_diagonal(&s);
        if (rc != ERR_OK) break;
        blas_nn(s.product, s.p, s.panel, s.size, n, s.size, 1, 0, n, s.size, n);
        update(&s, threads);
        scatter_panel(&s);
    }
    if (rc == ERR_OK) negate_and_mirror(a, n);
    free(s.p);
    free(s.panel);
    free(s.product);
    return rc;
}
