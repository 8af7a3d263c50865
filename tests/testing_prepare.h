/* testing_prepare.h - small data sets on disk and their prepared stores, for tests. */
#pragma once

#include "common/config.h"

#include <stdint.h>

/* Writes items.tsv (movies, books and one `rare` type with two items), interactions.tsv (kinds
 * listen and preview, times) and users.tsv (attribute `country`) of about this size into the
 * current folder, from `seed`. */
void testing_prepare_write(uint32_t users, uint32_t items, uint32_t events, uint64_t seed);

/* A configuration for them: encoder hash, ngram_dim 16, 4 partitions, work_dir `work`; `extra` is
 * more YAML at the top level, or "".  Owned: config_free. */
config *testing_prepare_config(const char *extra);

/* Runs prepare; the store's folder, owned: free. */
char *testing_prepare_run(const config *c);
