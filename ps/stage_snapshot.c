#include "ps/stage_snapshot.h"

#include "common/mem.h"
#include "common/panic.h"
#include "ps/stage_past.h"
#include "ps/stage_tables_state.h"

#include <stdlib.h>
#include <string.h>

/* ---- a copy ---- */

stage_tables *stage_tables_copy(const stage_tables *t)
{
    stage_tables *c = xcalloc(1, sizeof *c);
    *c = *t;
    c->dense = blob_ref(t->dense);
    c->best_dense = blob_ref(t->best_dense);
    c->sum = NULL;
    c->applied = (applied_set){0};
    stage_past_copy(c, t);
    if (t->state) {
        size_t n = t->own * t->dense_state + 1;
        c->state = xmalloc(n * sizeof *c->state);
        memcpy(c->state, t->state, n * sizeof *c->state);
    }
    for (uint32_t i = 0; i < t->tables; i++) {
        c->rows[i] = t->rows[i] ? row_store_copy(t->rows[i]) : NULL;
        c->best[i] = t->best[i] ? row_store_copy(t->best[i]) : NULL;
    }
    return c;
}

/* ---- its parts ---- */

/* A table's keys, grouped by virtual shard and ascending within each. */
typedef struct shard_keys {
    uint64_t *keys; /* NULL: no such table */
    size_t *from;   /* [shards + 1] */
} shard_keys;

struct stage_parts {
    const stage_tables *t;
    shard_keys rows[SHARD_TABLES_MAX], best[SHARD_TABLES_MAX];
};

static shard_keys group(const row_store *rows, const shard_map *map)
{
    shard_keys g = {0};
    if (!rows) return g;
    size_t n = row_store_count(rows);
    uint64_t *all = row_store_keys(rows);
    size_t *at = xcalloc(map->shards + 2, sizeof *at);
    g.keys = xmalloc((n + 1) * sizeof *g.keys);
    for (size_t k = 0; k < n; k++) at[table_shard_of(map, all[k]) + 2]++;
    for (uint32_t v = 0; v < map->shards; v++) at[v + 2] += at[v + 1];
    for (size_t k = 0; k < n; k++) g.keys[at[table_shard_of(map, all[k]) + 1]++] = all[k];
    g.from = at; /* each start has moved on to the next one's */
    free(all);
    return g;
}

stage_parts *stage_parts_new(const stage_tables *t)
{
    stage_parts *p = xcalloc(1, sizeof *p);
    p->t = t;
    for (uint32_t i = 0; i < t->tables; i++) {
        p->rows[i] = group(t->rows[i], &t->map);
        p->best[i] = group(t->best[i], &t->map);
    }
    return p;
}

static void ungroup(shard_keys *g)
{
    free(g->keys);
    free(g->from);
}

void stage_parts_free(stage_parts *p)
{
    if (!p) return;
    for (uint32_t i = 0; i < p->t->tables; i++) {
        ungroup(&p->rows[i]);
        ungroup(&p->best[i]);
    }
    free(p);
}

/* Sections in the making; what they point to is freed at the end. */
typedef struct section_list {
    part_section section[PART_SECTIONS_MAX];
    void *owned[2 * PART_SECTIONS_MAX];
    uint32_t n, owned_n;
} section_list;

static void *own(section_list *l, void *p)
{
    l->owned[l->owned_n++] = p;
    return p;
}

/* `per` arrays of each block of this shard, padded to whole blocks.  from: [own], block by block.
 */
static void add_blocks(section_list *l, const stage_tables *t, uint32_t vshard, part_kind kind,
                       uint32_t table, const float *from, uint32_t per)
{
    uint32_t blocks = table_blocks(t->floats), n = 0;
    size_t dim = (size_t)DENSE_BLOCK_FLOATS * per;
    uint64_t *keys = own(l, xcalloc(blocks + 1, sizeof *keys));
    block_walk w = stage_tables_blocks(t);
    while (stage_tables_walk(t, &w)) {
        if (table_shard_of(&t->map, table_block_key(t->stage, w.block)) == vshard)
            keys[n++] = w.block;
    }
    float *values = own(l, xcalloc(n * dim + 1, sizeof *values));
    w = stage_tables_blocks(t);
    for (uint32_t k = 0; k < n && stage_tables_walk(t, &w);) {
        if (w.block != keys[k]) continue;
        memcpy(values + k++ * dim, from + w.at * per, w.n * per * sizeof *values);
    }
    l->section[l->n++] = (part_section){kind, table, (uint32_t)dim, n, keys, values};
}

