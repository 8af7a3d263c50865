#include "sampler/prepare_manifest.h"

#include "common/hash.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/panic.h"

#include <stdlib.h>
#include <string.h>

static const char *order_name(order_kind order)
{
    return order == ORDER_TIME ? "time" : order == ORDER_FILE ? "file" : "none";
}

static void put_counts(json_writer *w, const catalog *c)
{
    json_key(w, "items");
    json_object_begin(w);
    for (uint32_t t = 0; t < c->types_n; t++) json_field_u64(w, c->types[t], c->type_items[t]);
    json_object_end(w);
    json_field_u64(w, "users", c->users_n);
    json_key(w, "events");
    json_object_begin(w);
    for (uint32_t k = 0; k < c->kinds_n; k++) {
        json_field_u64(w, c->kinds[k].name, c->kinds[k].events);
    }
    json_object_end(w);
    json_field_u64(w, "pairs", c->pairs);
    json_field_string(w, "order", order_name(c->order));
    json_field_u64(w, "unknown_items", c->unknown_items);
    json_field_u64(w, "bad_rows", c->bad_rows);
    json_field_u64(w, "duplicates", c->duplicates);
}

static void put_split(json_writer *w, const split *s)
{
    json_key(w, "split");
    json_object_begin(w);
    json_field_string(w, "method", split_method_name(s->method));
    for (int part = SPLIT_TRAIN; part < SPLIT_PARTS; part++) {
        json_field_u64(w, split_part_name(part), s->events[part]);
    }
    json_object_end(w);
}

static void put_relations(json_writer *w, const manifest *m)
{
    json_key(w, "relations");
    json_array_begin(w);
    for (uint32_t r = 0; r < m->relations; r++) {
        json_object_begin(w);
        json_field_string(w, "source", m->types.items[m->relation[r].source]);
        json_field_string(w, "destination", m->types.items[m->relation[r].destination]);
        json_field_u64(w, "edges", m->relation[r].edges);
        json_object_end(w);
    }
    json_array_end(w);
}

/* report.json's "data" object. */
static char *data_json(const store_source *s, const manifest *m)
{
    bytes_writer out;
    json_writer w;

    bytes_writer_init(&out);
    json_init_bytes(&w, &out, JSON_STYLE_SPACED);
    json_object_begin(&w);
    put_counts(&w, s->data);
    put_split(&w, s->parts);
    put_relations(&w, m);
    json_key(&w, "warnings");
    json_array_begin(&w);
    for (size_t i = 0; i < s->data->warnings.n; i++) json_str(&w, s->data->warnings.items[i]);
    json_array_end(&w);
    json_object_end(&w);
    err_code rc = json_finish(&w);
    ASSERT(rc == ERR_OK);
    char *text = xstrndup((const char *)out.data, out.len);
    bytes_writer_fini(&out);
    return text;
}

static void *copy(const void *from, size_t n, size_t size)
{
    void *to = xcalloc(n + 1, size);
    if (n > 0) memcpy(to, from, n * size);
    return to;
}

static void add_types(manifest *m, const catalog *c)
{
    m->types.n = c->types_n;
    m->types.items = xcalloc((size_t)c->types_n + 1, sizeof *m->types.items);
    for (uint32_t t = 0; t < c->types_n; t++) m->types.items[t] = xstrdup(c->types[t]);
}

static void add_relations(manifest *m, const store_source *s, const store_written *written)
{
    m->relations = s->relations;
    m->relation = xcalloc((size_t)s->relations + 1, sizeof *m->relation);
    for (uint32_t r = 0; r < s->relations; r++) {
        manifest_relation *rel = &m->relation[r];
        rel->source = s->relation[r][0];
        rel->destination = s->relation[r][1];
        rel->partition_edges = xcalloc(s->partitions, sizeof *rel->partition_edges);
        rel->partition_pair_weight = xcalloc(s->partitions, sizeof *rel->partition_pair_weight);
        for (uint32_t p = 0; p < s->partitions; p++) {
            rel->partition_edges[p] = written[p].edges[r];
            rel->partition_pair_weight[p] = written[p].pair_weight[r];
            rel->edges += written[p].edges[r];
        }
    }
}

