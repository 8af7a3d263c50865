#include "sampler/encoder.h"

#include "common/files.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/numerics.h"
#include "common/panic.h"
#include "sampler/text_cache.h"
#include "sampler/text_norm.h"
#include "sampler/use_lite.h"
#include "sampler/vector_file.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS_MAX = 64, LEVELS_MAX = 6, EXE_PATH_MAX = 4096, THREAD_TEXTS_MIN = 8 };

struct encoder {
    encoder_kind kind;
    const char *name, *note; /* static, or client_note */
    uint32_t block_dim, ngram_dim;
    uint64_t id, cache_id;
    size_t threads;
    bool missing_zero;
    use_lite *use_lite;
    vector_file *vectors;
    embedding_client *client;
    char *client_note; /* owned */
    size_t client_batch;
};

static bool has_weights(const char *folder)
{
    char *file = files_join(folder, "model.json");
    bool found = files_exist(file);
    free(file);
    return found;
}

/* `base`/`below` if the weights are there.  Owned; NULL: they are not. */
static char *weights_below(const char *base, const char *below)
{
    char *folder = files_join(base, below);
    if (has_weights(folder)) return folder;
    free(folder);
    return NULL;
}

static char *executable_folder(void)
{
    char path[EXE_PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0) return xstrdup(".");
    path[n] = 0;
    return files_parent(path);
}

char *encoder_find_weights(const char *configured)
{
    if (configured && *configured) return has_weights(configured) ? xstrdup(configured) : NULL;
    char *at = executable_folder();
    char *found = weights_below(at, "../share/weft/use-lite");
    for (int level = 0; !found && level < LEVELS_MAX; level++) {
        found = weights_below(at, "third_party/use-lite");
        char *up = files_parent(at);
        free(at);
        at = up;
    }
    free(at);
    return found;
}

static err_code open_use_lite(const config *c, encoder *e)
{
    const char *configured = c->features.embedded.path;
    char *folder = encoder_find_weights(configured);
    if (!folder) {
        bool is_set = configured && *configured;
        log_user_error("features.encoder: embedded: the USE Lite weights are missing%s%s: run "
                       "deploy/get-encoder.sh, or set `features.encoder: hash`",
                       is_set ? " from features.embedded.path " : "", is_set ? configured : "");
        return ERR_NOT_FOUND;
    }
    err_code rc = use_lite_open(folder, &e->use_lite);
    free(folder);
    if (rc != ERR_OK) return rc;
    e->name = e->ngram_dim ? "use_lite+ngram" : "use_lite";
    e->note =
        "Universal Sentence Encoder Lite: a small English sentence encoder of 7 M parameters, "
        "not a large language model";
    e->block_dim = USE_LITE_DIM;
    e->id = use_lite_id(e->use_lite);
    /* Another core type gives other last bits. */
    e->cache_id = hash64_string(numerics_core(), e->id);
    return ERR_OK;
}

static err_code open_vectors(const config *c, encoder *e)
{
    const char *path = c->features.precomputed.path;
    if (!path || !*path) {
        log_user_error("features.encoder: precomputed needs features.precomputed.path");
        return ERR_INVALID;
    }
    err_code rc = vector_file_open(path, c->features.precomputed.ids, &e->vectors);
    if (rc != ERR_OK) return rc;
    e->name = "precomputed";
    e->note = "vectors from a file";
    e->block_dim = vector_file_dim(e->vectors);
    e->ngram_dim = 0;
    e->missing_zero = c->features.precomputed.missing_zero;
    e->id = vector_file_hash(e->vectors);
    return ERR_OK;
}

static err_code open_hash(encoder *e)
{
    if (e->ngram_dim == 0) {
        log_user_error("features.encoder: hash needs features.ngram_dim of 1 or more");
        return ERR_INVALID;
    }
    e->name = "hash";
    e->note = "hashed character n-grams: spelling, not meaning";
    e->id = hash64_string(e->name, e->ngram_dim);
    return ERR_OK;
}

static err_code open_client(const config *c, encoder *e)
{
    err_code rc = embedding_client_open(c, &e->client);
    if (rc != ERR_OK) return rc;
    e->name = "openai";
    e->client_note = xprintf("vectors of the model %s from an OpenAI-compatible endpoint",
                             c->features.openai.model);
    e->note = e->client_note;
    e->ngram_dim = 0;
    e->id = e->cache_id = embedding_client_id(e->client);
    e->client_batch = c->features.openai.batch;
    return ERR_OK;
}

static err_code open_kind(const config *c, encoder *e)
{
    switch (e->kind) {
    case ENCODER_EMBEDDED: return open_use_lite(c, e);
    case ENCODER_PRECOMPUTED: return open_vectors(c, e);
    case ENCODER_HASH: return open_hash(e);
    case ENCODER_NONE:
        e->name = "none";
        e->note = "";
        e->ngram_dim = 0;
        return ERR_OK;
    case ENCODER_OPENAI: return open_client(c, e);
    }
    UNREACHABLE();
}

