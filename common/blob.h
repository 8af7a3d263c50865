/* blob.h - immutable bytes with an atomic reference count: a received message, a weight buffer of one
 * version, a page of the store.  One reference serves zero-copy sends, delays and snapshots.
 * Threads: any; the bytes never change after the blob is shared. */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct blob blob;
typedef void blob_release(void *owner);

/* A blob of `bytes` writable bytes, 64-byte aligned, count 1.  Fill it before sharing it. NULL: no
 * memory.  Owned: blob_unref. */
blob *blob_new(size_t bytes);
blob *blob_copy(const void *data, size_t bytes);
/* Wraps bytes owned by `owner`; release(owner) runs when the last reference goes (on that thread). */
blob *blob_wrap(const void *data, size_t bytes, blob_release *release, void *owner);

blob *blob_ref(blob *b);   /* b, count + 1; NULL stays NULL */
void blob_unref(blob *b);  /* accepts NULL */
/* b with count + 1 if its bytes start at a multiple of 8, else an aligned copy (a received message may
 * start anywhere).  NULL: b is NULL, or no memory. */
blob *blob_aligned(blob *b);

const uint8_t *blob_data(const blob *b); /* NULL blob: NULL */
size_t blob_size(const blob *b);         /* NULL blob: 0 */
uint8_t *blob_writable(blob *b);         /* only before it is shared (count 1) */
