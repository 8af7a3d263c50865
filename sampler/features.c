#include "sampler/features.h"

#include "common/f16.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"
#include "common/reduce.h"
#include "sampler/embedding_answer.h"
#include "sampler/item_line.h"
#include "sampler/ngram.h"
#include "sampler/text_norm.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 1024, BLOCKS = 2 };

/* What is alive while features are built.  Raw vectors are read twice (mean, result): from the
 * cache, from the precomputed file, or from `raw` when a slow encoder has no cache. */
typedef struct builder {
    const features_input *in;
    const config *config; /* where items are looked up for messages */
    encoder *encoder;
    text_cache *cache;
    ngram_model *ngram;
    uint32_t width[BLOCKS]; /* the encoder's block, the n-grams' */
    float *raw;             /* [n, width[0]] or NULL */
    float *chunk;           /* [CHUNK, dim] */
    float *block;           /* [CHUNK, width[0]] */
    size_t chunk_first;
    uint64_t encoded; /* by the encoder, of those that the cache lacked */
    uint64_t reported;
    features *f;
} builder;

static err_code no_memory(const builder *b)
{
    log_user_error("not enough memory for %" PRIu32 " text vectors of %" PRIu32 " numbers", b->f->n,
                   b->f->dim);
    return ERR_NO_MEMORY;
}

static bool in_corpus(const builder *b, size_t i)
{
    return !b->in->corpus || b->in->corpus[i];
}

static void report(builder *b, uint64_t done)
{
    if (done == b->reported) return;
    b->reported = done;
    progress_report(b->in->progress, "text", done, b->in->n);
}

static err_code encode_missing(void *context, const char *const *texts, size_t n, float *out)
{
    builder *b = context;
    if (progress_stopped(b->in->progress)) return ERR_STOPPED;
    err_code rc = encoder_encode(b->encoder, texts, texts, n, out); /* cacheable: no ids */
    if (rc != ERR_OK) return rc;
    b->encoded += n;
    report(b, b->f->cache.hits + b->encoded);
    return ERR_OK;
}

static size_t cache_batch(const builder *b)
{
    size_t batch = encoder_batch(b->encoder);
    return batch ? batch : TEXT_CACHE_BATCH;
}

/* b->block for items first .. first + n - 1. */
static err_code read_block(builder *b, size_t first, size_t n, text_cache_stats *stats)
{
    const char *const *texts = b->in->texts + first;
    if (b->cache) {
        b->chunk_first = first;
        return text_cache_fill(b->cache, encode_missing, b, texts, n, cache_batch(b), b->block,
                               stats);
    }
    return encoder_encode(b->encoder, b->in->ids + first, texts, n, b->block);
}

/* The same once more, without computing anything slow. */
static err_code reread_block(builder *b, size_t first, size_t n)
{
    text_cache_stats ignored = {0};
    if (!b->raw) return read_block(b, first, n, &ignored);
    memcpy(b->block, b->raw + first * b->width[0], n * b->width[0] * sizeof *b->block);
    return ERR_OK;
}

/* x [d] to length 1; false, and zeros, where there is nothing to scale. */
static bool to_length_one(float *x, size_t d, double factor)
{
    double squares = reduce_squares_f64(x, d);
    bool is_something = squares > 1e-12;
    double scale = is_something ? factor / sqrt(squares) : 0;
    for (size_t k = 0; k < d; k++) x[k] = (float)((double)x[k] * scale);
    return is_something;
}

/* b->chunk: both blocks of each item side by side, each of length 1 or zero. */
static void join_blocks(builder *b, size_t first, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float *row = b->chunk + i * b->f->dim;
        memcpy(row, b->block + i * b->width[0], b->width[0] * sizeof *row);
        to_length_one(row, b->width[0], 1);
        if (b->ngram) ngram_encode(b->ngram, b->in->texts[first + i], row + b->width[0]);
    }
}

static void count_grams(builder *b)
{
    if (b->width[1] == 0) return;
    b->ngram = ngram_model_new(b->width[1]);
    for (size_t i = 0; i < b->in->n; i++) {
        const char *text = b->in->texts[i];
        if (in_corpus(b, i) && !text_norm_is_blank(text)) ngram_model_count(b->ngram, text);
    }
}

/* Adds the corpus rows of the chunk; items without a block do not count in it. */
static void add_to_mean(const builder *b, size_t first, size_t n, double *sum,
                        uint64_t count[BLOCKS])
{
    for (size_t i = 0; i < n; i++) {
        const float *row = b->chunk + i * b->f->dim;
        if (!in_corpus(b, first + i)) continue;
        for (size_t k = 0, block = 0; block < BLOCKS; block++) {
            size_t end = k + b->width[block];
            if (end > k) count[block] += reduce_squares_f64(row + k, end - k) > 0;
            for (; k < end; k++) sum[k] += (double)row[k];
        }
    }
}

