/* The part of outlook.h that reads the input files. */
#include "common/files.h"
#include "common/log.h"
#include "common/mem.h"
#include "deploy/outlook.h"
#include "deploy/pair_sample.h"
#include "sampler/encoder.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SAMPLE_ITEMS = 400 }; /* of each type: their neighbours are counted */
enum { SERVER_DIM_ASSUMED = 1024 };

typedef struct reading {
    const config *c;
    catalog *data;
    split *parts;
    graph_lists lists;
    outlook *out;
    uint32_t *train_positives; /* [items] */
} reading;

/* --- What the graph will be ---------------------------------------------------------------------
 */

typedef struct degrees {
    const catalog *data;
    const config *config;
    double *sum; /* [destination * types + source] neighbours kept */
    uint32_t sampled[CONFIG_TYPES_MAX];
    double neighbours[CONFIG_TYPES_MAX]; /* all of them */
} degrees;

/* Counts of one item: neighbours with min_users, at most max_degree of each type. */
static void add_degrees(void *context, uint32_t item, const uint32_t *neighbour, size_t n,
                        const uint32_t *count)
{
    degrees *d = context;
    const catalog *c = d->data;
    uint32_t kept[CONFIG_TYPES_MAX] = {0}, to = c->item_type[item];
    d->sampled[to]++;
    d->neighbours[to] += (double)n;
    for (size_t i = 0; i < n; i++)
        kept[c->item_type[neighbour[i]]] += count[neighbour[i]] >= d->config->graph.min_users;
    for (uint32_t t = 0; t < c->types_n; t++) {
        uint32_t most = d->config->graph.max_degree;
        d->sum[to * c->types_n + t] += kept[t] < most ? kept[t] : most;
    }
}

/* degree[destination * types + source]: the mean. */
static err_code count_degrees(reading *r, double *degree)
{
    degrees d = {.data = r->data, .config = r->c, .sum = degree};
    uint32_t types = r->data->types_n;
    item_users users;
    err_code rc = item_users_make(&r->lists, &users);
    if (rc != ERR_OK) return rc;
    rc = pair_sample_run(pair_items_of(r->data), &r->lists, &users, r->c->seed, SAMPLE_ITEMS,
                         add_degrees, &d);
    for (uint32_t i = 0; i < types * types; i++)
        degree[i] /= d.sampled[i / types] ? d.sampled[i / types] : 1;
    for (uint32_t t = 0; t < types; t++) {
        double items = r->data->type_items[t], sampled = d.sampled[t] ? d.sampled[t] : 1;
        r->out->neighbours += d.neighbours[t] / sampled * items;
    }
    item_users_fini(&users);
    return rc;
}

static bool is_allowed(const reading *r, uint32_t source, uint32_t destination)
{
    if (r->c->graph.relations_all) return true;
    for (size_t i = 0; i < r->c->graph.relations_n; i++) {
        if (strcmp(r->c->graph.relations[i].source, r->data->types[source]) == 0 &&
            strcmp(r->c->graph.relations[i].destination, r->data->types[destination]) == 0) {
            return true;
        }
    }
    return false;
}

static err_code add_relations(reading *r, manifest *m)
{
    uint32_t types = r->data->types_n;
    double *degree = xcalloc((size_t)types * types + 1, sizeof *degree);
    err_code rc = count_degrees(r, degree);
    m->relation = xcalloc((size_t)types * types + 1, sizeof *m->relation);
    for (uint32_t s = 0; s < types; s++) {
        for (uint32_t d = 0; d < types; d++) {
            if (!is_allowed(r, s, d)) continue;
            manifest_relation *rel = &m->relation[m->relations++];
            *rel = (manifest_relation){.source = s, .destination = d};
            rel->partition_edges = xcalloc(m->partitions, sizeof *rel->partition_edges);
            rel->partition_pair_weight = xcalloc(m->partitions, sizeof *rel->partition_pair_weight);
            double share = degree[d * types + s] * r->data->type_items[d] / m->partitions;
            for (uint32_t p = 0; p < m->partitions; p++) {
                rel->partition_edges[p] = (uint64_t)(share + 0.5);
                rel->partition_pair_weight[p] = rel->partition_edges[p];
                rel->edges += rel->partition_edges[p];
            }
        }
    }
    free(degree);
    return rc;
}

/* --- The manifest that prepare would write, about -----------------------------------------------
 */

