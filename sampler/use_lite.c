#include "sampler/use_lite.h"

#include "common/blas.h"
#include "common/files.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"
#include "common/reduce.h"
#include "common/vmath.h"
#include "sampler/piece_tokenizer.h"
#include "sampler/text_norm.h"
#include "sampler/use_lite_weights.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEADS = 4,
    VOCABULARY_MAX = 16 << 20, /* bytes of vocab.json */
    TEXT_BYTES_MAX = 64 << 10, /* of a text that are looked at */
    CODE_VERSION = 1,          /* +1 when a vector changes: cached ones are then computed again */
};

struct use_lite {
    use_lite_weights w;
    piece_tokenizer *tokenizer;
    uint64_t id;
    float position[USE_LITE_TOKENS_MAX][USE_LITE_EMBEDDING]; /* [sin | cos] */
};

/* Scratch of one window of t tokens; every matrix is dense with t rows. */
typedef struct window {
    float *x;      /* [t, 256] embedded tokens */
    float *r;      /* [t, 512] residual stream */
    float *norm;   /* [t, 512] */
    float *qkv;    /* [t, 1536] */
    float *score;  /* [t, t] of one head */
    float *mixed;  /* [t, 512] */
    float *hidden; /* [t, 1536] */
    float *block;  /* owned: all of them */
} window;

static void make_positions(use_lite *u)
{
    const double half_pi = 1.57079632679489661923;
    enum { HALF = USE_LITE_EMBEDDING / 2 };
    for (size_t pos = 0; pos < USE_LITE_TOKENS_MAX; pos++) {
        for (size_t k = 0; k < HALF; k++) {
            double a = (double)((float)pos * u->w.frequency[k]);
            u->position[pos][k] = (float)vmath_cos(a - half_pi);
            u->position[pos][k + HALF] = (float)vmath_cos(a);
        }
    }
}

static err_code load_vocabulary(const char *folder, use_lite *u, uint64_t *hash)
{
    char *path = files_join(folder, "vocab.json"), *text = NULL;
    size_t bytes;
    json_t *root = NULL;
    json_error_t error;
    err_code rc = files_read(path, VOCABULARY_MAX, &text, &bytes);
    if (rc != ERR_OK) goto done;
    root = json_loadb(text, bytes, 0, &error);
    if (!root) {
        log_user_error("%s:%d:%d: %s", path, error.line, error.column, error.text);
        rc = ERR_CORRUPT;
        goto done;
    }
    rc = piece_tokenizer_new(root, path, &u->tokenizer);
    if (rc == ERR_OK && json_array_size(root) > USE_LITE_EMBEDDINGS) {
        log_user_error("%s: more pieces than the model has embeddings", path);
        rc = ERR_CORRUPT;
    }
    *hash = hash64(text, bytes, CODE_VERSION);
done:
    json_decref(root);
    free(text);
    free(path);
    return rc;
}

err_code use_lite_open(const char *folder, use_lite **out)
{
    use_lite *u = xcalloc(1, sizeof *u);
    uint64_t vocabulary = 0;
    err_code rc = use_lite_weights_load(folder, &u->w);
    if (rc == ERR_OK) rc = load_vocabulary(folder, u, &vocabulary);
    if (rc != ERR_OK) {
        use_lite_close(u);
        return rc;
    }
    u->id = hash64(&u->w.hash, sizeof u->w.hash, vocabulary);
    make_positions(u);
    *out = u;
    return ERR_OK;
}

void use_lite_close(use_lite *u)
{
    if (!u) return;
    use_lite_weights_fini(&u->w);
    piece_tokenizer_free(u->tokenizer);
    free(u);
}

uint64_t use_lite_id(const use_lite *u)
{
    return u->id;
}

