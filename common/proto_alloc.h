/* proto_alloc.h - protobuf-c unpacking with a bound: a body cannot make us allocate more than we
 * allow.
 *
 * An unpacked message lives in the allocator's block until the next proto_alloc_reset: nothing is
 * freed by hand.  Threads: one owner. */
#pragma once

#include "common/blob.h"

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

typedef struct proto_alloc {
    ProtobufCAllocator base; /* pass &base to x__unpack */
    uint8_t *block;
    size_t len, cap;
} proto_alloc;

/* `cap` bytes for everything unpacked between two resets. */
void proto_alloc_init(proto_alloc *a, size_t cap);
void proto_alloc_fini(proto_alloc *a);
void proto_alloc_reset(proto_alloc *a);

/* Resets, then unpacks `body` as a message of type `d` if its size is at most `max`; NULL:
 * malformed, too large, or more than the block holds.  Borrowed until the next unpack or reset. */
void *proto_unpack(proto_alloc *a, const ProtobufCMessageDescriptor *d, const blob *body,
                   size_t max);

/* The packed bytes of `m`.  Owned. */
blob *proto_pack(const ProtobufCMessage *m);