static void add_numbers(const reading *r, manifest *m)
{
    const catalog *c = r->data;
    uint32_t at = 0;
    m->types.items = xcalloc((size_t)c->types_n + 1, sizeof *m->types.items);
    m->node_base = xcalloc((size_t)c->types_n * m->partitions + 1, sizeof *m->node_base);
    m->user_base = xcalloc((size_t)m->partitions + 1, sizeof *m->user_base);
    for (uint32_t t = 0; t < c->types_n; t++) {
        m->types.items[m->types.n++] = xstrdup(c->types[t]);
        for (uint32_t p = 0; p < m->partitions; p++) {
            uint64_t n = c->type_items[t];
            m->node_base[t * m->partitions + p] = at + (uint32_t)(n * p / m->partitions);
        }
        at += c->type_items[t];
    }
    m->node_base[(size_t)c->types_n * m->partitions] = at;
    for (uint32_t p = 0; p <= m->partitions; p++)
        m->user_base[p] = (uint32_t)((uint64_t)c->users_n * p / m->partitions);
}

static manifest_attribute *add_attributes(const catalog_attribute *a, size_t n)
{
    manifest_attribute *out = xcalloc(n + 1, sizeof *out);
    for (size_t i = 0; i < n; i++) {
        uint32_t values = string_pool_count(a[i].values);
        out[i].key = xstrdup(a[i].key);
        out[i].values.items = xcalloc((size_t)values + 1, sizeof(char *));
        for (uint32_t v = 1; v < values; v++)
            out[i].values.items[out[i].values.n++] = xstrdup(string_pool_get(a[i].values, v));
    }
    return out;
}

/* Positives of an epoch and validation users: counted, then shared out evenly. */
static err_code add_positives(reading *r, manifest *m)
{
    const catalog *c = r->data;
    uint64_t limit = r->c->two_tower.positives_per_user, epoch = 0, valid_users = 0;
    bool target[CONFIG_TYPES_MAX];
    err_code rc = manifest_target_types(m, r->c, target);
    if (rc != ERR_OK) return rc;
    for (uint32_t u = 0; u < c->users_n; u++) {
        uint64_t mine = 0;
        bool is_valid = false;
        for (uint64_t e = c->user_events[u]; e < c->user_events[u + 1]; e++) {
            uint32_t item = c->events[e].item;
            uint8_t part = r->parts->part[e];
            if (part == SPLIT_TRAIN) r->out->history += (c->events[e].roles & ROLE_HISTORY) != 0;
            if (!(c->events[e].roles & ROLE_POSITIVE)) continue;
            r->out->pairs++;
            r->out->tested += part == SPLIT_TEST;
            is_valid = is_valid || part == SPLIT_VALID;
            if (part != SPLIT_TRAIN) continue;
            r->train_positives[item]++;
            m->type_positives[c->item_type[item]]++;
            mine += target[c->item_type[item]];
        }
        epoch += limit && mine > limit ? limit : mine;
        valid_users += is_valid;
    }
    for (uint32_t p = 0; p < m->partitions; p++) {
        m->positives[p] = epoch * (p + 1) / m->partitions - epoch * p / m->partitions;
        m->valid_users[p] =
            (uint32_t)(valid_users * (p + 1) / m->partitions - valid_users * p / m->partitions);
    }
    return ERR_OK;
}

/* How wide an embedding server's vectors are is known once it has been asked. */
static err_code recall_dim(const config *c, encoder *e)
{
    char *cache = files_join(c->work_dir, "cache/text");
    err_code rc = encoder_recall_dim(e, cache);
    free(cache);
    if (rc == ERR_OK && encoder_client(e) && !encoder_dim(e)) {
        log_user_error(
            "note: features.openai.url has not been asked yet: vectors of %d numbers are "
            "assumed",
            SERVER_DIM_ASSUMED);
        embedding_client_set_dim(encoder_client(e), SERVER_DIM_ASSUMED);
    }
    return rc;
}

static err_code make_manifest(reading *r)
{
    const catalog *c = r->data;
    encoder *e = NULL;
    manifest *m = r->out->manifest = xcalloc(1, sizeof *m);
    m->partitions = r->c->graph.partitions;
    m->items = c->items_n;
    m->users = c->users_n;
    m->order = c->order;
    m->as_of = graph_lists_as_of(c, r->parts);
    m->storage = r->c->features.storage;
    m->text_blocks = 1;
    m->partition_bytes = xcalloc(m->partitions, sizeof *m->partition_bytes);
    m->partition_hash = xcalloc(m->partitions, sizeof *m->partition_hash);
    m->positives = xcalloc(m->partitions, sizeof *m->positives);
    m->valid_users = xcalloc(m->partitions, sizeof *m->valid_users);
    m->type_positives = xcalloc((size_t)c->types_n + 1, sizeof *m->type_positives);
    m->data_json = xstrdup("{}");
    m->item_attribute = add_attributes(c->item_attributes, c->item_attributes_n);
    m->item_attributes = (uint32_t)c->item_attributes_n;
    m->user_attribute = add_attributes(c->user_attributes, c->user_attributes_n);
    m->user_attributes = (uint32_t)c->user_attributes_n;
    m->user_vector_dim = c->user_vector_d;
    add_numbers(r, m);
    err_code rc = encoder_open(r->c, &e);
    if (rc == ERR_OK) rc = recall_dim(r->c, e);
    if (rc == ERR_OK) {
        m->encoder = xstrdup(encoder_name(e));
        m->encoder_note = xstrdup(encoder_note(e));
        m->text_dim = encoder_dim(e);
        r->out->encode_texts = encoder_is_cacheable(e) ? c->items_n : 0;
        rc = add_relations(r, m);
        if (rc == ERR_OK) rc = add_positives(r, m);
    }
    encoder_close(e);
    return rc;
}

