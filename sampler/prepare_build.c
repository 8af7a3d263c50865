#include "sampler/prepare_build.h"

#include "common/files.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/manifest.h"
#include "common/mem.h"
#include "common/panic.h"
#include "sampler/dataset_write.h"
#include "sampler/graph_lists.h"
#include "sampler/partition.h"
#include "sampler/prepare_manifest.h"
#include "sampler/store_write.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS_MAX = 64, RELATIONS_NAMED = 10 };

/* Everything on the way; owned: builder_fini. */
typedef struct builder {
    const config *c;
    const char *folder;
    char *temp;
    const progress *progress;
    catalog *data;
    split *parts;
    features *text;
    graph_lists lists;
    graph *graph;
    bool *allowed; /* [types, types] */
    uint32_t (*relation)[2];
    uint32_t relations, partitions;
    uint32_t *part, *node_of, *item_of, *node_base;
    uint64_t *user_key;
    uint8_t *valid;
    uint32_t *number_of, *user_of, *user_base, *valid_users;
    uint8_t *role; /* [events] */
    uint32_t *train_positives, *train_any;
    store_written *written;
    uint64_t dataset_hash, positives_hash;
} builder;

static void written_free(builder *b)
{
    for (uint32_t p = 0; b->written != NULL && p < b->partitions; p++) {
        free(b->written[p].edges);
        free(b->written[p].pair_weight);
    }
    free(b->written);
}

static void builder_fini(builder *b)
{
    void *const arrays[] = {b->temp,    b->allowed,     b->relation,  b->part,
                            b->node_of, b->item_of,     b->node_base, b->user_key,
                            b->valid,   b->number_of,   b->user_of,   b->user_base,
                            b->role,    b->valid_users, b->train_any, b->train_positives};

    written_free(b);
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) free(arrays[i]);
    graph_free(b->graph);
    graph_lists_fini(&b->lists);
    features_free(b->text);
    split_free(b->parts);
    catalog_free(b->data);
}

static bool stopped(const builder *b)
{
    return progress_stopped(b->progress);
}

static err_code read_input(builder *b)
{
    progress_report(b->progress, "read", 0, 1);
    err_code rc = catalog_read(b->c, &b->data);
    if (rc == ERR_OK && stopped(b)) rc = ERR_STOPPED;
    if (rc == ERR_OK) rc = split_make(b->c, b->data, &b->parts);
    if (rc == ERR_OK) progress_report(b->progress, "read", 1, 1);
    return rc == ERR_OK && stopped(b) ? ERR_STOPPED : rc;
}

/* role[]: for which roles an event is the first of its (user, item, part); train_positives and
 * train_any: users per item. */
static err_code count_roles(builder *b)
{
    const catalog *c = b->data;
    size_t items = (size_t)c->items_n + 1;
    uint8_t(*had)[SPLIT_PARTS] = try_calloc(items, sizeof *had);
    uint32_t *last_user = try_calloc(items, sizeof *last_user);

    b->role = try_calloc(c->events_n + 1, 1);
    b->train_positives = try_calloc(items, sizeof *b->train_positives);
    b->train_any = try_calloc(items, sizeof *b->train_any);
    bool good = had != NULL && last_user != NULL && b->role != NULL && b->train_positives != NULL &&
                b->train_any != NULL;
    for (uint64_t e = 0; good && e < c->events_n; e++) {
        uint32_t item = c->events[e].item, user = c->events[e].user;
        uint8_t part = b->parts->part[e];
        enum { ANY = 0x80 }; /* had an event at all */
        if (last_user[item] != user + 1) memset(had[item], 0, sizeof had[item]);
        last_user[item] = user + 1;
        b->role[e] = c->events[e].roles & (uint8_t)~had[item][part];
        if (part == SPLIT_TRAIN && (had[item][part] & ANY) == 0) b->train_any[item]++;
        if (part == SPLIT_TRAIN && (b->role[e] & ROLE_POSITIVE) != 0) b->train_positives[item]++;
        had[item][part] |= (uint8_t)(c->events[e].roles | ANY);
    }
    free(had);
    free(last_user);
    return good ? ERR_OK : ERR_NO_MEMORY;
}

