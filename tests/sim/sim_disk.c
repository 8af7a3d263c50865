#include "sim/sim_disk.h"

#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sim_disk_fini(sim_disk *d)
{
    for (size_t i = 0; i < d->n; i++) blob_unref(d->part[i].bytes);
    free(d->part);
    free(d->prune);
}

static sim_part *find(const sim_disk *d, const part_id *id)
{
    for (size_t i = 0; i < d->n; i++) {
        if (part_same_snapshot(&d->part[i].id, id) && d->part[i].id.shard == id->shard)
            return &d->part[i];
    }
    return NULL;
}

static err_code disk_write(void *ctx, const part_id *id, blob *part, char *why)
{
    sim_disk *d = ctx;
    if (d->fails_at && !--d->fails_at) {
        snprintf(why, CORE_TEXT_MAX, "no space left");
        return ERR_IO;
    }
    sim_part *p = find(d, id);
    if (!p) {
        grow(&d->part, &d->cap, d->n + 1, sizeof *d->part);
        p = &d->part[d->n++];
        *p = (sim_part){.id = *id};
    }
    bool there = p->bytes && !p->unsynced && blob_size(p->bytes) == blob_size(part) &&
                 memcmp(blob_data(p->bytes), blob_data(part), blob_size(part)) == 0;
    if (there) return ERR_OK; /* replaced by the same: one of them survives */
    blob_unref(p->bytes);
    p->bytes = blob_ref(part);
    p->unsynced = d->writer;
    return ERR_OK;
}

static err_code disk_seal(void *ctx, const part_id *id, char *why)
{
    (void)ctx, (void)id, (void)why; /* sim_disk_sync, later */
    return ERR_OK;
}

static err_code disk_read(void *ctx, const part_id *id, blob **part, part_view *view, char *why)
{
    const sim_part *p = find(ctx, id);
    snprintf(why, CORE_TEXT_MAX, "part %u of %s generation %u version %u", id->shard,
             stage_name(id->stage), id->generation, id->version);
    if (!p) return ERR_NOT_FOUND;
    if (part_decode(blob_data(p->bytes), blob_size(p->bytes), view) != ERR_OK) return ERR_CORRUPT;
    *part = blob_ref(p->bytes);
    return ERR_OK;
}

static void disk_prune(void *ctx, const part_id *keep, uint32_t n, const part_id *newest)
{
    sim_disk *d = ctx;
    grow(&d->prune, &d->prunes_cap, d->prunes + 1, sizeof *d->prune);
    struct sim_prune *p = &d->prune[d->prunes++];
    p->life = d->writer;
    p->newest = *newest;
    p->keep_n = n < 64 ? n : 64;
    memcpy(p->keep, keep, p->keep_n * sizeof *keep);
}

part_store sim_disk_store(sim_disk *d)
{
    return (part_store){
        .ctx = d, .write = disk_write, .seal = disk_seal, .read = disk_read, .prune = disk_prune};
}

err_code sim_disk_write(sim_disk *d, uint64_t life, shard_save *save, uint32_t fails_at)
{
    part_store store = sim_disk_store(d);
    d->writer = life;
    d->fails_at = fails_at;
    return shard_disk_save(&store, save);
}

static void remove_part(sim_disk *d, size_t i)
{
    blob_unref(d->part[i].bytes);
    d->part[i] = d->part[--d->n];
}

static bool is_pruned(const struct sim_prune *p, const part_id *id)
{
    bool older = id->generation < p->newest.generation ||
                 (id->generation == p->newest.generation && id->version < p->newest.version);
    for (uint32_t k = 0; k < p->keep_n; k++) older = older && !part_same_snapshot(&p->keep[k], id);
    return older;
}

void sim_disk_sync(sim_disk *d, uint64_t life)
{
    for (size_t i = 0; i < d->n; i++) {
        if (d->part[i].unsynced == life) d->part[i].unsynced = 0;
    }
    for (size_t k = d->prunes; k-- > 0;) {
        if (d->prune[k].life != life) continue;
        for (size_t i = d->n; i-- > 0;) {
            if (is_pruned(&d->prune[k], &d->part[i].id)) remove_part(d, i);
        }
        d->prune[k] = d->prune[--d->prunes];
    }
}

static blob *torn(const blob *whole, uint64_t random)
{
    return blob_copy(blob_data(whole), random % blob_size(whole));
}

void sim_disk_crash(sim_disk *d, uint64_t life, uint64_t random)
{
    for (size_t i = d->n; i-- > 0;) {
        if (d->part[i].unsynced != life) continue;
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint64_t what = (random >> 33) % 3;
        d->part[i].unsynced = 0;
        if (what == 0) {
            remove_part(d, i);
        } else if (what == 1) {
            blob *left = torn(d->part[i].bytes, random >> 35);
            blob_unref(d->part[i].bytes);
            d->part[i].bytes = left;
        }
    }
    for (size_t k = d->prunes; k-- > 0;) {
        if (d->prune[k].life == life) d->prune[k] = d->prune[--d->prunes];
    }
}

bool sim_disk_has(const sim_disk *d, const part_id *id)
{
    const sim_part *p = find(d, id);
    return p && !p->unsynced;
}

bool sim_disk_rot(sim_disk *d, uint64_t random)
{
    if (!d->n) return false;
    sim_part *p = &d->part[random % d->n];
    size_t bytes = blob_size(p->bytes);
    if (!bytes) return false;
    blob *other = blob_copy(blob_data(p->bytes), bytes);
    blob_writable(other)[(random >> 20) % bytes] ^= (uint8_t)(1u << (random & 7));
    blob_unref(p->bytes);
    p->bytes = other;
    return true;
}
