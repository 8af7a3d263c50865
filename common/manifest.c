#include "common/manifest.h"

#include "common/files.h"
#include "common/hash.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"
#include "common/plan.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const order_names[] = {"unset", "time", "file", "none"};
static const char *const storage_names[] = {"f16", "int8"};

static void strings_fini(string_list *l)
{
    for (size_t i = 0; i < l->n; i++) free(l->items[i]);
    free(l->items);
    *l = (string_list){0};
}

static void attributes_free(manifest_attribute *a, uint32_t n)
{
    for (uint32_t i = 0; a != NULL && i < n; i++) {
        free(a[i].key);
        strings_fini(&a[i].values);
    }
    free(a);
}

void manifest_free(manifest *m)
{
    if (m == NULL) return;
    strings_fini(&m->types);
    free(m->node_base);
    free(m->user_base);
    for (uint32_t r = 0; m->relation != NULL && r < m->relations; r++) {
        free(m->relation[r].partition_edges);
        free(m->relation[r].partition_pair_weight);
    }
    free(m->relation);
    free(m->encoder);
    free(m->encoder_note);
    attributes_free(m->item_attribute, m->item_attributes);
    attributes_free(m->user_attribute, m->user_attributes);
    free(m->positives);
    free(m->valid_users);
    free(m->type_positives);
    free(m->partition_bytes);
    free(m->partition_hash);
    free(m->data_json);
    free(m);
}

/* Printing. */

static void put_strings(json_writer *w, const char *key, const string_list *l)
{
    json_key(w, key);
    json_array_begin(w);
    for (size_t i = 0; i < l->n; i++) json_str(w, l->items[i]);
    json_array_end(w);
}

static void put_u32s(json_writer *w, const char *key, const uint32_t *v, size_t n)
{
    json_key(w, key);
    json_array_begin(w);
    for (size_t i = 0; i < n; i++) json_u64(w, v[i]);
    json_array_end(w);
}

static void put_u64s(json_writer *w, const char *key, const uint64_t *v, size_t n)
{
    json_key(w, key);
    json_array_begin(w);
    for (size_t i = 0; i < n; i++) json_u64(w, v[i]);
    json_array_end(w);
}

static void put_hex(json_writer *w, const char *key, uint64_t v)
{
    json_key(w, key);
    json_hex64(w, v);
}

static void put_relations(json_writer *w, const manifest *m)
{
    json_key(w, "relations");
    json_array_begin(w);
    for (uint32_t r = 0; r < m->relations; r++) {
        const manifest_relation *rel = &m->relation[r];
        json_object_begin(w);
        json_field_u64(w, "source", rel->source);
        json_field_u64(w, "destination", rel->destination);
        json_field_u64(w, "edges", rel->edges);
        put_u64s(w, "partition_edges", rel->partition_edges, m->partitions);
        put_u64s(w, "partition_pair_weight", rel->partition_pair_weight, m->partitions);
        json_object_end(w);
    }
    json_array_end(w);
}

static void put_attributes(json_writer *w, const char *key, const manifest_attribute *a, uint32_t n)
{
    json_key(w, key);
    json_array_begin(w);
    for (uint32_t i = 0; i < n; i++) {
        json_object_begin(w);
        json_field_string(w, "key", a[i].key);
        put_strings(w, "values", &a[i].values);
        json_object_end(w);
    }
    json_array_end(w);
}

static void put_features(json_writer *w, const manifest *m)
{
    json_field_string(w, "encoder", m->encoder);
    json_field_string(w, "encoder_note", m->encoder_note);
    json_field_u64(w, "text_dim", m->text_dim);
    json_field_u64(w, "text_blocks", m->text_blocks);
    json_field_string(w, "storage", storage_names[m->storage]);
    put_attributes(w, "item_attributes", m->item_attribute, m->item_attributes);
    put_attributes(w, "user_attributes", m->user_attribute, m->user_attributes);
    json_field_u64(w, "user_vector_dim", m->user_vector_dim);
}

static void put_partition_hashes(json_writer *w, const manifest *m)
{
    json_key(w, "partition_hash");
    json_array_begin(w);
    for (uint32_t p = 0; p < m->partitions; p++) json_hex64(w, m->partition_hash[p]);
    json_array_end(w);
}

