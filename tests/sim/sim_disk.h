/* sim_disk.h - a folder of checkpoints in the simulation, of all servers or of one: what was
 * written is lost, torn or kept when its writer dies before it was synced, what is there may rot,
 * and all of it may be lost. */
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
    /* the copy that is on its way, piece by piece */
    part_id copying;
    uint8_t *copy; /* owned, [copy_n] */
    size_t copy_n, copy_cap;
} sim_disk;

void sim_disk_fini(sim_disk *d);
part_store sim_disk_store(sim_disk *d);
/* Writes without syncing; the `fails_at`-th part does not fit any more. */
err_code sim_disk_write(sim_disk *d, uint64_t life, shard_save *save, uint32_t fails_at);
/* The writer has synced, and prunes. */
void sim_disk_sync(sim_disk *d, uint64_t life);
void sim_disk_crash(sim_disk *d, uint64_t life, uint64_t random);
bool sim_disk_has(const sim_disk *d, const part_id *id); /* and it is durable */
uint32_t sim_disk_generation(const sim_disk *d); /* the highest of what is there; 0: nothing */
/* Nothing of it is left. */
void sim_disk_wipe(sim_disk *d);
/* True if whatever is complete and durable on the n disks would be without disk `without`, too. */
bool sim_disk_may_wipe(const sim_disk *disk, uint32_t n, uint32_t without);
/* Flips a bit somewhere; returns whether there was anything to damage. */
bool sim_disk_rot(sim_disk *d, uint64_t random);
