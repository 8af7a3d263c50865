/* config_value.h - one YAML node into one field of the configuration, and the field back into JSON.
 *
 * Part of common/config.c; others use common/config.h.  Threads: one owner. */
#pragma once

#include "common/config_keys.h"
#include "common/json.h"

#include <yaml.h>

/* Where a key was set: the last place that did. */
typedef struct config_place {
    const char *set;     /* the "key=value" of a --set, borrowed during the load; NULL: the file */
    size_t line, column; /* from 1; 0: not set, the default holds */
    bool failed;         /* what stands there was refused */
} config_place;

typedef struct config_reader {
    config *c;
    const char *name;     /* of the file, for messages */
    const char *base_dir; /* absolute; relative paths start there */
    const char *set;      /* the "key=value" that is being read, or NULL */
    yaml_document_t *document;
    size_t errors;
    config_place places[CONFIG_KEYS_MAX];
} config_reader;

/* Prints "file:line:col: message" or "--set key: message" and counts it; `message` begins with the
 * key.  node NULL: no position. */
void config_value_error(config_reader *r, const yaml_node_t *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Reads `node` into the field of `key`.  After an error (printed) it holds
 * something valid that is not what was asked for. */
void config_value_read(config_reader *r, const config_key *key, const yaml_node_t *node);
/* Frees what the field holds and zeroes it. */
void config_value_clear(const config_key *key, config *c);

typedef enum config_value_form {
    CONFIG_VALUE_YAML,      /* enum names without quotes where that is safe */
    CONFIG_VALUE_JSON,      /* the same as JSON */
    CONFIG_VALUE_CANONICAL, /* doubles %.17g, durations and sizes as integers */
} config_value_form;

void config_value_write(json_writer *w, const config_key *key, const config *c,
                        config_value_form form);
