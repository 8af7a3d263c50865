#include "ps/shard_disk.h"

#include "common/mem.h"
#include "ps/stage_snapshot.h"

#include <stdio.h>
#include <stdlib.h>

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
    for (uint32_t i = 0; i < STAGE_COUNT; i++) stage_tables_free(l->tables[i]);
    free(l->from);
    free(l);
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

static err_code load_part(const part_store *store, shard_load *l, const part_id *id,
                          stage_tables *t)
{
    blob *part = NULL;
    part_view v;
    err_code rc = store->read(store->ctx, id, &part, &v, l->why);
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
    if (rc != ERR_OK) return rc;
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