static void put_manifest(json_writer *w, const manifest *m)
{
    json_object_begin(w);
    json_field_u64(w, "format", MANIFEST_FORMAT);
    put_hex(w, "prepare_hash", m->prepare_hash);
    put_hex(w, "content_hash", m->content_hash);
    put_hex(w, "foundation_id", m->foundation_id);
    json_field_u64(w, "partitions", m->partitions);
    put_strings(w, "types", &m->types);
    json_field_u64(w, "items", m->items);
    json_field_u64(w, "users", m->users);
    put_u32s(w, "node_base", m->node_base, m->types.n * m->partitions + 1);
    put_u32s(w, "user_base", m->user_base, (size_t)m->partitions + 1);
    put_relations(w, m);
    put_features(w, m);
    json_key(w, "as_of");
    json_i64(w, m->as_of);
    json_field_string(w, "order", order_names[m->order]);
    put_u64s(w, "positives", m->positives, m->partitions);
    put_u32s(w, "valid_users", m->valid_users, m->partitions);
    put_u64s(w, "type_positives", m->type_positives, m->types.n);
    put_u64s(w, "partition_bytes", m->partition_bytes, m->partitions);
    put_partition_hashes(w, m);
    json_field_string(w, "data", m->data_json);
    json_object_end(w);
}

char *manifest_print(const manifest *m)
{
    bytes_writer out;
    json_writer w;

    bytes_writer_init(&out);
    json_init_bytes(&w, &out, JSON_STYLE_COMPACT);
    put_manifest(&w, m);
    err_code rc = json_finish(&w);
    ASSERT(rc == ERR_OK);
    char *text = xstrndup((const char *)out.data, out.len);
    bytes_writer_fini(&out);
    return text;
}

err_code manifest_write(const manifest *m, const char *folder)
{
    char *path = files_join(folder, "manifest.json");
    char *text = manifest_print(m);
    err_code rc = files_write_atomic(path, text, strlen(text), 0644);
    free(text);
    free(path);
    return rc;
}

/* Parsing: the first problem is kept and named. */

typedef struct manifest_reader {
    const char *where; /* file, or "manifest" */
    const char *wrong; /* NULL: nothing yet */
} manifest_reader;

static const json_t *get(manifest_reader *r, const json_t *object, const char *key, json_type type)
{
    const json_t *v = json_object_get(object, key);
    if (v == NULL || json_typeof(v) != type) {
        if (r->wrong == NULL) r->wrong = key;
        return NULL;
    }
    return v;
}

static uint64_t get_u64(manifest_reader *r, const json_t *object, const char *key, uint64_t max)
{
    const json_t *v = get(r, object, key, JSON_INTEGER);
    json_int_t n = v == NULL ? 0 : json_integer_value(v);
    if (n < 0 || (uint64_t)n > max) {
        if (r->wrong == NULL) r->wrong = key;
        return 0;
    }
    return (uint64_t)n;
}

static uint32_t get_u32(manifest_reader *r, const json_t *object, const char *key)
{
    return (uint32_t)get_u64(r, object, key, UINT32_MAX);
}

static char *get_text(manifest_reader *r, const json_t *object, const char *key)
{
    const json_t *v = get(r, object, key, JSON_STRING);
    return xstrdup(v == NULL ? "" : json_string_value(v));
}

static bool parse_hex(const char *s, uint64_t *out)
{
    char *end;
    if (strlen(s) != 16 || strspn(s, "0123456789abcdef") != 16) return false;
    errno = 0;
    *out = strtoull(s, &end, 16);
    return *end == 0 && errno == 0;
}

static uint64_t get_hex(manifest_reader *r, const json_t *object, const char *key)
{
    const json_t *v = get(r, object, key, JSON_STRING);
    uint64_t n = 0;
    if (v != NULL && !parse_hex(json_string_value(v), &n) && r->wrong == NULL) r->wrong = key;
    return n;
}

static uint32_t get_name(manifest_reader *r, const json_t *object, const char *key,
                         const char *const *names, uint32_t n)
{
    const json_t *v = get(r, object, key, JSON_STRING);
    for (uint32_t i = 0; v != NULL && i < n; i++) {
        if (strcmp(json_string_value(v), names[i]) == 0) return i;
    }
    if (r->wrong == NULL) r->wrong = key;
    return 0;
}

