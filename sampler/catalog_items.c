#include "sampler/catalog_load.h"

#include "common/hash.h"
#include "common/log.h"
#include "common/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct items_reader {
    catalog_load *l;
    table_reader *r;
    const char *path;
    table_column id, type, text;
    table_column *attribute_columns;
    attribute_builder *attributes;
    size_t attributes_n;
    uint64_t *lines, *other_lines; /* where each id stands */
    size_t lines_cap, other_cap, type_cap;
} items_reader;

static err_code map_attributes(items_reader *s)
{
    const string_list *keys = &s->l->config->data.items.attributes;
    s->attribute_columns = xcalloc(keys->n + 1, sizeof *s->attribute_columns);
    s->attributes = xcalloc(keys->n + 1, sizeof *s->attributes);
    for (size_t i = 0; i < keys->n; i++) {
        if (!catalog_name_ok(keys->items[i], strlen(keys->items[i]))) {
            log_user_error("data.items.attributes: \"%s\" is not a name ([A-Za-z0-9_-]{1,64})",
                           keys->items[i]);
            return ERR_INVALID;
        }
        config_column column = {.names = {&keys->items[i], 1}};
        err_code rc = table_reader_map(s->r, &column, "data.items.attributes", false,
                                       &s->attribute_columns[i]);
        if (rc != ERR_OK) return rc;
        attribute_builder_init(&s->attributes[i], keys->items[i]);
        s->attributes_n++;
    }
    return ERR_OK;
}

static err_code map_columns(items_reader *s)
{
    const config *c = s->l->config;
    err_code rc =
        table_reader_map(s->r, &c->data.items.item_id, "data.items.columns.item_id", false, &s->id);
    if (rc == ERR_OK) {
        rc = table_reader_map(s->r, &c->data.items.item_type, "data.items.columns.item_type", false,
                              &s->type);
    }
    if (rc == ERR_OK) {
        rc =
            table_reader_map(s->r, &c->data.items.text, "data.items.columns.text", false, &s->text);
    }
    return rc == ERR_OK ? map_attributes(s) : rc;
}

static bool wanted(const config *c, const char *type)
{
    if (!c->data.types.n) return true;
    for (size_t i = 0; i < c->data.types.n; i++) {
        if (strcmp(c->data.types.items[i], type) == 0) return true;
    }
    return false;
}

/* *type is UINT32_MAX for a type that data.types leaves out.  ERR_INVALID: too many types. */
static err_code find_type(items_reader *s, const char *name, uint32_t *type)
{
    catalog *d = s->l->data;
    *type = catalog_find_type(d, name);
    if (*type != UINT32_MAX || !wanted(s->l->config, name)) return ERR_OK;
    if (d->types_n == CONFIG_TYPES_MAX) {
        log_user_error("%s:%" PRIu64 ": more than %d item types (is the column right?)", s->path,
                       table_reader_line(s->r), CONFIG_TYPES_MAX);
        return ERR_INVALID;
    }
    *type = d->types_n++;
    d->types[*type] = xstrdup(name);
    return ERR_OK;
}

/* The line where the id stands already; 0: nowhere. */
static uint64_t earlier_line(const items_reader *s, const char *id, size_t n)
{
    uint32_t at = string_pool_find(s->l->data->item_ids, id, n);
    if (at != STRING_POOL_NONE) return s->lines[at];
    at = string_pool_find(s->l->other_ids, id, n);
    return at == STRING_POOL_NONE ? 0 : s->other_lines[at];
}

static err_code add_other(items_reader *s, const char *id, size_t n)
{
    uint32_t at = string_pool_intern(s->l->other_ids, id, n, NULL);
    if (at == STRING_POOL_NONE) return ERR_LIMIT;
    grow(&s->other_lines, &s->other_cap, (size_t)at + 1, sizeof *s->other_lines);
    s->other_lines[at] = table_reader_line(s->r);
    return ERR_OK;
}

static err_code add_item(items_reader *s, const char *id, size_t n, uint32_t type)
{
    catalog *d = s->l->data;
    uint32_t at = string_pool_intern(d->item_ids, id, n, NULL);
    if (at == STRING_POOL_NONE) {
        log_user_error("%s:%" PRIu64 ": more than 2^32 - 2 items", s->path,
                       table_reader_line(s->r));
        return ERR_LIMIT;
    }
    size_t text_len;
    const char *text = table_reader_value(s->r, &s->text, &text_len);
    (void)string_pool_append(d->item_texts, text, text_len);
    d->empty_texts += text_len == 0;
    grow(&s->lines, &s->lines_cap, (size_t)at + 1, sizeof *s->lines);
    s->lines[at] = table_reader_line(s->r);
    grow(&d->item_type, &s->type_cap, (size_t)at + 1, sizeof *d->item_type);
    d->item_type[at] = (uint8_t)type;
    d->type_items[type]++;
    d->items_n = at + 1;
    for (size_t i = 0; i < s->attributes_n; i++) {
        size_t len;
        const char *value = table_reader_value(s->r, &s->attribute_columns[i], &len);
        attribute_builder_set(&s->attributes[i], at, value, len);
    }
    return ERR_OK;
}

