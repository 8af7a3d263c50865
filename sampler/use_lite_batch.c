#include "sampler/use_lite_batch.h"

#include "common/blas.h"
#include "common/mem.h"
#include "common/panic.h"
#include "common/reduce.h"
#include "common/vmath.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEADS = 4,
    TURN = 6, /* rows of one class in a row */
    PAIRS = BATCH_ROWS / 2,
    EMBEDDING = USE_LITE_EMBEDDING,
    WIDTH = USE_LITE_WIDTH,
    HIDDEN = USE_LITE_HIDDEN,
    QKV_MAX = 3 * USE_LITE_WIDTH,
};

typedef struct batch_window {
    size_t first_pair, t;
    float weight;
    float *out;
} batch_window;

struct use_lite_batch {
    const use_lite_weights *w;
    const float *position;
    bool can_share;
    batch_window window[PAIRS];
    size_t windows, pairs;
    /* Matrices of BATCH_ROWS rows. */
    float *x;      /* [rows, 256] embedded tokens */
    float *r;      /* [rows, 512] residual stream */
    float *norm;   /* [rows, 512] */
    float *mixed;  /* [rows, 512] */
    float *qkv;    /* [rows, 1536] */
    float *hidden; /* [rows, 1536] */
    /* Of one window. */
    float *own_qkv;   /* [t, 1536] */
    float *own_mixed; /* [t, 512] */
    float *score;     /* [t, t] of one head */
    float *block;     /* owned: all of them */
};

static float *take(float **next, size_t n)
{
    float *p = *next;
    *next += n;
    return p;
}

use_lite_batch *use_lite_batch_new(const use_lite_weights *w, const float *position, bool can_share)
{
    const size_t per_row = EMBEDDING + 3 * WIDTH + QKV_MAX + HIDDEN;
    const size_t per_token = QKV_MAX + WIDTH + BATCH_WINDOW;
    use_lite_batch *b = xcalloc(1, sizeof *b);
    b->block = try_aligned(BATCH_ROWS * per_row + BATCH_WINDOW * per_token, sizeof(float));
    if (!b->block) {
        free(b);
        return NULL;
    }
    float *next = b->block;
    b->x = take(&next, BATCH_ROWS * EMBEDDING);
    b->r = take(&next, BATCH_ROWS * WIDTH);
    b->norm = take(&next, BATCH_ROWS * WIDTH);
    b->mixed = take(&next, BATCH_ROWS * WIDTH);
    b->qkv = take(&next, BATCH_ROWS * QKV_MAX);
    b->hidden = take(&next, BATCH_ROWS * HIDDEN);
    b->own_qkv = take(&next, BATCH_WINDOW * QKV_MAX);
    b->own_mixed = take(&next, BATCH_WINDOW * WIDTH);
    b->score = take(&next, BATCH_WINDOW * BATCH_WINDOW);
    b->w = w;
    b->position = position;
    b->can_share = can_share;
    return b;
}

void use_lite_batch_free(use_lite_batch *b)
{
    if (!b) return;
    free(b->block);
    free(b);
}

/* Where row i of a window stands that begins at `first_pair`. */
static size_t row_at(size_t first_pair, size_t i)
{
    size_t pair = first_pair + i / 2;
    return pair / TURN * (2 * TURN) + i % 2 * TURN + pair % TURN;
}

/* The graph adds the embedding twice. */
static void embed(use_lite_batch *b, const batch_window *win, const uint32_t *ids)
{
    for (size_t i = 0; i < win->t; i++) {
        ASSERT(ids[i] < USE_LITE_EMBEDDINGS);
        const float *e = b->w->embedding + (size_t)ids[i] * EMBEDDING;
        const float *position = b->position + i * EMBEDDING;
        float *x = b->x + row_at(win->first_pair, i) * EMBEDDING;
        for (size_t k = 0; k < EMBEDDING; k++) x[k] = e[k] + (e[k] + position[k]);
    }
}