/* An array of exactly n integers. */
static uint64_t *get_u64s(manifest_reader *r, const json_t *object, const char *key, size_t n,
                          uint64_t max)
{
    const json_t *v = get(r, object, key, JSON_ARRAY);
    uint64_t *out = xcalloc(n + 1, sizeof *out);
    bool good = v != NULL && json_array_size(v) == n;

    for (size_t i = 0; good && i < n; i++) {
        const json_t *e = json_array_get(v, i);
        good = json_is_integer(e) && json_integer_value(e) >= 0 &&
               (uint64_t)json_integer_value(e) <= max;
        if (good) out[i] = (uint64_t)json_integer_value(e);
    }
    if (!good && r->wrong == NULL) r->wrong = key;
    return out;
}

static uint32_t *get_u32s(manifest_reader *r, const json_t *object, const char *key, size_t n)
{
    uint64_t *wide = get_u64s(r, object, key, n, UINT32_MAX);
    uint32_t *out = xcalloc(n + 1, sizeof *out);
    for (size_t i = 0; i < n; i++) out[i] = (uint32_t)wide[i];
    free(wide);
    return out;
}

/* The same, ascending from 0 to `last`. */
static uint32_t *get_bases(manifest_reader *r, const json_t *object, const char *key, size_t n,
                           uint32_t last)
{
    uint32_t *out = get_u32s(r, object, key, n);
    bool good = out[0] == 0 && out[n - 1] == last;
    for (size_t i = 1; i < n; i++) good = good && out[i] >= out[i - 1];
    if (!good && r->wrong == NULL) r->wrong = key;
    return out;
}

static uint64_t *get_hexes(manifest_reader *r, const json_t *object, const char *key, size_t n)
{
    const json_t *v = get(r, object, key, JSON_ARRAY);
    uint64_t *out = xcalloc(n + 1, sizeof *out);
    bool good = v != NULL && json_array_size(v) == n;

    for (size_t i = 0; good && i < n; i++) {
        const json_t *e = json_array_get(v, i);
        good = json_is_string(e) && parse_hex(json_string_value(e), &out[i]);
    }
    if (!good && r->wrong == NULL) r->wrong = key;
    return out;
}

static void get_strings(manifest_reader *r, const json_t *object, const char *key, string_list *out)
{
    const json_t *v = get(r, object, key, JSON_ARRAY);
    size_t n = v == NULL ? 0 : json_array_size(v);

    out->items = xcalloc(n + 1, sizeof *out->items);
    for (out->n = 0; out->n < n; out->n++) {
        const json_t *e = json_array_get(v, out->n);
        if (!json_is_string(e) && r->wrong == NULL) r->wrong = key;
        out->items[out->n] = xstrdup(json_is_string(e) ? json_string_value(e) : "");
    }
}

static void get_relation(manifest_reader *r, const json_t *v, const manifest *m,
                         manifest_relation *out)
{
    uint64_t edges = 0;

    out->source = get_u32(r, v, "source");
    out->destination = get_u32(r, v, "destination");
    out->edges = get_u64(r, v, "edges", INT64_MAX);
    out->partition_edges = get_u64s(r, v, "partition_edges", m->partitions, INT64_MAX >> 13);
    out->partition_pair_weight = get_u64s(r, v, "partition_pair_weight", m->partitions, INT64_MAX);
    for (uint32_t p = 0; p < m->partitions; p++) edges += out->partition_edges[p];
    bool good = out->source < m->types.n && out->destination < m->types.n && edges == out->edges;
    if (!good && r->wrong == NULL) r->wrong = "relations";
}

static void get_relations(manifest_reader *r, const json_t *root, manifest *m)
{
    const json_t *v = get(r, root, "relations", JSON_ARRAY);
    size_t n = v == NULL ? 0 : json_array_size(v);

    if (n > (size_t)CONFIG_TYPES_MAX * CONFIG_TYPES_MAX) {
        r->wrong = "relations";
        return;
    }
    m->relation = xcalloc(n + 1, sizeof *m->relation);
    m->relations = (uint32_t)n;
    for (size_t i = 0; i < n && r->wrong == NULL; i++)
        get_relation(r, json_array_get(v, i), m, &m->relation[i]);
}

