#include "sampler/store_check.h"

#include "common/panic.h"

enum { PARTS = 3 };

static const uint32_t *u32s(const uint8_t *array)
{
    return (const uint32_t *)(const void *)array;
}

/* Offsets [rows + 1] from 0 to `entries`. */
static bool offsets_fit(const uint32_t *offset, uint32_t rows, uint64_t entries)
{
    if (offset[0] != 0 || offset[rows] != entries) return false;
    for (uint32_t i = 0; i < rows; i++) {
        if (offset[i] > offset[i + 1]) return false;
    }
    return true;
}

static const char *check_adjacency(const manifest *m, const store_header *h,
                                   const uint8_t *const array[5], uint64_t weight_end)
{
    const uint64_t *before = (const uint64_t *)(const void *)array[0];
    const uint32_t *offset = u32s(array[1]), *source = u32s(array[2]), *pair = u32s(array[3]);
    const uint16_t *aggregation = (const uint16_t *)(const void *)array[4];
    uint32_t type = m->relation[h->sub].source;
    uint32_t begin = manifest_type_begin(m, type), end = manifest_type_begin(m, type + 1);
    uint64_t weight = h->extra;

    if (!offsets_fit(offset, h->rows, h->entries)) return "offsets of edges";
    for (uint32_t i = 0; i < h->rows; i++) {
        if (before[i] != weight) return "sums of pair weights";
        for (uint32_t e = offset[i]; e < offset[i + 1]; e++) {
            if (source[e] < begin || source[e] >= end) return "a source of another type";
            if (e > offset[i] && source[e] <= source[e - 1]) return "sources out of order";
            if (pair[e] == 0 || aggregation[e] == 0) return "a weight of 0";
            weight += pair[e];
        }
    }
    return before[h->rows] == weight && weight == weight_end ? NULL : "sums of pair weights";
}

static bool attributes_fit(const manifest_attribute *a, uint32_t n, const uint32_t *value,
                           uint32_t rows)
{
    for (uint32_t i = 0; i < rows; i++) {
        for (uint32_t k = 0; k < n; k++) {
            if (value[(size_t)i * n + k] > a[k].values.n) return false;
        }
    }
    return true;
}

static const char *check_events(const manifest *m, const store_header *h,
                                const uint8_t *const array[5])
{
    const uint32_t *node = u32s(array[2]);

    if (!offsets_fit(u32s(array[0]), h->rows, h->entries)) return "offsets of events";
    for (uint64_t e = 0; e < h->entries; e++) {
        if (node[e] >= m->items) return "an event with an unknown item";
        if (array[3][e] & ~ROLE_ALL) return "an unknown role";
        if (array[4][e] >= PARTS) return "an unknown part of the split";
    }
    return NULL;
}

const char *store_check_block(const manifest *m, const store_header *h,
                              const uint8_t *const array[5], uint64_t weight_end)
{
    switch (h->kind) {
    case STORE_ADJACENCY: return check_adjacency(m, h, array, weight_end);
    case STORE_ITEM:
        return attributes_fit(m->item_attribute, m->item_attributes, u32s(array[3]), h->rows)
                   ? NULL
                   : "an unknown value of an attribute";
    case STORE_TEXT: return NULL; /* numbers only */
    case STORE_USER:
        return attributes_fit(m->user_attribute, m->user_attributes, u32s(array[1]), h->rows)
                   ? NULL
                   : "an unknown value of an attribute";
    case STORE_EVENTS: return check_events(m, h, array);
    default: UNREACHABLE();
    }
}
