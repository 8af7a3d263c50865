/* arena.h - memory of one step: taken piece by piece, given back all at once.
 *
 * Pieces are 64-byte aligned and not zeroed.  Pieces never move.  Under AddressSanitizer what was
 * given back is poisoned.  Threads: one owner. */
#pragma once

#include <stddef.h>

typedef struct arena arena;

arena *arena_new(void);    /* owned: arena_free */
void arena_free(arena *a); /* accepts NULL */
/* n * size bytes, borrowed until reset or a rewind behind it; NULL when there is no memory or the
 * product overflows.  0 bytes: a valid pointer to nothing. */
void *arena_take(arena *a, size_t n, size_t size);
void *arena_take_zeroed(arena *a, size_t n, size_t size);
/* Gives everything back and keeps the memory for the next step, in one block. */
void arena_reset(arena *a);

/* Gives back what was taken after the mark. */
typedef struct arena_mark {
    size_t block, used;
} arena_mark;
arena_mark arena_get_mark(const arena *a);
void arena_rewind(arena *a, arena_mark mark);

size_t arena_bytes(const arena *a); /* held, used or not */
