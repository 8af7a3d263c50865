#include "common/config_check.h"

#include "common/log.h"
#include "common/panic.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static void check_train(config_reader *r)
{
    const config *c = r->c;
    if (c->train.delay && c->train.mode != TRAIN_BSP)
        cross_error(r, "train.delay", "train.mode", "only with train.mode: bsp");
    if (c->train.staleness && c->train.mode != TRAIN_SSP)
        cross_error(r, "train.staleness", "train.mode", "only with train.mode: ssp");
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
    if (c->checkpoint.copies > c->cluster.servers) {
        cross_error(r, "checkpoint.copies", "cluster.servers",
                    "%u copies need as many servers, cluster.servers is %u", c->checkpoint.copies,
                    c->cluster.servers);
    }
    if (!*c->work_dir) cross_error(r, "work_dir", "work_dir", "must not be empty");
    if (!*c->train.core_type) {
        cross_error(r, "train.core_type", "train.core_type", "must not be empty");
    }
    if (!*c->http.bind) cross_error(r, "http.bind", "http.bind", "must not be empty");
    if (!strstr(c->features.openai.template, "{text}")) {
        cross_error(r, "features.openai.template", "features.openai.template",
                    "must contain {text}");
    }
}

void config_check(config_reader *r)
{
    check_data(r);
    check_split(r);
    check_models(r);
    check_train(r);
    check_deployment(r);
}

/* The types there are, for a message, into text [size]. */
static void list_types(const string_list *types, char *text, size_t size)
{
    size_t n = 0;
    text[0] = 0;
    for (size_t i = 0; i < types->n && n < size; i++)
        n += (size_t)snprintf(text + n, size - n, "%s%s", i ? ", " : "", types->items[i]);
}

static size_t unknown_types(const config *c, const char *key, const string_list *names,
                            const string_list *types)
{
    size_t errors = 0;
    char there[512];
    for (size_t i = 0; i < names->n; i++) {
        size_t t = 0;
        while (t < types->n && strcmp(types->items[t], names->items[i]) != 0) t++;
        if (t < types->n) continue;
        list_types(types, there, sizeof there);
        config_error(c, key, "the catalogue has no type `%s`; there are: %s", names->items[i],
                     there);
        errors++;
    }
    return errors;
}

err_code config_check_types(const config *c, const string_list *types)
{
    size_t errors = unknown_types(c, "history.types", &c->history.types, types);
    errors += unknown_types(c, "two_tower.targets", &c->two_tower.targets, types);
    for (size_t i = 0; i < c->graph.relations_n; i++) {
        char *pair[] = {c->graph.relations[i].source, c->graph.relations[i].destination};
        const string_list names = {.items = pair, .n = 2};
        errors += unknown_types(c, "graph.relations", &names, types);
    }
    return errors ? ERR_INVALID : ERR_OK;
}

static size_t missing(const config *c, const char *key, const char *why)
{
    log_user_error("%s: %s: %s", c->file, key, why);
    return 1;
}

err_code config_check_inputs(const config *c)
{
    size_t errors = 0;
    for (size_t i = 0; i < config_keys_n; i++) {
        const config_key *key = &config_keys[i];
        if (!key->required || **(char *const *)config_key_value(key, c)) continue;
        errors += missing(c, key->name, "is required: name the file, or give --data DIR");
    }
    if (c->features.encoder == ENCODER_PRECOMPUTED && !*c->features.precomputed.path) {
        errors +=
            missing(c, "features.precomputed.path", "is required by features.encoder: precomputed");
    }
    if (c->split.method == SPLIT_FILE && !*c->split.file) {
        errors += missing(c, "split.file", "is required by split.method: file");
    }
    return errors ? ERR_INVALID : ERR_OK;
}
