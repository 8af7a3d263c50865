#include "deploy/checkpoint_tables.h"

#include "common/keyed_sort.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/table_codec.h"
#include "common/table_id.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct checkpoint_tables {
    const char *dir;
    const job *job;
    const atomic_int *stop;
    checkpoint_manifest end[STAGE_COUNT]; /* of each stage; parts 0: it has not run */
};

/* ---- Opening ---- */

static err_code add_end(checkpoint_tables *t, const checkpoint_id *id)
{
    char why[CHECKPOINT_WHY_MAX], name[CHECKPOINT_NAME_MAX];
    checkpoint_manifest m;
    err_code rc = checkpoint_manifest_read(t->dir, id, &m, why);
    if (rc != ERR_OK) {
        log_user_error("%s", why);
        return rc;
    }
    checkpoint_manifest_fini(&t->end[id->stage]);
    t->end[id->stage] = m;
    checkpoint_files_name(id, name);
    if (m.parts != m.shards) {
        log_user_error("%s/%s: lists %" PRIu32 " parts of %" PRIu32, t->dir, name, m.parts,
                       m.shards);
        rc = ERR_CORRUPT;
    } else if (m.plan_hash != t->job->plan_hash) {
        log_user_error("%s/%s: of plan %016" PRIx64 ", needed is one of %016" PRIx64, t->dir, name,
                       m.plan_hash, t->job->plan_hash);
        rc = ERR_MISMATCH;
    }
    return rc;
}

err_code checkpoint_tables_open(const char *dir, const checkpoint_manifest *last, const job *j,
                                const atomic_int *stop, checkpoint_tables **out)
{
    checkpoint_tables *t = xcalloc(1, sizeof *t);
    t->dir = dir;
    t->job = j;
    t->stop = stop;
    err_code rc = add_end(t, &last->id);
    for (uint32_t i = 0; i < last->previous_n && rc == ERR_OK; i++)
        rc = add_end(t, &last->previous[i]);
    if (rc != ERR_OK) {
        checkpoint_tables_close(t);
        return rc;
    }
    *out = t;
    return ERR_OK;
}

void checkpoint_tables_close(checkpoint_tables *t)
{
    if (!t) return;
    for (uint32_t s = 0; s < STAGE_COUNT; s++) checkpoint_manifest_fini(&t->end[s]);
    free(t);
}

/* ---- Reading ---- */

static err_code unfit(const checkpoint_tables *t, uint32_t stage, const char *what)
{
    char name[CHECKPOINT_NAME_MAX];
    checkpoint_files_name(&t->end[stage].id, name);
    log_user_error("%s/%s: %s", t->dir, name, what);
    return ERR_CORRUPT;
}

typedef err_code take_part(void *context, const part_view *p);

/* Every part of the end of `stage`, one after the other. */
static err_code read_parts(const checkpoint_tables *t, uint32_t stage, take_part *take,
                           void *context)
{
    const checkpoint_manifest *m = &t->end[stage];
    err_code rc = m->parts ? ERR_OK : ERR_NOT_FOUND;
    if (rc != ERR_OK) log_user_error("%s: the end of %s is not there", t->dir, stage_name(stage));
    for (uint32_t i = 0; i < m->parts && rc == ERR_OK; i++) {
        if (atomic_load(t->stop)) return ERR_STOPPED;
        char why[CHECKPOINT_WHY_MAX];
        part_id id = checkpoint_manifest_part_id(m, m->part[i].shard);
        part_view view;
        blob *bytes;
        rc = checkpoint_files_read(t->dir, &id, &m->part[i].hash, &bytes, &view, why);
        if (rc != ERR_OK) log_user_error("%s", why);
        if (rc == ERR_OK) rc = take(context, &view);
        blob_unref(bytes);
    }
    return rc;
}

/* ---- Rows ---- */

typedef struct row_reader {
    const checkpoint_tables *t;
    uint32_t stage, table, dim;
    const keyed *wanted; /* [n] sorted */
    size_t n;
    bool *found; /* [n] */
    float *out;
} row_reader;