static manifest_attribute *attributes(const catalog_attribute *a, size_t n)
{
    manifest_attribute *out = xcalloc(n + 1, sizeof *out);

    for (size_t i = 0; i < n; i++) {
        uint32_t values = string_pool_count(a[i].values);
        out[i].key = xstrdup(a[i].key);
        out[i].values.items = xcalloc((size_t)values + 1, sizeof *out[i].values.items);
        for (uint32_t v = 1; v < values; v++) {
            out[i].values.items[out[i].values.n++] = xstrdup(string_pool_get(a[i].values, v));
        }
    }
    return out;
}

static void add_features(manifest *m, const store_source *s)
{
    const catalog *c = s->data;

    m->encoder = xstrdup(s->text->encoder);
    m->encoder_note = xstrdup(s->text->note);
    m->text_dim = s->text->dim;
    m->text_blocks = 1;
    m->storage = s->text->storage;
    m->item_attribute = attributes(c->item_attributes, c->item_attributes_n);
    m->item_attributes = (uint32_t)c->item_attributes_n;
    m->user_attribute = attributes(c->user_attributes, c->user_attributes_n);
    m->user_attributes = (uint32_t)c->user_attributes_n;
    m->user_vector_dim = c->user_vector_d;
}

static void add_positives(manifest *m, const store_source *s)
{
    m->positives = xcalloc(s->partitions, sizeof *m->positives);
    m->type_positives = xcalloc((size_t)s->data->types_n + 1, sizeof *m->type_positives);
    for (uint32_t i = 0; i < s->data->items_n; i++) {
        m->type_positives[s->data->item_type[i]] += s->train_positives[i];
    }
}

/* Ids: of the contents alone, so that they are the same wherever the store was built. */
static void add_ids(manifest *m, const store_source *s, const manifest_facts *f)
{
    hash_stream *content = hash_stream_new(0), *foundation = hash_stream_new(1);

    for (uint32_t p = 0; p < m->partitions; p++) {
        hash_stream_add(content, &f->written[p].content, sizeof f->written[p].content);
        hash_stream_add(foundation, &f->written[p].foundation, sizeof f->written[p].foundation);
    }
    char *text = manifest_print(m); /* partition_bytes and _hash are still 0 */
    hash_stream_add(content, text, strlen(text));
    hash_stream_add(content, &f->dataset_hash, sizeof f->dataset_hash);
    hash_stream_add(content, &f->positives_hash, sizeof f->positives_hash);
    free(text);
    for (size_t t = 0; t < m->types.n; t++) {
        hash_stream_add(foundation, m->types.items[t], strlen(m->types.items[t]) + 1);
    }
    hash_stream_add(foundation, m->node_base,
                    (m->types.n * m->partitions + 1) * sizeof *m->node_base);
    hash_stream_add(foundation, &s->text->encoder_id, sizeof s->text->encoder_id);
    m->content_hash = hash_stream_digest(content);
    m->foundation_id = hash_stream_digest(foundation);
    hash_stream_free(content);
    hash_stream_free(foundation);
}

manifest *prepare_manifest_new(const store_source *s, const manifest_facts *f)
{
    manifest *m = xcalloc(1, sizeof *m);

    m->partitions = s->partitions;
    m->items = s->data->items_n;
    m->users = s->data->users_n;
    add_types(m, s->data);
    m->node_base =
        copy(s->node_base, (size_t)s->data->types_n * s->partitions + 1, sizeof *m->node_base);
    m->user_base = copy(s->user_base, (size_t)s->partitions + 1, sizeof *m->user_base);
    add_relations(m, s, f->written);
    add_features(m, s);
    m->as_of = f->as_of;
    m->order = s->data->order;
    add_positives(m, s);
    m->valid_users = copy(f->valid_users, s->partitions, sizeof *m->valid_users);
    m->partition_bytes = xcalloc(s->partitions, sizeof *m->partition_bytes);
    m->partition_hash = xcalloc(s->partitions, sizeof *m->partition_hash);
    m->data_json = data_json(s, m);
    add_ids(m, s, f);
    m->prepare_hash = f->prepare_hash;
    for (uint32_t p = 0; p < s->partitions; p++) {
        m->partition_bytes[p] = f->written[p].bytes;
        m->partition_hash[p] = f->written[p].file_hash;
    }
    return m;
}
