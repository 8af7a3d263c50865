#include "sim/sim_disk.h"

#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sim_disk_fini(sim_disk *d)
{
    free(d->copy);
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

static void put(sim_disk *d, const part_id *id, blob *bytes, uint64_t unsynced)
{
    sim_part *p = find(d, id);
    if (!p) {
        grow(&d->part, &d->cap, d->n + 1, sizeof *d->part);
        p = &d->part[d->n++];
        *p = (sim_part){.id = *id};
    }
    blob_unref(p->bytes);
    p->bytes = bytes;
    p->unsynced = unsynced;
}

static err_code disk_write(void *ctx, const part_id *id, blob *part, char *why)
{
    sim_disk *d = ctx;
    if (d->fails_at && !--d->fails_at) {
        snprintf(why, CORE_TEXT_MAX, "no space left");
        return ERR_IO;
    }
    const sim_part *p = find(d, id);
    bool there = p && !p->unsynced && blob_size(p->bytes) == blob_size(part) &&
                 memcmp(blob_data(p->bytes), blob_data(part), blob_size(part)) == 0;
    if (there) return ERR_OK; /* replaced by the same: one of them survives */
    put(d, id, blob_ref(part), d->writer);
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

static bool disk_is_there(void *ctx, const part_id *id)
{
    return find(ctx, id) != NULL;
}

static err_code disk_read_piece(void *ctx, const part_id *id, part_piece want, blob **bytes,
                                uint64_t *total, uint64_t *hash, char *why)
{
    const sim_part *p = find(ctx, id);
    snprintf(why, CORE_TEXT_MAX, "part %u of version %u", id->shard, id->version);
    if (!p) return ERR_NOT_FOUND;
    size_t size = blob_size(p->bytes);
    part_id is;
    if (size < PART_HEADER_BYTES || !part_label(blob_data(p->bytes), size, &is, hash) ||
        want.offset >= size)
        return ERR_CORRUPT;
    *total = size;
    size_t left = size - (size_t)want.offset;
    *bytes = blob_copy(blob_data(p->bytes) + want.offset, left < want.bytes ? left : want.bytes);
    return ERR_OK;
}

static err_code disk_write_piece(void *ctx, const part_id *id, uint64_t offset, const void *bytes,
                                 size_t n, char *why)
{
    sim_disk *d = ctx;
    (void)why;
    if (!offset) {
        d->copying = *id;
        d->copy_n = 0;
    }
    if (!part_id_equal(&d->copying, id)) return ERR_IO;
    size_t end = (size_t)offset + n;
    grow(&d->copy, &d->copy_cap, end, 1);
    if (end > d->copy_n) {
        if (offset > d->copy_n) memset(d->copy + d->copy_n, 0, (size_t)offset - d->copy_n);
        d->copy_n = end;
    }
    memcpy(d->copy + offset, bytes, n);
    return ERR_OK;
}

static err_code disk_finish(void *ctx, const part_id *id, uint64_t total, uint64_t hash, char *why)
{
    sim_disk *d = ctx;
    part_view v;
    blob *b = blob_copy(d->copy, d->copy_n);
    snprintf(why, CORE_TEXT_MAX, "the copy of part %u", id->shard);
    bool good = d->copy_n == total && part_decode(blob_data(b), blob_size(b), &v) == ERR_OK &&
                part_id_equal(&v.id, id) && part_hash(b) == hash;
    if (good)
        put(d, id, b, 0);
    else
        blob_unref(b);
    return good ? ERR_OK : ERR_CORRUPT;
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
    return (part_store){.ctx = d,
                        .write = disk_write,
                        .seal = disk_seal,
                        .read = disk_read,
                        .is_there = disk_is_there,
                        .read_piece = disk_read_piece,
                        .write_piece = disk_write_piece,
                        .finish = disk_finish,
                        .prune = disk_prune};
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
    d->copying = (part_id){0}; /* a dead writer's pieces are nothing */
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

uint32_t sim_disk_generation(const sim_disk *d)
{
    uint32_t g = 0;
    for (size_t i = 0; i < d->n; i++)
        g = d->part[i].id.generation > g ? d->part[i].id.generation : g;
    return g;
}

void sim_disk_wipe(sim_disk *d)
{
    while (d->n) remove_part(d, d->n - 1);
    d->prunes = d->copy_n = 0;
    d->copying = (part_id){0};
}

/* Whether all parts of the snapshot are durable on some disk. */
static bool is_whole(const sim_disk *disk, uint32_t n, uint32_t without, const part_id *snapshot)
{
    part_id id = *snapshot;
    for (id.shard = 0; id.shard < id.shards; id.shard++) {
        bool there = false;
        for (uint32_t i = 0; i < n && !there; i++)
            there = i != without && sim_disk_has(&disk[i], &id);
        if (!there) return false;
    }
    return true;
}

bool sim_disk_may_wipe(const sim_disk *disk, uint32_t n, uint32_t without)
{
    for (size_t k = 0; k < disk[without].n; k++) {
        const part_id *id = &disk[without].part[k].id;
        if (is_whole(disk, n, n, id) && !is_whole(disk, n, without, id)) return false;
    }
    return true;
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
