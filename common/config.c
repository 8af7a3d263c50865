#include "common/config.h"

#include "common/config_check.h"
#include "common/config_events.h"
#include "common/config_source.h"
#include "common/files.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"

#include <stdlib.h>
#include <string.h>

enum { CONFIG_BYTES_MAX = 1 << 20, MAPPING_MAX = 4096, NAME_MAX_BYTES = 160 };

static void set_place(config_reader *r, const config_key *key, const yaml_node_t *node, bool failed)
{
    r->places[key - config_keys] = (config_place){.set = r->set,
                                                  .line = node->start_mark.line + 1,
                                                  .column = node->start_mark.column + 1,
                                                  .failed = failed};
}

static void unknown_key(config_reader *r, const yaml_node_t *node, const char *name)
{
    char *suggestion = config_key_suggest(name);
    if (suggestion) {
        config_value_error(r, node, "%s: unknown key; did you mean `%s`?", name, suggestion);
    } else {
        config_value_error(r, node, "%s: unknown key", name);
    }
    free(suggestion);
}

static void apply_mapping(config_reader *r, const char *prefix, const yaml_node_t *node);

/* The value of the key or section `name`; `at` is where the name stands. */
static void apply(config_reader *r, const char *name, const yaml_node_t *at,
                  const yaml_node_t *value)
{
    const config_key *key = config_key_find(name);
    size_t errors = r->errors;
    if (key) {
        config_value_read(r, key, value);
        set_place(r, key, value, r->errors != errors);
    } else if (!config_key_is_section(name)) {
        unknown_key(r, at, name);
    } else if (value->type == YAML_MAPPING_NODE) {
        apply_mapping(r, name, value);
    } else {
        config_value_error(r, value, "%s: expects a mapping of keys to values", name);
    }
}

/* The same key before `pair`; NULL: there is none. */
static const yaml_node_t *find_before(const config_reader *r, const yaml_node_t *node,
                                      const yaml_node_pair_t *pair, const yaml_node_t *key)
{
    for (const yaml_node_pair_t *p = node->data.mapping.pairs.start; p < pair; p++) {
        const yaml_node_t *other = yaml_document_get_node(r->document, p->key);
        if (other->type == YAML_SCALAR_NODE &&
            other->data.scalar.length == key->data.scalar.length &&
            memcmp(other->data.scalar.value, key->data.scalar.value, key->data.scalar.length) ==
                0) {
            return other;
        }
    }
    return NULL;
}

/* `prefix` "": the whole configuration. */
static void apply_mapping(config_reader *r, const char *prefix, const yaml_node_t *node)
{
    const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
    if (node->data.mapping.pairs.top - pair > MAPPING_MAX) {
        config_value_error(r, node, "more than %d keys", MAPPING_MAX);
        return;
    }
    for (; pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(r->document, pair->key);
        const yaml_node_t *value = yaml_document_get_node(r->document, pair->value);
        if (key->type != YAML_SCALAR_NODE) {
            config_value_error(r, key, "a key must be a name");
            continue;
        }
        const char *text = (const char *)key->data.scalar.value;
        const yaml_node_t *before = find_before(r, node, pair, key);
        char name[NAME_MAX_BYTES];
        snprintf(name, sizeof name, "%s%s%.*s", prefix, *prefix ? "." : "", NAME_MAX_BYTES / 2,
                 text);
        if (strlen(text) != key->data.scalar.length || strlen(text) > NAME_MAX_BYTES / 2 ||
            strchr(text, '.')) {
            config_value_error(r, key, "%s: unknown key", name);
        } else if (before) {
            config_value_error(r, key, "%s: stands there twice; the first is in line %zu", name,
                               before->start_mark.line + 1);
        } else {
            apply(r, name, key, value);
        }
    }
}

/* Applies the document in `text` to the key or section `name`, "" for the whole configuration. */
static void apply_text(config_reader *r, const char *name, const char *text)
{
    if (!config_events_check(r, name, text)) return;
    yaml_parser_t parser;
    yaml_document_t document;
    ASSERT(yaml_parser_initialize(&parser));
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, strlen(text));
    if (!yaml_parser_load(&parser, &document)) {
        config_events_error(r, &parser);
        yaml_parser_delete(&parser);
        return;
    }
    r->document = &document;
    const yaml_node_t *root = yaml_document_get_root_node(&document);
    if (root && *name) {
        apply(r, name, root, root);
    } else if (root && root->type == YAML_MAPPING_NODE) {
        apply_mapping(r, "", root);
    } else if (root) {
        config_value_error(r, root, "expects a mapping of keys to values");
    } /* no root: an empty file, all defaults */
    r->document = NULL;
    yaml_document_delete(&document);
    yaml_parser_delete(&parser);
}

