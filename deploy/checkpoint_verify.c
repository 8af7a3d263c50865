#include "deploy/checkpoint_verify.h"

#include "common/mem.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct verification {
    const checkpoint_folders *folders;
    const char *dir; /* the first: of the manifests */
    checkpoint_problem *tell;
    void *user;
    checkpoint_verified result;
} verification;

static void problem(verification *v, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void problem(verification *v, const char *format, ...)
{
    char text[CHECKPOINT_WHY_MAX + 128];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    v->result.problems++;
    v->tell(v->user, text);
}

/* True: the part is good in this folder; *why says what it is otherwise, "" if that has been told.
 */
static bool is_good(verification *v, const char *dir, const checkpoint_manifest *m,
                    const checkpoint_manifest_part *p, char *why)
{
    blob *b;
    part_id id = checkpoint_manifest_part_id(m, p->shard);
    err_code rc = checkpoint_files_read(dir, &id, &p->hash, &b, NULL, why);
    bool good = rc == ERR_OK && blob_size(b) == p->bytes;
    if (rc == ERR_OK && !good) {
        char *path = checkpoint_files_part_path(dir, &id);
        problem(v, "%s: %zu bytes, the manifest says %" PRIu64, path, blob_size(b), p->bytes);
        free(path);
    } else if (rc != ERR_OK && rc != ERR_NOT_FOUND) {
        problem(v, "%s", why);
        why[0] = '\0';
    }
    blob_unref(b);
    return good;
}

/* In how many folders the part is good. */
static uint32_t verify_part(verification *v, const checkpoint_manifest *m,
                            const checkpoint_manifest_part *p)
{
    char why[CHECKPOINT_WHY_MAX], first[CHECKPOINT_WHY_MAX] = "";
    uint32_t good = 0, told = v->result.problems;
    for (size_t i = 0; i < v->folders->n; i++) {
        good += is_good(v, v->folders->dir[i], m, p, why);
        if (!i) memcpy(first, why, sizeof first);
    }
    bool elsewhere = m->copies > 1 && v->folders->n == 1;
    if (!good && told == v->result.problems && !elsewhere) problem(v, "%s", first);
    return good;
}

static void verify_parts(verification *v, const checkpoint_manifest *m)
{
    char name[CHECKPOINT_NAME_MAX];
    v->result.parts = m->parts;
    v->result.twice = v->result.once = 0;
    checkpoint_files_name(&m->id, name);
    if (m->parts != m->shards) {
        problem(v, "%s/%s/%s: lists %" PRIu32 " parts of %" PRIu32, v->dir, name,
                CHECKPOINT_MANIFEST_FILE, m->parts, m->shards);
    }
    for (uint32_t i = 0; i < m->parts; i++) {
        uint32_t good = verify_part(v, m, &m->part[i]);
        v->result.twice += good > 1;
        v->result.once += good == 1;
    }
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

checkpoint_verified checkpoint_verify(const checkpoint_folders *folders,
                                      const checkpoint_listed *snapshot, checkpoint_problem *tell,
                                      void *user)
{
    verification v = {.folders = folders, .dir = folders->dir[0], .tell = tell, .user = user};
    const checkpoint_manifest *m = &snapshot->manifest;
    if (snapshot->rc != ERR_OK) {
        problem(&v, "%s", snapshot->why);
        return v.result;
    }
    for (uint32_t i = 0; i < m->previous_n; i++) verify_previous(&v, m, &m->previous[i]);
    verify_parts(&v, m);
    return v.result;
}
