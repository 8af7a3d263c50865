/* feature_row.h - FEATURES: node rows on their way from the sampler that owns them to a worker.
 *
 * Request: the nodes of one partition, ascending.  Reply, columns in the order of the request:
 *   stable key u64 | train positives u32 | attribute indexes u32 [attributes] | text [dim]
 * text is f16, or int8 with one scale per row (a power of two).  A node's row never
 * changes after prepare: workers cache it by node number.  Threads: any. */
#pragma once

#include "common/blob.h"
#include "common/err.h"
#include "common/manifest.h"

#include <stdint.h>

enum { FEATURE_ROW_NODES_MAX = 1 << 20 }; /* nodes of a request */

typedef struct feature_row_request {
    uint32_t partition;
    uint32_t nodes;
    const uint32_t *node; /* [nodes], strictly ascending */
} feature_row_request;

typedef struct feature_row_reply {
    uint32_t nodes, attributes, text_dim;
    storage_kind storage;
    const uint64_t *key;       /* [nodes] stable keys */
    const uint32_t *positives; /* [nodes] train positives of the item: q's numerator */
    const uint32_t *attribute; /* [nodes, attributes]; NULL: none */
    const uint16_t *f16;       /* [nodes, text_dim]; NULL unless STORAGE_F16 */
    const int8_t *q8;          /* [nodes, text_dim]; NULL unless STORAGE_INT8 */
    const float *scale;        /* [nodes]; NULL unless STORAGE_INT8 */
} feature_row_reply;

/* An item that nobody has in train has no id to learn and is nobody's negative, in either model: it
 * was never a positive, so that all it could learn is that what nobody has is bad. */
static inline bool feature_is_trained(uint32_t positives)
{
    return positives > 0;
}

/* Bytes that one node takes in a reply. */
uint64_t feature_row_bytes(const manifest *m);

/* NULL: no memory.  Owned: blob_unref. */
blob *feature_row_encode_request(const feature_row_request *r);
blob *feature_row_encode_reply(const feature_row_reply *r);
/* Views into the body, borrowed until it goes; its data must be 8-aligned (blob_aligned).
 * ERR_INVALID: malformed, a node of another partition, sizes that are not m's. */
MUST_USE err_code feature_row_decode_request(const manifest *m, const blob *body,
                                             feature_row_request *out);
MUST_USE err_code feature_row_decode_reply(const manifest *m, const blob *body,
                                           feature_row_reply *out);
/* Row i's text as floats [text_dim], overwritten. */
void feature_row_text(float *out, const feature_row_reply *r, uint32_t i);
