#include "ps/checkpoint_files.h"

#include "common/files.h"
#include "common/mem.h"
#include "common/panic.h"
#include "common/slot.h"
#include "ps/checkpoint_why.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- Names -------------------------------------------------------------------------------------
 */

checkpoint_id checkpoint_files_id(const part_id *part)
{
    return (checkpoint_id){part->stage, part->generation, part->version, part->final};
}

static int compare_u32(uint32_t a, uint32_t b)
{
    return a < b ? -1 : a > b;
}

int checkpoint_files_compare(const checkpoint_id *a, const checkpoint_id *b)
{
    int c = compare_u32(a->generation, b->generation);
    if (c == 0) c = compare_u32(a->stage, b->stage);
    if (c == 0) c = compare_u32(a->version, b->version);
    return c != 0 ? c : compare_u32(a->final, b->final);
}

void checkpoint_files_name(const checkpoint_id *id, char *name)
{
    snprintf(name, CHECKPOINT_NAME_MAX, "%s-v%" PRIu32 "-g%" PRIu32 "%s", stage_name(id->stage),
             id->version, id->generation, id->final ? "-final" : "");
}

bool checkpoint_files_parse(const char *name, checkpoint_id *out)
{
    char stage[32], again[CHECKPOINT_NAME_MAX];
    checkpoint_id id = {0};
    if (sscanf(name, "%31[^-]-v%" SCNu32 "-g%" SCNu32, stage, &id.version, &id.generation) != 3)
        return false;
    size_t n = strlen(name), tail = strlen("-final");
    id.final = n > tail && strcmp(name + n - tail, "-final") == 0;
    if (!stage_parse(stage, &id.stage)) return false;
    /* One name per id: no signs, no leading zeros, nothing behind. */
    checkpoint_files_name(&id, again);
    if (strcmp(name, again) != 0) return false;
    *out = id;
    return true;
}

char *checkpoint_files_dir(const config *c)
{
    return c->checkpoint.dir[0] ? xstrdup(c->checkpoint.dir)
                                : files_join(c->work_dir, "checkpoints");
}

char *checkpoint_files_folder(const char *dir, const checkpoint_id *id)
{
    char name[CHECKPOINT_NAME_MAX];
    checkpoint_files_name(id, name);
    return files_join(dir, name);
}

static char *shard_path(const char *folder, uint32_t shard)
{
    return xprintf("%s/%04" PRIu32 ".part", folder, shard);
}

char *checkpoint_files_part_path(const char *dir, const part_id *id)
{
    checkpoint_id snapshot = checkpoint_files_id(id);
    char *folder = checkpoint_files_folder(dir, &snapshot), *path = shard_path(folder, id->shard);
    free(folder);
    return path;
}

static bool is_digits(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9') return false;
    }
    return n > 0;
}

static bool is_part_name(const char *name)
{
    size_t n = strlen(name), tail = strlen(".part");
    return n > tail && strcmp(name + n - tail, ".part") == 0 && is_digits(name, n - tail);
}

static bool is_ours(const char *name)
{
    const char *temporary = strstr(name, ".tmp-");
    return is_part_name(name) || strcmp(name, CHECKPOINT_MANIFEST_FILE) == 0 ||
           strcmp(name, CHECKPOINT_METRICS_FILE) == 0 ||
           (temporary && strlen(temporary) == strlen(".tmp-XXXXXX"));
}

/* --- Writing -----------------------------------------------------------------------------------
 */

/* As files_make_dirs, but for the error's way. */
static err_code make_dirs(const char *path, char *why)
{
    char *part = xstrdup(path);
    err_code rc = ERR_OK;
    for (char *s = part + 1; *part && rc == ERR_OK; s++) {
        if (*s != '/' && *s) continue;
        char was = *s;
        *s = 0;
        if (mkdir(part, 0777) != 0 && (errno != EEXIST || !files_is_dir(part))) {
            rc = checkpoint_why_errno(why, "cannot make the folder", part);
        }
        *s = was;
        if (!was) break;
    }
    free(part);
    return rc == ERR_NOT_FOUND ? ERR_IO : rc;
}

