#include "common/arena.h"

#include "common/mem.h"
#include "common/panic.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef WEFT_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

enum { ALIGNMENT = 64, BLOCK_MIN = 1 << 20, BLOCKS_MAX = 48 };

typedef struct block {
    uint8_t *data;
    size_t bytes, used;
} block;

/* Blocks double in size, so that few are ever needed. */
struct arena {
    size_t blocks; /* in use; the last one is taken from */
    block block[BLOCKS_MAX];
};

arena *arena_new(void)
{
    return xcalloc(1, sizeof(arena));
}

static void free_block(block *b)
{
    UNPOISON(b->data, b->bytes);
    free(b->data);
    *b = (block){0};
}

void arena_free(arena *a)
{
    if (!a) return;
    for (size_t i = 0; i < a->blocks; i++) free_block(&a->block[i]);
    free(a);
}

size_t arena_bytes(const arena *a)
{
    size_t bytes = 0;
    for (size_t i = 0; i < a->blocks; i++) bytes += a->block[i].bytes;
    return bytes;
}

static bool add_block(arena *a, size_t need)
{
    size_t bytes = arena_bytes(a);
    if (bytes < BLOCK_MIN) bytes = BLOCK_MIN;
    if (bytes < need) bytes = need;
    if (a->blocks == BLOCKS_MAX) return false;
    uint8_t *data = try_aligned(bytes, 1);
    if (!data) return false;
    POISON(data, bytes);
    a->block[a->blocks++] = (block){.data = data, .bytes = bytes};
    return true;
}

void *arena_take(arena *a, size_t n, size_t size)
{
    size_t bytes;
    if (!size_mul(n, size, &bytes) || bytes > SIZE_MAX / 2) return NULL;
    size_t need = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    block *b = a->blocks ? &a->block[a->blocks - 1] : NULL;
    if (!b || b->bytes - b->used < need) {
        if (!add_block(a, need)) return NULL;
        b = &a->block[a->blocks - 1];
    }
    uint8_t *p = b->data + b->used;
    b->used += need;
    UNPOISON(p, bytes);
    return p;
}

void *arena_take_zeroed(arena *a, size_t n, size_t size)
{
    void *p = arena_take(a, n, size);
    if (p) memset(p, 0, n * size);
    return p;
}

void arena_reset(arena *a)
{
    const size_t bytes = arena_bytes(a);
    if (a->blocks > 1) {
        while (a->blocks) free_block(&a->block[--a->blocks]);
        (void)add_block(a, bytes); /* without memory now: blocks come back one by one */
    }
    if (a->blocks) {
        a->block[0].used = 0;
        POISON(a->block[0].data, a->block[0].bytes);
    }
}

arena_mark arena_get_mark(const arena *a)
{
    return (arena_mark){.block = a->blocks, .used = a->blocks ? a->block[a->blocks - 1].used : 0};
}

/* Blocks that were added since are kept, empty, only if they are the last: freeing the others would
 * make every step allocate again. */
void arena_rewind(arena *a, arena_mark mark)
{
    ASSERT(mark.block <= a->blocks);
    if (mark.block == a->blocks) {
        if (a->blocks == 0) return;
        block *b = &a->block[a->blocks - 1];
        ASSERT(mark.used <= b->used);
        POISON(b->data + mark.used, b->used - mark.used);
        b->used = mark.used;
        return;
    }
    for (size_t i = mark.block; i < a->blocks; i++) {
        a->block[i].used = 0;
        POISON(a->block[i].data, a->block[i].bytes);
    }
}
