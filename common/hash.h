/* hash.h - XXH3, the project's one hash.  The same value on every machine (little-endian).
 * Threads: any. */
#pragma once

#include <stddef.h>
#include <stdint.h>

uint64_t hash64(const void *data, size_t bytes, uint64_t seed);
uint64_t hash64_string(const char *s, uint64_t seed);

/* The stable key of an item: XXH3-64 of `type 0x00 item_id`, seed 0.  Survives renumbering: server
 * table keys, random feature channels and tie breaks use it, never a node number. */
uint64_t stable_key(const char *type, const char *item_id);

/* Streaming: the same value as hash64 of the concatenation. */
typedef struct hash_stream hash_stream;
hash_stream *hash_stream_new(uint64_t seed); /* owned: hash_stream_free */
void hash_stream_add(hash_stream *h, const void *data, size_t bytes);
uint64_t hash_stream_digest(const hash_stream *h);
void hash_stream_free(hash_stream *h);
