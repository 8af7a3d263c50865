/* use_lite_weights.h - the tensors of Universal Sentence Encoder Lite, as use_lite.c wants them.
 *
 * Matrices are row-major [in, out]: y = x W + b.  Immutable after load: any thread. */
#pragma once

#include "common/err.h"

#include <stddef.h>
#include <stdint.h>

enum {
    USE_LITE_LAYERS = 2,
    USE_LITE_EMBEDDING = 256, /* width of a token's embedding */
    USE_LITE_WIDTH = 512,     /* of the residual stream and the output */
    USE_LITE_HIDDEN = 1536,
    USE_LITE_EMBEDDINGS = 8002, /* rows of the table */
};

typedef struct use_lite_layer {
    const float *norm_scale, *norm_bias; /* [in]: 256 in layer 0, 512 in layer 1 */
    const float *qkv_w, *qkv_b;          /* [in, 3 in] */
    const float *out_w, *out_b;          /* [in, 512] */
    const float *ffn_scale, *ffn_bias;   /* [512] */
    const float *w1, *b1;                /* [512, 1536] */
    const float *w2, *b2;                /* [1536, 512] */
} use_lite_layer;

typedef struct use_lite_weights {
    const float *embedding;         /* [8002, 256] */
    const float *frequency;         /* [128] of the position signal */
    const float *dense_w, *dense_b; /* [256, 512]: layer 0's residual */
    use_lite_layer layer[USE_LITE_LAYERS];
    const float *head_w, *head_b; /* [512, 512] */
    float *data;                  /* owned: all of the above */
    uint64_t hash;                /* of the shards */
} use_lite_weights;

/* From `folder`/model.json and its shards.  Problems are printed with the file.  ERR_NOT_FOUND,
 * ERR_IO, ERR_CORRUPT.  *out is owned: use_lite_weights_fini. */
MUST_USE err_code use_lite_weights_load(const char *folder, use_lite_weights *out);
void use_lite_weights_fini(use_lite_weights *w); /* accepts a zeroed one */