/* idf and mean see the items that train sees. */
static err_code make_features(builder *b)
{
    uint32_t n = b->data->items_n, seen = 0;
    uint8_t *corpus = try_calloc((size_t)n + 1, 1);
    char *cache = files_join(b->c->work_dir, "cache/text");
    for (uint32_t i = 0; corpus != NULL && i < n; i++) {
        corpus[i] = b->train_any[i] > 0;
        seen += corpus[i];
    }
    err_code rc = corpus == NULL ? ERR_NO_MEMORY : files_make_dirs(cache);
    if (rc == ERR_OK) {
        rc = features_build(b->c, b->data, seen > 0 ? corpus : NULL, cache, b->progress, &b->text);
    }
    free(corpus);
    free(cache);
    return rc == ERR_OK && stopped(b) ? ERR_STOPPED : rc;
}

/* Relations by (source, destination) in the order of types. */
static err_code make_relations(builder *b)
{
    const config *c = b->c;
    uint32_t types = b->data->types_n;

    b->allowed = xcalloc((size_t)types * types + 1, sizeof *b->allowed);
    b->relation = xcalloc((size_t)types * types + 1, sizeof *b->relation);
    for (uint32_t i = 0; c->graph.relations_all && i < types * types; i++) b->allowed[i] = true;
    for (size_t i = 0; !c->graph.relations_all && i < c->graph.relations_n; i++) {
        const char *names[2] = {c->graph.relations[i].source, c->graph.relations[i].destination};
        uint32_t t[2];
        for (size_t k = 0; k < 2; k++) {
            t[k] = catalog_find_type(b->data, names[k]);
            ASSERT(t[k] < types); /* config_check_types */
        }
        b->allowed[t[0] * types + t[1]] = true;
    }
    for (uint32_t i = 0; i < types * types; i++) {
        if (!b->allowed[i]) continue;
        b->relation[b->relations][0] = i / types;
        b->relation[b->relations++][1] = i % types;
    }
    return ERR_OK;
}

static uint32_t thread_count(const config *c)
{
    long n = c->prepare.threads > 0 ? (long)c->prepare.threads : sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : (uint32_t)n;
}

static err_code make_graph(builder *b)
{
    const config *c = b->c;
    err_code rc = make_relations(b);

    if (rc == ERR_OK) rc = graph_lists_make(c, b->data, b->parts, &b->lists);
    if (rc != ERR_OK) return rc;
    graph_input in = {.items = b->data->items_n,
                      .users = b->data->users_n,
                      .types = b->data->types_n,
                      .item_type = b->data->item_type,
                      .item_key = b->data->item_key,
                      .indptr = b->lists.indptr,
                      .item = b->lists.item,
                      .train_users = b->lists.train_users,
                      .allowed = b->allowed,
                      .weight = c->graph.weight,
                      .shrink = c->graph.shrink,
                      .min_users = c->graph.min_users,
                      .max_degree = c->graph.max_degree,
                      .seed = c->seed,
                      .memory = c->prepare.memory,
                      .threads = thread_count(c),
                      .temp_dir = b->temp};
    return graph_build(&in, b->progress, &b->graph);
}

static err_code number_items(builder *b)
{
    const catalog *c = b->data;
    size_t items = (size_t)c->items_n + 1;
    partition_input in = {.items = c->items_n,
                          .types = c->types_n,
                          .partitions = b->partitions,
                          .item_type = c->item_type,
                          .item_key = c->item_key,
                          .graph = b->graph,
                          .seed = b->c->seed,
                          .kind = b->c->graph.partitioner};

    b->part = try_malloc(items, sizeof *b->part);
    b->node_of = try_malloc(items, sizeof *b->node_of);
    b->item_of = try_malloc(items, sizeof *b->item_of);
    b->node_base = xcalloc((size_t)c->types_n * b->partitions + 1, sizeof *b->node_base);
    if (b->part == NULL || b->node_of == NULL || b->item_of == NULL) return ERR_NO_MEMORY;
    err_code rc = partition_items(&in, b->part);
    if (rc == ERR_OK) rc = partition_number_items(&in, b->part, b->node_of, b->node_base);
    for (uint32_t i = 0; rc == ERR_OK && i < c->items_n; i++) b->item_of[b->node_of[i]] = i;
    return rc;
}

