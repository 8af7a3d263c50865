#include "common/proto_alloc.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

static void *arena_alloc(void *data, size_t size)
{
    proto_alloc *a = data;
    size_t bytes = (size + 15) & ~(size_t)15;
    if (bytes < size || bytes > a->cap - a->len) return NULL;
    void *p = a->block + a->len;
    a->len += bytes;
    return p;
}

static void arena_free(void *data, void *p)
{
    (void)data;
    (void)p;
}

void proto_alloc_init(proto_alloc *a, size_t cap)
{
    a->base = (ProtobufCAllocator){arena_alloc, arena_free, a};
    a->len = 0;
    a->cap = cap;
    a->block = xmalloc(cap);
}

void proto_alloc_fini(proto_alloc *a)
{
    free(a->block);
    memset(a, 0, sizeof *a);
}

void proto_alloc_reset(proto_alloc *a)
{
    a->len = 0;
}

void *proto_unpack(proto_alloc *a, const ProtobufCMessageDescriptor *d, const blob *body,
                   size_t max)
{
    proto_alloc_reset(a);
    if (blob_size(body) > max) return NULL;
    static const uint8_t nothing;
    const uint8_t *data = blob_size(body) ? blob_data(body) : &nothing;
    return protobuf_c_message_unpack(d, &a->base, blob_size(body), data);
}

blob *proto_pack(const ProtobufCMessage *m)
{
    size_t bytes = protobuf_c_message_get_packed_size(m);
    blob *b = blob_new(bytes ? bytes : 1);
    if (!b) return NULL;
    protobuf_c_message_pack(m, blob_writable(b));
    if (bytes) return b;
    blob_unref(b); /* an all-default message packs to nothing */
    return NULL;
}