void use_lite_tokenize(const use_lite *u, const char *text, uint32_t **ids, size_t *n)
{
    size_t bytes = strlen(text);
    if (bytes > TEXT_BYTES_MAX) bytes = TEXT_BYTES_MAX;
    while (text[bytes] && bytes > 0 && ((unsigned char)text[bytes] & 0xC0) == 0x80) bytes--;
    char *part = xstrndup(text, bytes);
    char *normalised = text_norm_nfkc(part);
    piece_tokenizer_encode(u->tokenizer, normalised, ids, n);
    if (*n > USE_LITE_TOKENS_MAX * USE_LITE_WINDOWS_MAX) {
        *n = USE_LITE_TOKENS_MAX * USE_LITE_WINDOWS_MAX;
    }
    free(normalised);
    free(part);
}

static float *take(float **next, size_t n)
{
    float *p = *next;
    *next += n;
    return p;
}

static err_code window_init(window *s)
{
    enum { T = USE_LITE_TOKENS_MAX };
    const size_t row = USE_LITE_EMBEDDING + 3 * USE_LITE_WIDTH + 2 * USE_LITE_HIDDEN + T;
    s->block = try_aligned(T * row, sizeof(float));
    if (!s->block) return ERR_NO_MEMORY;
    float *next = s->block;
    s->x = take(&next, T * USE_LITE_EMBEDDING);
    s->r = take(&next, T * USE_LITE_WIDTH);
    s->norm = take(&next, T * USE_LITE_WIDTH);
    s->mixed = take(&next, T * USE_LITE_WIDTH);
    s->qkv = take(&next, T * USE_LITE_HIDDEN);
    s->hidden = take(&next, T * USE_LITE_HIDDEN);
    s->score = take(&next, T * T);
    return ERR_OK;
}

/* The graph adds the embedding twice. */
static void embed(const use_lite *u, float *x, const uint32_t *ids, size_t t)
{
    for (size_t i = 0; i < t; i++) {
        const float *e = u->w.embedding + (size_t)ids[i] * USE_LITE_EMBEDDING;
        for (size_t k = 0; k < USE_LITE_EMBEDDING; k++) {
            x[i * USE_LITE_EMBEDDING + k] = e[k] + (e[k] + u->position[i][k]);
        }
    }
}

/* y [t, d] overwritten. */
static void layer_norm(float *y, const float *x, const float *scale, const float *bias, size_t t,
                       size_t d)
{
    for (size_t i = 0; i < t; i++, x += d, y += d) {
        float mean = reduce_sum(x, d) / (float)d;
        for (size_t k = 0; k < d; k++) y[k] = x[k] - mean;
        float factor = 1.0f / sqrtf(reduce_dot(y, y, d) / (float)d + 1e-6f);
        for (size_t k = 0; k < d; k++) y[k] = y[k] * (scale[k] * factor) + bias[k];
    }
}

