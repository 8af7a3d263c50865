/* encoder.h - the text encoder that a configuration names, as two blocks of numbers per text.
 *
 * The first block comes from a model, a server or a file (USE Lite 512, openai and precomputed d,
 * hash and none 0), the second is the hashed character n-gram block (ngram.h), whose idf needs the
 * whole corpus; features.h joins them.  This module knows the first block, and the width of both.
 *
 * Threads: one owner; encoder_encode starts threads of its own. */
#pragma once

#include "common/config.h"
#include "common/err.h"
#include "sampler/embedding_client.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct encoder encoder;

/* Opens what c->features names; c is borrowed until close.  Missing weights, a missing or malformed
 * file, and ids that do not fit the rows are printed with the key or file.  ERR_INVALID,
 * ERR_NOT_FOUND, ERR_IO, ERR_CORRUPT, ERR_NO_MEMORY.  *out is owned: encoder_close. */
MUST_USE err_code encoder_open(const config *c, encoder **out);
void encoder_close(encoder *e); /* accepts NULL */

const char *
encoder_name(const encoder *e); /* "use_lite+ngram", "hash", ...; borrowed until close */
const char *encoder_note(const encoder *e); /* for reports; "" or a sentence, never a path */
uint32_t encoder_dim(const encoder *e);     /* block_dim + ngram_dim; 0: no text vectors at all */
uint32_t encoder_block_dim(const encoder *e);
uint32_t encoder_ngram_dim(const encoder *e);
/* Hash of what decides a text's first block: weights and algorithm, or the file's numbers. */
uint64_t encoder_id(const encoder *e);
/* The same with the core type of this process, whose last bits differ: what cache keys start with.
 */
uint64_t encoder_cache_id(const encoder *e);
/* Worth a cache: the first block is a slow function of the text alone. */
bool encoder_is_cacheable(const encoder *e);

/* openai: NULL for the others.  Its block_dim is 0 until somebody tells or asks
 * (embedding_client_set_dim, embedding_client_embed); nothing is sent before. */
embedding_client *encoder_client(const encoder *e);
/* Gives it the width that the cache in `folder` remembers of an earlier run, if any.  Does nothing
 * for others.  ERR_IO, ERR_CORRUPT. */
MUST_USE err_code encoder_recall_dim(encoder *e, const char *folder);
/* How many texts encoder_encode works on at once; 0: any number. */
size_t encoder_batch(const encoder *e);

/* The raw first blocks of n items: out [n, block_dim] overwritten.  A text without any character
 * but spaces gives zeros.  ids are used by precomputed files, texts by models; both must be given.
 * A row's bits depend on its own id and text alone, not on n, neighbours or threads.
 * ERR_INVALID: an item is not in the precomputed file (its id is printed); ERR_NO_MEMORY; those of
 * embedding_client_embed. */
MUST_USE err_code encoder_encode(encoder *e, const char *const *ids, const char *const *texts,
                                 size_t n, float *out);

/* The folder of the USE Lite weights: `configured` if not empty, else the first that holds
 * model.json of <executable>/../share/weft/use-lite and third_party/use-lite beside or above the
 * executable.  Owned; NULL: none. */
char *encoder_find_weights(const char *configured);
