#include "sampler/store_copy.h"

#include "common/files.h"
#include "common/hash.h"
#include "common/local_disk.h"
#include "common/log.h"
#include "common/manifest.h"
#include "common/mem.h"
#include "common/store_path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE_BYTES = 1 << 20, NAME_BYTES = 17 };

typedef struct copy {
    store_copy_check *check; /* NULL: none */
    void *context;
} copy;

/* What a copied file must be; NULL: it checks itself when it is read. */
typedef struct expected {
    uint64_t bytes, hash;
} expected;

static err_code failed(const char *path)
{
    int cause = errno;
    log_user_error("%s: %s", path, strerror(cause));
    return cause == ENOENT ? ERR_NOT_FOUND : ERR_IO;
}

/* Everything of `in` to `out`; *found: what it was. */
static err_code copy_bytes(const copy *k, int in, const char *from, int out, const char *to,
                           expected *found)
{
    uint8_t *piece = xmalloc(PIECE_BYTES);
    hash_stream *h = hash_stream_new(0);
    err_code rc = ERR_OK;
    *found = (expected){0};
    while (rc == ERR_OK) {
        ssize_t n = read(in, piece, PIECE_BYTES);
        if (n < 0 && errno == EINTR) continue;
        if (n == 0) break;
        if (n < 0)
            rc = failed(from);
        else if (!files_write_all(out, piece, (size_t)n))
            rc = failed(to);
        else
            rc = k->check ? k->check(k->context) : ERR_OK;
        if (rc == ERR_OK) hash_stream_add(h, piece, (size_t)n);
        if (rc == ERR_OK) found->bytes += (uint64_t)n;
    }
    found->hash = hash_stream_digest(h);
    hash_stream_free(h);
    free(piece);
    if (rc == ERR_OK && fsync(out) != 0) rc = failed(to);
    return rc;
}

static err_code compare(const char *from, const expected *want, const expected *found)
{
    if (!want || (want->bytes == found->bytes && want->hash == found->hash)) return ERR_OK;
    log_user_error("%s: damaged: %" PRIu64 " bytes with checksum %016" PRIx64
                   ", the manifest says %" PRIu64 " with %016" PRIx64,
                   from, found->bytes, found->hash, want->bytes, want->hash);
    return ERR_CORRUPT;
}

/* `from` to `to`, which is whole or not there. */
static err_code copy_file(const copy *k, const char *from, const char *to, const expected *want)
{
    char *partial = xprintf("%s.partial-%ld", to, (long)getpid());
    expected found = {0};
    int in = open(from, O_RDONLY | O_CLOEXEC), out = -1;
    err_code rc = in < 0 ? failed(from) : ERR_OK;
    if (rc == ERR_OK) {
        out = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        rc = out < 0 ? failed(partial) : copy_bytes(k, in, from, out, partial, &found);
    }
    if (rc == ERR_OK) rc = compare(from, want, &found);
    if (in >= 0) close(in);
    if (out >= 0 && close(out) != 0 && rc == ERR_OK) rc = failed(partial);
    if (rc == ERR_OK) rc = files_rename(partial, to);
    if (rc != ERR_OK && out >= 0) unlink(partial);
    free(partial);
    return rc;
}

static err_code copy_named(const copy *k, const char *from, const char *to, const char *name)
{
    char *a = files_join(from, name), *b = files_join(to, name);
    err_code rc = copy_file(k, a, b, NULL);
    free(a);
    free(b);
    return rc;
}

static bool has_size(const char *path, uint64_t bytes)
{
    struct stat st;
    return stat(path, &st) == 0 && (uint64_t)st.st_size == bytes;
}

static err_code copy_part(const copy *k, const manifest *m, const char *from, const char *to,
                          uint32_t p, bool again)
{
    expected want = {m->partition_bytes[p], m->partition_hash[p]};
    char *folder = xprintf("%s/part-%u", to, p);
    char *a = xprintf("%s/part-%u/data.mdb", from, p), *b = files_join(folder, "data.mdb");
    err_code rc = ERR_OK;
    if (again || !has_size(b, want.bytes)) {
        log_info("store_copy", "from=\"%s\" to=\"%s\" bytes=%" PRIu64, a, b, want.bytes);
        rc = files_make_dirs(folder);
        if (rc == ERR_OK) rc = copy_file(k, a, b, &want);
        if (rc == ERR_OK) rc = files_sync(folder);
    }
    free(a);
    free(b);
    free(folder);
    return rc;
}

/* Every file of a store, the manifest last. */
static err_code copy_whole(const copy *k, const char *from, const char *to)
{
    manifest *m = NULL;
    err_code rc = manifest_load(from, &m);
    for (uint32_t p = 0; rc == ERR_OK && p < m->partitions; p++)
        rc = copy_part(k, m, from, to, p, false);
    if (rc == ERR_OK) rc = copy_named(k, from, to, "dataset");
    if (rc == ERR_OK) rc = copy_named(k, from, to, "positives");
    if (rc == ERR_OK) rc = copy_named(k, from, to, "manifest.json");
    if (rc == ERR_OK) rc = files_sync(to);
    manifest_free(m);
    return rc;
}

static char *published_folder(const config *c, uint64_t hash)
{
    return xprintf("%s/%016" PRIx64, c->store.source, hash);
}

