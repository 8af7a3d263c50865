#include "sampler/text_cache.h"

#include "common/files.h"
#include "common/hash.h"
#include "common/local_disk.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"

#include <lmdb.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_BYTES = 16, CHECK_BYTES = 8 };
/* Of address space; doubled when it is full (no MDB_WRITEMAP: the file is as large as its content).
 */
static const size_t MAP_START = (size_t)16 << 20, MAP_MAX = (size_t)1 << 44;

struct text_cache {
    MDB_env *env;
    MDB_dbi dbi;
    char *folder;
    uint64_t model_id;
    uint32_t dim;
};

static err_code failed(const text_cache *c, const char *what, int code)
{
    bool is_corrupt = code == MDB_INVALID || code == MDB_VERSION_MISMATCH ||
                      code == MDB_CORRUPTED || code == MDB_PAGE_NOTFOUND;
    log_user_error("%s: text cache: %s: %s%s", c->folder, what, mdb_strerror(code),
                   is_corrupt ? " (remove the folder to start it afresh)" : "");
    return is_corrupt ? ERR_CORRUPT : ERR_IO;
}

/* Another process may have made the map larger. */
static int begin(text_cache *c, unsigned flags, MDB_txn **txn)
{
    int code = mdb_txn_begin(c->env, NULL, flags, txn);
    if (code != MDB_MAP_RESIZED) return code;
    code = mdb_env_set_mapsize(c->env, 0);
    return code ? code : mdb_txn_begin(c->env, NULL, flags, txn);
}

/* Call without a transaction. */
static int grow_map(text_cache *c)
{
    MDB_envinfo info;
    int code = mdb_env_info(c->env, &info);
    if (code) return code;
    return info.me_mapsize < MAP_MAX ? mdb_env_set_mapsize(c->env, 2 * info.me_mapsize)
                                     : MDB_MAP_FULL;
}

static int open_database(text_cache *c)
{
    MDB_txn *txn;
    int code = begin(c, 0, &txn);
    if (code) return code;
    code = mdb_dbi_open(txn, NULL, 0, &c->dbi);
    if (code) {
        mdb_txn_abort(txn);
        return code;
    }
    return mdb_txn_commit(txn);
}

static int open_env(text_cache *c)
{
    int dead;
    int code = mdb_env_create(&c->env);
    if (!code) code = mdb_env_set_mapsize(c->env, MAP_START);
    if (!code) code = mdb_env_open(c->env, c->folder, MDB_NOTLS | MDB_NORDAHEAD, 0644);
    if (!code) code = mdb_reader_check(c->env, &dead); /* slots of killed processes */
    return code ? code : open_database(c);
}

err_code text_cache_open(const char *folder, uint64_t model_id, uint32_t dim, text_cache **out)
{
    ASSERT(dim >= 1 && dim <= TEXT_CACHE_DIM_MAX);
    err_code rc = files_make_dirs(folder);
    if (rc == ERR_OK) rc = local_disk_check(folder, "work_dir");
    if (rc != ERR_OK) return rc;
    text_cache *c = xcalloc(1, sizeof *c);
    c->folder = xstrdup(folder);
    c->model_id = model_id;
    c->dim = dim;
    int code = open_env(c);
    if (code) {
        rc = failed(c, "cannot be opened", code);
        text_cache_close(c);
        return rc;
    }
    *out = c;
    return ERR_OK;
}

void text_cache_close(text_cache *c)
{
    if (!c) return;
    if (c->env) mdb_env_close(c->env);
    free(c->folder);
    free(c);
}

/* ---- The width of a model's vectors, where only its server knows it ---- */

typedef struct dim_key {
    char name[8];
    uint64_t model_id, spare; /* no text's key is as long */
} dim_key;

static MDB_val dim_key_of(dim_key *k, uint64_t model_id)
{
    *k = (dim_key){.name = "dim", .model_id = model_id};
    return (MDB_val){sizeof *k, k};
}

