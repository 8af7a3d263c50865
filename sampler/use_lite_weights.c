#include "sampler/use_lite_weights.h"

#include "common/files.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/mem.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    JSON_BYTES_MAX = 16 << 20,
    SHARD_BYTES_MAX = 64 << 20,
    WEIGHTS_MAX = 16 << 20,
    TENSOR_NAME_MAX = 256
};

#define APPLY    "module_apply_default/Encoder_en/KonaTransformer/Encode/"
#define VARIABLE "module/Encoder_en/KonaTransformer/Encode/"
#define WHOLE    "/ConcatPartitions/concat"

/* Where a tensor of the file goes.  A %d in the name is the layer. */
typedef struct tensor_place {
    const char *name;
    size_t field;     /* offset in use_lite_weights or use_lite_layer */
    size_t values[2]; /* of layer 0 and 1; shared tensors use the first */
} tensor_place;

#define OF(f) offsetof(use_lite_weights, f)
#define IN(f) offsetof(use_lite_layer, f)

static const tensor_place SHARED_PLACES[] = {
    {"module/Embeddings_en", OF(embedding), {8002 * 256}},
    {APPLY "TransformerStack/Layer_0/AddTimingSignal/TimingSignal/ExpandDims_1",
     OF(frequency),
     {128}},
    {APPLY "Layer_0/TransformerLayer/dense/kernel" WHOLE, OF(dense_w), {256 * 512}},
    {APPLY "Layer_0/TransformerLayer/dense/bias" WHOLE, OF(dense_b), {512}},
    {"module/Encoder_en/hidden_layers/tanh_layer_0/weights", OF(head_w), {512 * 512}},
    {"module/Encoder_en/hidden_layers/tanh_layer_0/bias", OF(head_b), {512}},
};

#define NORM      "layer_prepostprocess/layer_norm/layer_norm_"
#define ATTENTION "Layer_%d/TransformerLayer/MultiheadAttention/"
#define FFN       "Layer_%d/TransformerLayer/FFN/"

static const tensor_place LAYER_PLACES[] = {
    {APPLY "Layer_%d/TransformerLayer/" NORM "scale" WHOLE, IN(norm_scale), {256, 512}},
    {APPLY "Layer_%d/TransformerLayer/" NORM "bias" WHOLE, IN(norm_bias), {256, 512}},
    {VARIABLE ATTENTION "qkv_transform_single/kernel/part_0", IN(qkv_w), {256 * 768, 512 * 1536}},
    {APPLY ATTENTION "qkv_transform_single/bias" WHOLE, IN(qkv_b), {768, 1536}},
    {VARIABLE ATTENTION "output_transform_single/kernel/part_0", IN(out_w), {256 * 512, 512 * 512}},
    {APPLY ATTENTION "output_transform_single/bias" WHOLE, IN(out_b), {512, 512}},
    {APPLY FFN NORM "scale" WHOLE, IN(ffn_scale), {512, 512}},
    {APPLY FFN NORM "bias" WHOLE, IN(ffn_bias), {512, 512}},
    {APPLY "TransformerStack/" FFN "conv1/Tensordot/Reshape_1", IN(w1), {512 * 1536, 512 * 1536}},
    {APPLY FFN "conv1/bias" WHOLE, IN(b1), {1536, 1536}},
    {APPLY "TransformerStack/" FFN "conv2/Tensordot/Reshape_1", IN(w2), {1536 * 512, 1536 * 512}},
    {APPLY FFN "conv2/bias" WHOLE, IN(b2), {512, 512}},
};

enum {
    SHARED_COUNT = sizeof SHARED_PLACES / sizeof *SHARED_PLACES,
    LAYER_COUNT = sizeof LAYER_PLACES / sizeof *LAYER_PLACES,
};

/* The shards back to back, and how far they are read. */
typedef struct weight_file {
    const char *folder;
    float *data;
    size_t values; /* in data */
    const json_t *group;
} weight_file;

static err_code read_shard(weight_file *f, const char *name)
{
    char *path = files_join(f->folder, name), *bytes = NULL;
    size_t n = 0;
    err_code rc = ERR_CORRUPT;
    if (strchr(name, '/') || strcmp(name, "..") == 0) {
        log_user_error("%s: model.json names a shard outside the folder: %s", f->folder, name);
        goto done;
    }
    rc = files_read(path, SHARD_BYTES_MAX, &bytes, &n);
    if (rc != ERR_OK) goto done;
    if (n % sizeof(float) || f->values + n / sizeof(float) > WEIGHTS_MAX) {
        log_user_error("%s: %zu bytes are no shard of USE Lite", path, n);
        rc = ERR_CORRUPT;
        goto done;
    }
    f->data = xrealloc(f->data, f->values + n / sizeof(float) + 1, sizeof(float));
    memcpy(f->data + f->values, bytes, n);
    f->values += n / sizeof(float);
done:
    free(bytes);
    free(path);
    return rc;
}

