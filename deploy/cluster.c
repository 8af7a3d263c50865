#include "deploy/cluster.h"

#include "common/bytes.h"
#include "common/clock.h"
#include "common/files.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/process.h"
#include "common/role.h"
#include "common/table_codec.h"
#include "common/zmq_client.h"
#include "deploy/inprocess.h"
#include "deploy/status_client.h"
#include "deploy/supervisor.h"
#include "proto/weft.pb-c.h"
#include "ps/scheduler_node.h"
#include "ps/server_node.h"
#include "sampler/sampler_node.h"
#include "worker/worker_node.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { CALL_TIMEOUT_MS = 60000, START_TIMEOUT_MS = 20000, FINISH_TIMEOUT_MS = 15000, POLL_MS = 20 };
enum { RESTARTS_MAX = 20, RESTART_PAUSE_US = 500000, ROWS_PER_CALL = 8192 };

struct cluster {
    const config *config;
    const atomic_int *stop;
    bool in_process;
    core_peer self;
    char *run_dir;
    int lock;
    uint32_t restarts;
    uint32_t generation, map_version; /* of the trained job */
    /* Processes. */
    supervisor *children;
    zmq_client *client;
    char *config_file, *url;
    char **server_address; /* [servers] */
    bool finishing;
    /* In-process. */
    inprocess *shell;
    scheduler_node *scheduler;
    server_node **server;
    sampler_node **sampler;
    worker_node **worker;
};

/* ---- Opening ---- */

static err_code take_lock(cluster *c)
{
    char *path = files_join(c->run_dir, "lock");
    c->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    err_code rc = ERR_OK;
    if (c->lock < 0) {
        log_user_error("%s: %s", path, strerror(errno));
        rc = ERR_IO;
    } else if (flock(c->lock, LOCK_EX | LOCK_NB) != 0) {
        log_user_error("%s: another weft train is at work in this work_dir", path);
        rc = ERR_LIMIT;
    }
    free(path);
    return rc;
}

static err_code open_in_process(cluster *c, bool fresh)
{
    scheduler_node_options o = {.config = c->config,
                                .run_dir = c->run_dir,
                                .incarnation = process_incarnation(),
                                .fresh = fresh,
                                .driver = true};
    err_code rc = scheduler_node_new(&o, &c->scheduler);
    if (rc != ERR_OK) return rc;
    c->shell = inprocess_new();
    core_host host = scheduler_node_host(c->scheduler);
    inprocess_add(c->shell, &host);
    return ERR_OK;
}

static err_code start_role(cluster *c, const char *role, const char *program, uint32_t index,
                           const char *flag)
{
    char name[32], number[16];
    snprintf(name, sizeof name, "%s-%" PRIu32, role, index);
    snprintf(number, sizeof number, "%" PRIu32, index);
    const char *indexed[] = {"-c", c->config_file, "--index", number, NULL};
    const char *driven[] = {"-c", c->config_file, "--driver", flag, NULL};
    bool is_scheduler = strcmp(role, "scheduler") == 0;
    return supervisor_start(c->children, name, program, is_scheduler ? driven : indexed);
}

static err_code write_config(cluster *c)
{
    char *text = config_print(c->config, CONFIG_ALL);
    c->config_file = files_join(c->run_dir, "config.yaml");
    err_code rc = files_write_atomic(c->config_file, text, strlen(text), 0644);
    free(text);
    return rc;
}

/* Waits for the file the scheduler writes its URL to. */
static err_code wait_for_url(cluster *c)
{
    char *path = files_join(c->run_dir, "url");
    err_code rc = ERR_OK;
    uint64_t end = clock_now_us() + START_TIMEOUT_MS * 1000u;
    while (rc == ERR_OK && !files_exist(path)) {
        rc = cluster_run(c, POLL_MS);
        if (clock_now_us() > end) {
            log_user_error("the scheduler does not start: see %s/logs/scheduler-0.log",
                           c->config->work_dir);
            rc = ERR_CLOSED;
        }
    }
    size_t bytes;
    if (rc == ERR_OK) rc = files_read(path, 4096, &c->url, &bytes);
    free(path);
    return rc;
}

