#include "common/blob.h"

#include "common/mem.h"
#include "common/panic.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct blob {
    _Atomic uint32_t count;
    const uint8_t *data;
    size_t bytes;
    blob_release *release;
    void *owner;
};

blob *blob_wrap(const void *data, size_t bytes, blob_release *release, void *owner)
{
    blob *b = xmalloc(sizeof *b);
    atomic_init(&b->count, 1);
    b->data = data;
    b->bytes = bytes;
    b->release = release;
    b->owner = owner;
    return b;
}

blob *blob_new(size_t bytes)
{
    void *data = try_aligned(bytes, 1);
    return data ? blob_wrap(data, bytes, free, data) : NULL;
}

blob *blob_copy(const void *data, size_t bytes)
{
    blob *b = blob_new(bytes);
    if (b && bytes) memcpy(blob_writable(b), data, bytes);
    return b;
}

blob *blob_ref(blob *b)
{
    if (b) atomic_fetch_add_explicit(&b->count, 1, memory_order_relaxed);
    return b;
}

void blob_unref(blob *b)
{
    if (!b) return;
    /* Release: our reads of the bytes happen before the free; acquire: the freeing thread sees
     * them. */
    if (atomic_fetch_sub_explicit(&b->count, 1, memory_order_acq_rel) != 1) return;
    if (b->release) b->release(b->owner);
    free(b);
}

const uint8_t *blob_data(const blob *b)
{
    return b ? b->data : NULL;
}

size_t blob_size(const blob *b)
{
    return b ? b->bytes : 0;
}

uint8_t *blob_writable(blob *b)
{
    ASSERT(b->release == free && atomic_load(&b->count) == 1);
    return b->owner;
}

blob *blob_aligned(blob *b)
{
    if ((uintptr_t)blob_data(b) % 8 == 0) return blob_ref(b);
    return blob_copy(blob_data(b), blob_size(b));
}
