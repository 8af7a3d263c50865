/* use_lite.h - Universal Sentence Encoder Lite: a small English transformer sentence encoder
 * (7 M parameters, 512 dimensions) run by plain C over the weights that deploy/get-encoder.sh
 * fetches.
 *
 * Tokenizer: NFKC, then the best segmentation into 8,000 pieces.  A text of more than 128 tokens is
 * cut into windows whose vectors are averaged by their tokens; what lies behind the last window
 * that is allowed is left out.  A text's vector does not depend on its neighbours
 * (use_lite_batch.h).
 *
 * Threads: immutable after open; use_lite_encode from any thread. */
#pragma once

#include "common/err.h"

#include <stddef.h>
#include <stdint.h>

enum {
    USE_LITE_DIM = 512,
    USE_LITE_TOKENS_MAX = 128, /* of a window */
    USE_LITE_WINDOWS_MAX = 32, /* of a text */
};

typedef struct use_lite use_lite;

/* Loads model.json, its shards and vocab.json from `folder`.  Problems are printed with the file.
 * ERR_NOT_FOUND, ERR_IO; ERR_CORRUPT: a file is not what the recipe expects.
 * *out is owned: use_lite_close. */
MUST_USE err_code use_lite_open(const char *folder, use_lite **out);
void use_lite_close(use_lite *u); /* accepts NULL */

/* Hash of weights, vocabulary and this code's version. */
uint64_t use_lite_id(const use_lite *u);

/* Token ids of the text, at most USE_LITE_TOKENS_MAX * USE_LITE_WINDOWS_MAX of them: *ids is owned
 * (free), NULL for a text without tokens. */
void use_lite_tokenize(const use_lite *u, const char *text, uint32_t **ids, size_t *n);

/* out [n, USE_LITE_DIM] overwritten: vectors of length 1; zeros for a text without tokens.
 * ERR_NO_MEMORY. */
MUST_USE err_code use_lite_encode(const use_lite *u, const char *const *texts, size_t n,
                                  float *out);