static err_code read_shards(weight_file *f)
{
    const json_t *paths = json_object_get(f->group, "paths");
    for (size_t i = 0; i < json_array_size(paths); i++) {
        const char *name = json_string_value(json_array_get(paths, i));
        err_code rc = name ? read_shard(f, name) : ERR_CORRUPT;
        if (rc != ERR_OK) return rc;
    }
    return ERR_OK;
}

/* Every tensor takes 4 bytes a value, the int32 ones too. */
static size_t tensor_values(const json_t *tensor)
{
    const json_t *shape = json_object_get(tensor, "shape");
    size_t n = 1;
    for (size_t i = 0; i < json_array_size(shape); i++) {
        json_int_t d = json_integer_value(json_array_get(shape, i));
        if (d < 0 || d > WEIGHTS_MAX || (d > 0 && n > (size_t)(WEIGHTS_MAX / d))) return SIZE_MAX;
        n *= (size_t)d;
    }
    return n;
}

/* The tensor's first value; NULL (printed) if it is missing, of another size or outside the data.
 */
static const float *find_tensor(const weight_file *f, const char *name, size_t values)
{
    const json_t *tensors = json_object_get(f->group, "weights");
    size_t offset = 0;
    for (size_t i = 0; i < json_array_size(tensors); i++) {
        const json_t *t = json_array_get(tensors, i);
        const char *found = json_string_value(json_object_get(t, "name"));
        size_t n = tensor_values(t);
        if (!found || n > f->values - offset) break;
        if (strcmp(found, name) == 0 && n == values) return f->data + offset;
        offset += n;
    }
    log_user_error("%s/model.json: no tensor %s of %zu values: not USE Lite, or damaged", f->folder,
                   name, values);
    return NULL;
}

static bool place(const weight_file *f, const tensor_place *p, int layer, void *base)
{
    char name[TENSOR_NAME_MAX];
    const char *percent = strstr(p->name, "%d");
    if (percent) {
        snprintf(name, sizeof name, "%.*s%d%s", (int)(percent - p->name), p->name, layer,
                 percent + 2);
    } else {
        snprintf(name, sizeof name, "%s", p->name);
    }
    const float *values = find_tensor(f, name, p->values[layer]);
    memcpy((char *)base + p->field, &values, sizeof values);
    return values != NULL;
}

static bool place_all(const weight_file *f, use_lite_weights *w)
{
    for (size_t i = 0; i < SHARED_COUNT; i++) {
        if (!place(f, &SHARED_PLACES[i], 0, w)) return false;
    }
    for (int k = 0; k < USE_LITE_LAYERS; k++) {
        for (size_t i = 0; i < LAYER_COUNT; i++) {
            if (!place(f, &LAYER_PLACES[i], k, &w->layer[k])) return false;
        }
    }
    return true;
}

static err_code parse_manifest(const char *path, const char *text, size_t bytes, json_t **out)
{
    json_error_t error;
    *out = json_loadb(text, bytes, 0, &error);
    if (!*out) {
        log_user_error("%s:%d:%d: %s", path, error.line, error.column, error.text);
        return ERR_CORRUPT;
    }
    if (json_array_size(json_object_get(*out, "weightsManifest")) == 1) return ERR_OK;
    log_user_error("%s: no weightsManifest of one group: not USE Lite", path);
    return ERR_CORRUPT;
}

err_code use_lite_weights_load(const char *folder, use_lite_weights *out)
{
    char *path = files_join(folder, "model.json"), *text = NULL;
    size_t bytes;
    json_t *root = NULL;
    weight_file f = {.folder = folder};
    memset(out, 0, sizeof *out);
    err_code rc = files_read(path, JSON_BYTES_MAX, &text, &bytes);
    if (rc == ERR_OK) rc = parse_manifest(path, text, bytes, &root);
    if (rc != ERR_OK) goto done;
    f.group = json_array_get(json_object_get(root, "weightsManifest"), 0);
    rc = read_shards(&f);
    if (rc == ERR_OK && !place_all(&f, out)) rc = ERR_CORRUPT;
done:
    if (rc == ERR_OK) {
        out->data = f.data;
        out->hash = hash64(f.data, f.values * sizeof(float), 0);
    } else {
        memset(out, 0, sizeof *out);
        free(f.data);
    }
    json_decref(root);
    free(text);
    free(path);
    return rc;
}

void use_lite_weights_fini(use_lite_weights *w)
{
    free(w->data);
    memset(w, 0, sizeof *w);
}