static bool has_manifest(const char *folder)
{
    char *path = files_join(folder, "manifest.json");
    bool has = files_exist(path);
    free(path);
    return has;
}

bool store_copy_is_published(const config *c, uint64_t hash)
{
    if (!c->store.source[0]) return false;
    char *folder = published_folder(c, hash);
    bool has = has_manifest(folder);
    free(folder);
    return has;
}

/* The whole copy `partial` becomes `to`, unless another process was faster while it was made: what
 * that has put there is the same, and may be in use. */
static err_code put_in_place(const char *partial, const char *to)
{
    err_code rc = ERR_OK;
    if (has_manifest(to)) return rc;
    if (files_exist(to)) rc = files_remove_tree(to); /* incomplete */
    if (rc != ERR_OK || rename(partial, to) == 0) return rc;
    int cause = errno;
    if (has_manifest(to)) return rc;
    errno = cause;
    return failed(to);
}

err_code store_copy_publish(const config *c, const char *folder, store_copy_check *check,
                            void *context)
{
    const copy k = {check, context};
    char host[64] = "";
    if (!c->store.source[0]) return ERR_OK;
    gethostname(host, sizeof host - 1);
    const char *slash = strrchr(folder, '/'), *name = slash ? slash + 1 : folder;
    char *to = files_join(c->store.source, name);
    char *partial = xprintf("%s/.partial-%s-%ld", c->store.source, host, (long)getpid());
    err_code rc = ERR_OK;
    if (!has_manifest(to)) {
        rc = files_make_dirs(partial);
        if (rc == ERR_OK) rc = copy_whole(&k, folder, partial);
        if (rc == ERR_OK) rc = put_in_place(partial, to);
        if (rc == ERR_OK) rc = files_sync(c->store.source);
    }
    if (rc == ERR_OK) rc = store_path_publish(c, name);
    if (files_exist(partial)) {
        err_code removed = files_remove_tree(partial);
        if (rc == ERR_OK) rc = removed;
    }
    free(partial);
    free(to);
    return rc;
}

err_code store_copy_fetch_whole(const config *c, uint64_t hash, const char *folder,
                                store_copy_check *check, void *context)
{
    const copy k = {check, context};
    char *from = published_folder(c, hash);
    err_code rc = copy_whole(&k, from, folder);
    free(from);
    return rc;
}

/* A folder that a store has been put in: 16 hex digits. */
static bool is_store_name(const char *name)
{
    return strlen(name) == NAME_BYTES - 1 && strspn(name, "0123456789abcdef") == NAME_BYTES - 1;
}

/* Stores of other data on the disk that is for one. */
static err_code remove_others(const char *local, const char *name)
{
    DIR *dir = opendir(local);
    const struct dirent *entry;
    err_code rc = ERR_OK;
    while (dir && rc == ERR_OK && (entry = readdir(dir))) {
        if (!is_store_name(entry->d_name) || strcmp(entry->d_name, name) == 0) continue;
        char *path = files_join(local, entry->d_name);
        log_info("store_removed", "path=\"%s\"", path);
        rc = files_remove_tree(path);
        free(path);
    }
    if (dir) closedir(dir);
    return rc;
}

/* Another life of this process may have been killed while it copied. */
static err_code remove_partials(const char *folder)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    err_code rc = ERR_OK;
    while (dir && rc == ERR_OK && (entry = readdir(dir))) {
        if (!strstr(entry->d_name, ".partial-")) continue;
        char *path = files_join(folder, entry->d_name);
        rc = files_remove_tree(path);
        free(path);
    }
    if (dir) closedir(dir);
    return rc;
}

static err_code fetch_parts(const copy *k, const char *from, const char *to,
                            const uint32_t *partition, uint32_t n, bool again)
{
    manifest *m = NULL;
    err_code rc = manifest_load(from, &m);
    for (uint32_t i = 0; rc == ERR_OK && i < n; i++) {
        char *part = xprintf("%s/part-%u", to, partition[i]);
        rc = remove_partials(part);
        free(part);
        if (rc == ERR_OK) rc = copy_part(k, m, from, to, partition[i], again);
    }
    if (rc == ERR_OK && (again || !has_manifest(to))) rc = copy_named(k, from, to, "manifest.json");
    if (rc == ERR_OK) rc = files_sync(to);
    manifest_free(m);
    return rc;
}

err_code store_copy_fetch(const config *c, uint64_t hash, const uint32_t *partition, uint32_t n,
                          bool again, store_copy_check *check, void *context, char **folder)
{
    const copy k = {check, context};
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%016" PRIx64, hash);
    char *from = published_folder(c, hash);
    char *local = c->store.local[0] ? xstrdup(c->store.local) : files_join(c->work_dir, "store");
    char *to = files_join(local, name);
    err_code rc = files_make_dirs(to);
    if (rc == ERR_OK) rc = local_disk_check(to, "store.local");
    if (rc == ERR_OK) rc = fetch_parts(&k, from, to, partition, n, again);
    if (rc == ERR_OK && c->store.local[0]) rc = remove_others(local, name);
    free(local);
    free(from);
    if (rc == ERR_OK)
        *folder = to;
    else
        free(to);
    return rc;
}
