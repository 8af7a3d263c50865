#include "common/out_dir.h"

#include "common/files.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct out_dir {
    char *dir, *partial;
};

static const char run_json[] = "run.json";
static const char partial_prefix[] = ".partial-";

/* What a result consists of: those of an older one that the new one lacks must not stay beside it.
 */
static const char *const result_names[] = {
    "items.npy",           "items.tsv",         "users.npy",          "users.tsv",
    "seen_indptr.npy",     "seen_items.npy",    "history_indptr.npy", "history_items.npy",
    "item_embeddings.npy", "model.safetensors", "config.yaml",        "report.json",
    "report.md",           "report.html",       "metrics.jsonl",      "per_user.tsv",
    "recommendations.tsv", "split.tsv"};

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static bool is_result_name(const char *name)
{
    for (size_t i = 0; i < sizeof result_names / sizeof *result_names; i++) {
        if (strcmp(name, result_names[i]) == 0) return true;
    }
    return strcmp(name, run_json) == 0;
}

bool out_dir_replaces(const char *dir, const char *path)
{
    struct stat ours, theirs;
    const char *slash = strrchr(path, '/');
    if (!is_result_name(slash ? slash + 1 : path)) return false;
    char *parent = files_parent(path);
    bool same = stat(dir, &ours) == 0 && stat(parent, &theirs) == 0 &&
                ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
    free(parent);
    return same;
}

err_code out_dir_open(const char *dir, out_dir **out)
{
    *out = NULL;
    err_code rc = files_make_dirs(dir);
    if (rc == ERR_OK) rc = files_remove_stale(dir, partial_prefix);
    if (rc != ERR_OK) return rc;
    char *partial = xprintf("%s/%s%ld", dir, partial_prefix, (long)getpid());
    rc = files_remove_tree(partial);
    if (rc == ERR_OK) rc = files_make_dirs(partial);
    if (rc != ERR_OK) {
        free(partial);
        return rc;
    }
    out_dir *o = xcalloc(1, sizeof *o);
    o->dir = xstrdup(dir);
    o->partial = partial;
    *out = o;
    return ERR_OK;
}

char *out_dir_path(const out_dir *o, const char *name)
{
    ASSERT(*name && !strchr(name, '/') && !is_dots(name));
    return files_join(o->partial, name);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in the partial folder, sorted; run.json is not among them.  Owned. */
static char **list_partial(const out_dir *o, size_t *n)
{
    char **names = NULL;
    size_t cap = 0;
    *n = 0;
    DIR *d = opendir(o->partial);
    if (!d) return NULL;
    grow(&names, &cap, 1, sizeof *names);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (is_dots(e->d_name) || strcmp(e->d_name, run_json) == 0) continue;
        grow(&names, &cap, *n + 1, sizeof *names);
        names[(*n)++] = xstrdup(e->d_name);
    }
    closedir(d);
    qsort(names, *n, sizeof *names, compare_names);
    return names;
}

static err_code sync_one(const out_dir *o, const char *name)
{
    char *path = files_join(o->partial, name);
    err_code rc = files_sync(path);
    free(path);
    return rc;
}

static err_code sync_all(const out_dir *o, char *const *names, size_t n)
{
    err_code rc = sync_one(o, run_json);
    for (size_t i = 0; rc == ERR_OK && i < n; i++) rc = sync_one(o, names[i]);
    return rc == ERR_OK ? files_sync(o->partial) : rc;
}

static err_code move_one(const out_dir *o, const char *name)
{
    char *from = files_join(o->partial, name), *to = files_join(o->dir, name);
    err_code rc = files_rename(from, to);
    free(from);
    free(to);
    return rc;
}

static err_code remove_one(const out_dir *o, const char *name)
{
    char *path = files_join(o->dir, name);
    err_code rc = files_remove_tree(path);
    free(path);
    return rc;
}

static bool is_in(char *const *names, size_t n, const char *name)
{
    return bsearch(&name, names, n, sizeof *names, compare_names) != NULL;
}

static err_code move_all(const out_dir *o, char *const *names, size_t n)
{
    err_code rc = remove_one(o, run_json);
    if (rc == ERR_OK)
        rc = files_sync(o->dir); /* it must be gone before the first new file is there */
    for (size_t i = 0; rc == ERR_OK && i < sizeof result_names / sizeof *result_names; i++) {
        if (!is_in(names, n, result_names[i])) rc = remove_one(o, result_names[i]);
    }
    for (size_t i = 0; rc == ERR_OK && i < n; i++) rc = move_one(o, names[i]);
    if (rc == ERR_OK) rc = files_sync(o->dir);
    if (rc == ERR_OK) rc = move_one(o, run_json);
    return rc == ERR_OK ? files_sync(o->dir) : rc;
}

err_code out_dir_commit(out_dir *o)
{
    size_t n;
    char *run = files_join(o->partial, run_json);
    bool complete = files_exist(run);
    free(run);
    if (!complete) {
        log_user_error("%s: %s was not written: the result is not complete", o->partial, run_json);
        return ERR_NOT_FOUND;
    }
    char **names = list_partial(o, &n);
    if (!names) return ERR_IO;
    err_code rc = sync_all(o, names, n);
    if (rc == ERR_OK) rc = move_all(o, names, n);
    for (size_t i = 0; i < n; i++) free(names[i]);
    free(names);
    return rc;
}

void out_dir_close(out_dir *o)
{
    if (!o) return;
    err_code rc = files_remove_tree(o->partial);
    if (rc != ERR_OK) log_warn("out_dir_left", "path=\"%s\"", o->partial);
    free(o->dir);
    free(o->partial);
    free(o);
}
