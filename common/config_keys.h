/* config_keys.h - the table of configuration keys: name, type, place in the struct, bounds,
 * default, plan or deployment mark, what comes later, help.  Everything the configuration does is
 * read off it. Constant: any thread. */
#pragma once

#include "common/address.h"
#include "common/config.h"

typedef enum key_type {
    KEY_TEXT,      /* char * */
    KEY_PATH,      /* char *, made absolute; "" stays empty */
    KEY_BOOL,      /* bool: true | false */
    KEY_CHOICE,    /* bool: names[0] is false, names[1] true */
    KEY_ENUM,      /* an enum that counts from 0 in the order of names */
    KEY_U32,       /* uint32_t */
    KEY_U64,       /* uint64_t */
    KEY_F32,       /* float */
    KEY_F64,       /* double */
    KEY_DURATION,  /* uint32_t, milliseconds: 0 | 500ms | 30s | 10m | 2h */
    KEY_SIZE,      /* uint64_t, bytes: 0 | 512B | 64KiB | 64MiB | 1GiB | 1TiB */
    KEY_DIMS,      /* uint32_t[CONFIG_LAYERS_MAX] and a size_t count at at_n */
    KEY_NAMES,     /* string_list of distinct names */
    KEY_TYPES,     /* the same, or `all`, which is the empty list */
    KEY_MASK,      /* uint32_t, bit i: names[i] is in the list */
    KEY_COLUMN,    /* config_column */
    KEY_KINDS,     /* config_kind * and a size_t count at at_n, sorted by name */
    KEY_RELATIONS, /* graph.relations */
} key_type;

enum { KEY_ABOVE_MIN = 1, KEY_BELOW_MAX = 2 }; /* the bound itself is not allowed */

typedef struct config_key {
    const char *name; /* dotted */
    key_type type;
    char mark;         /* 'P' plan, 'D' deployment */
    bool required;     /* must not be empty where data are read: config_check_inputs */
    uint8_t bounds;    /* KEY_ABOVE_MIN | KEY_BELOW_MAX */
    address_form form; /* KEY_TEXT: what it holds, unless it is empty */
    size_t at, at_n;
    double min, max;
    const char *fallback;     /* the default, as YAML */
    const char *const *names; /* NULL-terminated */
    /* KEY_ENUM and KEY_CHOICE: bit i: names[i] is refused as not supported yet.  Others: not 0:
     * every value but the default is. */
    uint32_t later;
    const char *help;
} config_key;

enum { CONFIG_KEYS_MAX = 256 };

extern const config_key config_keys[];
extern const size_t config_keys_n;

/* The field of `key` in `c`. */
void *config_key_field(const config_key *key, config *c);
const void *config_key_value(const config_key *key, const config *c);
/* NULL: there is none of that name. */
const config_key *config_key_find(const char *name);
/* `name` is the beginning of keys: "hgnn", "hgnn.optimizer". */
bool config_key_is_section(const char *name);
/* The number of bytes of whole sections that both dotted names share: "a.b." of a.b.c and a.b.d. */
size_t config_key_shared(const char *a, const char *b);
/* Dots in the first `bytes` bytes of `name`. */
size_t config_key_dots(const char *name, size_t bytes);
/* What is most like the unknown `name` among the keys and sections beside it, or the one key
 * elsewhere with the same last part; owned (free).  NULL: nothing is. */
char *config_key_suggest(const char *name);
/* The index of `text` in `names`, or -1. */
int config_key_name_index(const char *const *names, const char *text);
/* seed, data, features, graph, split: what `prepare` reads. */
bool config_key_is_prepare(const config_key *key);
/* The name matches [A-Za-z0-9_-]{1,64}. */
bool config_key_is_name(const char *text);
