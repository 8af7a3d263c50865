/* piece_tokenizer.h - unigram tokenizer (SentencePiece models): the segmentation with the best sum
 * of log-probabilities, exactly as the TF.js tokenizer of the Universal Sentence Encoder finds it.
 *
 * Threads: immutable after new. */
#pragma once

#include "common/err.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

enum { PIECE_RESERVED = 6, PIECE_BYTES_MAX = 256, PIECE_COUNT_MAX = 1 << 20 };

typedef struct piece_tokenizer piece_tokenizer;

/* From [[piece, score], ...]; ids are positions, the first PIECE_RESERVED are no pieces; a score of
 * null counts as 0.  `name` stands for the file in messages.  ERR_CORRUPT.  *out is owned:
 * piece_tokenizer_free. */
MUST_USE err_code piece_tokenizer_new(const json_t *vocabulary, const char *name,
                                      piece_tokenizer **out);
void piece_tokenizer_free(piece_tokenizer *t); /* accepts NULL */

/* Token ids of normalised UTF-8 (text_norm_nfkc): U+2581 goes before it and in place of each space.
 * Runs of unknown characters are one id 0.  *ids is owned (free), NULL if the text is empty. */
void piece_tokenizer_encode(const piece_tokenizer *t, const char *normalised, uint32_t **ids,
                            size_t *n);
