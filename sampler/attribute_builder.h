/* attribute_builder.h - collects the values of one categorical attribute while a file is read.
 * Threads: one owner. */
#pragma once

#include "sampler/catalog.h"

typedef struct attribute_builder {
    char *key;         /* owned */
    string_pool *seen; /* values in order of appearance; 0 is "" */
    uint32_t *index;   /* [n] into seen */
    size_t n, cap;
} attribute_builder;

void attribute_builder_init(attribute_builder *b, const char *key);
void attribute_builder_fini(attribute_builder *b);
/* The value of row `row`; rows never set, and "", are unknown. */
void attribute_builder_set(attribute_builder *b, uint32_t row, const char *value, size_t len);
uint32_t attribute_builder_values(const attribute_builder *b); /* without unknown */
/* Moves everything into *out for `rows` rows, values sorted by bytes; b is empty afterwards. */
void attribute_builder_finish(attribute_builder *b, uint32_t rows, catalog_attribute *out);