static void finish_mean(builder *b, const double *sum, const uint64_t count[BLOCKS])
{
    for (size_t k = 0; k < b->f->dim; k++) {
        uint64_t n = count[k >= b->width[0]];
        b->f->mean[k] = n ? (float)(sum[k] / (double)n) : 0;
    }
}

/* First pass: encodes, and takes the mean. */
static err_code scan(builder *b, bool center)
{
    uint64_t count[BLOCKS] = {0};
    double *sum = xcalloc(b->f->dim, sizeof *sum);
    err_code rc = ERR_OK;
    for (size_t first = 0; rc == ERR_OK && first < b->in->n; first += CHUNK) {
        size_t n = b->in->n - first < CHUNK ? b->in->n - first : CHUNK;
        rc = read_block(b, first, n, &b->f->cache);
        if (rc != ERR_OK) break;
        if (b->raw) {
            memcpy(b->raw + first * b->width[0], b->block, n * b->width[0] * sizeof *b->raw);
            b->f->cache.misses += n;
        }
        join_blocks(b, first, n);
        if (center) add_to_mean(b, first, n, sum, count);
        report(b, first + n);
        if (progress_stopped(b->in->progress)) rc = ERR_STOPPED;
    }
    if (rc == ERR_OK && center) finish_mean(b, sum, count);
    free(sum);
    return rc;
}

/* Centres a row that join_blocks made, in place. */
static void finish_row(const builder *b, float *row)
{
    size_t begin = 0;
    bool present[BLOCKS];
    for (size_t block = 0; block < BLOCKS; block++) {
        float *x = row + begin;
        size_t d = b->width[block];
        present[block] = d > 0 && reduce_squares_f64(x, d) > 0;
        for (size_t k = 0; present[block] && k < d; k++) x[k] -= b->f->mean[begin + k];
        present[block] = present[block] && to_length_one(x, d, 1);
        begin += d;
    }
    if (present[0] && present[1]) to_length_one(row, b->f->dim, 1);
}

/* The smallest power of two that fits the largest number into 127. */
static void store_int8(features *f, size_t i, const float *row)
{
    float largest = 0;
    for (size_t k = 0; k < f->dim; k++) largest = fmaxf(largest, fabsf(row[k]));
    int exponent = 0;
    float fraction = frexpf(largest, &exponent);
    exponent -= fraction * 128 > 127 ? 6 : 7;
    if (largest == 0 || exponent < -126) exponent = -126;
    for (size_t k = 0; k < f->dim; k++) {
        f->int8[i * f->dim + k] = (int8_t)lrintf(ldexpf(row[k], -exponent));
    }
    f->exponent[i] = (int8_t)exponent;
}

/* Second pass: the result. */
static err_code finish(builder *b)
{
    features *f = b->f;
    for (size_t first = 0; first < f->n; first += CHUNK) {
        size_t n = f->n - first < CHUNK ? f->n - first : CHUNK;
        err_code rc = reread_block(b, first, n);
        if (rc != ERR_OK) return rc;
        join_blocks(b, first, n);
        for (size_t i = 0; i < n; i++) {
            float *row = b->chunk + i * f->dim;
            finish_row(b, row);
            if (f->storage == STORAGE_F16) {
                f16_encode(f->f16 + (first + i) * f->dim, row, f->dim);
            } else {
                store_int8(f, first + i, row);
            }
        }
    }
    return ERR_OK;
}

static err_code allocate(builder *b)
{
    features *f = b->f;
    size_t values;
    if (!size_mul(f->n, f->dim, &values)) return no_memory(b);
    b->chunk = try_calloc(CHUNK, f->dim * sizeof *b->chunk);
    b->block = try_calloc(CHUNK, (b->width[0] + 1) * sizeof *b->block);
    f->mean = try_calloc(f->dim, sizeof *f->mean);
    bool ok = b->chunk && b->block && f->mean;
    if (f->storage == STORAGE_F16) {
        f->f16 = try_malloc(values + 1, sizeof *f->f16);
        ok = ok && f->f16;
    } else {
        f->int8 = try_malloc(values + 1, sizeof *f->int8);
        f->exponent = try_malloc((size_t)f->n + 1, sizeof *f->exponent);
        ok = ok && f->int8 && f->exponent;
    }
    if (encoder_is_cacheable(b->encoder) && !b->cache) {
        b->raw = try_malloc((size_t)f->n + 1, b->width[0] * sizeof *b->raw);
        ok = ok && b->raw;
    }
    return ok ? ERR_OK : no_memory(b);
}

static err_code open_cache(builder *b)
{
    if (!b->in->cache_dir || !encoder_is_cacheable(b->encoder)) return ERR_OK;
    return text_cache_open(b->in->cache_dir, encoder_cache_id(b->encoder), b->width[0], &b->cache);
}

/* ---- An encoder behind a network ---- */

