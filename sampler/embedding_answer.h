/* embedding_answer.h - decodes what an OpenAI-compatible /v1/embeddings endpoint answers.
 *
 *     {"data": [{"index": 1, "embedding": [0.25, ...]}, {"index": 0, "embedding": "base64"}], ...}
 *
 * An embedding is a list of numbers, or base64 of little-endian f32.  Rows are placed by `index`,
 * in whatever order they come.  How much is read, and how many values it may hold, is bounded
 * before memory is taken.  `why` [EMBEDDING_WHY_MAX] gets the reason of an error, printable
 * whatever the server sent.  Threads: any. */
#pragma once

#include "common/err.h"

#include <stddef.h>
#include <stdint.h>

enum { EMBEDDING_DIM_MAX = 16384, EMBEDDING_TEXTS_MAX = 1024, EMBEDDING_WHY_MAX = 320 };

/* The most bytes that a proper answer for n texts of dim numbers takes; dim 0: not known yet. */
size_t embedding_answer_bytes_max(size_t n, uint32_t dim);

/* out [n, *dim] overwritten; *dim 0: one text, out holds EMBEDDING_DIM_MAX numbers, and *dim gets
 * the width.  ERR_INVALID: not such an answer, another count, an index twice or out of range, a
 * number that is null or not finite as f32.  ERR_MISMATCH: another width than *dim. */
MUST_USE err_code embedding_answer_decode(const char *body, size_t bytes, size_t n, uint32_t *dim,
                                          float *out, char *why);

/* What an answer with an error status says: error.message, error, message or detail of a JSON
 * object, else the start of the body. */
void embedding_answer_error(const char *body, size_t bytes, char *why);
