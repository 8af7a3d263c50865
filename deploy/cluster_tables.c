#include "deploy/cluster_tables.h"

#include "common/bytes.h"
#include "common/clock.h"
#include "common/keyed_sort.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/table_codec.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_PER_CALL = 8192, PULL_BUDGET_MS = 10000, RETRY_MS = 300 };
enum { SAY_FIRST_US = 5000000, SAY_EVERY_US = 30000000 };

struct cluster_tables {
    cluster *cluster;
    const config *config;
    uint32_t servers, generation; /* servers 0: not known */
    char **address;               /* [servers] */
    shard_map map;
    uint64_t since_us, said_us; /* since when a server is waited for, 0: none is */
};

static void forget(cluster_tables *t)
{
    for (uint32_t i = 0; i < t->servers; i++) free(t->address[i]);
    free(t->address);
    t->address = NULL;
    t->servers = 0;
}

/* Takes generation, map and addresses from a status; false: something is missing. */
static bool take_status(cluster_tables *t, const json_t *status)
{
    const json_t *rows = json_object_get(status, "servers");
    uint32_t version = (uint32_t)json_integer_value(json_object_get(status, "map"));
    size_t n = json_array_size(rows);
    forget(t);
    t->generation = (uint32_t)json_integer_value(json_object_get(status, "generation"));
    if (!n || n > SERVERS_MAX || !t->generation) return false;
    for (size_t i = 0; i < n; i++) {
        const char *address =
            json_string_value(json_object_get(json_array_get(rows, i), "address"));
        if (!address || !*address) return false;
    }
    t->servers = (uint32_t)n;
    t->address = xcalloc(n, sizeof *t->address);
    for (size_t i = 0; i < n; i++)
        t->address[i] =
            xstrdup(json_string_value(json_object_get(json_array_get(rows, i), "address")));
    shard_map_init(&t->map, version, t->config->cluster.virtual_shards, t->servers);
    return true;
}

static bool learn(cluster_tables *t)
{
    char *text = cluster_status(t->cluster);
    json_t *status = text ? json_loads(text, 0, NULL) : NULL;
    bool complete = status && take_status(t, status);
    json_decref(status);
    free(text);
    return complete;
}

/* Lets the cluster work a little, then learns anew who is where.  Fails as cluster_run does, and
 * with ERR_CLOSED (printed) when the wait has become too long. */
static err_code wait_a_little(cluster_tables *t, const char *what)
{
    uint64_t now = clock_now_us(), limit = (uint64_t)t->config->train.stall_timeout_ms * 1000u;
    if (!t->since_us) {
        t->since_us = now;
        t->said_us = now - SAY_EVERY_US + SAY_FIRST_US;
    }
    uint64_t waited = now - t->since_us;
    if (limit && waited >= limit) {
        log_user_error("stalled for %" PRIu64 " s, waiting for the trained tables: %s",
                       waited / 1000000, what);
        return ERR_CLOSED;
    }
    if (now - t->said_us >= SAY_EVERY_US) {
        log_warn("waiting", "for=\"the trained tables\" since_s=%" PRIu64 " last=\"%s\"",
                 waited / 1000000, what);
        t->said_us = now;
    }
    err_code rc = cluster_run(t->cluster, RETRY_MS);
    if (rc == ERR_OK && !learn(t)) forget(t);
    return rc;
}

/* Waits until it is known where every server is. */
static err_code wait_for_servers(cluster_tables *t)
{
    err_code rc = ERR_OK;
    while (rc == ERR_OK && !t->servers) rc = wait_a_little(t, "not every server has joined");
    return rc;
}

err_code cluster_tables_open(cluster *c, const config *f, cluster_tables **out)
{
    cluster_tables *t = xcalloc(1, sizeof *t);
    t->cluster = c;
    t->config = f;
    if (!learn(t)) forget(t);
    err_code rc = wait_for_servers(t);
    if (rc == ERR_OK)
        *out = t;
    else
        cluster_tables_close(t);
    return rc;
}

