/* The configuration's other forms: YAML, JSON, the canonical JSON that is hashed. */
#include "common/config_source.h"
#include "common/config_value.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static char *take_text(bytes_writer *out)
{
    bytes_put_u8(out, 0);
    char *text = (char *)out->data;
    return text; /* bytes_writer owns it with malloc: the caller frees it */
}

static void put_text(bytes_writer *out, const char *text)
{
    bytes_put(out, text, strlen(text));
}

static void put_indent(bytes_writer *out, size_t depth)
{
    for (size_t i = 0; i < depth; i++) put_text(out, "  ");
}

/* Opens the sections of `name` that `before` was not in, and writes the last part. */
static void put_yaml_key(bytes_writer *out, const char *name, const char *before)
{
    size_t at = config_key_shared(name, before), depth = config_key_dots(name, at);
    for (;; depth++) {
        size_t n = strcspn(name + at, ".");
        put_indent(out, depth);
        bytes_put(out, name + at, n);
        if (!name[at + n]) break;
        put_text(out, ":\n");
        at += n + 1;
    }
    put_text(out, ": ");
}

enum { SOURCE_COLUMN = 48 };

/* Pads the line that was begun, so that the comments stand below each other. */
static void put_source(bytes_writer *out, const char *source)
{
    size_t at = out->len;
    while (at > 0 && out->data[at - 1] != '\n') at--;
    for (size_t n = out->len - at; n < SOURCE_COLUMN; n++) put_text(out, " ");
    put_text(out, " # ");
    put_text(out, source);
}

char *config_print(const config *c, int which)
{
    bytes_writer out;
    const char *before = "";
    bytes_writer_init(&out);
    for (size_t i = 0; i < config_keys_n; i++) {
        const config_key *key = &config_keys[i];
        if (which == CONFIG_PLAN_ONLY && key->mark != 'P') continue;
        put_yaml_key(&out, key->name, before);
        json_writer w;
        json_init_bytes(&w, &out, JSON_STYLE_SPACED);
        config_value_write(&w, key, c, CONFIG_VALUE_YAML);
        ASSERT(json_finish(&w) == ERR_OK);
        if (which == CONFIG_SOURCES) put_source(&out, config_source(c, key));
        put_text(&out, "\n");
        before = key->name;
    }
    return take_text(&out);
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp((*(const config_key *const *)a)->name, (*(const config_key *const *)b)->name);
}

/* One flat object of the plan keys for which keep() holds, sorted by name. */
static char *canonical(const config *c, bool prepare_only)
{
    const config_key *keys[CONFIG_KEYS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < config_keys_n; i++) {
        const config_key *key = &config_keys[i];
        if (key->mark == 'P' && (!prepare_only || config_key_is_prepare(key))) keys[n++] = key;
    }
    qsort(keys, n, sizeof *keys, compare_keys);
    bytes_writer out;
    json_writer w;
    bytes_writer_init(&out);
    json_init_bytes(&w, &out, JSON_STYLE_COMPACT);
    json_object_begin(&w);
    for (size_t i = 0; i < n; i++) {
        json_key(&w, keys[i]->name);
        config_value_write(&w, keys[i], c, CONFIG_VALUE_CANONICAL);
    }
    json_object_end(&w);
    ASSERT(json_finish(&w) == ERR_OK);
    return take_text(&out);
}

char *config_plan_json(const config *c)
{
    return canonical(c, false);
}

char *config_prepare_json(const config *c)
{
    return canonical(c, true);
}

char *config_sources_json(const config *c)
{
    bytes_writer out;
    json_writer w;
    bytes_writer_init(&out);
    json_init_bytes(&w, &out, JSON_STYLE_SPACED);
    json_object_begin(&w);
    for (size_t i = 0; i < config_keys_n; i++) {
        const config_key *key = &config_keys[i];
        json_key(&w, key->name);
        json_object_begin(&w);
        json_key(&w, "value");
        config_value_write(&w, key, c, CONFIG_VALUE_JSON);
        json_field_string(&w, "from", config_source(c, key));
        json_field_string(&w, "mark", key->mark == 'P' ? "plan" : "deployment");
        json_object_end(&w);
    }
    json_object_end(&w);
    ASSERT(json_finish(&w) == ERR_OK);
    return take_text(&out);
}

char *config_flat_json(const config *c)
{
    bytes_writer out;
    json_writer w;
    bytes_writer_init(&out);
    json_init_bytes(&w, &out, JSON_STYLE_SPACED);
    json_object_begin(&w);
    for (size_t i = 0; i < config_keys_n; i++) {
        json_key(&w, config_keys[i].name);
        config_value_write(&w, &config_keys[i], c, CONFIG_VALUE_JSON);
    }
    json_object_end(&w);
    ASSERT(json_finish(&w) == ERR_OK);
    return take_text(&out);
}

/* The value as text for a person, owned; a missing one is "(absent)". */
static char *value_text(const json_t *value)
{
    if (!value) return xstrdup("(absent)");
    if (json_is_real(value)) {
        char text[JSON_NUMBER_MAX];
        double v = json_real_value(value);
        return xstrdup(json_format_shortest(text, v, (double)(float)v == v));
    }
    char *dumped = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    char *text = xstrdup(dumped ? dumped : "(no memory)");
    free(dumped);
    return text;
}

static void print_difference(const char *key, const json_t *a, const json_t *b)
{
    char *left = value_text(a), *right = value_text(b);
    log_user_error("plan: %s: %s -> %s", key, left, right);
    free(left);
    free(right);
}

static json_t *parse_plan(const char *text)
{
    json_error_t error;
    json_t *plan = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(plan)) {
        log_user_error("plan: not a JSON object: %s", error.text);
        json_decref(plan);
        return NULL;
    }
    return plan;
}

size_t config_plan_diff(const char *plan_json_a, const char *plan_json_b)
{
    json_t *a = parse_plan(plan_json_a), *b = parse_plan(plan_json_b), *value;
    const char *key;
    size_t n = 0;
    if (!a || !b) {
        n = 1;
        goto done;
    }
    json_object_foreach(a, key, value)
    {
        if (json_equal(value, json_object_get(b, key))) continue;
        print_difference(key, value, json_object_get(b, key));
        n++;
    }
    json_object_foreach(b, key, value)
    {
        if (json_object_get(a, key)) continue;
        print_difference(key, NULL, value);
        n++;
    }
done:
    json_decref(a);
    json_decref(b);
    return n;
}