bool use_lite_batch_add(use_lite_batch *b, const uint32_t *ids, size_t t, float weight, float *out)
{
    ASSERT(t >= 1 && t <= BATCH_WINDOW);
    size_t pairs = (t + 1) / 2;
    if (b->pairs + pairs > PAIRS || (b->windows > 0 && !b->can_share)) return false;
    if (b->windows == 0) memset(b->x, 0, (size_t)BATCH_ROWS * EMBEDDING * sizeof *b->x);
    batch_window *win = &b->window[b->windows++];
    *win = (batch_window){b->pairs, t, weight, out};
    b->pairs += pairs;
    embed(b, win, ids);
    return true;
}

/* Rows of the tiles that hold windows. */
static size_t used_rows(const use_lite_batch *b)
{
    return (2 * b->pairs + BATCH_TILE - 1) / BATCH_TILE * BATCH_TILE;
}

/* y [rows, d] overwritten. */
static void layer_norm(float *y, const float *x, const float *scale, const float *bias, size_t rows,
                       size_t d)
{
    for (size_t i = 0; i < rows; i++, x += d, y += d) {
        float mean = reduce_sum(x, d) / (float)d;
        for (size_t k = 0; k < d; k++) y[k] = x[k] - mean;
        float factor = 1.0f / sqrtf(reduce_dot(y, y, d) / (float)d + 1e-6f);
        for (size_t k = 0; k < d; k++) y[k] = y[k] * (scale[k] * factor) + bias[k];
    }
}

/* y [rows, n] = x [rows, k] w + b, in products of BATCH_TILE rows; accumulate: + y. */
static void linear(float *y, const float *x, const float *w, const float *b, size_t rows, size_t n,
                   size_t k, bool accumulate)
{
    for (size_t i = 0; i < rows; i++) {
        float *row = y + i * n;
        for (size_t j = 0; j < n; j++) row[j] = accumulate ? row[j] + b[j] : b[j];
    }
    for (size_t i = 0; i < rows; i += BATCH_TILE) {
        blas_nn(y + i * n, x + i * k, w, BATCH_TILE, n, k, 1.0f, 1.0f, n, k, n);
    }
}

static void softmax_rows(float *score, size_t t)
{
    for (size_t i = 0; i < t; i++) {
        float *row = score + i * t, max = row[0];
        for (size_t j = 1; j < t; j++) max = row[j] > max ? row[j] : max;
        vmath_expf_array(row, row, max, t);
        float sum = reduce_sum(row, t);
        for (size_t j = 0; j < t; j++) row[j] /= sum;
    }
}

/* One window of b->mixed [., d] from b->qkv [., 3 d]; its products have shapes of t alone. */
static void attend(use_lite_batch *b, const batch_window *win, size_t d)
{
    const size_t t = win->t, width = d / HEADS, ld = 3 * d;
    const float scale = 1.0f / sqrtf((float)width);
    for (size_t i = 0; i < t; i++) {
        memcpy(b->own_qkv + i * ld, b->qkv + row_at(win->first_pair, i) * ld, ld * sizeof(float));
    }
    for (size_t h = 0; h < HEADS; h++) {
        const float *q = b->own_qkv + h * width, *k = q + d, *v = q + 2 * d;
        blas_nt(b->score, q, k, t, t, width, scale, 0.0f, t, ld, ld);
        softmax_rows(b->score, t);
        blas_nn(b->own_mixed + h * width, b->score, v, t, width, t, 1.0f, 0.0f, d, t, ld);
    }
    for (size_t i = 0; i < t; i++) {
        memcpy(b->mixed + row_at(win->first_pair, i) * d, b->own_mixed + i * d, d * sizeof(float));
    }
}

