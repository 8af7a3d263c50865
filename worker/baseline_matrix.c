#include "worker/baseline_matrix.h"

#include "common/log.h"
#include "common/mem.h"

#include <stdlib.h>

static uint64_t row_items(const evaluation_lists *rows, uint32_t user)
{
    return rows->indptr[user + 1] - rows->indptr[user];
}

static void count_columns(baseline_matrix *m, const evaluation_input *in)
{
    uint32_t heavy = 0;
    for (uint32_t u = 0; u < in->users; u++) {
        if (row_items(m->rows, u) > BASELINE_MATRIX_USER_MAX) {
            heavy++;
            continue;
        }
        for (uint64_t p = m->rows->indptr[u]; p < m->rows->indptr[u + 1]; p++) {
            m->indptr[m->rows->item[p] + 1]++;
        }
    }
    for (uint32_t i = 0; i < in->items; i++) m->indptr[i + 1] += m->indptr[i];
    if (heavy > 0) {
        log_warn("baseline_users_left_out", "users=%u items_max=%d", heavy,
                 BASELINE_MATRIX_USER_MAX);
    }
}

static void fill_columns(baseline_matrix *m, const evaluation_input *in, uint64_t *next)
{
    for (uint32_t i = 0; i < in->items; i++) next[i] = m->indptr[i];
    for (uint32_t u = 0; u < in->users; u++) {
        if (row_items(m->rows, u) > BASELINE_MATRIX_USER_MAX) continue;
        for (uint64_t p = m->rows->indptr[u]; p < m->rows->indptr[u + 1]; p++) {
            m->user[next[m->rows->item[p]]++] = u;
        }
    }
}

err_code baseline_matrix_init(baseline_matrix *m, const evaluation_input *in)
{
    *m = (baseline_matrix){.rows = &in->train};
    uint64_t *next = try_malloc((size_t)in->items + 1, sizeof *next);
    m->indptr = try_calloc((size_t)in->items + 1, sizeof *m->indptr);
    if (next && m->indptr) {
        count_columns(m, in);
        m->user = try_malloc(m->indptr[in->items] + 1, sizeof *m->user);
    }
    err_code rc = m->user ? ERR_OK : ERR_NO_MEMORY;
    if (rc == ERR_OK) {
        fill_columns(m, in, next);
    } else {
        baseline_matrix_fini(m);
    }
    free(next);
    return rc;
}

void baseline_matrix_fini(baseline_matrix *m)
{
    free(m->indptr);
    free(m->user);
    *m = (baseline_matrix){0};
}