/* y [t, n] = x [t, k] w + b; accumulated: + y. */
static void linear(float *y, const float *x, const float *w, const float *b, size_t t, size_t n,
                   size_t k, int accumulate)
{
    for (size_t i = 0; i < t; i++) {
        float *row = y + i * n;
        for (size_t j = 0; j < n; j++) row[j] = accumulate ? row[j] + b[j] : b[j];
    }
    blas_nn(y, x, w, t, n, k, 1.0f, 1.0f, n, k, n);
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

/* s->mixed [t, d] from s->qkv [t, 3 d]. */
static void attend(window *s, size_t t, size_t d)
{
    const size_t width = d / HEADS, ld = 3 * d;
    const float scale = 1.0f / sqrtf((float)width);
    for (size_t h = 0; h < HEADS; h++) {
        const float *q = s->qkv + h * width, *k = q + d, *v = q + 2 * d;
        blas_nt(s->score, q, k, t, t, width, scale, 0.0f, t, ld, ld);
        softmax_rows(s->score, t);
        blas_nn(s->mixed + h * width, s->score, v, t, width, t, 1.0f, 0.0f, d, t, ld);
    }
}

/* s->r += attention(norm(in)) and then += feed-forward(norm(s->r)); in [t, d]. */
static void run_layer(const use_lite_layer *l, window *s, const float *in, size_t t, size_t d)
{
    layer_norm(s->norm, in, l->norm_scale, l->norm_bias, t, d);
    linear(s->qkv, s->norm, l->qkv_w, l->qkv_b, t, 3 * d, d, 0);
    attend(s, t, d);
    linear(s->r, s->mixed, l->out_w, l->out_b, t, USE_LITE_WIDTH, d, 1);
    layer_norm(s->norm, s->r, l->ffn_scale, l->ffn_bias, t, USE_LITE_WIDTH);
    linear(s->hidden, s->norm, l->w1, l->b1, t, USE_LITE_HIDDEN, USE_LITE_WIDTH, 0);
    for (size_t i = 0; i < t * USE_LITE_HIDDEN; i++) {
        s->hidden[i] = s->hidden[i] > 0 ? s->hidden[i] : 0;
    }
    linear(s->r, s->hidden, l->w2, l->b2, t, USE_LITE_WIDTH, USE_LITE_HIDDEN, 1);
}

static float tanh_of(float x)
{
    float e = vmath_expf(-2.0f * fabsf(x));
    return copysignf((1.0f - e) / (1.0f + e), x);
}

static void scale_to_one(float *v)
{
    double length = sqrt(reduce_squares_f64(v, USE_LITE_DIM));
    double factor = 1.0 / (length > 1e-12 ? length : 1e-12);
    for (size_t k = 0; k < USE_LITE_DIM; k++) v[k] = (float)((double)v[k] * factor);
}

/* out [512] overwritten: the vector of one window, of length 1. */
static void encode_window(const use_lite *u, window *s, const uint32_t *ids, size_t t, float *out)
{
    float mean[USE_LITE_WIDTH] = {0};
    embed(u, s->x, ids, t);
    linear(s->r, s->x, u->w.dense_w, u->w.dense_b, t, USE_LITE_WIDTH, USE_LITE_EMBEDDING, 0);
    run_layer(&u->w.layer[0], s, s->x, t, USE_LITE_EMBEDDING);
    run_layer(&u->w.layer[1], s, s->r, t, USE_LITE_WIDTH);
    for (size_t i = 0; i < t; i++) {
        for (size_t k = 0; k < USE_LITE_WIDTH; k++) mean[k] += s->r[i * USE_LITE_WIDTH + k];
    }
    for (size_t k = 0; k < USE_LITE_WIDTH; k++) mean[k] /= (float)t;
    linear(out, mean, u->w.head_w, u->w.head_b, 1, USE_LITE_DIM, USE_LITE_WIDTH, 0);
    for (size_t k = 0; k < USE_LITE_DIM; k++) out[k] = tanh_of(out[k]);
    scale_to_one(out);
}

/* Windows differ by at most one token, so that no vector stands for a short rest. */
static void encode_ids(const use_lite *u, window *s, const uint32_t *ids, size_t n, float *out)
{
    size_t windows = (n + USE_LITE_TOKENS_MAX - 1) / USE_LITE_TOKENS_MAX;
    if (windows == 1) {
        encode_window(u, s, ids, n, out);
        return;
    }
    float part[USE_LITE_DIM];
    memset(out, 0, USE_LITE_DIM * sizeof *out);
    for (size_t w = 0; w < windows; w++) {
        size_t begin = w * n / windows, end = (w + 1) * n / windows;
        encode_window(u, s, ids + begin, end - begin, part);
        for (size_t k = 0; k < USE_LITE_DIM; k++) out[k] += part[k] * (float)(end - begin);
    }
    scale_to_one(out);
}

err_code use_lite_encode(const use_lite *u, const char *const *texts, size_t n, float *out)
{
    window s;
    err_code rc = window_init(&s);
    if (rc != ERR_OK) return rc;
    for (size_t i = 0; i < n; i++, out += USE_LITE_DIM) {
        uint32_t *ids;
        size_t tokens;
        use_lite_tokenize(u, texts[i], &ids, &tokens);
        if (tokens) {
            encode_ids(u, &s, ids, tokens, out);
        } else {
            memset(out, 0, USE_LITE_DIM * sizeof *out);
        }
        free(ids);
    }
    free(s.block);
    return ERR_OK;
}
