#include "deploy/export_model.h"

#include "common/json.h"
#include "common/mem.h"
#include "common/safetensors.h"

#include <inttypes.h>
#include <stdlib.h>

static void add_spec(safetensors_writer *w, const model_spec *s, const float *values)
{
    for (size_t i = 0; values && i < s->tensors; i++) {
        const model_tensor *t = &s->tensor[i];
        const uint64_t shape[2] = {t->rows, t->cols}, length[1] = {t->n};
        safetensors_add(w, t->name, t->rank == 1 ? length : shape, t->rank, values + t->offset);
    }
}

static void add_matrix(safetensors_writer *w, const char *name, uint64_t rows, uint64_t cols,
                       const float *values)
{
    const uint64_t shape[2] = {rows, cols};
    if (values) safetensors_add(w, name, shape, 2, values);
}

static void add_hex(safetensors_writer *w, const char *key, uint64_t v)
{
    char text[17];
    snprintf(text, sizeof text, "%016" PRIx64, v);
    safetensors_add_metadata(w, key, text);
}

/* Ends the JSON text and adds it under `key`. */
static void add_json(safetensors_writer *w, const char *key, json_writer *json, bytes_writer *text)
{
    err_code rc = json_finish(json);
    (void)rc; /* Into memory: cannot fail. */
    bytes_put_u8(text, 0);
    safetensors_add_metadata(w, key, (const char *)text->data);
    bytes_writer_fini(text);
}

static void put_list(json_writer *json, const string_list *l)
{
    json_array_begin(json);
    for (size_t i = 0; i < l->n; i++) json_str(json, l->items[i]);
    json_array_end(json);
}

static void add_types(safetensors_writer *w, const manifest *m)
{
    bytes_writer text;
    json_writer json;
    bytes_writer_init(&text);
    json_init_bytes(&json, &text, JSON_STYLE_SPACED);
    put_list(&json, &m->types);
    add_json(w, "types", &json, &text);
}

/* [["source", "destination"], ...] */
static void add_relations(safetensors_writer *w, const manifest *m)
{
    bytes_writer text;
    json_writer json;
    bytes_writer_init(&text);
    json_init_bytes(&json, &text, JSON_STYLE_SPACED);
    json_array_begin(&json);
    for (uint32_t r = 0; r < m->relations; r++) {
        json_array_begin(&json);
        json_str(&json, m->types.items[m->relation[r].source]);
        json_str(&json, m->types.items[m->relation[r].destination]);
        json_array_end(&json);
    }
    json_array_end(&json);
    add_json(w, "relations", &json, &text);
}

static void put_attributes(json_writer *json, const char *side, const manifest_attribute *a,
                           uint32_t n)
{
    json_key(json, side);
    json_object_begin(json);
    for (uint32_t i = 0; i < n; i++) {
        json_key(json, a[i].key);
        put_list(json, &a[i].values);
    }
    json_object_end(json);
}

static void add_attributes(safetensors_writer *w, const manifest *m)
{
    bytes_writer text;
    json_writer json;
    bytes_writer_init(&text);
    json_init_bytes(&json, &text, JSON_STYLE_SPACED);
    json_object_begin(&json);
    put_attributes(&json, "user", m->user_attribute, m->user_attributes);
    put_attributes(&json, "item", m->item_attribute, m->item_attributes);
    json_object_end(&json);
    add_json(w, "attributes", &json, &text);
}

static void add_metadata(safetensors_writer *w, const export_input *in)
{
    const manifest *m = in->job->manifest;
    char *keys = config_print(in->job->config, CONFIG_PLAN_ONLY);
    safetensors_add_metadata(w, "format", EXPORT_MODEL_FORMAT);
    safetensors_add_metadata(w, "config", keys);
    safetensors_add_metadata(w, "encoder", m->encoder);
    safetensors_add_metadata(w, "numerics", in->numerics);
    add_types(w, m);
    add_relations(w, m);
    add_attributes(w, m);
    add_hex(w, "foundation_id", m->foundation_id);
    add_hex(w, "z_id", in->z_id);
    add_hex(w, "plan_hash", in->job->plan_hash);
    free(keys);
}

/* What the towers read besides weights, so that they can be run from the file alone: f16 texts, and
 * how many users have an item in train. */
static err_code add_inputs(safetensors_writer *w, const export_input *in, float **positives)
{
    const dataset *d = in->data;
    const model_spec *s = in->job->two_tower;
    const uint64_t texts[2] = {d->items, d->text_dim}, items[1] = {d->items};
    if (d->text_dim && (s->skip_text || s->item_text || !s->use_z)) {
        safetensors_add_f16(w, "text.vectors", texts, 2, d->text);
    }
    *positives = try_malloc((size_t)d->items + 1, sizeof **positives);
    if (!*positives) return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < d->items; i++) (*positives)[i] = (float)d->train_positives[i];
    safetensors_add(w, "two_tower.positives", items, 1, *positives);
    return ERR_OK;
}

err_code export_model_write(const export_input *in, const char *path)
{
    const dataset *d = in->data;
    const uint64_t mean[1] = {d->text_dim};
    safetensors_writer *w = safetensors_writer_new();
    add_metadata(w, in);
    add_spec(w, in->job->hgnn, in->hgnn);
    add_spec(w, in->job->two_tower, in->two_tower);
    add_matrix(w, "two_tower.item_id", d->items, in->job->config->two_tower.item_id, in->item_id);
    if (d->text_dim) safetensors_add(w, "text.mean", mean, 1, d->text_mean);
    float *positives = NULL;
    err_code rc = add_inputs(w, in, &positives);
    if (rc == ERR_OK) rc = safetensors_write(w, path);
    safetensors_writer_free(w);
    free(positives);
    return rc;
}