static int get_dim(text_cache *c, uint32_t *dim)
{
    MDB_txn *txn;
    MDB_val v;
    dim_key key;
    int code = begin(c, MDB_RDONLY, &txn);
    if (code) return code;
    MDB_val k = dim_key_of(&key, c->model_id);
    code = mdb_get(txn, c->dbi, &k, &v);
    if (code == 0 && v.mv_size == sizeof *dim) memcpy(dim, v.mv_data, sizeof *dim);
    mdb_txn_abort(txn);
    return code == MDB_NOTFOUND ? 0 : code;
}

err_code text_cache_find_dim(const char *folder, uint64_t model_id, uint32_t *dim)
{
    text_cache *c = NULL;
    *dim = 0;
    err_code rc = text_cache_open(folder, model_id, 1, &c);
    if (rc != ERR_OK) return rc;
    int code = get_dim(c, dim);
    if (code) rc = failed(c, "cannot be read", code);
    if (*dim > TEXT_CACHE_DIM_MAX) *dim = 0;
    text_cache_close(c);
    return rc;
}

static int put_dim(text_cache *c)
{
    MDB_txn *txn;
    dim_key key;
    MDB_val k = dim_key_of(&key, c->model_id), v = {sizeof c->dim, &c->dim};
    int code = begin(c, 0, &txn);
    if (code) return code;
    code = mdb_put(txn, c->dbi, &k, &v, 0);
    if (!code) return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return code;
}

err_code text_cache_put_dim(text_cache *c)
{
    int code = put_dim(c);
    while (code == MDB_MAP_FULL && (code = grow_map(c)) == 0) code = put_dim(c);
    return code ? failed(c, "cannot be written", code) : ERR_OK;
}

/* ---- Vectors ---- */

/* 128 bits from two seeds: with 64, a hundred million texts would meet by chance. */
static void make_key(const text_cache *c, const char *text, uint64_t key[2])
{
    size_t bytes = strlen(text);
    key[0] = hash64(text, bytes, c->model_id);
    key[1] = hash64(text, bytes, ~c->model_id ^ c->dim);
}

static size_t value_bytes(const text_cache *c)
{
    return CHECK_BYTES + c->dim * sizeof(float);
}

/* True: `value` is intact and copied to out. */
static bool take_value(const text_cache *c, const MDB_val *value, const uint64_t key[2], float *out)
{
    uint64_t check;
    if (value->mv_size != value_bytes(c)) return false;
    memcpy(&check, value->mv_data, CHECK_BYTES);
    memcpy(out, (const uint8_t *)value->mv_data + CHECK_BYTES, c->dim * sizeof *out);
    return check == hash64(out, c->dim * sizeof *out, key[0]);
}

static err_code get_counted(text_cache *c, const char *const *texts, size_t n, float *out,
                            bool *found, uint64_t *corrupt)
{
    MDB_txn *txn;
    int code = begin(c, MDB_RDONLY, &txn);
    if (code) return failed(c, "cannot be read", code);
    for (size_t i = 0; i < n && !code; i++) {
        uint64_t key[2];
        make_key(c, texts[i], key);
        MDB_val k = {KEY_BYTES, key}, v;
        code = mdb_get(txn, c->dbi, &k, &v);
        found[i] = code == 0 && take_value(c, &v, key, out + i * c->dim);
        *corrupt += code == 0 && !found[i];
        if (code == MDB_NOTFOUND) code = 0;
    }
    mdb_txn_abort(txn);
    return code ? failed(c, "cannot be read", code) : ERR_OK;
}

err_code text_cache_get(text_cache *c, const char *const *texts, size_t n, float *out, bool *found)
{
    uint64_t corrupt = 0;
    return get_counted(c, texts, n, out, found, &corrupt);
}