static void add_rows(section_list *l, const stage_tables *t, uint32_t i, uint32_t vshard,
                     part_kind kind, const row_store *rows, const shard_keys *g)
{
    if (!rows) return;
    uint32_t dim = t->spec[i].dim + t->spec[i].state;
    const uint64_t *keys = g->keys + g->from[vshard];
    size_t n = g->from[vshard + 1] - g->from[vshard];
    float *values = own(l, xmalloc((n * dim + 1) * sizeof *values));
    for (size_t k = 0; k < n; k++)
        memcpy(values + k * dim, row_store_find(rows, keys[k]), dim * sizeof *values);
    l->section[l->n++] = (part_section){kind, t->spec[i].id, dim, (uint32_t)n, keys, values};
}

static const float *floats_of(const blob *b)
{
    return (const float *)(const void *)blob_data(b);
}

/* The rows of a past version that this shard has; they are few. */
static void add_past_rows(section_list *l, const stage_tables *t, uint32_t i, uint32_t k,
                          uint32_t vshard)
{
    const row_store *rows = t->past[k].rows[i];
    size_t all = row_store_count(rows), dim = t->spec[i].dim, n = 0;
    uint64_t *keys = own(l, row_store_keys(rows));
    for (size_t j = 0; j < all; j++) {
        if (table_shard_of(&t->map, keys[j]) == vshard) keys[n++] = keys[j];
    }
    float *values = own(l, xmalloc((n * dim + 1) * sizeof *values));
    for (size_t j = 0; j < n; j++)
        memcpy(values + j * dim, row_store_find(rows, keys[j]), dim * sizeof *values);
    uint32_t table = part_past_table(k, t->spec[i].id);
    l->section[l->n++] =
        (part_section){PART_PAST_ROWS, table, (uint32_t)dim, (uint32_t)n, keys, values};
}

static void add_past(section_list *l, const stage_tables *t, uint32_t vshard)
{
    uint64_t *since = own(l, xcalloc(t->past_n + 1, sizeof *since));
    for (uint32_t k = 0; k < t->past_n; k++) since[k] = t->past[k].since;
    since[t->past_n] = t->since;
    l->section[l->n++] = (part_section){PART_SINCE, 0, 0, t->past_n + 1, since, NULL};
    for (uint32_t k = 0; k < t->past_n; k++) {
        if (t->past[k].dense)
            add_blocks(l, t, vshard, PART_PAST_DENSE, part_past_table(k, TABLE_DENSE),
                       floats_of(t->past[k].dense), 1);
        for (uint32_t i = 0; i < t->tables; i++) {
            if (t->past[k].rows[i]) add_past_rows(l, t, i, k, vshard);
        }
    }
}

/* What this shard has applied of the open rounds. */
static void add_applied(section_list *l, const stage_tables *t, uint32_t vshard)
{
    const applied_set *a = &t->applied;
    uint64_t *keys = own(l, xcalloc(a->n + 1, sizeof *keys));
    uint64_t *count = own(l, xcalloc(1, sizeof *count));
    uint32_t n = 0;
    for (size_t i = 0; i < a->n; i++) {
        if (applied_shards_has(a->slot[i].shards, vshard))
            keys[n++] = (uint64_t)a->slot[i].version << 32 | a->slot[i].slot;
    }
    *count = t->updates;
    l->section[l->n++] = (part_section){PART_APPLIED, 0, 0, n, keys, NULL};
    l->section[l->n++] = (part_section){PART_UPDATES, 0, 0, 1, count, NULL};
}