static err_code open_processes(cluster *c, bool fresh)
{
    char *bin = supervisor_bin_dir(), *logs = files_join(c->config->work_dir, "logs");
    char *old_url = files_join(c->run_dir, "url");
    unlink(old_url);
    err_code rc = files_make_dirs(logs);
    if (rc == ERR_OK) rc = write_config(c);
    c->children = supervisor_new(bin, logs);
    if (rc == ERR_OK) rc = zmq_client_open(c->self, &c->client);
    if (rc == ERR_OK) rc = start_role(c, "scheduler", "weft-scheduler", 0, fresh ? "--fresh" : NULL);
    if (rc == ERR_OK) rc = wait_for_url(c);
    free(old_url);
    free(bin);
    free(logs);
    return rc;
}

err_code cluster_open(const cluster_options *o, cluster **out)
{
    cluster *c = xcalloc(1, sizeof *c);
    c->config = o->config;
    c->stop = o->stop;
    c->in_process = o->in_process;
    c->self = (core_peer){.role = WIRE_DRIVER, .incarnation = process_incarnation()};
    c->run_dir = files_join(o->config->work_dir, "run");
    c->lock = -1;
    err_code rc = role_enter_run_dir(o->config);
    if (rc == ERR_OK) rc = take_lock(c);
    if (rc == ERR_OK) rc = o->in_process ? open_in_process(c, o->fresh) : open_processes(c, o->fresh);
    if (rc != ERR_OK) {
        cluster_close(c);
        return rc;
    }
    *out = c;
    return ERR_OK;
}

/* ---- Closing ---- */

static void remove_sockets(const cluster *c)
{
    static const char *const roles[] = {"scheduler", "ps", "sampler"};
    for (uint32_t r = 0; r < 3; r++) {
        uint32_t n = r == 1 ? c->config->cluster.servers : c->config->cluster.samplers;
        char *path = r ? NULL : files_join(c->run_dir, "scheduler.sock");
        if (path) unlink(path);
        free(path);
        for (uint32_t i = 0; r && i < n; i++) {
            path = xprintf("%s/%s-%" PRIu32 ".sock", c->run_dir, roles[r], i);
            unlink(path);
            free(path);
        }
    }
}

static void close_in_process(cluster *c)
{
    inprocess_free(c->shell);
    for (uint32_t i = 0; c->worker && i < c->config->cluster.workers; i++)
        worker_node_free(c->worker[i]);
    for (uint32_t i = 0; c->sampler && i < c->config->cluster.samplers; i++)
        sampler_node_free(c->sampler[i]);
    for (uint32_t i = 0; c->server && i < c->config->cluster.servers; i++)
        server_node_free(c->server[i]);
    scheduler_node_free(c->scheduler);
    free(c->worker);
    free(c->sampler);
    free(c->server);
}

void cluster_close(cluster *c)
{
    if (!c) return;
    if (c->children) {
        supervisor_stop(c->children, FINISH_TIMEOUT_MS);
        remove_sockets(c);
    }
    supervisor_free(c->children);
    zmq_client_close(c->client);
    close_in_process(c);
    for (uint32_t i = 0; c->server_address && i < c->config->cluster.servers; i++)
        free(c->server_address[i]);
    free(c->server_address);
    if (c->lock >= 0) close(c->lock);
    free(c->config_file);
    free(c->url);
    free(c->run_dir);
    free(c);
}

/* ---- Calls ---- */

static err_code call(cluster *c, core_peer to, const wire_header *h, blob *body,
                     wire_header *answer, blob **answer_body)
{
    if (c->in_process)
        return inprocess_call(c->shell, c->self, to, h, body, c->stop, answer, answer_body);
    char control[CORE_TEXT_MAX];
    role_scheduler_endpoint(c->config, control);
    const char *endpoint = to.role == WIRE_SCHEDULER ? control : c->server_address[to.index];
    err_code rc = zmq_client_call(c->client, endpoint, h, body, CALL_TIMEOUT_MS, c->stop, answer,
                                  answer_body);
    if (rc == ERR_CLOSED)
        log_error("no_answer", "peer=%s-%" PRIu32 " op=%s", wire_role_name(to.role), to.index,
                  wire_op_name(h->op));
    return rc;
}