static int put_one(text_cache *c, MDB_txn *txn, const char *text, const float *vector)
{
    uint64_t key[2];
    make_key(c, text, key);
    MDB_val k = {KEY_BYTES, key}, v = {value_bytes(c), NULL};
    int code = mdb_put(txn, c->dbi, &k, &v, MDB_RESERVE);
    if (code) return code;
    uint64_t check = hash64(vector, c->dim * sizeof *vector, key[0]);
    memcpy(v.mv_data, &check, CHECK_BYTES);
    memcpy((uint8_t *)v.mv_data + CHECK_BYTES, vector, c->dim * sizeof *vector);
    return 0;
}

static int put_all(text_cache *c, const char *const *texts, size_t n, const float *vectors)
{
    MDB_txn *txn;
    int code = begin(c, 0, &txn);
    if (code) return code;
    for (size_t i = 0; i < n && !code; i++) {
        code = put_one(c, txn, texts[i], vectors + i * c->dim);
    }
    if (!code) return mdb_txn_commit(txn); /* a full disk shows here, as EIO */
    mdb_txn_abort(txn);
    return code;
}

err_code text_cache_put(text_cache *c, const char *const *texts, size_t n, const float *vectors)
{
    int code = put_all(c, texts, n, vectors);
    while (code == MDB_MAP_FULL && (code = grow_map(c)) == 0) code = put_all(c, texts, n, vectors);
    return code ? failed(c, "cannot be written", code) : ERR_OK;
}

/* The texts that were not found, encoded, stored and put into their rows. */
static err_code fill_missing(text_cache *c, text_cache_encode_fn *encode, void *context,
                             const char *const *texts, const size_t *rows, size_t n, float *out)
{
    float *vectors = try_malloc(n * c->dim, sizeof *vectors);
    if (!vectors) return ERR_NO_MEMORY;
    err_code rc = encode(context, texts, n, vectors);
    if (rc == ERR_OK) rc = text_cache_put(c, texts, n, vectors);
    for (size_t i = 0; i < n && rc == ERR_OK; i++) {
        memcpy(out + rows[i] * c->dim, vectors + i * c->dim, c->dim * sizeof *out);
    }
    free(vectors);
    return rc;
}

/* The texts of a window that the cache lacks. */
typedef struct missing_texts {
    const char *text[TEXT_CACHE_WINDOW];
    size_t row[TEXT_CACHE_WINDOW], n;
} missing_texts;

static err_code fill_window(text_cache *c, text_cache_encode_fn *encode, void *context,
                            const char *const *texts, size_t n, size_t batch, float *out,
                            text_cache_stats *stats)
{
    bool found[TEXT_CACHE_WINDOW];
    missing_texts m;
    m.n = 0;
    ASSERT(n <= TEXT_CACHE_WINDOW && batch > 0);
    err_code rc = get_counted(c, texts, n, out, found, &stats->corrupt);
    if (rc != ERR_OK) return rc;
    for (size_t i = 0; i < n; i++) {
        if (found[i]) continue;
        m.row[m.n] = i;
        m.text[m.n++] = texts[i];
    }
    stats->hits += n - m.n;
    stats->misses += m.n;
    for (size_t done = 0; rc == ERR_OK && done < m.n; done += batch) {
        size_t some = m.n - done < batch ? m.n - done : batch;
        rc = fill_missing(c, encode, context, m.text + done, m.row + done, some, out);
    }
    return rc;
}

err_code text_cache_fill(text_cache *c, text_cache_encode_fn *encode, void *context,
                         const char *const *texts, size_t n, size_t batch, float *out,
                         text_cache_stats *stats)
{
    err_code rc = ERR_OK;
    for (size_t done = 0; rc == ERR_OK && done < n; done += TEXT_CACHE_WINDOW) {
        size_t some = n - done < TEXT_CACHE_WINDOW ? n - done : TEXT_CACHE_WINDOW;
        rc = fill_window(c, encode, context, texts + done, some, batch, out + done * c->dim, stats);
    }
    return rc;
}
