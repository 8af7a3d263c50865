#include "common/config.h"

#include "common/config_value.h"
#include "common/files.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_BYTES_MAX = 1 << 20, MAPPING_MAX = 4096, NAME_MAX_BYTES = 160, DEPTH_MAX = 16 };

static void parser_error(config_reader *r, const yaml_parser_t *p)
{
    yaml_node_t at = {.start_mark = p->problem_mark};
    if (p->error == YAML_READER_ERROR) { /* not text: there is an offset and no mark */
        config_value_error(r, NULL, "%s at byte %zu", p->problem, p->problem_offset);
    } else {
        const char *problem = p->problem ? p->problem : "not YAML";
        config_value_error(r, &at, "%s%s%s", problem, p->context ? ", " : "",
                           p->context ? p->context : "");
    }
}

/* Reports what the document tree does not show any more: aliases and tags. */
static void check_event(config_reader *r, const yaml_event_t *e)
{
    yaml_node_t at = {.start_mark = e->start_mark};
    const yaml_char_t *tag = e->type == YAML_SCALAR_EVENT           ? e->data.scalar.tag
                             : e->type == YAML_SEQUENCE_START_EVENT ? e->data.sequence_start.tag
                             : e->type == YAML_MAPPING_START_EVENT  ? e->data.mapping_start.tag
                                                                    : NULL;
    if (e->type == YAML_ALIAS_EVENT) {
        config_value_error(r, &at, "aliases are not supported: write the value out");
    }
    if (tag) config_value_error(r, &at, "tags (%s) are not supported", (const char *)tag);
}

static int depth_change(const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT: return 1;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: return -1;
    default: return 0;
    }
}

/* One pass over the events before anything is built: syntax, aliases, tags, a second document. */
static void check_events(config_reader *r, const char *text)
{
    yaml_parser_t parser;
    ASSERT(yaml_parser_initialize(&parser));
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, strlen(text));
    bool end = false;
    int depth = 0;
    for (size_t documents = 0; !end;) {
        yaml_event_t e;
        if (!yaml_parser_parse(&parser, &e)) {
            parser_error(r, &parser);
            break;
        }
        if (e.type == YAML_DOCUMENT_START_EVENT && ++documents == 2) {
            yaml_node_t at = {.start_mark = e.start_mark};
            config_value_error(r, &at, "a second document; one is expected");
        }
        check_event(r, &e);
        depth += depth_change(&e);
        if (depth > DEPTH_MAX) { /* libyaml's time grows with the square of it */
            yaml_node_t at = {.start_mark = e.start_mark};
            config_value_error(r, &at, "nested deeper than %d", DEPTH_MAX);
        }
        end = e.type == YAML_STREAM_END_EVENT || depth > DEPTH_MAX;
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&parser);
}

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
        config_value_error(r, node, "unknown key `%s`; did you mean `%s`?", name, suggestion);
    } else {
        config_value_error(r, node, "unknown key `%s`", name);
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

static bool stands_before(const config_reader *r, const yaml_node_t *node,
                          const yaml_node_pair_t *pair, const yaml_node_t *key)
{
    for (const yaml_node_pair_t *p = node->data.mapping.pairs.start; p < pair; p++) {
        const yaml_node_t *other = yaml_document_get_node(r->document, p->key);
        if (other->type == YAML_SCALAR_NODE &&
            other->data.scalar.length == key->data.scalar.length &&
            memcmp(other->data.scalar.value, key->data.scalar.value, key->data.scalar.length) ==
                0) {
            return true;
        }
    }
    return false;
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
        if (strlen(text) != key->data.scalar.length || strlen(text) > NAME_MAX_BYTES / 2 ||
            strchr(text, '.')) {
            config_value_error(r, key, "unknown key `%.*s`", NAME_MAX_BYTES / 2, text);
        } else if (stands_before(r, node, pair, key)) {
            config_value_error(r, key, "the key `%s` stands there twice", text);
        } else {
            char name[NAME_MAX_BYTES];
            snprintf(name, sizeof name, "%s%s%s", prefix, *prefix ? "." : "", text);
            apply(r, name, key, value);
        }
    }
}

