#include "sampler/store_format.h"

#include "common/hash.h"
#include "common/panic.h"

/* Appends an array of n entries. */
static void add(store_layout *l, unsigned i, uint64_t n, uint64_t size)
{
    l->at[i] = l->end;
    l->end = (l->end + n * size + 7) & ~UINT64_C(7);
}

store_layout store_layout_of(const store_header *h)
{
    store_layout l = {0};

    switch (h->kind) {
    case STORE_ADJACENCY:
        add(&l, 0, (uint64_t)h->rows + 1, 8); /* pair weights before each row */
        add(&l, 1, (uint64_t)h->rows + 1, 4); /* edges before each row */
        add(&l, 2, h->entries, 4);            /* sources */
        add(&l, 3, h->entries, 4);            /* pair weights */
        add(&l, 4, h->entries, 2);            /* aggregation weights */
        break;
    case STORE_ITEM:
        add(&l, 0, h->rows, 8);                      /* stable keys */
        add(&l, 1, h->rows, 4);                      /* train users */
        add(&l, 2, h->rows, 4);                      /* train positives */
        add(&l, 3, (uint64_t)h->rows * h->width, 4); /* attributes */
        break;
    case STORE_TEXT:
        add(&l, 0, h->extra == 1 ? h->rows : 0, 4); /* scales, int8 only */
        add(&l, 1, (uint64_t)h->rows * h->width, h->extra == 1 ? 1 : 2);
        break;
    case STORE_USER:
        add(&l, 0, h->rows, 8);                      /* keys */
        add(&l, 1, (uint64_t)h->rows * h->width, 4); /* attributes */
        add(&l, 2, h->rows * h->extra, 4);           /* dense vectors */
        break;
    case STORE_EVENTS:
        add(&l, 0, (uint64_t)h->rows + 1, 4); /* events before each row */
        add(&l, 1, h->entries, 8);            /* times */
        add(&l, 2, h->entries, 4);            /* nodes */
        add(&l, 3, h->entries, 1);            /* roles */
        add(&l, 4, h->entries, 1);            /* parts */
        break;
    default: UNREACHABLE();
    }
    return l;
}

uint64_t store_hash(const store_header *h, const void *payload)
{
    return hash64(payload, h->payload_bytes, hash64(h, offsetof(store_header, hash), 0));
}
