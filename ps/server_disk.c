#include "ps/server_disk.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"
#include "ps/checkpoint_copy.h"
#include "ps/shard.h"
#include "ps/shard_copies.h"
#include "ps/shard_disk.h"

#include <pthread.h>
#include <stdlib.h>

_Static_assert((int)CHECKPOINT_WHY_MAX <= (int)CORE_TEXT_MAX,
               "why of a part_store holds that of a file");

struct server_disk {
    char *dir;
    pthread_t thread;
    bool running;         /* the thread is to be joined */
    pthread_mutex_t lock; /* guards: busy_us */
    uint64_t busy_us;     /* the file at hand was begun; 0: there is none */
    /* the job: the thread's */
    uint64_t token;
    uint32_t kind;
    void *job;
    shell_post *post;
    void *shell;
};

server_disk *server_disk_new(const char *dir)
{
    server_disk *d = xcalloc(1, sizeof *d);
    d->dir = xstrdup(dir);
    pthread_mutex_init(&d->lock, NULL);
    return d;
}

static void set_busy(server_disk *d, uint64_t since_us)
{
    pthread_mutex_lock(&d->lock);
    d->busy_us = since_us;
    pthread_mutex_unlock(&d->lock);
}

uint64_t server_disk_busy_since_us(server_disk *d)
{
    pthread_mutex_lock(&d->lock);
    uint64_t since_us = d->busy_us;
    pthread_mutex_unlock(&d->lock);
    return since_us;
}

void server_disk_stop(server_disk *d)
{
    if (d->running) pthread_join(d->thread, NULL);
    d->running = false;
}

void server_disk_free(server_disk *d)
{
    if (!d) return;
    server_disk_stop(d);
    pthread_mutex_destroy(&d->lock);
    free(d->dir);
    free(d);
}

/* ---- the files ---- */

static err_code write_part(void *ctx, const part_id *id, blob *part, char *why)
{
    server_disk *d = ctx;
    set_busy(d, clock_now_us());
    return checkpoint_files_write(d->dir, id, part, why);
}

static err_code seal(void *ctx, const part_id *id, char *why)
{
    server_disk *d = ctx;
    set_busy(d, clock_now_us());
    checkpoint_id snapshot = checkpoint_files_id(id);
    return checkpoint_files_seal(d->dir, &snapshot, why);
}

static err_code read_part(void *ctx, const part_id *id, blob **part, part_view *view, char *why)
{
    server_disk *d = ctx;
    set_busy(d, clock_now_us());
    return checkpoint_files_read(d->dir, id, NULL, part, view, why);
}

static bool is_there(void *ctx, const part_id *id)
{
    server_disk *d = ctx;
    set_busy(d, clock_now_us());
    return checkpoint_copy_is_there(d->dir, id);
}

static err_code read_piece(void *ctx, const part_id *id, part_piece want, blob **bytes,
                           uint64_t *total, uint64_t *hash, char *why)
{
    server_disk *d = ctx;
    set_busy(d, clock_now_us());
    return checkpoint_copy_read(d->dir, id, want.offset, want.bytes, bytes, total, hash, why);
}

static err_code write_piece(void *ctx, const part_id *id, uint64_t offset, const void *bytes,
                            size_t n, char *why)
{
    server_disk *d = ctx;
    set_busy(d, clock_now_us());
    return checkpoint_copy_write(d->dir, id, offset, bytes, n, why);
}

static err_code finish(void *ctx, const part_id *id, uint64_t total, uint64_t hash, char *why)
{
    server_disk *d = ctx;
    set_busy(d, clock_now_us());
    return checkpoint_copy_finish(d->dir, id, total, hash, why);
}

static void prune(void *ctx, const part_id *keep, uint32_t n, const part_id *newest)
{
    server_disk *d = ctx;
    char why[CHECKPOINT_WHY_MAX];
    set_busy(d, clock_now_us());
    checkpoint_id older_than = checkpoint_files_id(newest);
    checkpoint_id *ids = xcalloc(n + 1, sizeof *ids);
    for (uint32_t i = 0; i < n; i++) ids[i] = checkpoint_files_id(&keep[i]);
    err_code rc = checkpoint_files_prune(d->dir, &older_than, ids, n, NULL, why);
    if (rc != ERR_OK) log_warn("prune_failed", "reason=\"%s\"", why);
    free(ids);
}

/* ---- the thread ---- */

static err_code carry_out(server_disk *d)
{
    part_store store = {.ctx = d,
                        .write = write_part,
                        .seal = seal,
                        .read = read_part,
                        .is_there = is_there,
                        .read_piece = read_piece,
                        .write_piece = write_piece,
                        .finish = finish,
                        .prune = prune};
    switch (d->kind) {
    case SHARD_SAVE: return shard_disk_save(&store, d->job);
    case SHARD_LOAD: return shard_disk_load(&store, d->job);
    case SHARD_GIVE: return shard_disk_give(&store, d->job);
    default: return shard_disk_get(&store, d->job);
    }
}

static void *work(void *arg)
{
    server_disk *d = arg;
    err_code rc = carry_out(d);
    set_busy(d, 0);
    d->post(d->shell, d->token, rc, d->job);
    return NULL;
}

void server_disk_start(server_disk *d, uint64_t token, uint32_t kind, void *job, shell_post *post,
                       void *shell)
{
    server_disk_stop(d); /* it has posted: only its end is waited for */
    d->token = token;
    d->kind = kind;
    d->job = job;
    d->post = post;
    d->shell = shell;
    set_busy(d, clock_now_us());
    int failed = pthread_create(&d->thread, NULL, work, d);
    ASSERT(!failed);
    d->running = true;
}
