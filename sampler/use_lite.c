#include "sampler/use_lite.h"

#include "common/files.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"
#include "common/reduce.h"
#include "common/vmath.h"
#include "sampler/piece_tokenizer.h"
#include "sampler/text_norm.h"
#include "sampler/use_lite_batch.h"
#include "sampler/use_lite_weights.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    VOCABULARY_MAX = 16 << 20, /* bytes of vocab.json */
    TEXT_BYTES_MAX = 64 << 10, /* of a text that are looked at */
    CODE_VERSION = 1,          /* +1 when a vector changes: cached ones are then computed again */
};

struct use_lite {
    use_lite_weights w;
    piece_tokenizer *tokenizer;
    uint64_t id;
    bool can_share;                                          /* windows in one product */
    float position[USE_LITE_TOKENS_MAX][USE_LITE_EMBEDDING]; /* [sin | cos] */
};

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
    u->can_share = use_lite_batch_can_share(&u->w);
    if (!u->can_share) log_info("use_lite_slow", "why=\"rows of a product differ on this CPU\"");
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

static void scale_to_one(float *v)
{
    double length = sqrt(reduce_squares_f64(v, USE_LITE_DIM));
    double factor = 1.0 / (length > 1e-12 ? length : 1e-12);
    for (size_t k = 0; k < USE_LITE_DIM; k++) v[k] = (float)((double)v[k] * factor);
}

static size_t windows_of(size_t tokens)
{
    return (tokens + USE_LITE_TOKENS_MAX - 1) / USE_LITE_TOKENS_MAX;
}

/* Windows differ by at most one token, so that no vector stands for a short rest. */
static void add_windows(use_lite_batch *b, const uint32_t *ids, size_t n, float *out)
{
    size_t windows = windows_of(n);
    for (size_t w = 0; w < windows; w++) {
        size_t begin = w * n / windows, t = (w + 1) * n / windows - begin;
        float weight = windows == 1 ? 1.0f : (float)t;
        if (use_lite_batch_add(b, ids + begin, t, weight, out)) continue;
        use_lite_batch_run(b);
        bool added = use_lite_batch_add(b, ids + begin, t, weight, out);
        ASSERT(added);
    }
}

err_code use_lite_encode(const use_lite *u, const char *const *texts, size_t n, float *out)
{
    bool *is_sum = try_calloc(n + 1, sizeof *is_sum); /* of several windows */
    use_lite_batch *b = use_lite_batch_new(&u->w, u->position[0], u->can_share);
    err_code rc = is_sum && b ? ERR_OK : ERR_NO_MEMORY;
    if (rc != ERR_OK) goto done;
    memset(out, 0, n * USE_LITE_DIM * sizeof *out);
    for (size_t i = 0; i < n; i++) {
        uint32_t *ids;
        size_t tokens;
        use_lite_tokenize(u, texts[i], &ids, &tokens);
        add_windows(b, ids, tokens, out + i * USE_LITE_DIM);
        is_sum[i] = windows_of(tokens) > 1;
        free(ids);
    }
    use_lite_batch_run(b);
    for (size_t i = 0; i < n; i++) {
        if (is_sum[i]) scale_to_one(out + i * USE_LITE_DIM);
    }
done:
    use_lite_batch_free(b);
    free(is_sum);
    return rc;
}