/* Applies the document in `text` to the key or section `name`, "" for the whole configuration. */
static void apply_text(config_reader *r, const char *name, const char *text)
{
    size_t errors = r->errors;
    check_events(r, text);
    if (r->errors != errors) return;
    yaml_parser_t parser;
    yaml_document_t document;
    ASSERT(yaml_parser_initialize(&parser));
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, strlen(text));
    if (!yaml_parser_load(&parser, &document)) {
        parser_error(r, &parser);
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

static const config_place *place_of(const config_reader *r, const char *name)
{
    const config_key *key = config_key_find(name);
    ASSERT(key);
    return &r->places[key - config_keys];
}

/* An error between two keys, shown where `name` was set, or else where `other` was.  Silent when
 * one of them has an error of its own. */
static void cross_error(config_reader *r, const char *name, const char *other, const char *format,
                        ...) __attribute__((format(printf, 4, 5)));

static void cross_error(config_reader *r, const char *name, const char *other, const char *format,
                        ...)
{
    const config_place *place = place_of(r, name), *second = place_of(r, other);
    if (place->failed || second->failed) return;
    if (place->line == 0) place = second;
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    yaml_node_t at = {.start_mark = {.line = place->line - 1, .column = place->column - 1}};
    r->set = place->set;
    config_value_error(r, place->line ? &at : NULL, "%s: %s", name, text);
    r->set = NULL;
}

static bool in_types(const config *c, const char *type)
{
    for (size_t i = 0; i < c->data.types.n; i++) {
        if (strcmp(c->data.types.items[i], type) == 0) return true;
    }
    return c->data.types.n == 0;
}

static void check_subset(config_reader *r, const char *name, const string_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        if (!in_types(r->c, list->items[i])) {
            cross_error(r, name, "data.types", "`%s` is not in data.types", list->items[i]);
        }
    }
}

static void check_required_column(config_reader *r, const char *name, const config_column *column)
{
    if (column->names.n == 0 && !column->constant) cross_error(r, name, name, "must be mapped");
}

static void check_data(config_reader *r)
{
    const config *c = r->c;
    check_required_column(r, "data.items.columns.item_id", &c->data.items.item_id);
    check_required_column(r, "data.items.columns.item_type", &c->data.items.item_type);
    check_required_column(r, "data.interactions.columns.user_id", &c->data.interactions.user_id);
    check_required_column(r, "data.interactions.columns.item_id", &c->data.interactions.item_id);
    check_required_column(r, "data.users.columns.user_id", &c->data.users.user_id);
    const char *type = c->data.items.item_type.constant, *kind = c->data.interactions.kind.constant;
    if (type && !config_key_is_name(type)) {
        cross_error(r, "data.items.columns.item_type", "data.items.columns.item_type",
                    "the constant `%s` is not a name: 1 to 64 of A-Z a-z 0-9 _ -", type);
    }
    if (kind && !config_key_is_name(kind)) {
        cross_error(r, "data.interactions.columns.kind", "data.interactions.columns.kind",
                    "the constant `%s` is not a name: 1 to 64 of A-Z a-z 0-9 _ -", kind);
    }
    if (c->data.types.n > CONFIG_TYPES_MAX) {
        cross_error(r, "data.types", "data.types", "more than %d types", CONFIG_TYPES_MAX);
    }
    uint32_t roles = c->data.kinds_n ? 0 : ROLE_ALL;
    for (size_t i = 0; i < c->data.kinds_n; i++) roles |= c->data.kinds[i].roles;
    if (!(roles & ROLE_POSITIVE)) cross_error(r, "data.kinds", "data.kinds", "no kind is positive");
    if (!(roles & ROLE_GRAPH))
        cross_error(r, "data.kinds", "data.kinds", "no kind is in the graph");
    check_subset(r, "history.types", &c->history.types);
    check_subset(r, "two_tower.targets", &c->two_tower.targets);
    for (size_t i = 0; i < c->graph.relations_n; i++) {
        string_list pair = {
            .items = (char *[]){c->graph.relations[i].source, c->graph.relations[i].destination},
            .n = 2};
        check_subset(r, "graph.relations", &pair);
    }
}

