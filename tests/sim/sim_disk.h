/* sim_disk.h - the folder of checkpoints in the simulation: what was written is lost, torn or kept
 * when its writer dies before it was synced, and what is there may rot. */
#pragma once

#include "ps/shard_disk.h"

typedef struct sim_part {
    part_id id;
    blob *bytes;
    uint64_t unsynced; /* the life that has not synced it yet; 0: durable */
} sim_part;

typedef struct sim_disk {
    sim_part *part; /* owned */
    size_t n, cap;
    uint64_t writer;   /* the life that is writing */
    uint32_t fails_at; /* its so-many-th part; 0: none */
    /* what the writers remove once they have synced */
    struct sim_prune {
        uint64_t life;
        part_id keep[64], newest;
        uint32_t keep_n;
    } * prune; /* owned */
    size_t prunes, prunes_cap;
} sim_disk;

void sim_disk_fini(sim_disk *d);
part_store sim_disk_store(sim_disk *d);
/* Writes without syncing; the `fails_at`-th part does not fit any more. */
err_code sim_disk_write(sim_disk *d, uint64_t life, shard_save *save, uint32_t fails_at);
/* The writer has synced, and prunes. */
void sim_disk_sync(sim_disk *d, uint64_t life);
void sim_disk_crash(sim_disk *d, uint64_t life, uint64_t random);
bool sim_disk_has(const sim_disk *d, const part_id *id); /* and it is durable */
/* Flips a bit somewhere; returns whether there was anything to damage. */
bool sim_disk_rot(sim_disk *d, uint64_t random);