blob *stage_parts_encode(const stage_parts *p, const part_id *id)
{
    const stage_tables *t = p->t;
    section_list l = {0};
    if (t->dense) add_blocks(&l, t, id->shard, PART_DENSE, 0, floats_of(t->dense), 1);
    if (t->state && t->dense_state)
        add_blocks(&l, t, id->shard, PART_DENSE_STATE, 0, t->state, t->dense_state);
    if (t->best_dense)
        add_blocks(&l, t, id->shard, PART_DENSE_BEST, 0, floats_of(t->best_dense), 1);
    for (uint32_t i = 0; i < t->tables; i++)
        add_rows(&l, t, i, id->shard, PART_ROWS, t->rows[i], &p->rows[i]);
    for (uint32_t i = 0; i < t->tables; i++)
        add_rows(&l, t, i, id->shard, PART_ROWS_BEST, t->best[i], &p->best[i]);
    if (staleness_past(t->model->staleness) && !t->finished) add_past(&l, t, id->shard);
    if (t->model->staleness.on_arrival && !t->finished) add_applied(&l, t, id->shard);
    blob *part = part_encode(id, l.section, l.n);
    for (uint32_t i = 0; i < l.owned_n; i++) free(l.owned[i]);
    return part;
}

/* ---- tables from parts ---- */

/* Copies a section's blocks to where they are in our array [own * per]. */
static err_code take_blocks(const stage_tables *t, const part_section *x, float *to, uint32_t per)
{
    if (x->dim != (uint64_t)DENSE_BLOCK_FLOATS * per) return ERR_CORRUPT;
    block_walk w = stage_tables_blocks(t);
    uint32_t k = 0;
    while (k < x->n && stage_tables_walk(t, &w)) {
        if (w.block != x->keys[k]) continue;
        memcpy(to + w.at * per, x->values + (size_t)k++ * x->dim, w.n * per * sizeof *to);
    }
    return k == x->n ? ERR_OK : ERR_CORRUPT;
}

static float *writable(blob *b)
{
    return (float *)(void *)blob_writable(b);
}

static err_code take_dense(stage_tables *t, const part_section *x)
{
    if (!t->own) return x->n ? ERR_CORRUPT : ERR_OK;
    switch (x->kind) {
    case PART_DENSE: t->blocks_read += x->n; return take_blocks(t, x, writable(t->dense), 1);
    case PART_DENSE_STATE: return take_blocks(t, x, t->state, t->dense_state);
    default:
        if (!t->best_dense) t->best_dense = blob_new(t->own * sizeof(float));
        return t->best_dense ? take_blocks(t, x, writable(t->best_dense), 1) : ERR_NO_MEMORY;
    }
}

static err_code add_read_rows(const stage_tables *t, row_store *rows, const part_section *x)
{
    for (uint32_t k = 0; k < x->n; k++) {
        if (table_server_of(&t->map, x->keys[k]) != t->server || row_store_find(rows, x->keys[k]))
            return ERR_CORRUPT;
        memcpy(row_store_add(rows, x->keys[k]), x->values + (size_t)k * x->dim,
               x->dim * sizeof(float));
    }
    return ERR_OK;
}

static err_code take_rows(stage_tables *t, const part_section *x)
{
    uint32_t i = stage_tables_index(t, x->table);
    if (i == UINT32_MAX || x->dim != t->spec[i].dim + t->spec[i].state) return ERR_CORRUPT;
    row_store **rows = x->kind == PART_ROWS ? &t->rows[i] : &t->best[i];
    if (!*rows) *rows = row_store_new(t->spec[i].dim, t->spec[i].state);
    return add_read_rows(t, *rows, x);
}

/* Every part says the same.  A past begins empty, and the sections that follow fill it. */
static err_code take_since(stage_tables *t, const part_section *x)
{
    if (!x->n || x->n - 1 > staleness_past(t->model->staleness)) return ERR_CORRUPT;
    for (uint32_t k = 0; k + 1 < x->n && !t->past_read; k++) {
        stage_past *p = &t->past[t->past_n++];
        p->since = (uint32_t)x->keys[k];
        p->dense = t->own ? blob_new(t->own * sizeof(float)) : NULL;
        if (t->own && !p->dense) return ERR_NO_MEMORY;
        for (uint32_t i = 0; i < t->tables; i++) {
            if (!t->spec[i].is_put) p->rows[i] = row_store_new(t->spec[i].dim, 0);
        }
    }
    if (!t->past_read++) t->since = (uint32_t)x->keys[x->n - 1];
    bool same = x->n == t->past_n + 1 && t->since == x->keys[t->past_n];
    for (uint32_t k = 0; k < t->past_n && same; k++) same = t->past[k].since == x->keys[k];
    return same ? ERR_OK : ERR_CORRUPT;
}

