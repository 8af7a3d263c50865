/* The configuration's JSON schema: what an editor completes and checks. */
#include "common/config_value.h"
#include "common/mem.h"
#include "common/panic.h"

#include <stdlib.h>
#include <string.h>

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

static void schema_unit(json_writer *w, const config_key *key, const char *pattern)
{
    json_key(w, "anyOf");
    json_array_begin(w);
    if (key->min <= 0) json_raw(w, "{\"const\": 0}");
    json_object_begin(w);
    json_field_string(w, "type", "string");
    json_field_string(w, "pattern", pattern);
    json_object_end(w);
    json_array_end(w);
}

/* Of a key that takes only its default for now. */
static void schema_only(json_writer *w, const config_key *key, const config *defaults)
{
    json_key(w, "const");
    config_value_write(w, key, defaults, CONFIG_VALUE_JSON);
}

static void schema_type(json_writer *w, const config_key *key)
{
    switch (key->type) {
    case KEY_TEXT:
        json_field_string(w, "type", "string");
        if (key->form) json_field_string(w, "pattern", address_form_pattern(key->form));
        break;
    case KEY_PATH: json_field_string(w, "type", "string"); break;
    case KEY_BOOL: json_field_string(w, "type", "boolean"); break;
    case KEY_CHOICE:
    case KEY_ENUM: schema_names(w, key); break;
    case KEY_U32:
    case KEY_U64: schema_bounds(w, key, true); break;
    case KEY_F32:
    case KEY_F64: schema_bounds(w, key, false); break;
    case KEY_DURATION: schema_unit(w, key, "^(0|[1-9][0-9]*)(ms|s|m|h)$"); break;
    case KEY_SIZE: schema_unit(w, key, "^(0|[1-9][0-9]*)([KMGT]i)?B$"); break;
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
    char *help = xprintf("%s (%s%s)", key->help, key->mark == 'P' ? "plan" : "deployment",
                         key->required ? ", required unless --data names the folder" : "");
    json_field_string(w, "description", help);
    free(help);
    if (key->later && !key->names) {
        schema_only(w, key, defaults);
    } else {
        schema_type(w, key);
    }
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
    size_t at = config_key_shared(name, before);
    schema_sections_end(w, config_key_dots(before, strlen(before)) - config_key_dots(name, at));
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
    schema_sections_end(&w, config_key_dots(before, strlen(before)));
    json_object_end(&w);
    json_object_end(&w);
    ASSERT(json_finish(&w) == ERR_OK);
    config_free(defaults);
    bytes_put_u8(&out, 0);
    return (char *)out.data; /* bytes_writer owns it with malloc: the caller frees it */
}