static void apply_set(config_reader *r, const char *set)
{
    const char *equals = strchr(set, '=');
    r->set = set;
    if (!equals || equals == set || equals - set >= NAME_MAX_BYTES) {
        config_value_error(r, NULL, "expects key=value");
    } else {
        char name[NAME_MAX_BYTES];
        snprintf(name, sizeof name, "%.*s", (int)(equals - set), set);
        /* Nothing after = is the empty text, as a shell user means it. */
        bool empty = equals[1 + strspn(equals + 1, " \t")] == 0;
        if (config_key_find(name) || config_key_is_section(name)) {
            apply_text(r, name, empty ? "\"\"" : equals + 1);
        } else {
            unknown_key(r, NULL, name);
        }
    }
    r->set = NULL;
}

static void apply_defaults(config_reader *r)
{
    for (size_t i = 0; i < config_keys_n; i++) {
        apply_text(r, config_keys[i].name, config_keys[i].fallback);
    }
    ASSERT(r->errors == 0);
    memset(r->places, 0, sizeof r->places);
}

/* Takes nothing; base_dir is borrowed. */
static err_code load(const char *name, const char *base_dir, const char *text,
                     const char *const *sets, size_t sets_n, config **out)
{
    config_reader *r = xcalloc(1, sizeof *r);
    config *c = xcalloc(1, sizeof *c);
    r->c = c;
    r->name = name;
    r->base_dir = base_dir;
    apply_defaults(r);
    if (text) apply_text(r, "", text);
    for (size_t i = 0; i < sets_n; i++) apply_set(r, sets[i]);
    config_check(r);
    c->file = files_absolute(name);
    c->sources = config_source_list(r);
    err_code rc = r->errors ? ERR_INVALID : ERR_OK;
    free(r);
    if (rc != ERR_OK) {
        config_free(c);
        c = NULL;
    }
    *out = c;
    return rc;
}

err_code config_parse(const char *name, const char *text, const char *const *sets, size_t sets_n,
                      config **out)
{
    char *absolute = files_absolute(name), *base = files_parent(absolute);
    err_code rc = load(name, base, text, sets, sets_n, out);
    free(absolute);
    free(base);
    return rc;
}

err_code config_load(const char *path, const char *const *sets, size_t sets_n, config **out)
{
    *out = NULL;
    if (!path) return config_parse("config", NULL, sets, sets_n, out);
    char *text;
    size_t bytes;
    err_code rc = files_read(path, CONFIG_BYTES_MAX, &text, &bytes);
    if (rc != ERR_OK) return rc == ERR_LIMIT ? ERR_INVALID : rc;
    if (strlen(text) != bytes) {
        log_user_error("%s: a NUL byte; not a text file", path);
        rc = ERR_INVALID;
    } else {
        rc = config_parse(path, text, sets, sets_n, out);
    }
    free(text);
    return rc;
}

static void use_path(char **field, char *owned)
{
    free(*field);
    *field = owned;
}

/* The first of DIR/name.tsv, .tsv.gz, .csv and .csv.gz that is there, or NULL.  Owned. */
static char *find_table(const char *dir, const char *name)
{
    static const char *const endings[] = {"tsv", "tsv.gz", "csv", "csv.gz"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        char *path = xprintf("%s/%s.%s", dir, name, endings[i]);
        if (files_exist(path)) return path;
        free(path);
    }
    return NULL;
}

void config_use_data_dir(config *c, const char *dir)
{
    char *absolute = files_absolute(dir), *items = find_table(absolute, "items");
    char *interactions = find_table(absolute, "interactions");
    char *users = find_table(absolute, "users");
    use_path(&c->data.items.path, items ? items : files_join(absolute, "items.tsv"));
    use_path(&c->data.interactions.path,
             interactions ? interactions : files_join(absolute, "interactions.tsv"));
    use_path(&c->data.users.path, users ? users : xstrdup(""));
    c->data.from_data_dir = true;
    config_source_set(c, "data.items.path", "--data");
    config_source_set(c, "data.interactions.path", "--data");
    config_source_set(c, "data.users.path", "--data");
    free(absolute);
}

void config_free(config *c)
{
    if (!c) return;
    for (size_t i = 0; i < config_keys_n; i++) config_value_clear(&config_keys[i], c);
    config_source_free(c);
    free(c->file);
    free(c);
}