static void check_split(config_reader *r)
{
    const config *c = r->c;
    split_method m = c->split.method;
    order_kind order = c->data.order;
    if (m == SPLIT_TIME && (order == ORDER_FILE || order == ORDER_NONE)) {
        cross_error(r, "split.method", "data.order", "time needs data.order: time");
    }
    if (m == SPLIT_LAST && order == ORDER_NONE) {
        cross_error(r, "split.method", "data.order", "last needs an order, data.order is none");
    }
    if (c->split.holdout_days > 0 && m != SPLIT_AUTO && m != SPLIT_TIME) {
        cross_error(r, "split.holdout_days", "split.method", "only with split.method: time");
    }
    if (c->split.file && *c->split.file && m != SPLIT_FILE) {
        cross_error(r, "split.file", "split.method", "only with split.method: file");
    }
}

static void check_optimizer(config_reader *r, const char *section, uint32_t epochs,
                            uint32_t max_steps)
{
    char name[64], other[64];
    snprintf(name, sizeof name, "%s.max_steps", section);
    snprintf(other, sizeof other, "%s.epochs", section);
    if (epochs == 0 && max_steps == 0) {
        cross_error(r, name, other, "and epochs are both 0: the training would have no end");
    }
}

static void check_models(config_reader *r)
{
    const config *c = r->c;
    bool text = c->features.encoder != ENCODER_NONE;
    if (c->hgnn.fanout_n != c->hgnn.layers) {
        cross_error(r, "hgnn.fanout", "hgnn.dims",
                    "has %zu values and hgnn.dims %zu: one per layer", c->hgnn.fanout_n,
                    c->hgnn.layers);
    }
    if (c->features.encoder == ENCODER_HASH && c->features.ngram_dim == 0) {
        cross_error(r, "features.ngram_dim", "features.encoder", "encoder hash needs more than 0");
    }
    if (!text && c->hgnn.random_features == 0 && c->hgnn.id_embedding == 0) {
        cross_error(r, "hgnn.random_features", "features.encoder",
                    "without text (encoder none) the HGNN needs random_features or id_embedding");
    }
    if (!text && !c->two_tower.use_z) {
        cross_error(r, "two_tower.use_z", "features.encoder",
                    "false needs text vectors (encoder none)");
    }
    check_optimizer(r, "hgnn", c->hgnn.epochs, c->hgnn.max_steps);
    check_optimizer(r, "two_tower", c->two_tower.epochs, c->two_tower.max_steps);
}

/* host:port, with a port from 0 to 65535. */
static bool is_address(const char *text)
{
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text) return false;
    size_t digits = strspn(colon + 1, "0123456789");
    return digits >= 1 && digits <= 5 && !colon[1 + digits] && atol(colon + 1) <= 65535;
}

static void check_deployment(config_reader *r)
{
    const config *c = r->c;
    log_level level;
    if (!log_level_parse(c->log.level, &level)) {
        cross_error(r, "log.level", "log.level", "expects debug | info | warn | error, not `%s`",
                    c->log.level);
    }
    if (!*c->job || strlen(c->job) > 128 || strchr(c->job, '\n')) {
        cross_error(r, "job", "job", "expects 1 to 128 bytes on one line");
    }
    if (!*c->work_dir) cross_error(r, "work_dir", "work_dir", "must not be empty");
    if (!*c->train.core_type) {
        cross_error(r, "train.core_type", "train.core_type", "must not be empty");
    }
    if (!is_address(c->http.bind)) {
        cross_error(r, "http.bind", "http.bind", "expects host:port, not `%s`", c->http.bind);
    }
    if (!strstr(c->features.openai.template, "{text}")) {
        cross_error(r, "features.openai.template", "features.openai.template",
                    "must contain {text}");
    }
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
    check_data(r);
    check_split(r);
    check_models(r);
    check_deployment(r);
    c->file = files_absolute(name);
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
    free(absolute);
}

void config_free(config *c)
{
    if (!c) return;
    for (size_t i = 0; i < config_keys_n; i++) config_value_clear(&config_keys[i], c);
    free(c->file);
    free(c);
}
