/* What PERSIST writes: the head and the records of checkpoints. */
#include "common/mem.h"
#include "ps/scheduler_state.h"

#include <stdlib.h>
#include <string.h>

enum { DURABLE_MAGIC = 0x33534657 };

/* From manifests: since an earlier life, or it is to be noticed now. */
enum { RECOVERED_NOT, RECOVERED_BEFORE, RECOVERED_NOW };

typedef struct durable_head {
    uint32_t magic, term, generation, stage_index;
    uint64_t plan_hash;
    uint64_t metrics; /* while rolling: how many count */
    uint32_t rolling, stage_start;
    uint32_t map, shards, servers, servers_configured, servers_wanted;
    uint32_t records, record_bytes;
    uint32_t must_roll; /* the map is another one than the servers' tables */
    uint32_t workers_configured, workers_wanted, drains;
    uint32_t recovered; /* RECOVERED_*; also: no padding, as every byte is written to disk */
    uint64_t drained[DRAINED_MAX];
} durable_head;

blob *scheduler_durable_encode(const scheduler *s, uint32_t generation, uint32_t stage_index)
{
    durable_head h = {.magic = DURABLE_MAGIC,
                      .term = s->term,
                      .generation = generation,
                      .stage_index = stage_index,
                      .plan_hash = s->plan ? s->plan_hash : s->durable_plan_hash,
                      .metrics = s->rolling ? s->metrics_durable : s->metrics,
                      .rolling = s->rolling,
                      .stage_start = s->stage_start,
                      .map = s->rolling ? s->next_map.version : s->map.version,
                      .shards = s->map.shards,
                      .servers = s->rolling ? s->next_map.servers : s->map.servers,
                      .servers_configured = s->servers_configured,
                      .servers_wanted = s->servers_wanted,
                      .must_roll = s->must_roll,
                      .workers_configured = s->workers_configured,
                      .workers_wanted = s->workers_wanted,
                      .drains = s->drains,
                      .recovered = s->recovered ? RECOVERED_BEFORE : RECOVERED_NOT,
                      .records = s->records,
                      .record_bytes = sizeof s->record[0]};
    memcpy(h.drained, s->drained, sizeof h.drained);
    size_t bytes = s->records * sizeof s->record[0];
    uint8_t *all = xmalloc(sizeof h + bytes);
    memcpy(all, &h, sizeof h);
    memcpy(all + sizeof h, s->record, bytes);
    blob *b = blob_copy(all, sizeof h + bytes);
    free(all);
    return b;
}

/* A configuration that names another number of servers than it did makes a new map. */
static void restore_map(scheduler *s, const durable_head *h)
{
    bool too_few = h->servers < s->config.copies || h->servers_wanted < s->config.copies;
    bool changed = s->servers_configured != h->servers_configured || too_few;
    uint32_t servers = changed ? s->servers_configured : h->servers;
    bool other = servers != h->servers;
    s->must_roll = h->must_roll || other;
    s->config.virtual_shards = h->shards;
    s->config.servers = servers;
    s->servers_wanted = changed ? servers : h->servers_wanted;
    shard_map_init(&s->map, h->map + other, h->shards, servers);
}

/* Likewise for workers; whoever was asked to leave still is to. */
static void restore_workers(scheduler *s, const durable_head *h)
{
    if (s->workers_configured == h->workers_configured) s->workers_wanted = h->workers_wanted;
    s->drains = h->drains;
    memcpy(s->drained, h->drained, sizeof s->drained);
}

/* Terms and generations that came after the checkpoint are not known, and workers that live on have
 * heard of them: so many could hardly have been. */
static void leap(scheduler *s)
{
    enum { LEAP = 100 };
    if (!core_rule(s->config.mutations, CORE_RULE_RECOVERED)) return;
    s->term += LEAP;
    s->generation += LEAP;
}

err_code scheduler_durable_restore(scheduler *s, const scheduler_durable *d)
{
    durable_head h;
    if (!d || !d->state) return ERR_OK;
    if (d->state_bytes < sizeof h) return ERR_CORRUPT;
    memcpy(&h, d->state, sizeof h);
    if (h.magic != DURABLE_MAGIC || h.record_bytes != sizeof s->record[0] ||
        h.records > RECORDS_MAX || d->state_bytes != sizeof h + h.records * sizeof s->record[0])
        return ERR_CORRUPT;
    if (h.servers_wanted > SERVERS_MAX || h.workers_wanted > SCHEDULER_PEERS_MAX)
        return ERR_CORRUPT;
    if (!h.shards || h.shards > SHARDS_MAX || !h.servers || h.servers > SERVERS_MAX)
        return ERR_CORRUPT;
    memcpy(s->record, (const uint8_t *)d->state + sizeof h, h.records * sizeof s->record[0]);
    s->records = h.records;
    s->durable_plan_hash = h.plan_hash;
    s->term = h.term;
    s->generation = h.generation;
    s->stage_index = h.stage_index;
    s->rolling = h.rolling;
    s->stage_start = h.stage_start;
    s->recovered = h.recovered != RECOVERED_NOT;
    if (h.recovered == RECOVERED_NOW) leap(s);
    s->metrics_durable = h.metrics;
    s->restored = s->generation > 0;
    restore_map(s, &h);
    restore_workers(s, &h);
    s->next_map = s->map;
    return ERR_OK;
}

blob *scheduler_recover(const scheduler_recovery *r)
{
    checkpoint_record record[RECORDS_MAX], *last = record;
    if (!r->records || r->records > RECORDS_MAX) return NULL;
    for (uint32_t i = 0; i < r->records; i++) {
        if (r->record_bytes[i] != sizeof *record) return NULL;
        last = &record[i];
        memcpy(last, r->record[i], sizeof *record);
    }
    durable_head h = {.magic = DURABLE_MAGIC,
                      .term = last->term,
                      .generation = r->generation,
                      .stage_index = last->stage_index + (last->end != 0),
                      .plan_hash = r->plan_hash,
                      .metrics = last->metrics,
                      .map = 1,
                      .shards = r->shards,
                      .servers = r->servers,
                      .servers_configured = r->servers,
                      .servers_wanted = r->servers,
                      .must_roll = true,
                      .recovered = RECOVERED_NOW,
                      .records = r->records,
                      .record_bytes = sizeof *record};
    size_t bytes = r->records * sizeof *record;
    uint8_t *all = xmalloc(sizeof h + bytes);
    memcpy(all, &h, sizeof h);
    memcpy(all + sizeof h, record, bytes);
    blob *b = blob_copy(all, sizeof h + bytes);
    free(all);
    return b;
}