/* Rows of a stage that kept no best copy still have their optimizer's state behind them. */
static err_code take_rows(void *context, const part_view *p)
{
    row_reader *r = context;
    const part_section *x = part_find(p, PART_ROWS, r->table);
    if (!x) return ERR_OK;
    if (x->n && x->dim < r->dim) return unfit(r->t, r->stage, "rows of another width");
    for (uint32_t i = 0; i < x->n; i++) {
        const keyed *k = keyed_find(r->wanted, r->n, x->keys[i]);
        if (!k) continue;
        memcpy(r->out + k->at * r->dim, x->values + (size_t)i * x->dim, r->dim * sizeof *r->out);
        r->found[k - r->wanted] = true;
    }
    return ERR_OK;
}

/* A row that was never pushed is what the servers would have begun with. */
static err_code fill_missing(const row_reader *r)
{
    const job *j = r->t->job;
    const model_spec *s = job_spec(j, r->stage);
    bool trained = s && s->tables && table_sparse(j->config, r->stage) == r->table;
    for (size_t i = 0; i < r->n; i++) {
        if (r->found[i]) continue;
        if (!trained) return unfit(r->t, r->stage, "rows are missing");
        model_spec_init_row(&s->table[0], j->config->seed, r->wanted[i].key,
                            r->out + r->wanted[i].at * r->dim);
    }
    return ERR_OK;
}

static err_code rows(void *context, uint32_t stage, uint32_t table, uint32_t dim,
                     const uint64_t *keys, size_t n, float *out)
{
    const checkpoint_tables *t = context;
    keyed *wanted = try_malloc(n + 1, sizeof *wanted);
    bool *found = try_malloc(n + 1, sizeof *found);
    err_code rc = wanted && found ? ERR_OK : ERR_NO_MEMORY;
    if (rc == ERR_OK) {
        for (size_t i = 0; i < n; i++) wanted[i] = (keyed){keys[i], i};
        memset(found, 0, (n + 1) * sizeof *found);
        keyed_sort(wanted, n);
        row_reader r = {t, stage, table, dim, wanted, n, found, out};
        rc = read_parts(t, stage, take_rows, &r);
        if (rc == ERR_OK) rc = fill_missing(&r);
    }
    free(wanted);
    free(found);
    return rc;
}

/* ---- Dense parameters ---- */

typedef struct dense_reader {
    const checkpoint_tables *t;
    uint32_t stage;
    float *out; /* [floats] */
    size_t floats;
    uint32_t blocks; /* taken */
} dense_reader;

static err_code take_dense(void *context, const part_view *p)
{
    dense_reader *r = context;
    const part_section *x = part_find(p, PART_DENSE, 0);
    if (!x) return ERR_OK;
    bool fits = !x->n || x->dim == DENSE_BLOCK_FLOATS;
    for (uint32_t i = 0; i < x->n && fits; i++) {
        uint64_t block = x->keys[i];
        fits = block < table_blocks(r->floats);
        if (!fits) break;
        memcpy(r->out + block * DENSE_BLOCK_FLOATS, x->values + (size_t)i * DENSE_BLOCK_FLOATS,
               table_block_floats(r->floats, (uint32_t)block) * sizeof *r->out);
        r->blocks++;
    }
    return fits ? ERR_OK : unfit(r->t, r->stage, "weights of another shape");
}

static err_code dense(void *context, uint32_t stage, float *out, size_t floats)
{
    dense_reader r = {.t = context, .stage = stage, .out = out, .floats = floats};
    err_code rc = read_parts(r.t, stage, take_dense, &r);
    if (rc == ERR_OK && r.blocks != table_blocks(floats))
        rc = unfit(r.t, stage, "weights are missing");
    return rc;
}

trained_source checkpoint_tables_source(checkpoint_tables *t)
{
    return (trained_source){
        .context = t,
        .no_z = t->end[STAGE_TWO_TOWER_NO_Z].parts > 0,
        .rows = rows,
        .dense = dense,
    };
}