/* Closes fd.  After an error of write or fsync the kernel may have dropped dirty pages: what the
 * file holds is unknown, and it is given up. */
static err_code fill(int fd, const char *path, const void *bytes, size_t n, char *why)
{
    err_code rc = ERR_OK;
    if (fchmod(fd, 0644) != 0 || !files_write_all(fd, bytes, n)) {
        rc = checkpoint_why_errno(why, "cannot write", path);
    } else if (fsync(fd) != 0) {
        rc = checkpoint_why_errno(why, "cannot fsync", path);
    }
    if (close(fd) != 0 && rc == ERR_OK) rc = checkpoint_why_errno(why, "cannot close", path);
    return rc;
}

/* Everything up to the rename; the folder is not yet synced. */
static err_code put_file(const char *path, const void *bytes, size_t n, char *why)
{
    char *temporary = xprintf("%s.tmp-XXXXXX", path);
    int fd = mkostemp(temporary, O_CLOEXEC);
    err_code rc = fd < 0 ? checkpoint_why_errno(why, "cannot create", temporary)
                         : fill(fd, temporary, bytes, n, why);
    if (rc == ERR_OK && rename(temporary, path) != 0)
        rc = checkpoint_why_errno(why, "cannot rename to", path);
    if (rc != ERR_OK && fd >= 0) unlink(temporary);
    free(temporary);
    return rc == ERR_NOT_FOUND ? ERR_IO : rc;
}

static err_code sync_folder(const char *path, char *why)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return checkpoint_why_errno(why, "cannot open", path);
    err_code rc = fsync(fd) == 0 ? ERR_OK : checkpoint_why_errno(why, "cannot fsync", path);
    close(fd);
    return rc;
}

err_code checkpoint_files_write(const char *dir, const part_id *id, const blob *part, char *why)
{
    why[0] = '\0';
    checkpoint_id snapshot = checkpoint_files_id(id);
    char *folder = checkpoint_files_folder(dir, &snapshot), *path = shard_path(folder, id->shard);
    err_code rc = make_dirs(folder, why);
    if (rc == ERR_OK) rc = put_file(path, blob_data(part), blob_size(part), why);
    free(path);
    free(folder);
    return rc;
}

err_code checkpoint_files_seal(const char *dir, const checkpoint_id *id, char *why)
{
    why[0] = '\0';
    char *folder = checkpoint_files_folder(dir, id), *parent = files_parent(dir);
    err_code rc = sync_folder(folder, why);
    if (rc == ERR_OK) rc = sync_folder(dir, why);
    if (rc == ERR_OK) rc = sync_folder(parent, why);
    free(parent);
    free(folder);
    return rc;
}

err_code checkpoint_files_write_file(const char *dir, const checkpoint_id *id, const char *name,
                                     const void *bytes, size_t n, char *why)
{
    why[0] = '\0';
    char *folder = checkpoint_files_folder(dir, id), *path = files_join(folder, name);
    err_code rc = make_dirs(folder, why);
    if (rc == ERR_OK) rc = put_file(path, bytes, n, why);
    if (rc == ERR_OK) rc = checkpoint_files_seal(dir, id, why);
    free(path);
    free(folder);
    return rc;
}

/* --- Reading -----------------------------------------------------------------------------------
 */