/* Names a text that was passed to the encoder.  A lookup in the chunk is enough. */
static char *name_text(void *context, const char *text)
{
    const builder *b = context;
    for (size_t i = b->chunk_first; i < b->in->n && i < b->chunk_first + CHUNK; i++) {
        if (b->in->texts[i] == text) return item_line_describe(b->config, b->in->ids[i]);
    }
    return NULL;
}

/* The width of the vectors: from the cache, else from the answer for the first text there is, so
 * that a run whose texts are all in the cache needs no server. */
static err_code open_client(builder *b, const config *c)
{
    embedding_client *client = encoder_client(b->encoder);
    const atomic_int *stop = b->in->progress ? b->in->progress->stop : NULL;
    size_t i = 0;
    err_code rc = ERR_OK;
    b->config = c;
    embedding_client_attach(client, name_text, b, stop);
    if (b->in->cache_dir) rc = encoder_recall_dim(b->encoder, b->in->cache_dir);
    if (rc != ERR_OK || encoder_dim(b->encoder)) return rc;
    while (i < b->in->n && text_norm_is_blank(b->in->texts[i])) i++;
    if (i == b->in->n) {
        log_user_error("features.encoder: openai: no item has a text");
        return ERR_INVALID;
    }
    float *row = try_malloc(EMBEDDING_DIM_MAX, sizeof *row);
    if (!row) return ERR_NO_MEMORY;
    b->chunk_first = i;
    rc = embedding_client_embed(client, b->in->texts + i, 1, row);
    free(row);
    return rc;
}

static void say_what_is_kept(const builder *b)
{
    uint64_t kept = b->f->cache.hits + b->encoded;
    if (kept == 0) return;
    log_user_error("%s: the vectors of %" PRIu64 " texts are kept; the same command goes on from "
                   "there",
                   b->in->cache_dir, kept);
}

static err_code build(builder *b, const config *c)
{
    features *f = b->f;
    err_code rc = encoder_open(c, &b->encoder);
    if (rc == ERR_OK && encoder_client(b->encoder)) rc = open_client(b, c);
    if (rc != ERR_OK) return rc;
    f->storage = c->features.storage;
    f->encoder = xstrdup(encoder_name(b->encoder));
    f->note = xstrdup(encoder_note(b->encoder));
    f->encoder_id = encoder_id(b->encoder);
    f->dim = encoder_dim(b->encoder);
    if (f->dim == 0) return ERR_OK;
    b->width[0] = encoder_block_dim(b->encoder);
    b->width[1] = encoder_ngram_dim(b->encoder);
    rc = open_cache(b);
    if (rc == ERR_OK && b->cache && encoder_client(b->encoder)) rc = text_cache_put_dim(b->cache);
    if (rc == ERR_OK) rc = allocate(b);
    if (rc != ERR_OK) return rc;
    count_grams(b);
    rc = scan(b, c->features.center);
    if (rc != ERR_OK && b->cache && encoder_client(b->encoder)) say_what_is_kept(b);
    return rc == ERR_OK ? finish(b) : rc;
}

err_code features_build_texts(const config *c, const features_input *in, features **out)
{
    builder b = {.in = in, .f = xcalloc(1, sizeof *b.f)};
    b.f->n = in->n;
    err_code rc = build(&b, c);
    encoder_close(b.encoder);
    text_cache_close(b.cache);
    ngram_model_free(b.ngram);
    free(b.raw);
    free(b.chunk);
    free(b.block);
    if (rc == ERR_OK) {
        *out = b.f;
    } else {
        features_free(b.f);
    }
    return rc;
}

err_code features_build(const config *c, const catalog *items, const uint8_t *corpus,
                        const char *cache_dir, const progress *p, features **out)
{
    const char **ids = try_malloc((size_t)items->items_n + 1, sizeof *ids);
    const char **texts = try_malloc((size_t)items->items_n + 1, sizeof *texts);
    err_code rc = ERR_NO_MEMORY;
    if (ids && texts) {
        for (uint32_t i = 0; i < items->items_n; i++) {
            ids[i] = catalog_item_id(items, i);
            texts[i] = catalog_item_text(items, i);
        }
        features_input in = {ids, texts, items->items_n, corpus, cache_dir, p};
        rc = features_build_texts(c, &in, out);
    }
    free(ids);
    free(texts);
    return rc;
}

void features_free(features *f)
{
    if (!f) return;
    free(f->f16);
    free(f->int8);
    free(f->exponent);
    free(f->mean);
    free(f->encoder);
    free(f->note);
    free(f);
}

void features_row(const features *f, uint32_t i, float *out)
{
    ASSERT(i < f->n);
    if (f->dim == 0) return;
    if (f->storage == STORAGE_F16) {
        f16_decode(out, f->f16 + (size_t)i * f->dim, f->dim);
        return;
    }
    for (size_t k = 0; k < f->dim; k++) {
        out[k] = ldexpf((float)f->int8[(size_t)i * f->dim + k], f->exponent[i]);
    }
}
