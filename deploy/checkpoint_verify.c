#include "deploy/checkpoint_verify.h"

#include "common/mem.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct verification {
    const char *dir;
    checkpoint_problem *tell;
    void *user;
    uint32_t problems;
} verification;

static void problem(verification *v, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void problem(verification *v, const char *format, ...)
{
    char text[CHECKPOINT_WHY_MAX + 128];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    v->problems++;
    v->tell(v->user, text);
}

static void verify_part(verification *v, const checkpoint_manifest *m,
                        const checkpoint_manifest_part *p)
{
    char why[CHECKPOINT_WHY_MAX];
    blob *b;
    part_id id = checkpoint_manifest_part_id(m, p->shard);
    err_code rc = checkpoint_files_read(v->dir, &id, &p->hash, &b, NULL, why);
    if (rc != ERR_OK) {
        problem(v, "%s", why);
    } else if (blob_size(b) != p->bytes) {
        char *path = checkpoint_files_part_path(v->dir, &id);
        problem(v, "%s: %zu bytes, the manifest says %" PRIu64, path, blob_size(b), p->bytes);
        free(path);
    }
    blob_unref(b);
}

static void verify_parts(verification *v, const checkpoint_manifest *m)
{
    char name[CHECKPOINT_NAME_MAX];
    checkpoint_files_name(&m->id, name);
    if (m->parts != m->shards) {
        problem(v, "%s/%s/%s: lists %" PRIu32 " parts of %" PRIu32, v->dir, name,
                CHECKPOINT_MANIFEST_FILE, m->parts, m->shards);
    }
    for (uint32_t i = 0; i < m->parts; i++) verify_part(v, m, &m->part[i]);
}

/* A finished stage that `m` refers to. */
static void verify_previous(verification *v, const checkpoint_manifest *m, const checkpoint_id *id)
{
    char why[CHECKPOINT_WHY_MAX], name[CHECKPOINT_NAME_MAX];
    checkpoint_manifest previous;
    err_code rc = checkpoint_manifest_read(v->dir, id, &previous, why);
    if (rc != ERR_OK) {
        problem(v, "%s", why);
        return;
    }
    if (previous.plan_hash != m->plan_hash) {
        checkpoint_files_name(id, name);
        problem(v, "%s/%s: of plan %016" PRIx64 ", needed is one of %016" PRIx64, v->dir, name,
                previous.plan_hash, m->plan_hash);
    }
    verify_parts(v, &previous);
    checkpoint_manifest_fini(&previous);
}

uint32_t checkpoint_verify(const char *dir, const checkpoint_listed *snapshot,
                           checkpoint_problem *tell, void *user)
{
    verification v = {dir, tell, user, 0};
    const checkpoint_manifest *m = &snapshot->manifest;
    if (snapshot->rc != ERR_OK) {
        problem(&v, "%s", snapshot->why);
        return v.problems;
    }
    verify_parts(&v, m);
    for (uint32_t i = 0; i < m->previous_n; i++) verify_previous(&v, m, &m->previous[i]);
    return v.problems;
}
