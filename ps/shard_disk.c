#include "ps/shard_disk.h"

#include "common/mem.h"
#include "common/plan.h"
#include "ps/stage_snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void shard_save_free(shard_save *s)
{
    if (!s) return;
    stage_tables_free(s->tables);
    free(s->keep);
    free(s->part);
    free(s);
}

void shard_load_free(shard_load *l)
{
    if (!l) return;
    shard_load_reset(l);
    free(l->missing);
    free(l->from);
    free(l);
}

void shard_load_reset(shard_load *l)
{
    for (uint32_t i = 0; i < STAGE_COUNT; i++) {
        stage_tables_free(l->tables[i]);
        l->tables[i] = NULL;
    }
    l->missing_n = 0;
    l->why[0] = 0;
}

static err_code save_part(const part_store *store, shard_save *s, const stage_parts *parts,
                          uint32_t vshard)
{
    part_id id = s->id;
    id.shard = vshard;
    blob *part = stage_parts_encode(parts, &id);
    if (!part) {
        snprintf(s->why, sizeof s->why, "no memory for a part");
        return ERR_NO_MEMORY;
    }
    s->part[s->parts++] = (saved_part){vshard, blob_size(part), part_hash(part)};
    err_code rc = store->write(store->ctx, &id, part, s->why);
    blob_unref(part);
    return rc;
}

err_code shard_disk_save(const part_store *store, shard_save *s)
{
    err_code rc = ERR_OK;
    stage_parts *parts = stage_parts_new(s->tables);
    s->part = xcalloc(s->map.shards + 1, sizeof *s->part);
    s->parts = 0;
    for (uint32_t v = 0; v < s->map.shards && rc == ERR_OK; v++) {
        if (s->map.server_of[v] == s->server) rc = save_part(store, s, parts, v);
    }
    if (rc == ERR_OK) rc = store->seal(store->ctx, &s->id, s->why);
    if (rc == ERR_OK) store->prune(store->ctx, s->keep, s->keep_n, &s->id);
    stage_parts_free(parts);
    return rc;
}

/* Another server's copy may do instead. */
static bool is_lost(err_code rc)
{
    return rc == ERR_NOT_FOUND || rc == ERR_CORRUPT || rc == ERR_IO;
}

static void add_missing(shard_load *l, const part_id *id)
{
    grow(&l->missing, &l->missing_cap, l->missing_n + 1, sizeof *l->missing);
    l->missing[l->missing_n++] = *id;
}

uint32_t shard_disk_seconds(const shard_map *map, uint32_t server, const part_id *snapshot,
                            part_id **out)
{
    uint32_t n = 0;
    *out = xcalloc(map->shards + 1, sizeof **out);
    for (uint32_t v = 0; v < map->shards && map->servers > 1; v++) {
        if (plan_vshard_second(v, map->servers) != server) continue;
        (*out)[n] = *snapshot;
        (*out)[n++].shard = v;
    }
    return n;
}

/* What we are to have a copy of: only whether it is there. */
static void look_for_copies(const part_store *store, shard_load *l, const part_id *from)
{
    part_id *second;
    uint32_t n = shard_disk_seconds(&l->map, l->server, from, &second);
    for (uint32_t i = 0; i < n; i++) {
        if (store->is_there(store->ctx, &second[i])) continue;
        if (!l->missing_n)
            snprintf(l->why, sizeof l->why, "the copy of part %u of %s version %u is not there",
                     second[i].shard, stage_name(from->stage), from->version);
        add_missing(l, &second[i]);
    }
    free(second);
}

static err_code load_part(const part_store *store, shard_load *l, const part_id *id,
                          stage_tables *t)
{
    blob *part = NULL;
    part_view v;
    char why[CORE_TEXT_MAX];
    err_code rc = store->read(store->ctx, id, &part, &v, why);
    if (rc != ERR_OK && !l->missing_n) memcpy(l->why, why, sizeof why);
    if (rc != ERR_OK && l->copies > 1 && is_lost(rc)) {
        add_missing(l, id);
        return ERR_OK;
    }
    if (rc != ERR_OK) return rc;
    rc = stage_tables_take_part(t, &v);
    if (rc != ERR_OK)
        snprintf(l->why, sizeof l->why, "part %u of %s version %u does not fit the model: %s",
                 id->shard, stage_name(id->stage), id->version, err_name(rc));
    blob_unref(part);
    return rc;
}

static err_code load_stage(const part_store *store, shard_load *l, const part_id *from)
{
    stage_tables *t = stage_tables_new(l->model, &l->map, l->server, from->stage, l->mutations);
    err_code rc = ERR_OK;
    stage_tables_free(l->tables[from->stage]);
    l->tables[from->stage] = t;
    part_id id = *from;
    for (id.shard = 0; id.shard < l->map.shards && rc == ERR_OK; id.shard++) {
        if (l->map.server_of[id.shard] == l->server) rc = load_part(store, l, &id, t);
    }
    if (rc == ERR_OK && l->copies > 1) look_for_copies(store, l, from);
    if (rc != ERR_OK || l->missing_n) return rc;
    rc = stage_tables_taken(t, from->final);
    if (rc != ERR_OK)
        snprintf(l->why, sizeof l->why, "%s version %u lacks a block of weights",
                 stage_name(from->stage), from->version);
    return rc;
}

err_code shard_disk_load(const part_store *store, shard_load *l)
{
    err_code rc = ERR_OK;
    for (uint32_t i = 0; i < l->n && rc == ERR_OK; i++) rc = load_stage(store, l, &l->from[i]);
    return rc;
}

err_code shard_disk_give(const part_store *store, shard_give *g)
{
    uint64_t total, hash;
    blob *bytes = NULL;
    err_code rc = store->read_piece(store->ctx, &g->id, g->want, &bytes, &total, &hash, g->why);
    if (rc == ERR_OK) {
        g->answer = part_piece_encode(total, hash, blob_data(bytes), blob_size(bytes));
        if (!g->answer) rc = ERR_NO_MEMORY;
    }
    blob_unref(bytes);
    return rc;
}

err_code shard_disk_get(const part_store *store, shard_get *g)
{
    const part_piece_view *p = &g->piece;
    err_code rc = store->write_piece(store->ctx, &g->id, g->offset, p->bytes, p->n, g->why);
    if (rc == ERR_OK && g->last) rc = store->finish(store->ctx, &g->id, p->total, p->hash, g->why);
    if (rc == ERR_OK && g->last && g->seals) rc = store->seal(store->ctx, &g->id, g->why);
    return rc;
}