static manifest_attribute *get_attributes(manifest_reader *r, const json_t *root, const char *key,
                                          uint32_t *out_n)
{
    const json_t *v = get(r, root, key, JSON_ARRAY);
    size_t n = v == NULL ? 0 : json_array_size(v);
    manifest_attribute *out = xcalloc(n + 1, sizeof *out);

    for (size_t i = 0; i < n; i++) {
        out[i].key = get_text(r, json_array_get(v, i), "key");
        get_strings(r, json_array_get(v, i), "values", &out[i].values);
    }
    *out_n = (uint32_t)n;
    return out;
}

static void get_features(manifest_reader *r, const json_t *root, manifest *m)
{
    m->encoder = get_text(r, root, "encoder");
    m->encoder_note = get_text(r, root, "encoder_note");
    m->text_dim = get_u32(r, root, "text_dim");
    m->text_blocks = get_u32(r, root, "text_blocks");
    m->storage = (storage_kind)get_name(r, root, "storage", storage_names, 2);
    m->item_attribute = get_attributes(r, root, "item_attributes", &m->item_attributes);
    m->user_attribute = get_attributes(r, root, "user_attributes", &m->user_attributes);
    m->user_vector_dim = get_u32(r, root, "user_vector_dim");
}

/* The sizes that bound every array; false: too wrong to go on.  Partitions that node_base does not
 * list are not believed: nothing is allocated for them. */
static bool get_sizes(manifest_reader *r, const json_t *root, manifest *m)
{
    if (get_u32(r, root, "format") != MANIFEST_FORMAT && r->wrong == NULL) r->wrong = "format";
    m->partitions = (uint32_t)get_u64(r, root, "partitions", MANIFEST_PARTITIONS_MAX);
    get_strings(r, root, "types", &m->types);
    if (r->wrong == NULL && m->partitions == 0) r->wrong = "partitions";
    if (r->wrong == NULL && (m->types.n == 0 || m->types.n > CONFIG_TYPES_MAX)) r->wrong = "types";
    size_t bases = json_array_size(json_object_get(root, "node_base"));
    if (r->wrong == NULL && bases != m->types.n * m->partitions + 1) r->wrong = "node_base";
    return r->wrong == NULL;
}

static void get_manifest(manifest_reader *r, const json_t *root, manifest *m)
{
    m->prepare_hash = get_hex(r, root, "prepare_hash");
    m->content_hash = get_hex(r, root, "content_hash");
    m->foundation_id = get_hex(r, root, "foundation_id");
    m->items = get_u32(r, root, "items");
    m->users = get_u32(r, root, "users");
    m->node_base = get_bases(r, root, "node_base", m->types.n * m->partitions + 1, m->items);
    m->user_base = get_bases(r, root, "user_base", (size_t)m->partitions + 1, m->users);
    get_relations(r, root, m);
    get_features(r, root, m);
    const json_t *as_of = get(r, root, "as_of", JSON_INTEGER);
    m->as_of = as_of == NULL ? 0 : json_integer_value(as_of);
    m->order = (order_kind)get_name(r, root, "order", order_names, 4);
    m->positives = get_u64s(r, root, "positives", m->partitions, INT64_MAX >> 13);
    m->valid_users = get_u32s(r, root, "valid_users", m->partitions);
    m->type_positives = get_u64s(r, root, "type_positives", m->types.n, INT64_MAX);
    m->partition_bytes = get_u64s(r, root, "partition_bytes", m->partitions, INT64_MAX);
    m->partition_hash = get_hexes(r, root, "partition_hash", m->partitions);
    m->data_json = get_text(r, root, "data");
    for (uint32_t p = 0; p < m->partitions && r->wrong == NULL; p++) {
        if (m->valid_users[p] > m->user_base[p + 1] - m->user_base[p]) r->wrong = "valid_users";
    }
}

static err_code parse(const char *where, const char *text, manifest **out)
{
    manifest_reader r = {.where = where};
    json_error_t error;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    manifest *m = NULL;

    *out = NULL;
    if (root == NULL) {
        log_user_error("%s:%d:%d: %s", where, error.line, error.column, error.text);
        return ERR_CORRUPT;
    }
    m = xcalloc(1, sizeof *m);
    if (get_sizes(&r, root, m)) get_manifest(&r, root, m);
    json_decref(root);
    if (r.wrong != NULL) {
        log_user_error("%s: manifest: missing or malformed \"%s\"", where, r.wrong);
        manifest_free(m);
        return ERR_CORRUPT;
    }
    *out = m;
    return ERR_OK;
}

