#include "common/hash.h"

#include "common/mem.h"
#include "common/panic.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdlib.h>
#include <string.h>

struct hash_stream {
    XXH3_state_t *state;
};

uint64_t hash64(const void *data, size_t bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes ? data : "", bytes, seed);
}

uint64_t hash64_string(const char *s, uint64_t seed)
{
    return hash64(s, strlen(s), seed);
}

uint64_t stable_key(const char *type, const char *item_id)
{
    char text[64 + 1 + 256 + 1];
    size_t nt = strlen(type), ni = strlen(item_id);
    ASSERT(nt <= 64 && ni <= 256);
    memcpy(text, type, nt + 1);
    memcpy(text + nt + 1, item_id, ni);
    return hash64(text, nt + 1 + ni, 0);
}

hash_stream *hash_stream_new(uint64_t seed)
{
    hash_stream *h = xmalloc(sizeof *h);
    h->state = XXH3_createState();
    ASSERT(h->state);
    XXH3_64bits_reset_withSeed(h->state, seed);
    return h;
}

void hash_stream_add(hash_stream *h, const void *data, size_t bytes)
{
    if (bytes) XXH3_64bits_update(h->state, data, bytes);
}

uint64_t hash_stream_digest(const hash_stream *h)
{
    return XXH3_64bits_digest(h->state);
}

void hash_stream_free(hash_stream *h)
{
    if (!h) return;
    XXH3_freeState(h->state);
    free(h);
}
