#include "sampler/catalog.h"

#include "common/clock.h"
#include "common/hash.h"
#include "common/keyed_sort.h"
#include "common/log.h"
#include "common/mem.h"
#include "sampler/catalog_load.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* --- small helpers of the loaders --- */

bool catalog_name_ok(const char *name, size_t n)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    return n >= 1 && n <= CATALOG_NAME_MAX && strspn(name, allowed) == n;
}

const char *catalog_id_problem(const char *id, size_t n)
{
    (void)id;
    if (!n) return "is empty";
    return n > TABLE_ID_BYTES_MAX ? "is longer than 256 bytes" : NULL;
}

void catalog_load_mark(bool *used, const table_column *column)
{
    for (size_t i = 0; i < column->fields_n; i++) used[column->fields[i]] = true;
}

void catalog_load_note(catalog_load *l, const table_reader *r, const char *what, const char *path,
                       const bool *used)
{
    uint64_t bad = table_reader_bad_rows(r);
    l->data->bad_rows += bad;
    if (bad) {
        catalog_warn(l->data, "%s: %" PRIu64 " bad rows skipped, the first at %s", what, bad,
                     table_reader_first_bad(r));
    }
    char *list = xstrdup("");
    for (size_t i = 0; i < table_reader_columns(r); i++) {
        if (used[i]) continue;
        char *longer = xprintf("%s%s%s", list, *list ? "," : "", table_reader_name(r, i));
        free(list);
        list = longer;
    }
    if (*list) log_info("columns_ignored", "file=\"%s\" columns=\"%s\"", path, list);
    free(list);
}

/* --- catalog --- */

static void finish_user_attributes(catalog_load *l)
{
    catalog *c = l->data;
    c->user_attributes = xcalloc(l->user_attributes_n + 1, sizeof *c->user_attributes);
    for (size_t i = 0; i < l->user_attributes_n; i++) {
        attribute_builder_finish(&l->user_attributes[i], c->users_n, &c->user_attributes[i]);
    }
    c->user_attributes_n = l->user_attributes_n;
    if (!c->user_vectors) return;
    size_t d = c->user_vector_d;
    c->user_vectors = xrealloc(c->user_vectors, (size_t)c->users_n * d, sizeof(float));
    memset(c->user_vectors + c->users_in_file * d, 0,
           (c->users_n - c->users_in_file) * d * sizeof(float));
}

static uint64_t combine(uint64_t items, uint64_t interactions, uint64_t users, uint64_t others)
{
    uint64_t parts[4] = {items, interactions, users, others};
    return hash64(parts, sizeof parts, 0);
}

/* The files that are not tables of the catalogue: user vectors and a given split. */
static err_code hash_others(const config *c, uint64_t *out)
{
    bool users = c->data.users.path && *c->data.users.path;
    bool given = c->split.method == SPLIT_FILE && c->split.file && *c->split.file;
    uint64_t parts[2] = {0};
    err_code rc = ERR_OK;
    if (users && c->data.users.vector && *c->data.users.vector) {
        rc = table_reader_hash_file(c->data.users.vector, &parts[0]);
    }
    if (rc == ERR_OK && given) rc = table_reader_hash_file(c->split.file, &parts[1]);
    *out = hash64(parts, sizeof parts, 0);
    return rc;
}

static err_code read_files(catalog_load *l)
{
    err_code rc = catalog_load_items(l);
    if (rc == ERR_OK) rc = catalog_load_users(l);
    if (rc == ERR_OK) rc = catalog_load_events(l);
    if (rc != ERR_OK) return rc;
    finish_user_attributes(l);
    uint64_t others;
    rc = hash_others(l->config, &others);
    l->data->content_hash = combine(l->hash_items, l->hash_interactions, l->hash_users, others);
    return rc;
}

err_code catalog_read(const config *c, catalog **out)
{
    catalog_load l = {.config = c, .data = xcalloc(1, sizeof(catalog))};
    l.other_ids = string_pool_new();
    l.data->item_ids = string_pool_new();
    l.data->item_texts = string_pool_new();
    l.data->user_ids = string_pool_new();
    err_code rc = read_files(&l);
    for (size_t i = 0; i < l.user_attributes_n; i++) attribute_builder_fini(&l.user_attributes[i]);
    free(l.user_attributes);
    string_pool_free(l.other_ids);
    if (rc != ERR_OK) {
        catalog_free(l.data);
        l.data = NULL;
    }
    *out = l.data;
    return rc;
}

static void free_attributes(catalog_attribute *a, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(a[i].key);
        free(a[i].index);
        string_pool_free(a[i].values);
    }
    free(a);
}