/* --- Sizes of files ------------------------------------------------------------------------------
 */

static uint64_t pool_bytes(const string_pool *p)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < string_pool_count(p); i++) bytes += string_pool_length(p, i) + 1;
    return bytes;
}

/* Blocks of LMDB end at pages: a seventh more than what is in them. */
static uint64_t partition_bytes(const reading *r)
{
    const manifest *m = r->out->manifest;
    uint64_t edges = 0, width = m->storage == STORAGE_F16 ? 2 : 1;
    for (uint32_t k = 0; k < m->relations; k++) edges += m->relation[k].edges;
    uint64_t items = (uint64_t)m->items * (24 + 4 * m->item_attributes + width * m->text_dim);
    uint64_t users = (uint64_t)m->users *
                     (24 + 4 * (uint64_t)m->user_attributes + 4 * (uint64_t)m->user_vector_dim);
    uint64_t indptr = 8 * (uint64_t)m->items * m->relations / (m->types.n ? m->types.n : 1);
    return (edges * 10 + items + users + indptr + r->data->events_n * 14) * 8 / 7 +
           (uint64_t)m->partitions * 40960;
}

static uint64_t dataset_bytes(const reading *r)
{
    const outlook *o = r->out;
    const manifest *m = o->manifest;
    uint64_t items = (uint64_t)m->items * (1 + 8 + 4 + 4 + 12 + 16 + 2 * m->text_dim);
    uint64_t users = (uint64_t)m->users * (8 + 4 + 4 + 8 + 8 + 6 * 8);
    return items + users + o->string_bytes + o->history * 12 + r->data->pairs * 4 * 2 +
           o->tested * 12 * 2;
}

static uint64_t on_disk(const char *path)
{
    struct stat st;
    return *path && stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void count_bytes(reading *r)
{
    const catalog *c = r->data;
    outlook *o = r->out;
    uint64_t warm = 0;
    for (uint32_t i = 0; i < c->items_n; i++) {
        outlook_count_item(&o->popularity[c->item_type[i]], r->lists.train_users[i]);
        warm += r->train_positives[i] >= 2;
    }
    o->ease_items = warm < r->c->evaluate.ease_items ? warm : r->c->evaluate.ease_items;
    o->events = c->events_n;
    o->string_bytes = pool_bytes(c->item_texts) + pool_bytes(c->item_ids) + pool_bytes(c->user_ids);
    o->partition_bytes = partition_bytes(r);
    o->dataset_bytes = dataset_bytes(r);
    o->input_bytes = on_disk(r->c->data.items.path) + on_disk(r->c->data.interactions.path) +
                     on_disk(r->c->data.users.path);
    for (uint32_t p = 0; p < o->manifest->partitions; p++)
        o->manifest->partition_bytes[p] = o->partition_bytes / o->manifest->partitions;
}

err_code outlook_read(const config *c, const progress *p, outlook **out)
{
    reading r = {.c = c, .out = xcalloc(1, sizeof *r.out)};
    progress_report(p, "read", 0, 1);
    err_code rc = catalog_read(c, &r.data);
    if (rc == ERR_OK) rc = split_make(c, r.data, &r.parts);
    if (rc == ERR_OK) rc = graph_lists_make(c, r.data, r.parts, &r.lists);
    if (rc == ERR_OK) {
        r.train_positives = xcalloc((size_t)r.data->items_n + 1, sizeof *r.train_positives);
        rc = make_manifest(&r);
    }
    if (rc == ERR_OK) count_bytes(&r);
    progress_report(p, "read", 1, 1);
    graph_lists_fini(&r.lists);
    split_free(r.parts);
    catalog_free(r.data);
    free(r.train_positives);
    if (rc != ERR_OK) {
        outlook_free(r.out);
        r.out = NULL;
    }
    *out = r.out;
    return rc;
}
