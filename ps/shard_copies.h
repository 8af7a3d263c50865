/* shard_copies.h - the part of a server's core that gives parts of snapshots to other servers and
 * gets them from there (checkpoint.copies: 2).
 *
 * Pure.  One piece at a time is with the disk, beside the jobs of shard.c: SHARD_GIVE reads one for
 * somebody, SHARD_GET writes one of ours (shard_disk.h), ours first.  Threads: one owner. */
#pragma once

#include "ps/copy_getter.h"

/* COMPUTE kinds beside those of shard.h; their tokens have the highest bit. */
enum { SHARD_GIVE = 3, SHARD_GET = 4 };
#define SHARD_COPY_TOKEN (UINT64_C(1) << 63)

enum { COPIES_ASKED_MAX = 4096 }; /* requests of others that wait for the disk */

typedef struct shard_copies shard_copies;

shard_copies *shard_copies_new(const copy_getter_config *c, uint64_t incarnation);
void shard_copies_free(shard_copies *c); /* accepts NULL */

/* A checked PART of another server: it is answered when the disk has read it; BEHIND where too many
 * wait. */
void shard_copies_asked(shard_copies *c, const core_event *e, const part_id *id, part_piece want,
                        core_actions *out);
/* As copy_getter.h; `why` is its. */
void shard_copies_start(shard_copies *c, part_id *part, uint32_t n, const shard_map *map,
                        bool being_made, uint64_t now_us, core_actions *out);
void shard_copies_stop(shard_copies *c, uint64_t now_us, core_actions *out);
const copy_getter *shard_copies_getter(const shard_copies *c);
void shard_copies_answer(shard_copies *c, const core_event *e, const request_match *m,
                         core_actions *out);
/* A RESULT with SHARD_COPY_TOKEN. */
void shard_copies_result(shard_copies *c, const core_event *e, core_actions *out);
uint64_t shard_copies_timer(shard_copies *c, uint64_t now_us, core_actions *out);
uint64_t shard_copies_digest(const shard_copies *c, uint64_t h);
