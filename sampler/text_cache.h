/* text_cache.h - raw text vectors kept between runs: LMDB, keyed by XXH3 of model and text.
 *
 * Values are f32 as the model gave them, before centring, idf and projection, each with its
 * checksum; a value that does not match it is encoded again.  Several models share one cache.  Not
 * on a network file system; one handle per process and folder.  Threads: one owner. */
#pragma once

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TEXT_CACHE_BATCH = 256, TEXT_CACHE_WINDOW = 1024, TEXT_CACHE_DIM_MAX = 16384 };

typedef struct text_cache text_cache;

typedef struct text_cache_stats {
    uint64_t hits, misses, corrupt; /* corrupt ones are misses too */
} text_cache_stats;

/* Opens or makes the cache in `folder`, for vectors of `dim` numbers of the model `model_id`.
 * ERR_IO, ERR_CORRUPT (not an LMDB environment): printed with the path.
 * *out is owned: text_cache_close. */
MUST_USE err_code text_cache_open(const char *folder, uint64_t model_id, uint32_t dim,
                                  text_cache **out);
void text_cache_close(text_cache *c); /* accepts NULL */

/* The dim that text_cache_put_dim left for the model; 0: none.  ERR_IO, ERR_CORRUPT: as open. */
MUST_USE err_code text_cache_find_dim(const char *folder, uint64_t model_id, uint32_t *dim);
MUST_USE err_code text_cache_put_dim(text_cache *c);

/* found[i] tells whether out[i] [n, dim] was filled from texts[i].  ERR_IO. */
MUST_USE err_code text_cache_get(text_cache *c, const char *const *texts, size_t n, float *out,
                                 bool *found);
/* Stores all n or, on error, none.  On disk when it returns.  ERR_IO (a full disk too). */
MUST_USE err_code text_cache_put(text_cache *c, const char *const *texts, size_t n,
                                 const float *vectors);

/* Encodes what the cache lacks.  encode: out [n, dim] of n texts; an error of it is passed on. */
typedef err_code text_cache_encode_fn(void *context, const char *const *texts, size_t n,
                                      float *out);

/* out [n, dim] overwritten, from the cache where it has them, else by `encode`, for at most `batch`
 * texts at once (up to TEXT_CACHE_WINDOW, gathered from as many), and stored after each.  Counts
 * into *stats, misses before they are encoded.  ERR_IO, ERR_NO_MEMORY. */
MUST_USE err_code text_cache_fill(text_cache *c, text_cache_encode_fn *encode, void *context,
                                  const char *const *texts, size_t n, size_t batch, float *out,
                                  text_cache_stats *stats);