static err_code read_open(int fd, const char *path, size_t max, blob **out, char *why)
{
    struct stat st;
    size_t got;
    if (fstat(fd, &st) != 0) return checkpoint_why_errno(why, "cannot read", path);
    if (!S_ISREG(st.st_mode)) return checkpoint_why(why, ERR_CORRUPT, "%s: no regular file", path);
    if ((uintmax_t)st.st_size > max)
        return checkpoint_why(why, ERR_CORRUPT, "%s: larger than %zu bytes", path, max);
    blob *b = blob_new((size_t)st.st_size);
    if (!b)
        return checkpoint_why(why, ERR_NO_MEMORY, "%s: no memory for %jd bytes", path,
                              (intmax_t)st.st_size);
    err_code rc = ERR_OK;
    if (!files_read_up_to(fd, blob_writable(b), (size_t)st.st_size, &got)) {
        rc = checkpoint_why_errno(why, "cannot read", path);
    } else if (got != (size_t)st.st_size) {
        rc = checkpoint_why(why, ERR_CORRUPT, "%s: became shorter while it was read", path);
    }
    if (rc == ERR_OK) {
        *out = b;
    } else {
        blob_unref(b);
    }
    return rc;
}

err_code checkpoint_files_read_file(const char *path, size_t max, blob **out, char *why)
{
    why[0] = '\0';
    *out = NULL;
    /* O_NONBLOCK: a pipe of that name must not stop us. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return checkpoint_why_errno(why, "cannot open", path);
    err_code rc = read_open(fd, path, max, out, why);
    close(fd);
    return rc;
}

static err_code check_part(const char *path, const part_id *id, const uint64_t *hash, const blob *b,
                           part_view *view, char *why)
{
    const char *wrong;
    err_code rc = part_check(blob_data(b), blob_size(b), view, &wrong);
    if (rc != ERR_OK) return checkpoint_why(why, rc, "%s: %s", path, wrong);
    if (!part_id_equal(&view->id, id)) {
        return checkpoint_why(why, ERR_CORRUPT,
                              "%s: holds shard %" PRIu32 " of %" PRIu32 " of %s version %" PRIu32
                              " generation %" PRIu32 "%s, plan %016" PRIx64,
                              path, view->id.shard, view->id.shards, stage_name(view->id.stage),
                              view->id.version, view->id.generation, view->id.final ? " final" : "",
                              view->id.plan_hash);
    }
    if (hash && *hash != part_hash(b)) {
        return checkpoint_why(why, ERR_CORRUPT, "%s: checksum %016" PRIx64 ", expected %016" PRIx64,
                              path, part_hash(b), *hash);
    }
    return ERR_OK;
}

err_code checkpoint_files_read(const char *dir, const part_id *id, const uint64_t *hash, blob **out,
                               part_view *view, char *why)
{
    part_view own;
    if (!view) view = &own;
    *view = (part_view){0};
    char *path = checkpoint_files_part_path(dir, id);
    err_code rc = checkpoint_files_read_file(path, PART_BYTES_MAX, out, why);
    if (rc == ERR_OK) {
        rc = check_part(path, id, hash, *out, view, why);
        if (rc != ERR_OK) {
            blob_unref(*out);
            *out = NULL;
            *view = (part_view){0};
        }
    }
    free(path);
    return rc;
}

/* --- Listing, pruning, pinning -----------------------------------------------------------------
 */

static int newest_first(const void *a, const void *b)
{
    const checkpoint_entry *x = a, *y = b;
    return -checkpoint_files_compare(&x->id, &y->id);
}

/* Opens the folder `path`; *dir NULL with ERR_OK: there is none (any more). */
static err_code open_folder(const char *path, DIR **dir, char *why)
{
    *dir = opendir(path);
    if (*dir || errno == ENOENT) return ERR_OK;
    return checkpoint_why_errno(why, "cannot list", path);
}

/* The next name of `dir`; NULL: the end, or an error (*rc). */
static const char *next_name(DIR *dir, const char *path, err_code *rc, char *why)
{
    for (;;) {
        errno = 0;
        struct dirent *e = readdir(dir); /* NOLINT(concurrency-mt-unsafe): a stream of our own */
        if (!e) {
            /* A folder removed under us ends the list. */
            if (errno != 0 && errno != ENOENT) *rc = checkpoint_why_errno(why, "cannot list", path);
            return NULL;
        }
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) return e->d_name;
    }
}

