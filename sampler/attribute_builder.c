#include "sampler/attribute_builder.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

void attribute_builder_init(attribute_builder *b, const char *key)
{
    *b = (attribute_builder){.key = xstrdup(key), .seen = string_pool_new()};
    (void)string_pool_intern(b->seen, "", 0, NULL);
}

void attribute_builder_fini(attribute_builder *b)
{
    free(b->key);
    free(b->index);
    string_pool_free(b->seen);
    *b = (attribute_builder){0};
}

static void extend(attribute_builder *b, size_t rows)
{
    if (rows <= b->n) return;
    grow(&b->index, &b->cap, rows, sizeof *b->index);
    memset(b->index + b->n, 0, (rows - b->n) * sizeof *b->index);
    b->n = rows;
}

void attribute_builder_set(attribute_builder *b, uint32_t row, const char *value, size_t len)
{
    extend(b, (size_t)row + 1);
    b->index[row] = string_pool_intern(b->seen, value, len, NULL);
}

uint32_t attribute_builder_values(const attribute_builder *b)
{
    return string_pool_count(b->seen) - 1;
}

static int compare_values(const void *a, const void *b, void *pool)
{
    const string_pool *p = pool;
    return strcmp(string_pool_get(p, *(const uint32_t *)a),
                  string_pool_get(p, *(const uint32_t *)b));
}

void attribute_builder_finish(attribute_builder *b, uint32_t rows, catalog_attribute *out)
{
    uint32_t n = string_pool_count(b->seen);
    uint32_t *order = xcalloc(n, sizeof *order), *place = xcalloc(n, sizeof *place);
    for (uint32_t i = 0; i < n; i++) order[i] = i;
    qsort_r(order, n, sizeof *order, compare_values, b->seen); /* "" stays first */
    string_pool *sorted = string_pool_new();
    for (uint32_t i = 0; i < n; i++) {
        place[order[i]] = string_pool_intern(sorted, string_pool_get(b->seen, order[i]),
                                             string_pool_length(b->seen, order[i]), NULL);
    }
    extend(b, rows);
    for (size_t i = 0; i < b->n; i++) b->index[i] = place[b->index[i]];
    *out = (catalog_attribute){.key = b->key, .values = sorted, .index = b->index};
    b->key = NULL;
    b->index = NULL;
    free(order);
    free(place);
    attribute_builder_fini(b);
}