static err_code read_item(items_reader *s)
{
    size_t id_len, type_len;
    const char *id = table_reader_value(s->r, &s->id, &id_len);
    const char *name = table_reader_value(s->r, &s->type, &type_len);
    const char *problem = catalog_id_problem(id, id_len);
    if (problem) return table_reader_reject(s->r, &s->id, "item_id %s", problem);
    if (!catalog_name_ok(name, type_len)) {
        return table_reader_reject(s->r, &s->type,
                                   "item_type \"%.80s\" is not a name ([A-Za-z0-9_-]{1,64})", name);
    }
    uint64_t before = earlier_line(s, id, id_len);
    if (before) {
        return table_reader_reject(s->r, &s->id, "item_id \"%s\" is already in line %" PRIu64, id,
                                   before);
    }
    uint32_t type;
    err_code rc = find_type(s, name, &type);
    if (rc != ERR_OK) return rc;
    return type == UINT32_MAX ? add_other(s, id, id_len) : add_item(s, id, id_len, type);
}

static err_code make_keys(items_reader *s)
{
    catalog *d = s->l->data;
    d->item_key = xcalloc(d->items_n, sizeof *d->item_key);
    for (uint32_t i = 0; i < d->items_n; i++) {
        d->item_key[i] = stable_key(d->types[d->item_type[i]], catalog_item_id(d, i));
    }
    size_t pair[2];
    if (!catalog_keys_collide(d->item_key, d->items_n, pair)) return ERR_OK;
    log_user_error("%s: the items \"%s\" and \"%s\" have the same stable key: rename one", s->path,
                   catalog_item_id(d, (uint32_t)pair[0]), catalog_item_id(d, (uint32_t)pair[1]));
    return ERR_INVALID;
}

/* What names types is checked before hours are spent on the events. */
static err_code check_types(items_reader *s)
{
    const config *c = s->l->config;
    catalog *d = s->l->data;
    const string_list *types = &c->data.types, known = {.items = d->types, .n = d->types_n};
    for (size_t i = 0; i < types->n; i++) {
        if (catalog_find_type(d, types->items[i]) != UINT32_MAX) continue;
        config_error(c, "data.types", "no item of type `%s` in %s", types->items[i], s->path);
        return ERR_INVALID;
    }
    if (d->items_n) return config_check_types(c, &known);
    log_user_error("%s: no items", s->path);
    return ERR_INVALID;
}

/* Without those that have too many values. */
static void finish_attributes(items_reader *s)
{
    catalog *d = s->l->data;
    uint32_t max = s->l->config->data.items.max_values;
    d->item_attributes = xcalloc(s->attributes_n + 1, sizeof *d->item_attributes);
    for (size_t i = 0; i < s->attributes_n; i++) {
        attribute_builder *b = &s->attributes[i];
        uint32_t n = attribute_builder_values(b);
        if (max && n > max) {
            catalog_warn(d,
                         "items: attribute %s has %" PRIu32 " values, more than "
                         "data.items.max_values (%" PRIu32 "): left out",
                         b->key, n, max);
            continue;
        }
        attribute_builder_finish(b, d->items_n, &d->item_attributes[d->item_attributes_n++]);
    }
}

static void finish(items_reader *s)
{
    catalog *d = s->l->data;
    finish_attributes(s);
    if (d->empty_texts) {
        catalog_warn(d, "items: %" PRIu64 " have no text", d->empty_texts);
    }
    bool *used = xcalloc(table_reader_columns(s->r), sizeof *used);
    catalog_load_mark(used, &s->id);
    catalog_load_mark(used, &s->type);
    catalog_load_mark(used, &s->text);
    for (size_t i = 0; i < s->attributes_n; i++) catalog_load_mark(used, &s->attribute_columns[i]);
    catalog_load_note(s->l, s->r, "items", s->path, used);
    s->l->hash_items = table_reader_hash(s->r);
    free(used);
}

static void release(items_reader *s)
{
    table_column_fini(&s->id);
    table_column_fini(&s->type);
    table_column_fini(&s->text);
    for (size_t i = 0; i < s->attributes_n; i++) {
        table_column_fini(&s->attribute_columns[i]);
        attribute_builder_fini(&s->attributes[i]);
    }
    free(s->attribute_columns);
    free(s->attributes);
    free(s->lines);
    free(s->other_lines);
    table_reader_close(s->r);
}

err_code catalog_load_items(catalog_load *l)
{
    items_reader s = {.l = l, .path = l->config->data.items.path};
    err_code rc = table_reader_open(s.path, l->config->data.skip_bad_rows, &s.r);
    if (rc == ERR_OK) rc = map_columns(&s);
    for (bool more = true; rc == ERR_OK;) {
        rc = table_reader_next(s.r, &more);
        if (rc != ERR_OK || !more) break;
        rc = read_item(&s);
    }
    if (rc == ERR_OK) rc = check_types(&s);
    if (rc == ERR_OK) rc = make_keys(&s);
    if (rc == ERR_OK) finish(&s);
    release(&s);
    return rc;
}