/* Counts one file of a snapshot. */
static void count_file(DIR *dir, const char *name, checkpoint_entry *e)
{
    struct stat st;
    if (fstatat(dirfd(dir), name, &st, 0) != 0) return; /* Removed meanwhile. */
    if (is_part_name(name)) {
        e->parts++;
        e->bytes += (uint64_t)st.st_size;
    } else if (strcmp(name, CHECKPOINT_MANIFEST_FILE) == 0) {
        e->complete = true;
        e->time = (int64_t)st.st_mtime;
    } else if (strcmp(name, CHECKPOINT_PINNED_FILE) == 0) {
        e->pinned = true;
    }
}

/* Fills in what is in the folder; *gone: it is no more, or no folder. */
static err_code look_into(const char *folder, checkpoint_entry *e, bool *gone, char *why)
{
    struct stat st;
    DIR *dir;
    *gone = true;
    if (stat(folder, &st) != 0)
        return errno == ENOENT ? ERR_OK : checkpoint_why_errno(why, "cannot read", folder);
    if (!S_ISDIR(st.st_mode)) return ERR_OK;
    e->time = (int64_t)st.st_mtime;
    err_code rc = open_folder(folder, &dir, why);
    if (rc != ERR_OK || !dir) return rc;
    *gone = false;
    for (const char *name; (name = next_name(dir, folder, &rc, why)) != NULL;)
        count_file(dir, name, e);
    closedir(dir);
    return rc;
}

static err_code list_open(DIR *stream, const char *dir, checkpoint_entry **out, size_t *n,
                          char *why)
{
    size_t cap = 0;
    err_code rc = ERR_OK;
    for (const char *name; rc == ERR_OK && (name = next_name(stream, dir, &rc, why)) != NULL;) {
        checkpoint_entry e = {0};
        bool gone;
        if (!checkpoint_files_parse(name, &e.id)) continue;
        if (*n >= CHECKPOINT_SNAPSHOTS_MAX)
            return checkpoint_why(why, ERR_LIMIT, "%s: more than %d snapshots", dir,
                                  CHECKPOINT_SNAPSHOTS_MAX);
        char *folder = files_join(dir, name);
        rc = look_into(folder, &e, &gone, why);
        free(folder);
        if (rc != ERR_OK || gone) continue;
        grow(out, &cap, *n + 1, sizeof **out);
        (*out)[(*n)++] = e;
    }
    return rc;
}

err_code checkpoint_files_list(const char *dir, checkpoint_entry **out, size_t *n, char *why)
{
    DIR *stream;
    why[0] = '\0';
    *out = NULL;
    *n = 0;
    err_code rc = open_folder(dir, &stream, why);
    if (rc != ERR_OK || !stream) return rc;
    rc = list_open(stream, dir, out, n, why);
    closedir(stream);
    if (rc != ERR_OK) {
        free(*out);
        *out = NULL;
        *n = 0;
    } else if (*n > 1) {
        qsort(*out, *n, sizeof **out, newest_first);
    }
    return rc;
}

static err_code remove_file(const char *folder, const char *name, char *why)
{
    char *path = files_join(folder, name);
    err_code rc = unlink(path) == 0 || errno == ENOENT
                      ? ERR_OK
                      : checkpoint_why_errno(why, "cannot remove", path);
    free(path);
    return rc;
}

/* *removed: the folder is no more, and it was us who removed it. */
static err_code remove_snapshot(const char *folder, bool *removed, char *why)
{
    DIR *dir;
    *removed = false;
    err_code rc = remove_file(folder, CHECKPOINT_MANIFEST_FILE, why);
    if (rc == ERR_OK) rc = open_folder(folder, &dir, why);
    if (rc != ERR_OK || !dir) return rc;
    for (const char *name; rc == ERR_OK && (name = next_name(dir, folder, &rc, why)) != NULL;) {
        if (is_ours(name)) rc = remove_file(folder, name, why);
    }
    closedir(dir);
    if (rc != ERR_OK) return rc;
    *removed = rmdir(folder) == 0;
    /* Not empty: somebody else's file, or a writer that is late. */
    if (*removed || errno == ENOENT || errno == ENOTEMPTY || errno == EEXIST) return ERR_OK;
    return checkpoint_why_errno(why, "cannot remove", folder);
}