err_code manifest_parse(const char *text, manifest **out)
{
    return parse("manifest", text, out);
}

err_code manifest_load(const char *folder, manifest **out)
{
    char *path = files_join(folder, "manifest.json"), *text = NULL;
    size_t bytes;
    err_code rc = files_read(path, MANIFEST_FILE_BYTES_MAX, &text, &bytes);

    *out = NULL;
    if (rc == ERR_OK) rc = parse(path, text, out);
    free(text);
    free(path);
    return rc;
}

err_code manifest_target_types(const manifest *m, const config *c, bool *target)
{
    const string_list *names = &c->two_tower.targets;
    err_code rc = config_check_types(c, &m->types);
    for (size_t t = 0; t < m->types.n; t++) {
        target[t] = names->n == 0;
        for (size_t i = 0; i < names->n; i++)
            target[t] = target[t] || strcmp(m->types.items[t], names->items[i]) == 0;
    }
    return rc;
}

err_code manifest_check_config(const manifest *m, const config *c)
{
    err_code rc = config_check_types(c, &m->types);
    if (rc != ERR_OK || c->history.window_days == 0 || m->order == ORDER_TIME) return rc;
    config_error(c, "history.window_days", "needs times, but data.order is %s",
                 order_names[m->order]);
    return ERR_INVALID;
}

static bool positives_fit(const manifest *m, const char *data, size_t bytes)
{
    manifest_positives_header h;
    size_t counts = (size_t)m->users * m->types.n * sizeof(uint32_t);

    if (bytes != sizeof h + counts) return false;
    memcpy(&h, data, sizeof h);
    return h.magic == MANIFEST_POSITIVES_MAGIC && h.version == 1 && h.users == m->users &&
           h.types == m->types.n && h.hash == hash64(data + sizeof h, counts, 0);
}

static void count_partition(manifest *m, uint32_t partition, const char *counts, uint64_t cap,
                            const bool *target)
{
    m->positives[partition] = 0;
    for (uint32_t u = m->user_base[partition]; u < m->user_base[partition + 1]; u++) {
        uint64_t n = 0;
        for (size_t t = 0; t < m->types.n; t++) {
            uint32_t count;
            memcpy(&count, counts + (u * m->types.n + t) * sizeof count, sizeof count);
            if (target[t]) n += count;
        }
        m->positives[partition] += cap > 0 && n > cap ? cap : n;
    }
}

err_code manifest_count_positives(const char *folder, const config *c, manifest *m)
{
    bool target[CONFIG_TYPES_MAX];
    char *path = files_join(folder, "positives"), *data = NULL;
    size_t bytes = 0;
    err_code rc = manifest_target_types(m, c, target);

    if (rc == ERR_OK) rc = files_read(path, SIZE_MAX >> 1, &data, &bytes);
    if (rc == ERR_OK && !positives_fit(m, data, bytes)) {
        log_user_error("%s: does not fit the manifest or its checksum", path);
        rc = ERR_CORRUPT;
    }
    for (uint32_t p = 0; rc == ERR_OK && p < m->partitions; p++) {
        count_partition(m, p, data + sizeof(manifest_positives_header),
                        c->two_tower.positives_per_user, target);
    }
    free(data);
    free(path);
    return rc;
}

/* The range that `value` is in: base[i] <= value < base[i + 1]. */
static uint32_t find_range(const uint32_t *base, uint32_t n, uint32_t value)
{
    uint32_t low = 0, high = n;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (base[middle] <= value) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

uint32_t manifest_type_of(const manifest *m, uint32_t node)
{
    ASSERT(node < m->items);
    return find_range(m->node_base, (uint32_t)m->types.n * m->partitions, node) / m->partitions;
}

uint32_t manifest_partition_of(const manifest *m, uint32_t node)
{
    ASSERT(node < m->items);
    return find_range(m->node_base, (uint32_t)m->types.n * m->partitions, node) % m->partitions;
}

uint32_t manifest_user_partition(const manifest *m, uint32_t user)
{
    ASSERT(user < m->users);
    return find_range(m->user_base, m->partitions, user);
}

uint64_t manifest_plan_hash(const manifest *m, const config *c)
{
    char *keys = config_plan_json(c);
    uint64_t words[3] = {hash64_string(keys, 0), m->content_hash, PLAN_VERSION};
    free(keys);
    return hash64(words, sizeof words, 0);
}