/* b->r += attention(norm(in)) and then += feed-forward(norm(b->r)); in [rows, d]. */
static void run_layer(use_lite_batch *b, const use_lite_layer *l, const float *in, size_t d)
{
    const size_t rows = used_rows(b);
    layer_norm(b->norm, in, l->norm_scale, l->norm_bias, rows, d);
    linear(b->qkv, b->norm, l->qkv_w, l->qkv_b, rows, 3 * d, d, false);
    memset(b->mixed, 0, rows * d * sizeof *b->mixed);
    for (size_t i = 0; i < b->windows; i++) attend(b, &b->window[i], d);
    linear(b->r, b->mixed, l->out_w, l->out_b, rows, WIDTH, d, true);
    layer_norm(b->norm, b->r, l->ffn_scale, l->ffn_bias, rows, WIDTH);
    linear(b->hidden, b->norm, l->w1, l->b1, rows, HIDDEN, WIDTH, false);
    for (size_t i = 0; i < rows * HIDDEN; i++) b->hidden[i] = b->hidden[i] > 0 ? b->hidden[i] : 0;
    linear(b->r, b->hidden, l->w2, l->b2, rows, WIDTH, HIDDEN, true);
}

static float tanh_of(float x)
{
    float e = vmath_expf(-2.0f * fabsf(x));
    return copysignf((1.0f - e) / (1.0f + e), x);
}

/* Mean over the window's rows, head, length 1; added to the window's out. */
static void pool(const use_lite_batch *b, const batch_window *win)
{
    float mean[WIDTH] = {0}, v[USE_LITE_WIDTH];
    for (size_t i = 0; i < win->t; i++) {
        const float *row = b->r + row_at(win->first_pair, i) * WIDTH;
        for (size_t k = 0; k < WIDTH; k++) mean[k] += row[k];
    }
    memcpy(v, b->w->head_b, sizeof v);
    for (size_t k = 0; k < WIDTH; k++) {
        const float m = mean[k] / (float)win->t, *row = b->w->head_w + k * WIDTH;
        for (size_t j = 0; j < WIDTH; j++) v[j] += m * row[j];
    }
    for (size_t j = 0; j < WIDTH; j++) v[j] = tanh_of(v[j]);
    double length = sqrt(reduce_squares_f64(v, WIDTH));
    double factor = (double)win->weight / (length > 1e-12 ? length : 1e-12);
    for (size_t j = 0; j < WIDTH; j++) win->out[j] += (float)((double)v[j] * factor);
}

void use_lite_batch_run(use_lite_batch *b)
{
    if (b->windows == 0) return;
    linear(b->r, b->x, b->w->dense_w, b->w->dense_b, used_rows(b), WIDTH, EMBEDDING, false);
    run_layer(b, &b->w->layer[0], b->x, EMBEDDING);
    run_layer(b, &b->w->layer[1], b->r, WIDTH);
    for (size_t i = 0; i < b->windows; i++) pool(b, &b->window[i]);
    b->windows = 0;
    b->pairs = 0;
}

/* One product with the same row everywhere: are all results of a class the same? */
static bool is_alike(const use_lite_weights *w, const float *matrix, size_t n, size_t k, float *x,
                     float *y)
{
    for (size_t i = 0; i < BATCH_TILE; i++) {
        memcpy(x + i * k, w->embedding + 100 * EMBEDDING, k * sizeof *x);
    }
    blas_nn(y, x, matrix, BATCH_TILE, n, k, 1.0f, 0.0f, n, k, n);
    for (size_t i = 2; i < BATCH_TILE; i++) {
        const float *row = y + row_at(0, i) * n, *first = y + row_at(0, i % 2) * n;
        if (memcmp(row, first, n * sizeof *y) != 0) return false;
    }
    return true;
}

bool use_lite_batch_can_share(const use_lite_weights *w)
{
    float *x = try_aligned((size_t)BATCH_TILE * HIDDEN, sizeof *x);
    float *y = try_aligned((size_t)BATCH_TILE * HIDDEN, sizeof *y);
    bool alike = x && y && is_alike(w, w->dense_w, WIDTH, EMBEDDING, x, y);
    for (size_t i = 0; alike && i < USE_LITE_LAYERS; i++) {
        const use_lite_layer *l = &w->layer[i];
        size_t d = i == 0 ? EMBEDDING : WIDTH;
        alike = is_alike(w, l->qkv_w, 3 * d, d, x, y) && is_alike(w, l->out_w, WIDTH, d, x, y) &&
                is_alike(w, l->w1, HIDDEN, WIDTH, x, y) && is_alike(w, l->w2, WIDTH, HIDDEN, x, y);
    }
    free(x);
    free(y);
    return alike;
}