static bool is_kept(const checkpoint_entry *e, const checkpoint_id *keep, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (checkpoint_files_compare(&e->id, &keep[i]) == 0) return true;
    }
    return e->pinned;
}

/* The newest end of its stage that is complete; after a going back there may be several. */
static bool is_end(const checkpoint_entry *list, size_t i)
{
    if (!list[i].id.final || !list[i].complete) return false;
    for (size_t k = 0; k < i; k++) { /* newest first */
        if (list[k].id.final && list[k].complete && list[k].id.stage == list[i].id.stage)
            return false;
    }
    return true;
}

/* older_than NULL: all but the pinned ones. */
static err_code prune(const char *dir, const checkpoint_id *older_than, const checkpoint_id *keep,
                      size_t n, uint32_t *removed, char *why)
{
    checkpoint_entry *list;
    size_t entries;
    uint32_t count = 0;
    err_code first = checkpoint_files_list(dir, &list, &entries, why);
    for (size_t i = 0; i < entries; i++) {
        char again[CHECKPOINT_WHY_MAX];
        bool gone;
        if (is_kept(&list[i], keep, n)) continue;
        if (older_than && checkpoint_files_compare(&list[i].id, older_than) >= 0) continue;
        if (older_than && is_end(list, i)) continue;
        char *folder = checkpoint_files_folder(dir, &list[i].id);
        err_code rc = remove_snapshot(folder, &gone, first == ERR_OK ? why : again);
        if (first == ERR_OK) first = rc;
        count += gone;
        free(folder);
    }
    free(list);
    if (removed) *removed = count;
    return first;
}

err_code checkpoint_files_prune(const char *dir, const checkpoint_id *older_than,
                                const checkpoint_id *keep, size_t n, uint32_t *removed, char *why)
{
    return prune(dir, older_than, keep, n, removed, why);
}

err_code checkpoint_files_clear(const char *dir, char *why)
{
    return prune(dir, NULL, NULL, 0, NULL, why);
}

static bool is_pinned(const char *dir, const char *name)
{
    char *path = xprintf("%s/%s/%s", dir, name, CHECKPOINT_PINNED_FILE);
    bool pinned = files_exist(path);
    free(path);
    return pinned;
}

err_code checkpoint_files_pinned(const char *dir, checkpoint_id *out, uint32_t max, uint32_t *n,
                                 char *why)
{
    DIR *stream;
    *n = 0;
    err_code rc = open_folder(dir, &stream, why);
    if (rc != ERR_OK || !stream) return rc;
    for (const char *name; *n < max && (name = next_name(stream, dir, &rc, why)) != NULL;) {
        if (checkpoint_files_parse(name, &out[*n]) && is_pinned(dir, name)) ++*n;
    }
    closedir(stream);
    return rc;
}

err_code checkpoint_files_pin(const char *dir, const checkpoint_id *id, bool pinned, char *why)
{
    err_code rc = ERR_OK;
    why[0] = '\0';
    char *folder = checkpoint_files_folder(dir, id);
    char *path = files_join(folder, CHECKPOINT_PINNED_FILE);
    if (!files_is_dir(folder)) {
        rc = checkpoint_why(why, ERR_NOT_FOUND, "%s: no such snapshot", folder);
    } else if (pinned) {
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0 || fsync(fd) != 0) rc = checkpoint_why_errno(why, "cannot create", path);
        if (fd >= 0) close(fd);
    } else if (unlink(path) != 0 && errno != ENOENT) {
        rc = checkpoint_why_errno(why, "cannot remove", path);
    }
    if (rc == ERR_OK) rc = sync_folder(folder, why);
    free(path);
    free(folder);
    return rc;
}