void cluster_tables_close(cluster_tables *t)
{
    if (!t) return;
    forget(t);
    free(t);
}

/* Whether a server that answers so will have the tables some time: it has lost them with an earlier
 * life, or all servers go back to what they had. */
static bool is_temporary(uint32_t status)
{
    return status != WIRE_REFUSED && status != WIRE_FAILED;
}

/* The values of `keys` (NULL: the dense ones) at `server`: exactly `bytes`, owned.  ERR_NOT_FOUND:
 * not there now; *why says what the server answered. */
static err_code pull(cluster_tables *t, uint32_t server, uint32_t stage, uint32_t table,
                     uint32_t dim, blob *keys, size_t bytes, blob **out)
{
    wire_header h = wire_request(WIRE_PULL), answer = {0};
    h.stage = (uint8_t)stage;
    h.table = (uint16_t)table;
    h.part = dim;
    h.version = WIRE_FINAL;
    h.generation = t->generation;
    h.map = t->map.version;
    h.budget_ms = PULL_BUDGET_MS;
    core_peer to = {.role = WIRE_SERVER, .index = server};
    char what[128];
    *out = NULL;
    err_code rc = cluster_call(t->cluster, to, t->address[server], &h, keys, &answer, out);
    if (rc == ERR_OK && answer.status == WIRE_OK && blob_size(*out) == bytes) {
        t->since_us = 0;
        return ERR_OK;
    }
    snprintf(what, sizeof what, "ps-%" PRIu32 ": %s of %s, table %" PRIu32, server,
             rc == ERR_OK ? wire_status_name(answer.status) : "no answer", stage_name(stage),
             table);
    bool again = rc == ERR_CLOSED ||
                 (rc == ERR_OK && answer.status != WIRE_OK && is_temporary(answer.status));
    blob_unref(*out);
    *out = NULL;
    if (again) {
        rc = wait_a_little(t, what);
        return rc == ERR_OK ? ERR_NOT_FOUND : rc;
    }
    if (rc != ERR_OK) return rc;
    log_user_error("the trained tables cannot be read: %s", what);
    return ERR_CORRUPT;
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
        row[m++] = k[i].at;
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

/* k [n], sorted, from every server as it is known now. */
static err_code all_rows(cluster_tables *t, uint32_t stage, uint32_t table, uint32_t dim,
                         const keyed *k, size_t n, float *out)
{
    err_code rc = wait_for_servers(t);
    for (uint32_t s = 0; s < t->servers && rc == ERR_OK; s++)
        rc = server_rows(t, s, stage, table, dim, k, n, out);
    return rc;
}

static err_code rows(void *context, uint32_t stage, uint32_t table, uint32_t dim,
                     const uint64_t *keys, size_t n, float *out)
{
    cluster_tables *t = context;
    keyed *k = try_malloc(n + 1, sizeof *k);
    if (!k) return ERR_NO_MEMORY;
    err_code rc = ERR_OK;
    for (size_t i = 0; i < n; i++) k[i] = (keyed){keys[i], i};
    keyed_sort(k, n);
    for (size_t first = 0; first < n && rc == ERR_OK; first += ROWS_PER_CALL) {
        size_t m = n - first < ROWS_PER_CALL ? n - first : ROWS_PER_CALL;
        do {
            rc = all_rows(t, stage, table, dim, k + first, m, out);
        } while (rc == ERR_NOT_FOUND);
    }
    free(k);
    return rc;
}

static err_code all_dense(cluster_tables *t, uint32_t stage, float *out, size_t floats)
{
    err_code rc = wait_for_servers(t);
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

static err_code dense(void *context, uint32_t stage, float *out, size_t floats)
{
    cluster_tables *t = context;
    err_code rc;
    do {
        rc = all_dense(t, stage, out, floats);
    } while (rc == ERR_NOT_FOUND);
    return rc;
}

trained_source cluster_tables_source(cluster_tables *t, const job *j)
{
    return (trained_source){
        .context = t, .no_z = j->two_tower_no_z != NULL, .rows = rows, .dense = dense};
}
