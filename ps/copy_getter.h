/* copy_getter.h - gets parts of snapshots from other servers, piece by piece, one part at a time.
 *
 * Pure; embedded in a server's core (shard_copies.h).  At most COPY_WINDOW pieces are on the way or
 * wait for the disk.  Who is asked:
 *
 * - for parts that are being made, the server whose they are, until it has them;
 * - for parts that were made once, every server of the view, the two first that should have it,
 *   until one gives it.  Who is silent for a while, or says BEHIND, is passed over and asked again.
 *   When all of the map have said no, again and again for COPY_PATIENCE_US (one that leaves may not
 *   be in the view yet), the part is given up.
 *
 * What a server gave is checked by the disk when it is whole; another one's may be good.
 * Threads: one owner. */
#pragma once

#include "common/member.h"
#include "ps/shard_disk.h"

enum {
    COPY_WINDOW = 4,
    COPY_AGAIN_US = 250000,
    COPY_SILENT_US = 8000000,
    COPY_PATIENCE_US = 20000000
};
/* The owner number of its requests. */
enum { COPY_OWNER = 2 };

typedef enum copy_state { COPY_IDLE, COPY_BUSY, COPY_DONE, COPY_FAILED } copy_state;

typedef struct copy_getter_config {
    uint32_t server;
    const member *member;
    requests *requests;
    uint32_t piece_bytes; /* at least PART_HEADER_BYTES */
} copy_getter_config;

typedef struct copy_getter copy_getter;

copy_getter *copy_getter_new(const copy_getter_config *c); /* owned: copy_getter_free */
void copy_getter_free(copy_getter *g);                     /* accepts NULL */

/* Begins with these parts; takes part [n].  being_made: see above.  What was got before is
 * forgotten, and what is on its way, but for a piece that the disk has (copy_getter_written). */
void copy_getter_start(copy_getter *g, part_id *part, uint32_t n, const shard_map *map,
                       bool being_made, uint64_t now_us, core_actions *out);
void copy_getter_stop(copy_getter *g, uint64_t now_us, core_actions *out);

copy_state copy_getter_state(const copy_getter *g);
const char *copy_getter_why(const copy_getter *g); /* FAILED */
/* DONE: what was got, [n]; borrowed until the next start or stop. */
const saved_part *copy_getter_got(const copy_getter *g, uint32_t *n);

/* The answer to one of its requests. */
void copy_getter_answer(copy_getter *g, const core_event *e, const request_match *m,
                        core_actions *out);
/* A piece for the disk, which it has until copy_getter_written; NULL: none now. */
shard_get *copy_getter_take(copy_getter *g);
void copy_getter_written(copy_getter *g, err_code status, uint64_t now_us, core_actions *out);
/* Does what is due; returns when the next is (absolute us, UINT64_MAX: never). */
uint64_t copy_getter_timer(copy_getter *g, uint64_t now_us, core_actions *out);
uint64_t copy_getter_digest(const copy_getter *g, uint64_t h);