static err_code number_users(builder *b)
{
    const catalog *c = b->data;
    size_t users = (size_t)c->users_n + 1;

    b->user_key = try_malloc(users, sizeof *b->user_key);
    b->valid = try_calloc(users, 1);
    b->number_of = try_malloc(users, sizeof *b->number_of);
    b->user_of = try_malloc(users, sizeof *b->user_of);
    b->user_base = xcalloc((size_t)b->partitions + 1, sizeof *b->user_base);
    b->valid_users = xcalloc(b->partitions, sizeof *b->valid_users);
    if (b->user_key == NULL || b->valid == NULL || b->number_of == NULL || b->user_of == NULL) {
        return ERR_NO_MEMORY;
    }
    for (uint32_t u = 0; u < c->users_n; u++) {
        b->user_key[u] = hash64_string(catalog_user_id(c, u), 0);
    }
    for (uint64_t e = 0; e < c->events_n; e++) {
        if (b->parts->part[e] == SPLIT_VALID && (c->events[e].roles & ROLE_POSITIVE) != 0) {
            b->valid[c->events[e].user] = 1;
        }
    }
    partition_users in = {c->users_n, b->partitions, b->user_key, b->valid, b->c->seed};
    err_code rc = partition_number_users(&in, b->number_of, b->user_base, b->valid_users);
    for (uint32_t u = 0; rc == ERR_OK && u < c->users_n; u++) b->user_of[b->number_of[u]] = u;
    return rc;
}

static err_code number(builder *b)
{
    progress_report(b->progress, "partition", 0, 1);
    err_code rc = number_items(b);
    if (rc == ERR_OK) rc = number_users(b);
    if (rc == ERR_OK) progress_report(b->progress, "partition", 1, 1);
    return rc == ERR_OK && stopped(b) ? ERR_STOPPED : rc;
}

static store_source source_of(const builder *b)
{
    return (store_source){.data = b->data,
                          .parts = b->parts,
                          .text = b->text,
                          .graph = b->graph,
                          .partitions = b->partitions,
                          .relations = b->relations,
                          .relation = (const uint32_t(*)[2])b->relation,
                          .node_of = b->node_of,
                          .item_of = b->item_of,
                          .user_of = b->user_of,
                          .user_key = b->user_key,
                          .node_base = b->node_base,
                          .user_base = b->user_base,
                          .train_users = b->lists.train_users,
                          .train_positives = b->train_positives,
                          .role = b->role};
}

static err_code write_partitions(builder *b, const store_source *s)
{
    b->written = xcalloc(b->partitions, sizeof *b->written);
    for (uint32_t p = 0; p < b->partitions; p++) {
        b->written[p].edges = xcalloc((size_t)b->relations + 1, sizeof(uint64_t));
        b->written[p].pair_weight = xcalloc((size_t)b->relations + 1, sizeof(uint64_t));
    }
    for (uint32_t p = 0; p < b->partitions; p++) {
        progress_report(b->progress, "store", p, b->partitions);
        err_code rc = store_write_partition(s, p, b->folder, &b->written[p]);
        if (rc == ERR_OK && stopped(b)) rc = ERR_STOPPED;
        if (rc != ERR_OK) return rc;
    }
    progress_report(b->progress, "store", b->partitions, b->partitions);
    return ERR_OK;
}

/* Relations that training will skip are named once. */
static void name_empty_relations(builder *b)
{
    char *names = xstrdup("");
    uint32_t empty = 0;

    for (uint32_t r = 0; r < b->relations; r++) {
        uint64_t edges = 0;
        for (uint32_t p = 0; p < b->partitions; p++) edges += b->written[p].edges[r];
        if (edges > 0 || ++empty > RELATIONS_NAMED) continue;
        char *more = xprintf("%s%s%s -> %s", names, names[0] == 0 ? "" : ", ",
                             b->data->types[b->relation[r][0]], b->data->types[b->relation[r][1]]);
        free(names);
        names = more;
    }
    if (empty > RELATIONS_NAMED) {
        catalog_warn(b->data, "graph: relations without edges: %s and %u more", names,
                     empty - RELATIONS_NAMED);
    } else if (empty > 0) {
        catalog_warn(b->data, "graph: relations without edges: %s", names);
    }
    free(names);
}

