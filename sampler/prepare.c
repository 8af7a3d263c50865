#include "sampler/prepare.h"

#include "common/clock.h"
#include "common/files.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/manifest.h"
#include "common/mem.h"
#include "sampler/catalog.h"
#include "sampler/encoder.h"
#include "sampler/prepare_build.h"
#include "sampler/store_copy.h"
#include "sampler/store_format.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* +1 when the same configuration and files give another store. */
enum { PREPARE_VERSION = 1 };

static const char partial_prefix[] = ".partial-";

/* What the encoder adds to the name: its weights, or the precomputed vectors. */
static err_code encoder_hash(const config *c, uint64_t *out)
{
    encoder *e = NULL;
    err_code rc = encoder_open(c, &e);
    if (rc == ERR_OK) *out = encoder_id(e);
    encoder_close(e);
    return rc;
}

err_code prepare_hash(const config *c, uint64_t *out)
{
    uint64_t content, model = 0;
    err_code rc = catalog_content_hash(c, &content);

    if (rc == ERR_OK) rc = encoder_hash(c, &model);
    if (rc != ERR_OK) return rc;
    char *keys = config_prepare_json(c);
    uint64_t words[] = {hash64_string(keys, 0), content,         model,
                        c->data.from_data_dir,  PREPARE_VERSION, STORE_VERSION};
    *out = hash64(words, sizeof words, 0);
    free(keys);
    return ERR_OK;
}

char *prepare_folder(const config *c, uint64_t hash)
{
    return xprintf("%s/store/%016" PRIx64, c->work_dir, hash);
}

/* A complete store of that name: its manifest is there, fits, and so do the files' sizes. */
static bool is_complete(const char *folder, uint64_t hash, prepare_stats *stats)
{
    char *path = files_join(folder, "manifest.json");
    manifest *m = NULL;
    bool good = files_exist(path) && manifest_load(folder, &m) == ERR_OK && m->prepare_hash == hash;

    free(path);
    for (uint32_t p = 0; good && p < m->partitions; p++) {
        struct stat st;
        path = xprintf("%s/part-%u/data.mdb", folder, p);
        good = stat(path, &st) == 0 && (uint64_t)st.st_size == m->partition_bytes[p];
        stats->store_bytes += m->partition_bytes[p];
        free(path);
    }
    for (size_t i = 0; good && i < 2; i++) {
        path = files_join(folder, i == 0 ? "dataset" : "positives");
        good = files_exist(path);
        free(path);
    }
    if (good) {
        stats->items = m->items;
        stats->users = m->users;
        for (uint32_t r = 0; r < m->relations; r++) stats->edges += m->relation[r].edges;
    }
    manifest_free(m);
    return good;
}

/* What killed runs left behind. */
static void remove_abandoned(const char *stores)
{
    DIR *dir = opendir(stores);
    const struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, partial_prefix, strlen(partial_prefix)) != 0) continue;
        long pid = strtol(entry->d_name + strlen(partial_prefix), NULL, 10);
        if (pid <= 0 || kill((pid_t)pid, 0) == 0 || errno != ESRCH) continue;
        char *path = files_join(stores, entry->d_name);
        err_code rc = files_remove_tree(path); /* printed; only space is lost */
        log_info("prepare_abandoned", "path=\"%s\" removed=%d", path, rc == ERR_OK);
        free(path);
    }
    if (dir != NULL) closedir(dir);
}

/* Puts the finished folder in its place; another process may have been faster. */
static err_code publish(const char *partial, const char *folder, const char *stores)
{
    err_code rc = files_sync(partial);

    if (rc == ERR_OK && files_exist(folder)) {
        log_warn("prepare_replaced", "path=\"%s\" why=\"it was incomplete or damaged\"", folder);
        rc = files_remove_tree(folder);
    }
    if (rc == ERR_OK) rc = files_rename(partial, folder);
    return rc == ERR_OK ? files_sync(stores) : rc;
}

static err_code check_stop(void *context)
{
    return progress_stopped(context) ? ERR_STOPPED : ERR_OK;
}

/* Built here, or brought from store.source where somebody has built the same. */
static err_code build_in_partial(const config *c, uint64_t hash, const char *folder,
                                 const progress *p, prepare_stats *stats)
{
    char *stores = files_join(c->work_dir, "store");
    char *partial = xprintf("%s/%s%ld", stores, partial_prefix, (long)getpid());
    prepare_stats other = {0};
    err_code rc = files_make_dirs(stores);

    if (rc == ERR_OK) remove_abandoned(stores);
    if (rc == ERR_OK) rc = files_remove_tree(partial);
    if (rc == ERR_OK) rc = files_make_dirs(partial);
    if (rc == ERR_OK && store_copy_is_published(c, hash)) {
        rc = store_copy_fetch_whole(c, hash, partial, check_stop, (void *)(uintptr_t)p);
        stats->reused = rc == ERR_OK;
    } else if (rc == ERR_OK) {
        rc = prepare_build(c, hash, partial, p, stats);
    }
    if (rc == ERR_OK && !is_complete(folder, hash, &other)) rc = publish(partial, folder, stores);
    if (files_exist(partial)) {
        err_code removed = files_remove_tree(partial);
        if (rc == ERR_OK) rc = removed;
    }
    free(partial);
    free(stores);
    return rc;
}

static uint64_t peak_rss(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

/* What does not enter the store may name types, too. */
static err_code check_reused(const config *c, const char *folder)
{
    manifest *m = NULL;
    err_code rc = manifest_load(folder, &m);
    if (rc == ERR_OK) rc = manifest_check_config(m, c);
    manifest_free(m);
    return rc;
}

err_code prepare_run(const config *c, const progress *p, char **store_folder, prepare_stats *stats)
{
    uint64_t start = clock_now_us(), hash;
    prepare_stats s = {0};
    err_code rc = config_check_inputs(c);
    if (rc == ERR_OK) rc = prepare_hash(c, &hash);

    *store_folder = NULL;
    if (rc != ERR_OK) return rc;
    char *folder = prepare_folder(c, hash);
    s.reused = is_complete(folder, hash, &s);
    if (s.reused) rc = check_reused(c, folder);
    if (!s.reused) {
        s = (prepare_stats){0};
        rc = build_in_partial(c, hash, folder, p, &s);
        if (rc == ERR_OK && s.reused) s.reused = is_complete(folder, hash, &s); /* brought here */
    }
    if (rc == ERR_OK) rc = store_copy_publish(c, folder, check_stop, (void *)(uintptr_t)p);
    s.seconds = (double)(clock_now_us() - start) / 1e6;
    s.peak_rss_bytes = peak_rss();
    if (stats != NULL) *stats = s;
    if (rc != ERR_OK) {
        free(folder);
        folder = NULL;
    }
    *store_folder = folder;
    return rc;
}
