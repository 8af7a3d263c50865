/* features.h - the text vectors of a catalogue, as the store keeps them.
 *
 * Each block of an encoder (the model's, the n-grams') is brought to length 1, centred
 * (features.center: minus the corpus mean), brought to length 1 again and scaled by 1/sqrt(blocks
 * present), so that the whole vector has length 1 and every number lies in [-1, 1].  An item
 * without text has zeros, and does not count in the mean.  Built once, then immutable: any
 * thread. */
#pragma once

#include "common/config.h"
#include "common/err.h"
#include "common/progress.h"
#include "sampler/catalog.h"
#include "sampler/encoder.h"
#include "sampler/text_cache.h"

#include <stddef.h>
#include <stdint.h>

typedef struct features {
    uint32_t n, dim;      /* dim 0 (features.encoder: none): no arrays at all */
    storage_kind storage; /* which of the next two there is */
    uint16_t *f16;        /* [n, dim] */
    int8_t *int8;         /* [n, dim], in units of 2^exponent[row] */
    int8_t *exponent;     /* [n] */
    float *mean;          /* [dim], `text.mean` of an export; zeros without features.center */
    char *encoder, *note; /* encoder_name, encoder_note */
    uint64_t encoder_id;
    text_cache_stats cache; /* zeros where no cache is used */
} features;

typedef struct features_input {
    const char *const *ids;
    const char *const *texts;
    uint32_t n;
    const uint8_t *corpus;    /* [n] nonzero: counts in idf and mean; NULL: all */
    const char *cache_dir;    /* folder of the cache; NULL: none */
    const progress *progress; /* NULL: none; stage "text", in items */
} features_input;

/* ERR_INVALID, ERR_NOT_FOUND, ERR_IO, ERR_CORRUPT, ERR_CLOSED, ERR_MISMATCH (printed where they are
 * found), ERR_STOPPED, ERR_NO_MEMORY.
 * *out is owned: features_free. */
MUST_USE err_code features_build_texts(const config *c, const features_input *in, features **out);

/* The same for the items of a catalogue, in its order; cache_dir is usually work_dir/cache/text.
 * corpus: items that train can see (events of train), NULL: all.  ERR_STOPPED: p->stop was set. */
MUST_USE err_code features_build(const config *c, const catalog *items, const uint8_t *corpus,
                                 const char *cache_dir, const progress *p, features **out);
void features_free(features *f); /* accepts NULL */

/* Row i as floats: out [dim] overwritten. */
void features_row(const features *f, uint32_t i, float *out);
