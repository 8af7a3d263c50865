#include "ps/checkpoint_resume.h"

#include "ps/checkpoint_metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EARLIER_MAX = 5 }; /* of the same stage: to fall back to */

void checkpoint_resume_fini(checkpoint_resume *r)
{
    blob_unref(r->state);
    free(r->metric);
    *r = (checkpoint_resume){0};
}

typedef struct folder {
    const char *dir;
    checkpoint_listed *list; /* newest first */
    size_t n;
} folder;

static const checkpoint_listed *find(const folder *f, const checkpoint_id *id)
{
    for (size_t i = 0; i < f->n; i++) {
        if (checkpoint_files_compare(&f->list[i].entry.id, id) == 0) return &f->list[i];
    }
    return NULL;
}

static err_code lacks(const folder *f, const checkpoint_id *id, const char *what, char *why)
{
    char name[CHECKPOINT_NAME_MAX];
    checkpoint_files_name(id, name);
    snprintf(why, CHECKPOINT_WHY_MAX, "%.120s/%s: %s", f->dir, name, what);
    return ERR_CORRUPT;
}

static void add(scheduler_recovery *r, const checkpoint_manifest *m)
{
    r->record[r->records] = m->state;
    r->record_bytes[r->records++] = m->state_bytes;
}

/* The ends of the stages before. */
static err_code add_previous(const folder *f, const checkpoint_manifest *m, scheduler_recovery *r,
                             char *why)
{
    for (uint32_t i = 0; i < m->previous_n && i < SCHEDULER_STAGES_MAX; i++) {
        const checkpoint_listed *x = find(f, &m->previous[i]);
        if (!x || x->rc != ERR_OK)
            return lacks(f, &m->previous[i], "the end of a stage before is not there", why);
        add(r, &x->manifest);
    }
    return ERR_OK;
}

static bool is_earlier(const checkpoint_listed *l, const checkpoint_manifest *m, uint32_t below)
{
    const checkpoint_manifest *x = &l->manifest;
    return l->rc == ERR_OK && x->plan_hash == m->plan_hash && x->stage_index == m->stage_index &&
           x->shards == m->shards && !x->id.final && x->id.version < below &&
           x->state_bytes == m->state_bytes;
}

/* Those of the same stage, the oldest first.  The same version of two generations has the same
 * content: one of them will do. */
static void add_earlier(const folder *f, const checkpoint_manifest *m, scheduler_recovery *r)
{
    const checkpoint_listed *chosen[EARLIER_MAX];
    size_t n = 0;
    for (uint32_t below = m->id.version; n < EARLIER_MAX; n++) {
        chosen[n] = NULL;
        for (size_t i = 0; i < f->n; i++) {
            if (!is_earlier(&f->list[i], m, below)) continue;
            if (!chosen[n] || f->list[i].manifest.id.version > chosen[n]->manifest.id.version)
                chosen[n] = &f->list[i];
        }
        if (!chosen[n]) break;
        below = chosen[n]->manifest.id.version;
    }
    while (n) add(r, &chosen[--n]->manifest);
}

static uint32_t highest_generation(const folder *f)
{
    uint32_t g = 0;
    for (size_t i = 0; i < f->n; i++) {
        if (f->list[i].entry.id.generation > g) g = f->list[i].entry.id.generation;
    }
    return g;
}

static err_code take(const folder *f, const checkpoint_listed *l, checkpoint_resume *out, char *why)
{
    const checkpoint_manifest *m = &l->manifest;
    scheduler_recovery r = {.plan_hash = m->plan_hash,
                            .generation = highest_generation(f),
                            .shards = m->shards,
                            .servers = m->servers};
    *out = (checkpoint_resume){.id = l->entry.id};
    if (l->rc != ERR_OK) {
        snprintf(why, CHECKPOINT_WHY_MAX, "%s", l->why);
        return l->rc;
    }
    if (m->parts != m->shards) return lacks(f, &m->id, "parts are missing", why);
    err_code rc = add_previous(f, m, &r, why);
    if (rc != ERR_OK) return rc;
    add_earlier(f, m, &r);
    add(&r, m);
    out->state = scheduler_recover(&r);
    if (!out->state) return lacks(f, &m->id, "of another version of weft", why);
    rc = checkpoint_metrics_read(f->dir, &m->id, &out->metric, &out->metrics, why);
    if (rc == ERR_OK && out->metrics != m->metrics)
        rc = lacks(f, &m->id, "metrics are missing", why);
    return rc;
}

static err_code read_folder(const folder *f, const checkpoint_id *from, checkpoint_resume *out,
                            char *why)
{
    err_code rc = ERR_NOT_FOUND;
    if (from) {
        const checkpoint_listed *l = find(f, from);
        if (l) return take(f, l, out, why);
        lacks(f, from, "not there", why);
        return ERR_NOT_FOUND;
    }
    for (size_t i = 0; i < f->n; i++) {
        char now[CHECKPOINT_WHY_MAX] = "";
        if (!f->list[i].entry.complete) continue;
        checkpoint_resume_fini(out);
        err_code one = take(f, &f->list[i], out, now);
        if (one == ERR_OK) return ERR_OK;
        /* The newest one's error tells.  A file that it lacks is not a folder that has none. */
        if (rc == ERR_NOT_FOUND) {
            rc = one == ERR_NOT_FOUND ? ERR_CORRUPT : one;
            memcpy(why, now, sizeof now);
        }
    }
    return rc;
}

err_code checkpoint_resume_read(const char *dir, const checkpoint_id *from, checkpoint_resume *out,
                                char *why)
{
    folder f = {.dir = dir};
    *out = (checkpoint_resume){0};
    err_code rc = checkpoint_manifest_list(dir, &f.list, &f.n, why);
    if (rc != ERR_OK) return rc;
    why[0] = '\0';
    rc = read_folder(&f, from, out, why);
    if (rc != ERR_OK) checkpoint_resume_fini(out);
    checkpoint_manifest_list_free(f.list, f.n);
    return rc;
}
