/* Whether results are of the same data (compare.h). */
#include "common/files.h"
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

static json_t *report_of(const char *dir)
{
    char *path = files_join(dir, "report.json");
    json_t *report = files_exist(path) ? json_load_file(path, 0, NULL) : NULL;
    free(path);
    return report;
}

static char *text_of(const json_t *value)
{
    return value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : xstrdup("none");
}

static void compare_values(pair p, const char *name, const json_t *a, const json_t *b);

static void compare_objects(pair p, const char *name, json_t *a, json_t *b, bool both)
{
    const char *key;
    json_t *value;
    json_object_foreach(a, key, value)
    {
        char full[NAME_BYTES];
        json_t *other = json_object_get(b, key);
        if (both && other) continue; /* has been compared */
        snprintf(full, sizeof full, "%s%s%s", name, *name ? "." : "", key);
        compare_values(p, full, both ? NULL : value, both ? value : other);
    }
}

/* What `prepare` counted; relations are the graph's, whose keys are compared as such. */
static void compare_values(pair p, const char *name, const json_t *a, const json_t *b)
{
    if (strcmp(name, "warnings") == 0 || strcmp(name, "relations") == 0) return;
    if (json_is_object(a) && json_is_object(b)) {
        compare_objects(p, name, (json_t *)(uintptr_t)a, (json_t *)(uintptr_t)b, false);
        compare_objects(p, name, (json_t *)(uintptr_t)b, (json_t *)(uintptr_t)a, true);
    } else if (!a || !b || !json_equal(a, b)) {
        char *left = text_of(a), *right = text_of(b);
        add(p, "%s: %.100s -> %.100s", name, left, right);
        free(left);
        free(right);
    }
}

static void compare_counts(pair p)
{
    json_t *a = report_of(p.c->side[0].dir), *b = report_of(p.c->side[p.i].dir);
    const json_t *x = json_object_get(a, "data"), *y = json_object_get(b, "data");
    if (x && y) compare_values(p, "", x, y);
    json_decref(a);
    json_decref(b);
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
        compare_counts(p);
        for (size_t k = 0; k < sizeof files / sizeof *files && rc == ERR_OK; k++)
            rc = compare_file(p, files[k].name, files[k].differ);
    }
    return rc;
}