static err_code send_progress(cluster *c, const Weft__Progress *p)
{
    size_t bytes = weft__progress__get_packed_size(p);
    blob *body = blob_new(bytes);
    weft__progress__pack(p, blob_writable(body));
    wire_header h = wire_request(WIRE_PROGRESS), answer;
    core_peer to = {.role = WIRE_SCHEDULER};
    blob *answer_body = NULL;
    err_code rc = call(c, to, &h, body, &answer, &answer_body);
    blob_unref(body);
    if (rc == ERR_OK && answer.status != WIRE_OK) {
        log_error("progress_refused", "status=%s", wire_status_name(answer.status));
        rc = ERR_MISMATCH;
    }
    blob_unref(answer_body);
    return rc;
}

err_code cluster_progress(cluster *c, uint32_t stage, uint64_t done, uint64_t total)
{
    Weft__Progress p = WEFT__PROGRESS__INIT;
    p.version = 1;
    p.stage = stage;
    p.done = done;
    p.total = total;
    return send_progress(c, &p);
}

/* ---- Starting ---- */

static core_peer member(uint32_t role, uint32_t index)
{
    return (core_peer){.role = role, .index = index, .incarnation = process_incarnation()};
}

static err_code start_in_process(cluster *c, const job *j, const char *folder)
{
    const config *f = c->config;
    char address[64];
    c->server = xcalloc(f->cluster.servers, sizeof *c->server);
    c->sampler = xcalloc(f->cluster.samplers, sizeof *c->sampler);
    c->worker = xcalloc(f->cluster.workers, sizeof *c->worker);
    for (uint32_t i = 0; i < f->cluster.servers; i++) {
        snprintf(address, sizeof address, "inprocess://server-%" PRIu32, i);
        c->server[i] = server_node_new(j, member(WIRE_SERVER, i), address);
        core_host host = server_node_host(c->server[i]);
        inprocess_add(c->shell, &host);
    }
    for (uint32_t i = 0; i < f->cluster.samplers; i++) {
        snprintf(address, sizeof address, "inprocess://sampler-%" PRIu32, i);
        err_code rc = sampler_node_new(j, folder, member(WIRE_SAMPLER, i), f->cluster.samplers,
                                       address, &c->sampler[i]);
        if (rc != ERR_OK) return rc;
        core_host host = sampler_node_host(c->sampler[i]);
        inprocess_add(c->shell, &host);
    }
    for (uint32_t i = 0; i < f->cluster.workers; i++) {
        c->worker[i] = worker_node_new(j, member(WIRE_WORKER, i), "", 0);
        core_host host = worker_node_host(c->worker[i]);
        inprocess_add(c->shell, &host);
    }
    return ERR_OK;
}

static err_code start_processes(cluster *c)
{
    const config *f = c->config;
    err_code rc = ERR_OK;
    for (uint32_t i = 0; i < f->cluster.servers && rc == ERR_OK; i++)
        rc = start_role(c, "ps", "weft-ps", i, NULL);
    for (uint32_t i = 0; i < f->cluster.samplers && rc == ERR_OK; i++)
        rc = start_role(c, "sampler", "weft-sampler", i, NULL);
    for (uint32_t i = 0; i < f->cluster.workers && rc == ERR_OK; i++)
        rc = start_role(c, "worker", "weft-worker", i, NULL);
    return rc;
}

err_code cluster_start(cluster *c, const job *j, const char *store_folder)
{
    Weft__Progress p = WEFT__PROGRESS__INIT;
    p.version = 1;
    p.stage = STAGE_PREPARE;
    p.done = p.total = 1;
    p.prepared = true;
    err_code rc = send_progress(c, &p);
    if (rc != ERR_OK) return rc;
    return c->in_process ? start_in_process(c, j, store_folder) : start_processes(c);
}

/* ---- Running ---- */

static err_code in_process_over(const cluster *c)
{
    int code;
    const char *why;
    if (!inprocess_exited(c->shell, WIRE_SCHEDULER, 0, &code, &why) || code == 0) return ERR_OK;
    log_user_error("the job failed: %s", why);
    return ERR_CLOSED;
}

