/* Whether results are of the same data (compare.h). */
#include "common/files.h"
#include "common/log.h"
#include "common/mem.h"
#include "deploy/compare.h"
#include "sampler/table_reader.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 160 };

/* Results i and 0 of `c`. */
typedef struct pair {
    compare *c;
    uint32_t i;
} pair;

__attribute__((format(printf, 2, 3))) static void add(pair p, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    compare *c = p.c;
    c->data = xrealloc(c->data, c->data_n + 1, sizeof *c->data);
    c->data[c->data_n++] = c->sides == 2 ? xstrdup(text) : xprintf("1 and %u: %s", p.i + 1, text);
}

/* ---- Counts ---- */

/* *out owned (json_decref), NULL: there is none. */
static err_code read_report(const char *dir, json_t **out)
{
    json_error_t wrong;
    char *path = files_join(dir, "report.json");
    bool there = files_exist(path);
    *out = there ? json_load_file(path, 0, &wrong) : NULL;
    if (there && !*out) log_user_error("%s:%d: %s", path, wrong.line, wrong.text);
    free(path);
    return there && !*out ? ERR_INVALID : ERR_OK;
}

static char *text_of(const json_t *value)
{
    return value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : xstrdup("none");
}

static void compare_values(pair p, const char *name, json_t *a, json_t *b);

static void compare_member(pair p, const char *name, const char *key, json_t *a, json_t *b)
{
    char full[NAME_BYTES];
    snprintf(full, sizeof full, "%s%s%s", name, *name ? "." : "", key);
    compare_values(p, full, json_object_get(a, key), json_object_get(b, key));
}

static void compare_objects(pair p, const char *name, json_t *a, json_t *b)
{
    const char *key;
    json_t *value;
    json_object_foreach(a, key, value) compare_member(p, name, key, a, b);
    json_object_foreach(b, key, value)
    {
        if (!json_object_get(a, key)) compare_member(p, name, key, a, b);
    }
}

/* What `prepare` counted; relations are the graph's, whose keys are compared as such. */
static void compare_values(pair p, const char *name, json_t *a, json_t *b)
{
    if (strcmp(name, "warnings") == 0 || strcmp(name, "relations") == 0) return;
    if (json_is_object(a) && json_is_object(b)) {
        compare_objects(p, name, a, b);
    } else if (!a || !b || !json_equal(a, b)) {
        char *left = text_of(a), *right = text_of(b);
        add(p, "%s: %.100s -> %.100s", name, left, right);
        free(left);
        free(right);
    }
}

static err_code compare_counts(pair p)
{
    json_t *a = NULL, *b = NULL;
    err_code rc = read_report(p.c->side[0].dir, &a);
    if (rc == ERR_OK) rc = read_report(p.c->side[p.i].dir, &b);
    json_t *x = json_object_get(a, "data"), *y = json_object_get(b, "data");
    if (rc == ERR_OK && x && y) compare_values(p, "", x, y);
    json_decref(a);
    json_decref(b);
    return rc;
}

/* ---- Files ---- */

static const struct {
    const char *name, *differ;
} files[] = {{"items.tsv", "other items, types or texts"},
             {"split.tsv", "other pairs are held out"},
             {"seen_items.npy", "users have other items"}};

static err_code compare_file(pair p, const char *name, const char *differ)
{
    char *a = files_join(p.c->side[0].dir, name), *b = files_join(p.c->side[p.i].dir, name);
    uint64_t x = 0, y = 0;
    err_code rc = ERR_OK;
    if (files_exist(a) && files_exist(b)) {
        rc = table_reader_hash_file(a, &x);
        if (rc == ERR_OK) rc = table_reader_hash_file(b, &y);
        if (rc == ERR_OK && x != y) add(p, "%s: %s", name, differ);
    }
    free(a);
    free(b);
    return rc;
}

err_code compare_data(compare *c)
{
    err_code rc = ERR_OK;
    for (uint32_t i = 1; i < c->sides && rc == ERR_OK; i++) {
        pair p = {c, i};
        rc = compare_counts(p);
        for (size_t k = 0; k < sizeof files / sizeof *files && rc == ERR_OK; k++)
            rc = compare_file(p, files[k].name, files[k].differ);
    }
    return rc;
}