void catalog_free(catalog *c)
{
    if (!c) return;
    for (uint32_t i = 0; i < c->types_n; i++) free(c->types[i]);
    for (uint32_t i = 0; i < c->kinds_n; i++) free(c->kinds[i].name);
    for (size_t i = 0; i < c->warnings.n; i++) free(c->warnings.items[i]);
    free_attributes(c->item_attributes, c->item_attributes_n);
    free_attributes(c->user_attributes, c->user_attributes_n);
    string_pool_free(c->item_ids);
    string_pool_free(c->item_texts);
    string_pool_free(c->user_ids);
    free(c->item_type);
    free(c->item_key);
    free(c->user_vectors);
    free(c->events);
    free(c->user_events);
    free(c->kinds);
    free(c->warnings.items);
    free(c);
}

err_code catalog_content_hash(const config *c, uint64_t *out)
{
    uint64_t items = 0, interactions = 0, users = 0, others = 0;
    err_code rc = table_reader_hash_file(c->data.items.path, &items);
    if (rc == ERR_OK) rc = table_reader_hash_file(c->data.interactions.path, &interactions);
    if (rc == ERR_OK && c->data.users.path && *c->data.users.path) {
        rc = table_reader_hash_file(c->data.users.path, &users);
    }
    if (rc == ERR_OK) rc = hash_others(c, &others);
    *out = combine(items, interactions, users, others);
    return rc;
}

uint32_t catalog_find_item(const catalog *c, const char *id)
{
    return string_pool_find(c->item_ids, id, strlen(id));
}

uint32_t catalog_find_user(const catalog *c, const char *id)
{
    return string_pool_find(c->user_ids, id, strlen(id));
}

uint32_t catalog_find_type(const catalog *c, const char *name)
{
    for (uint32_t i = 0; i < c->types_n; i++) {
        if (strcmp(c->types[i], name) == 0) return i;
    }
    return UINT32_MAX;
}

void catalog_warn(catalog *c, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    string_list *w = &c->warnings;
    w->items = xrealloc(w->items, w->n + 1, sizeof *w->items);
    w->items[w->n++] = xstrdup(text);
    log_user_error("warning: %s", text);
}

bool catalog_keys_collide(const uint64_t *keys, size_t n, size_t pair[2])
{
    keyed *sorted = xcalloc(n + 1, sizeof *sorted);
    for (size_t i = 0; i < n; i++) sorted[i] = (keyed){keys[i], i};
    keyed_sort(sorted, n);
    bool found = false;
    for (size_t i = 1; i < n && !found; i++) {
        if (sorted[i].key != sorted[i - 1].key) continue;
        pair[0] = sorted[i - 1].at;
        pair[1] = sorted[i].at;
        found = true;
    }
    free(sorted);
    return found;
}

/* --- summary --- */

static void print_kinds(const catalog *c, FILE *file)
{
    static const char *const roles[] = {"graph", "history", "positive", "seen"};
    for (uint32_t k = 0; k < c->kinds_n; k++) {
        fprintf(file, "  kind %-16s %10" PRIu64 "  ", c->kinds[k].name, c->kinds[k].events);
        for (unsigned i = 0; i < 4; i++) {
            if (c->kinds[k].roles & (1u << i)) fprintf(file, " %s", roles[i]);
        }
        if (c->kinds[k].has_min_weight) fprintf(file, " (weight >= %g)", c->kinds[k].min_weight);
        fputc('\n', file);
    }
}

static void print_count(FILE *file, const char *what, uint64_t n)
{
    if (n) fprintf(file, "  %-21s %10" PRIu64 "\n", what, n);
}

void catalog_print_summary(const catalog *c, FILE *file)
{
    static const char *const orders[] = {"unset", "time", "file", "none"};
    fprintf(file, "items  %10" PRIu32 "\n", c->items_n);
    for (uint32_t t = 0; t < c->types_n; t++) {
        fprintf(file, "  type %-16s %10" PRIu32 "\n", c->types[t], c->type_items[t]);
    }
    print_count(file, "without text", c->empty_texts);
    fprintf(file, "users  %10" PRIu32 "  (%zu attributes)\n", c->users_n, c->user_attributes_n);
    fprintf(file, "events %10" PRIu64 "  (%" PRIu64 " user-item pairs, order: %s", c->events_n,
            c->pairs, orders[c->order]);
    if (c->time_max) {
        char from[21], to[21];
        clock_iso((uint64_t)c->time_min, from);
        clock_iso((uint64_t)c->time_max, to);
        fprintf(file, ", %.10s to %.10s", from, to);
    }
    fputs(")\n", file);
    print_kinds(c, file);
    print_count(file, "without a time", c->missing_times);
    print_count(file, "duplicates", c->duplicates);
    print_count(file, "unknown items", c->unknown_items);
    print_count(file, "other types", c->other_types);
    print_count(file, "ignored kinds", c->ignored_kinds);
    print_count(file, "below min_weight", c->light_rows);
    print_count(file, "bad rows", c->bad_rows);
}