/* What an ended child means: a stateless role is started again, anything else ends the job. */
static err_code child_ended(cluster *c, const child_exit *e)
{
    char role[32];
    snprintf(role, sizeof role, "%.*s", (int)strcspn(e->name, "-"), e->name);
    uint32_t index = (uint32_t)strtoul(e->name + strcspn(e->name, "-") + 1, NULL, 10);
    bool stateless = strcmp(role, "worker") == 0 || strcmp(role, "sampler") == 0;
    bool crashed = e->signal != 0 || e->code == 1;
    if (stateless && crashed && c->restarts < RESTARTS_MAX) {
        log_warn("restart", "name=%s signal=%d code=%d", e->name, e->signal, e->code);
        c->restarts++;
        usleep(RESTART_PAUSE_US);
        char *program = xprintf("weft-%s", role);
        err_code rc = start_role(c, role, program, index, NULL);
        free(program);
        return rc;
    }
    if (e->signal) {
        log_user_error("%s was ended by signal %d: see %s/logs/%s.log", e->name, e->signal,
                       c->config->work_dir, e->name);
    } else {
        log_user_error("%s ended with code %d: see %s/logs/%s.log", e->name, e->code,
                       c->config->work_dir, e->name);
    }
    return ERR_CLOSED;
}

err_code cluster_run(cluster *c, uint32_t wait_ms)
{
    if (c->stop && atomic_load(c->stop)) return ERR_STOPPED;
    if (c->in_process) {
        inprocess_run(c->shell, wait_ms);
        return in_process_over(c);
    }
    child_exit e;
    if (supervisor_poll(c->children, &e) && !c->finishing) return child_ended(c, &e);
    usleep(wait_ms * 1000u);
    return c->stop && atomic_load(c->stop) ? ERR_STOPPED : ERR_OK;
}

char *cluster_status(cluster *c)
{
    if (c->in_process) return scheduler_node_status(c->scheduler, clock_now_us());
    char *text = NULL, *url = xprintf("%s/api/v1/status", c->url);
    if (status_client_get(url, NULL, &text) != ERR_OK) text = NULL;
    free(url);
    return text;
}

const char *cluster_url(const cluster *c)
{
    return c->url ? c->url : "";
}

err_code cluster_finish(cluster *c)
{
    Weft__Progress p = WEFT__PROGRESS__INIT;
    p.version = 1;
    p.stage = STAGE_EXPORT;
    p.done = p.total = 1;
    p.finished = true;
    c->finishing = true;
    err_code rc = send_progress(c, &p);
    uint64_t end = clock_now_us() + FINISH_TIMEOUT_MS * 1000u;
    while (rc == ERR_OK && !c->in_process && supervisor_running(c->children)) {
        rc = cluster_run(c, POLL_MS);
        if (clock_now_us() > end) break; /* cluster_close ends them. */
    }
    return rc;
}

/* ---- Reading tables ---- */

/* Where the servers are and which generation they are in, from the status. */
static err_code learn(cluster *c)
{
    if (c->generation) return ERR_OK;
    char *text = cluster_status(c);
    json_t *root = text ? json_loads(text, 0, NULL) : NULL;
    json_t *servers = json_object_get(root, "servers");
    c->generation = (uint32_t)json_integer_value(json_object_get(root, "generation"));
    c->map_version = (uint32_t)json_integer_value(json_object_get(root, "map"));
    c->server_address = xcalloc(c->config->cluster.servers, sizeof *c->server_address);
    for (size_t i = 0; i < json_array_size(servers) && i < c->config->cluster.servers; i++) {
        json_t *row = json_array_get(servers, i);
        const char *address = json_string_value(json_object_get(row, "address"));
        c->server_address[i] = xstrdup(address ? address : "");
    }
    bool complete = json_array_size(servers) == c->config->cluster.servers && c->generation;
    json_decref(root);
    free(text);
    if (complete) return ERR_OK;
    log_error("incomplete_status", "servers=%u", c->config->cluster.servers);
    return ERR_CLOSED;
}

