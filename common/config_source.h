/* config_source.h - where the value of each key comes from: the default, a line of the file, a
 * --set, --data.  Part of common/config.c; `weft config --print` shows it.
 *
 * Threads: immutable after load, as the configuration. */
#pragma once

#include "common/config_value.h"

struct config_source {
    char *text; /* NULL: the default */
};

/* What the reader knows of every key, owned by the configuration. */
struct config_source *config_source_list(const config_reader *r);
void config_source_set(config *c, const char *key, const char *text);
void config_source_free(config *c);
/* "default", "job.yaml:3:5" (the file's name without its folder), "--set", "--data"; borrowed until
 * the configuration goes. */
const char *config_source(const config *c, const config_key *key);