/* <folder>/positives: see manifest.h. */
static err_code write_positives(builder *b)
{
    const catalog *c = b->data;
    size_t n = (size_t)c->users_n * c->types_n;
    manifest_positives_header h = {
        .magic = MANIFEST_POSITIVES_MAGIC, .version = 1, .users = c->users_n, .types = c->types_n};
    uint8_t *file = try_calloc(sizeof h + n * sizeof(uint32_t), 1);
    char *path = files_join(b->folder, "positives");

    err_code rc = file == NULL ? ERR_NO_MEMORY : ERR_OK;
    for (uint64_t e = 0; rc == ERR_OK && e < c->events_n; e++) {
        if (b->parts->part[e] != SPLIT_TRAIN || (b->role[e] & ROLE_POSITIVE) == 0) continue;
        size_t at =
            (size_t)b->number_of[c->events[e].user] * c->types_n + c->item_type[c->events[e].item];
        ((uint32_t *)(void *)(file + sizeof h))[at]++;
    }
    if (rc == ERR_OK) {
        h.hash = b->positives_hash = hash64(file + sizeof h, n * sizeof(uint32_t), 0);
        memcpy(file, &h, sizeof h);
        rc = files_write_atomic(path, file, sizeof h + n * sizeof(uint32_t), 0644);
    }
    free(file);
    free(path);
    return rc;
}

static err_code write_rest(builder *b, const store_source *s, uint64_t hash)
{
    progress_report(b->progress, "dataset", 0, 1);
    err_code rc = dataset_write(s, b->number_of, b->train_any, b->folder, &b->dataset_hash);
    if (rc == ERR_OK) rc = write_positives(b);
    if (rc == ERR_OK && stopped(b)) rc = ERR_STOPPED;
    if (rc != ERR_OK) return rc;
    manifest_facts f = {.prepare_hash = hash,
                        .valid_users = b->valid_users,
                        .written = b->written,
                        .dataset_hash = b->dataset_hash,
                        .positives_hash = b->positives_hash,
                        .as_of = graph_lists_as_of(b->data, b->parts)};
    manifest *m = prepare_manifest_new(s, &f);
    rc = manifest_write(m, b->folder);
    manifest_free(m);
    if (rc == ERR_OK) progress_report(b->progress, "dataset", 1, 1);
    return rc;
}

static void fill_stats(const builder *b, prepare_stats *stats)
{
    stats->items = b->data->items_n;
    stats->users = b->data->users_n;
    stats->events = b->data->events_n;
    stats->edges = b->graph->edges;
    stats->cache_hits = b->text->cache.hits;
    stats->cache_misses = b->text->cache.misses;
    for (uint32_t p = 0; p < b->partitions; p++) stats->store_bytes += b->written[p].bytes;
}

static err_code build(builder *b, uint64_t hash, prepare_stats *stats)
{
    err_code rc = files_make_dirs(b->temp);

    if (rc == ERR_OK) rc = read_input(b);
    if (rc == ERR_OK) rc = count_roles(b);
    if (rc == ERR_OK) rc = make_features(b);
    if (rc == ERR_OK) rc = make_graph(b);
    if (rc == ERR_OK) rc = number(b);
    if (rc != ERR_OK) return rc;
    store_source s = source_of(b);
    rc = write_partitions(b, &s);
    if (rc == ERR_OK) name_empty_relations(b);
    if (rc == ERR_OK) rc = write_rest(b, &s, hash);
    if (rc == ERR_OK) fill_stats(b, stats);
    return rc;
}

err_code prepare_build(const config *c, uint64_t hash, const char *folder, const progress *p,
                       prepare_stats *stats)
{
    builder b = {.c = c, .folder = folder, .progress = p, .partitions = c->graph.partitions};

    b.temp = files_join(folder, "tmp");
    err_code rc = build(&b, hash, stats);
    err_code removed = files_remove_tree(b.temp);
    builder_fini(&b);
    return rc != ERR_OK ? rc : removed;
}