static err_code pull(cluster *c, uint32_t server, uint32_t stage, uint32_t table, uint32_t dim,
                     blob *keys, size_t bytes, blob **out)
{
    wire_header h = wire_request(WIRE_PULL), answer;
    h.stage = (uint8_t)stage;
    h.table = (uint16_t)table;
    h.part = dim;
    h.version = WIRE_FINAL;
    h.generation = c->generation;
    h.map = c->map_version;
    h.budget_ms = CALL_TIMEOUT_MS;
    core_peer to = {.role = WIRE_SERVER, .index = server};
    *out = NULL;
    err_code rc = call(c, to, &h, keys, &answer, out);
    if (rc == ERR_OK && (answer.status != WIRE_OK || blob_size(*out) != bytes)) {
        log_error("pull_failed", "server=%" PRIu32 " stage=%s table=%" PRIu32 " status=%s bytes=%zu",
                  server, stage_name(stage), table, wire_status_name(answer.status),
                  blob_size(*out));
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

/* The rows of `server` among k [n]. */
static err_code server_rows(cluster *c, const shard_map *map, uint32_t server, uint32_t stage,
                            uint32_t table, uint32_t dim, const keyed *k, size_t n, float *out)
{
    bytes_writer w;
    size_t *row = xcalloc(n + 1, sizeof *row), m = 0;
    bytes_writer_init(&w);
    for (size_t i = 0; i < n; i++) {
        if (table_server_of(map, k[i].key) != server) continue;
        bytes_put_u64(&w, k[i].key);
        row[m++] = k[i].row;
    }
    blob *keys = bytes_take_blob(&w), *reply = NULL;
    err_code rc = ERR_OK;
    if (m) rc = pull(c, server, stage, table, dim, keys, m * dim * sizeof *out, &reply);
    const float *rows = (const float *)(const void *)blob_data(reply);
    for (size_t i = 0; i < m && rc == ERR_OK; i++)
        memcpy(out + row[i] * dim, rows + i * dim, dim * sizeof *out);
    blob_unref(reply);
    blob_unref(keys);
    free(row);
    return rc;
}

err_code cluster_rows(cluster *c, uint32_t stage, uint32_t table, uint32_t dim, const uint64_t *keys,
                      size_t n, float *out)
{
    err_code rc = learn(c);
    if (rc != ERR_OK) return rc;
    shard_map *map = xmalloc(sizeof *map);
    shard_map_init(map, c->map_version, c->config->cluster.virtual_shards,
                   c->config->cluster.servers);
    keyed *k = xcalloc(n + 1, sizeof *k);
    for (size_t i = 0; i < n; i++) k[i] = (keyed){keys[i], i};
    qsort(k, n, sizeof *k, compare_keyed);
    for (size_t first = 0; first < n && rc == ERR_OK; first += ROWS_PER_CALL) {
        size_t m = n - first < ROWS_PER_CALL ? n - first : ROWS_PER_CALL;
        for (uint32_t s = 0; s < c->config->cluster.servers && rc == ERR_OK; s++)
            rc = server_rows(c, map, s, stage, table, dim, k + first, m, out);
    }
    free(k);
    free(map);
    return rc;
}

err_code cluster_dense(cluster *c, uint32_t stage, float *out, size_t floats)
{
    err_code rc = learn(c);
    if (rc != ERR_OK) return rc;
    shard_map *map = xmalloc(sizeof *map);
    shard_map_init(map, c->map_version, c->config->cluster.virtual_shards,
                   c->config->cluster.servers);
    for (uint32_t s = 0; s < c->config->cluster.servers && rc == ERR_OK; s++) {
        blob *reply = NULL;
        size_t mine = table_server_floats(map, stage, floats, s);
        if (!mine) continue;
        rc = pull(c, s, stage, TABLE_DENSE, 0, NULL, mine * sizeof *out, &reply);
        if (rc == ERR_OK) {
            table_scatter(out, map, stage, floats, s,
                          (const float *)(const void *)blob_data(reply));
        }
        blob_unref(reply);
    }
    free(map);
    return rc;
}

cluster_facts cluster_get_facts(const cluster *c)
{
    cluster_facts f = {.restarts = c->restarts};
    if (!c->children) {
        f.peak_rss[WIRE_DRIVER] = process_peak_rss_bytes();
        return f;
    }
    f.peak_rss[WIRE_SCHEDULER] = supervisor_peak_rss(c->children, "scheduler");
    f.peak_rss[WIRE_SERVER] = supervisor_peak_rss(c->children, "ps");
    f.peak_rss[WIRE_SAMPLER] = supervisor_peak_rss(c->children, "sampler");
    f.peak_rss[WIRE_WORKER] = supervisor_peak_rss(c->children, "worker");
    f.peak_rss[WIRE_DRIVER] = process_peak_rss_bytes();
    return f;
}
