/* The configuration's other forms: YAML, JSON schema, the canonical JSON that is hashed. */
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

/* The number of bytes of whole sections that both dotted names share: "a.b." of a.b.c and a.b.d. */
static size_t shared_sections(const char *a, const char *b)
{
    size_t shared = 0;
    for (size_t i = 0; a[i] && a[i] == b[i]; i++) {
        if (a[i] == '.') shared = i + 1;
    }
    return shared;
}

static size_t count_dots(const char *name, size_t bytes)
{
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++) n += name[i] == '.';
    return n;
}

/* Opens the sections of `name` that `before` was not in, and writes the last part. */
static void put_yaml_key(bytes_writer *out, const char *name, const char *before)
{
    size_t at = shared_sections(name, before), depth = count_dots(name, at);
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

static void schema_names(json_writer *w, const config_key *key)
{
    json_key(w, "enum");
    json_array_begin(w);
    for (size_t i = 0; key->names[i]; i++) {
        bool enumerated = key->type == KEY_ENUM || key->type == KEY_CHOICE;
        if (!(enumerated && key->later >> i & 1)) json_str(w, key->names[i]);
    }
    json_array_end(w);
}

static void schema_bounds(json_writer *w, const config_key *key, bool integer)
{
    json_field_string(w, "type", integer ? "integer" : "number");
    json_key(w, key->bounds & KEY_ABOVE_MIN ? "exclusiveMinimum" : "minimum");
    json_shortest(w, key->min, false);
    json_key(w, key->bounds & KEY_BELOW_MAX ? "exclusiveMaximum" : "maximum");
    json_shortest(w, key->max, false);
}

static void schema_items_begin(json_writer *w)
{
    json_field_string(w, "type", "array");
    json_key(w, "items");
    json_object_begin(w);
}

static void schema_name_list(json_writer *w)
{
    schema_items_begin(w);
    json_field_string(w, "type", "string");
    json_field_string(w, "pattern", "^[A-Za-z0-9_-]{1,64}$");
    json_object_end(w);
    json_field_bool(w, "uniqueItems", true);
}

static void schema_dims(json_writer *w, const config_key *key)
{
    schema_items_begin(w);
    schema_bounds(w, key, true);
    json_object_end(w);
    json_field_u64(w, "minItems", 1);
    json_field_u64(w, "maxItems", CONFIG_LAYERS_MAX);
}

static const char all_or_names[] =
    "[{\"const\": \"all\"}, {\"type\": \"array\", \"minItems\": 1, \"uniqueItems\": true, "
    "\"items\": "
    "{\"type\": \"string\", \"pattern\": \"^[A-Za-z0-9_-]{1,64}$\"}}]";
static const char all_or_pairs[] =
    "[{\"const\": \"all\"}, {\"type\": \"array\", \"minItems\": 1, \"items\": {\"type\": "
    "\"array\", "
    "\"minItems\": 2, \"maxItems\": 2, \"items\": {\"type\": \"string\", \"pattern\": "
    "\"^[A-Za-z0-9_-]{1,64}$\"}}}]";
static const char column_forms[] =
    "[{\"type\": \"string\"}, {\"type\": \"array\", \"minItems\": 1, \"items\": {\"type\": "
    "\"string\"}}, {\"type\": \"object\", \"properties\": {\"constant\": {\"type\": \"string\"}}, "
    "\"required\": [\"constant\"], \"additionalProperties\": false}]";
static const char kind_form[] =
    "{\"type\": \"object\", \"properties\": {\"roles\": {\"type\": \"array\", \"items\": "
    "{\"enum\": "
    "[\"graph\", \"history\", \"positive\", \"seen\"]}}, \"min_weight\": {\"type\": \"number\"}}, "
    "\"additionalProperties\": false}";

static void schema_raw(json_writer *w, const char *key, const char *text)
{
    json_key(w, key);
    json_raw(w, text);
}

static void schema_unit(json_writer *w, const char *pattern)
{
    json_key(w, "anyOf");
    json_array_begin(w);
    json_raw(w, "{\"const\": 0}");
    json_object_begin(w);
    json_field_string(w, "type", "string");
    json_field_string(w, "pattern", pattern);
    json_object_end(w);
    json_array_end(w);
}

static void schema_type(json_writer *w, const config_key *key)
{
    switch (key->type) {
    case KEY_TEXT:
    case KEY_PATH: json_field_string(w, "type", "string"); break;
    case KEY_BOOL: json_field_string(w, "type", "boolean"); break;
    case KEY_CHOICE:
    case KEY_ENUM: schema_names(w, key); break;
    case KEY_U32:
    case KEY_U64: schema_bounds(w, key, true); break;
    case KEY_F32:
    case KEY_F64: schema_bounds(w, key, false); break;
    case KEY_DURATION: schema_unit(w, "^[0-9]+(ms|s|m|h)$"); break;
    case KEY_SIZE: schema_unit(w, "^[0-9]+([KMGT]i)?B$"); break;
    case KEY_DIMS: schema_dims(w, key); break;
    case KEY_NAMES: schema_name_list(w); break;
    case KEY_TYPES: schema_raw(w, "anyOf", all_or_names); break;
    case KEY_MASK:
        schema_items_begin(w);
        schema_names(w, key);
        json_object_end(w);
        json_field_bool(w, "uniqueItems", true);
        break;
    case KEY_COLUMN: schema_raw(w, "anyOf", column_forms); break;
    case KEY_KINDS:
        json_field_string(w, "type", "object");
        schema_raw(w, "additionalProperties", kind_form);
        break;
    case KEY_RELATIONS: schema_raw(w, "anyOf", all_or_pairs); break;
    }
}

static void schema_key(json_writer *w, const config_key *key, const config *defaults)
{
    json_key(w, strrchr(key->name, '.') ? strrchr(key->name, '.') + 1 : key->name);
    json_object_begin(w);
    char *help = xprintf("%s (%s)", key->help, key->mark == 'P' ? "plan" : "deployment");
    json_field_string(w, "description", help);
    free(help);
    schema_type(w, key);
    if (key->type != KEY_PATH) { /* paths were made absolute here: not the default anywhere else */
        json_key(w, "default");
        config_value_write(w, key, defaults, CONFIG_VALUE_JSON);
    }
    json_object_end(w);
}

static void schema_section_begin(json_writer *w)
{
    json_object_begin(w);
    json_field_string(w, "type", "object");
    json_field_bool(w, "additionalProperties", false);
    json_key(w, "properties");
    json_object_begin(w);
}

static void schema_sections_end(json_writer *w, size_t n)
{
    for (size_t i = 0; i < 2 * n; i++) json_object_end(w);
}

/* Ends and begins sections so that the key `name` can follow the key `before`. */
static void schema_move(json_writer *w, const char *name, const char *before)
{
    size_t at = shared_sections(name, before);
    schema_sections_end(w, count_dots(before, strlen(before)) - count_dots(name, at));
    for (const char *dot; (dot = strchr(name + at, '.')) != NULL; at = (size_t)(dot - name) + 1) {
        char *part = xstrndup(name + at, (size_t)(dot - name) - at);
        json_key(w, part);
        schema_section_begin(w);
        free(part);
    }
}

char *config_schema(void)
{
    config *defaults;
    err_code rc = config_load(NULL, NULL, 0, &defaults);
    ASSERT(rc == ERR_OK);
    bytes_writer out;
    json_writer w;
    bytes_writer_init(&out);
    json_init_bytes(&w, &out, JSON_STYLE_PRETTY);
    json_object_begin(&w);
    json_field_string(&w, "$schema", "https://json-schema.org/draft/2020-12/schema");
    json_field_string(&w, "title", "weft configuration");
    json_field_string(&w, "type", "object");
    json_field_bool(&w, "additionalProperties", false);
    json_key(&w, "properties");
    json_object_begin(&w);
    const char *before = "";
    for (size_t i = 0; i < config_keys_n; i++) {
        schema_move(&w, config_keys[i].name, before);
        schema_key(&w, &config_keys[i], defaults);
        before = config_keys[i].name;
    }
    schema_sections_end(&w, count_dots(before, strlen(before)));
    json_object_end(&w);
    json_object_end(&w);
    ASSERT(json_finish(&w) == ERR_OK);
    config_free(defaults);
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