static err_code take_past(stage_tables *t, const part_section *x)
{
    uint32_t k = x->table >> PART_PAST_SHIFT, table = x->table & ((1u << PART_PAST_SHIFT) - 1);
    if (k >= t->past_n) return ERR_CORRUPT;
    if (x->kind == PART_PAST_DENSE) {
        if (table != TABLE_DENSE || !t->own) return x->n ? ERR_CORRUPT : ERR_OK;
        t->past_blocks_read += x->n;
        return take_blocks(t, x, writable(t->past[k].dense), 1);
    }
    uint32_t i = stage_tables_index(t, table);
    if (i == UINT32_MAX || t->spec[i].is_put || x->dim != t->spec[i].dim) return ERR_CORRUPT;
    return add_read_rows(t, t->past[k].rows[i], x);
}

static err_code take_applied(stage_tables *t, const part_view *p, const part_section *x)
{
    uint32_t window = staleness_window(t->model->staleness);
    for (uint32_t k = 0; k < x->n; k++) {
        uint32_t version = (uint32_t)(x->keys[k] >> 32), slot = (uint32_t)x->keys[k];
        bool open = version >= p->id.version && version - p->id.version < window;
        if (!open || slot >= SHARD_SLOTS_MAX) return ERR_CORRUPT;
        applied_set_mark(&t->applied, version, slot, p->id.shard);
    }
    return ERR_OK;
}

/* Servers may have come to different numbers; a few more or less correct nothing. */
static err_code take_updates(stage_tables *t, const part_section *x)
{
    if (x->n != 1) return ERR_CORRUPT;
    if (x->keys[0] > t->updates) t->updates = x->keys[0];
    return ERR_OK;
}

static err_code take_section(stage_tables *t, const part_view *p, const part_section *x)
{
    bool arrives = t->model->staleness.on_arrival;
    switch (x->kind) {
    case PART_APPLIED: return arrives ? take_applied(t, p, x) : ERR_CORRUPT;
    case PART_UPDATES: return arrives ? take_updates(t, x) : ERR_CORRUPT;
    case PART_DENSE:
    case PART_DENSE_STATE:
    case PART_DENSE_BEST: return take_dense(t, x);
    case PART_ROWS:
    case PART_ROWS_BEST: return take_rows(t, x);
    case PART_SINCE: return take_since(t, x);
    case PART_PAST_DENSE:
    case PART_PAST_ROWS: return take_past(t, x);
    default: return ERR_CORRUPT;
    }
}

err_code stage_tables_take_part(stage_tables *t, const part_view *p)
{
    err_code rc = ERR_OK;
    if (!t->past_read) t->since = p->id.version;
    for (uint32_t i = 0; i < p->sections && rc == ERR_OK; i++) {
        rc = take_section(t, p, &p->section[i]);
    }
    return rc;
}

/* A slot that all of our virtual shards have is applied: NULL instead of their bits.  Without the
 * rule for it, one that any of them has. */
static void applied_by_all(stage_tables *t)
{
    bool each = core_rule(t->mutations, CORE_RULE_APPLIED_SHARD);
    for (size_t i = 0; i < t->applied.n; i++) {
        applied_slot *x = &t->applied.slot[i];
        bool all = true;
        for (uint32_t v = 0; v < t->map.shards && each; v++) {
            if (t->map.server_of[v] == t->server) all = all && applied_shards_has(x->shards, v);
        }
        if (!all) continue;
        free(x->shards);
        x->shards = NULL;
    }
}

err_code stage_tables_taken(stage_tables *t, bool final)
{
    uint32_t blocks = 0;
    block_walk w = stage_tables_blocks(t);
    while (stage_tables_walk(t, &w)) blocks++;
    if (t->blocks_read != blocks || t->past_blocks_read != blocks * t->past_n) return ERR_CORRUPT;
    applied_by_all(t);
    if (!final) return ERR_OK;
    free(t->state);
    free(t->sum);
    t->state = t->sum = NULL;
    t->finished = true;
    return ERR_OK;
}