static size_t thread_count(uint32_t configured)
{
    long cores = configured ? (long)configured : sysconf(_SC_NPROCESSORS_ONLN);
    if (cores < 1) return 1;
    return cores > THREADS_MAX ? THREADS_MAX : (size_t)cores;
}

err_code encoder_open(const config *c, encoder **out)
{
    encoder *e = xcalloc(1, sizeof *e);
    e->kind = c->features.encoder;
    e->ngram_dim = c->features.ngram_dim;
    e->threads = thread_count(c->prepare.threads);
    err_code rc = open_kind(c, e);
    if (rc != ERR_OK) {
        encoder_close(e);
        return rc;
    }
    *out = e;
    return ERR_OK;
}

void encoder_close(encoder *e)
{
    if (!e) return;
    use_lite_close(e->use_lite);
    vector_file_close(e->vectors);
    embedding_client_close(e->client);
    free(e->client_note);
    free(e);
}

const char *encoder_name(const encoder *e)
{
    return e->name;
}

const char *encoder_note(const encoder *e)
{
    return e->note;
}

uint32_t encoder_dim(const encoder *e)
{
    return encoder_block_dim(e) + e->ngram_dim;
}

uint32_t encoder_block_dim(const encoder *e)
{
    return e->client ? embedding_client_dim(e->client) : e->block_dim;
}

uint32_t encoder_ngram_dim(const encoder *e)
{
    return e->ngram_dim;
}

uint64_t encoder_id(const encoder *e)
{
    return e->id;
}

uint64_t encoder_cache_id(const encoder *e)
{
    return e->cache_id;
}

bool encoder_is_cacheable(const encoder *e)
{
    return e->use_lite != NULL || e->client != NULL;
}

embedding_client *encoder_client(const encoder *e)
{
    return e->client;
}

err_code encoder_recall_dim(encoder *e, const char *folder)
{
    uint32_t dim = 0;
    if (!e->client || !files_exist(folder)) return ERR_OK;
    err_code rc = text_cache_find_dim(folder, e->cache_id, &dim);
    if (rc == ERR_OK && dim) embedding_client_set_dim(e->client, dim);
    return rc;
}

size_t encoder_batch(const encoder *e)
{
    return e->client ? e->client_batch : 0;
}

/* One thread's share of the texts. */
typedef struct encode_job {
    const use_lite *use_lite;
    const char *const *texts;
    size_t n;
    float *out;
    err_code rc;
} encode_job;

static void *run_job(void *arg)
{
    encode_job *j = arg;
    j->rc = use_lite_encode(j->use_lite, j->texts, j->n, j->out);
    return NULL;
}

/* A text's vector does not depend on its neighbours, so the cut is free. */
static err_code encode_threaded(const encoder *e, const char *const *texts, size_t n, float *out)
{
    pthread_t thread[THREADS_MAX];
    encode_job job[THREADS_MAX];
    bool started[THREADS_MAX] = {false};
    size_t jobs = n / THREAD_TEXTS_MIN < e->threads ? n / THREAD_TEXTS_MIN : e->threads;
    if (jobs < 1) jobs = 1;
    for (size_t i = 0; i < jobs; i++) {
        size_t begin = i * n / jobs, end = (i + 1) * n / jobs;
        job[i] = (encode_job){e->use_lite, texts + begin, end - begin, out + begin * USE_LITE_DIM,
                              ERR_OK};
        if (i > 0) started[i] = pthread_create(&thread[i], NULL, run_job, &job[i]) == 0;
    }
    err_code rc = ERR_OK;
    for (size_t i = 0; i < jobs; i++) {
        if (!started[i]) run_job(&job[i]);
    }
    for (size_t i = 0; i < jobs; i++) {
        if (started[i]) pthread_join(thread[i], NULL);
        if (rc == ERR_OK) rc = job[i].rc;
    }
    return rc;
}

static err_code encode_use_lite(const encoder *e, const char *const *texts, size_t n, float *out)
{
    err_code rc = encode_threaded(e, texts, n, out);
    for (size_t i = 0; rc == ERR_OK && i < n; i++) {
        if (text_norm_is_blank(texts[i])) {
            memset(out + i * USE_LITE_DIM, 0, USE_LITE_DIM * sizeof *out);
        }
    }
    return rc;
}

static err_code look_up(const encoder *e, const char *const *ids, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) {
        float *row = out + i * e->block_dim;
        bool found;
        err_code rc = vector_file_get(e->vectors, ids[i], row, &found);
        if (rc != ERR_OK) return rc;
        if (found) continue;
        if (!e->missing_zero) {
            log_user_error(
                "features.precomputed: no vector for item `%s` (`missing: zero` gives such "
                "items zeros)",
                ids[i]);
            return ERR_INVALID;
        }
        memset(row, 0, e->block_dim * sizeof *row);
    }
    return ERR_OK;
}

err_code encoder_encode(encoder *e, const char *const *ids, const char *const *texts, size_t n,
                        float *out)
{
    if (n == 0) return ERR_OK;
    if (e->client) return embedding_client_embed(e->client, texts, n, out);
    if (e->block_dim == 0) return ERR_OK;
    return e->use_lite ? encode_use_lite(e, texts, n, out) : look_up(e, ids, n, out);
}
