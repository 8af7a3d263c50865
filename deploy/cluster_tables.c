#include "deploy/cluster_tables.h"

#include "common/bytes.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/table_codec.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_PER_CALL = 8192, PULL_BUDGET_MS = 10000 };

struct cluster_tables {
    cluster *cluster;
    uint32_t servers, generation;
    char **address; /* [servers] */
    shard_map map;
};

/* Takes generation, map and addresses from a status; false: something is missing. */
static bool learn(cluster_tables *t, const json_t *status, uint32_t virtual_shards)
{
    const json_t *rows = json_object_get(status, "servers");
    uint32_t version = (uint32_t)json_integer_value(json_object_get(status, "map"));
    t->generation = (uint32_t)json_integer_value(json_object_get(status, "generation"));
    if (json_array_size(rows) != t->servers || !t->generation) return false;
    for (size_t i = 0; i < t->servers; i++) {
        const char *address =
            json_string_value(json_object_get(json_array_get(rows, i), "address"));
        if (!address) return false;
        t->address[i] = xstrdup(address);
    }
    shard_map_init(&t->map, version, virtual_shards, t->servers);
    return true;
}

err_code cluster_tables_open(cluster *c, const config *f, cluster_tables **out)
{
    cluster_tables *t = xcalloc(1, sizeof *t);
    t->cluster = c;
    t->servers = f->cluster.servers;
    t->address = xcalloc(t->servers, sizeof *t->address);
    char *text = cluster_status(c);
    json_t *status = text ? json_loads(text, 0, NULL) : NULL;
    bool complete = learn(t, status, f->cluster.virtual_shards);
    json_decref(status);
    free(text);
    if (complete) {
        *out = t;
        return ERR_OK;
    }
    log_error("incomplete_status", "servers=%" PRIu32, t->servers);
    cluster_tables_close(t);
    return ERR_CLOSED;
}

void cluster_tables_close(cluster_tables *t)
{
    if (!t) return;
    for (uint32_t i = 0; i < t->servers; i++) free(t->address[i]);
    free(t->address);
    free(t);
}

/* The values of `keys` (NULL: the dense ones) at `server`: exactly `bytes`, owned. */
static err_code pull(cluster_tables *t, uint32_t server, uint32_t stage, uint32_t table,
                     uint32_t dim, blob *keys, size_t bytes, blob **out)
{
    wire_header h = wire_request(WIRE_PULL), answer;
    h.stage = (uint8_t)stage;
    h.table = (uint16_t)table;
    h.part = dim;
    h.version = WIRE_FINAL;
    h.generation = t->generation;
    h.map = t->map.version;
    h.budget_ms = PULL_BUDGET_MS;
    core_peer to = {.role = WIRE_SERVER, .index = server};
    *out = NULL;
    err_code rc = cluster_call(t->cluster, to, t->address[server], &h, keys, &answer, out);
    if (rc == ERR_OK && (answer.status != WIRE_OK || blob_size(*out) != bytes)) {
        log_error("pull_failed",
                  "server=%" PRIu32 " stage=%s table=%" PRIu32 " status=%s bytes=%zu", server,
                  stage_name(stage), table, wire_status_name(answer.status), blob_size(*out));
        rc = ERR_NOT_FOUND;
    }
    if (rc != ERR_OK) {
        blob_unref(*out);
        *out = NULL;
    }
    return rc;
}

typedef struct keyed {
    uint64_t key;
    size_t row;
} keyed;

static int compare_keyed(const void *a, const void *b)
{
    uint64_t x = ((const keyed *)a)->key, y = ((const keyed *)b)->key;
    return x < y ? -1 : x > y;
}

/* The rows of `server` among k [n], sorted by key. */
static err_code server_rows(cluster_tables *t, uint32_t server, uint32_t stage, uint32_t table,
                            uint32_t dim, const keyed *k, size_t n, float *out)
{
    bytes_writer w;
    size_t *row = xcalloc(n + 1, sizeof *row), m = 0;
    bytes_writer_init(&w);
    for (size_t i = 0; i < n; i++) {
        if (table_server_of(&t->map, k[i].key) != server) continue;
        bytes_put_u64(&w, k[i].key);
        row[m++] = k[i].row;
    }
    blob *keys = bytes_take_blob(&w), *reply = NULL;
    err_code rc = ERR_OK;
    if (m) rc = pull(t, server, stage, table, dim, keys, m * dim * sizeof *out, &reply);
    const float *rows = (const float *)(const void *)blob_data(reply);
    for (size_t i = 0; i < m && rc == ERR_OK; i++)
        memcpy(out + row[i] * dim, rows + i * dim, dim * sizeof *out);
    blob_unref(reply);
    blob_unref(keys);
    free(row);
    return rc;
}

err_code cluster_tables_rows(cluster_tables *t, uint32_t stage, uint32_t table, uint32_t dim,
                             const uint64_t *keys, size_t n, float *out)
{
    keyed *k = try_malloc(n + 1, sizeof *k);
    if (!k) return ERR_NO_MEMORY;
    err_code rc = ERR_OK;
    for (size_t i = 0; i < n; i++) k[i] = (keyed){keys[i], i};
    qsort(k, n, sizeof *k, compare_keyed);
    for (size_t first = 0; first < n && rc == ERR_OK; first += ROWS_PER_CALL) {
        size_t m = n - first < ROWS_PER_CALL ? n - first : ROWS_PER_CALL;
        for (uint32_t s = 0; s < t->servers && rc == ERR_OK; s++)
            rc = server_rows(t, s, stage, table, dim, k + first, m, out);
    }
    free(k);
    return rc;
}

err_code cluster_tables_dense(cluster_tables *t, uint32_t stage, float *out, size_t floats)
{
    err_code rc = ERR_OK;
    for (uint32_t s = 0; s < t->servers && rc == ERR_OK; s++) {
        blob *reply = NULL;
        size_t mine = table_server_floats(&t->map, stage, floats, s);
        if (!mine) continue;
        rc = pull(t, s, stage, TABLE_DENSE, 0, NULL, mine * sizeof *out, &reply);
        if (rc == ERR_OK) {
            table_scatter(out, &t->map, stage, floats, s,
                          (const float *)(const void *)blob_data(reply));
        }
        blob_unref(reply);
    }
    return rc;
}
