#include "ps/metrics_log.h"

#include "common/bytes.h"
#include "common/files.h"
#include "common/json.h"
#include "common/local_disk.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"
#include "ps/tensorboard_log.h"

#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { METRICS_MAP_BYTES = 1 << 30 };

struct metrics_log {
    MDB_env *env;
    MDB_dbi dbi;
    FILE *metrics, *steps;
    tensorboard_log *tensorboard;
    void *state; /* what an earlier life persisted */
    size_t state_bytes;
    core_metric *earlier;
    size_t earlier_n, earlier_cap;
    uint64_t next;  /* index of the next metric whose lines are not written yet */
    char *path;     /* of metrics.jsonl */
    bool restarted; /* its lines are not those of `earlier` yet */
};

static err_code failed(const char *what, int rc)
{
    log_error("scheduler_state", "step=%s reason=\"%s\"", what, mdb_strerror(rc));
    return rc == MDB_INVALID || rc == MDB_CORRUPTED || rc == MDB_VERSION_MISMATCH ? ERR_CORRUPT
                                                                                  : ERR_IO;
}

/* Keys: "s" the core's state, "m" and the index, big-endian so that they sort. */
static MDB_val metric_key(uint8_t key[9], uint64_t index)
{
    key[0] = 'm';
    for (int i = 0; i < 8; i++) key[1 + i] = (uint8_t)(index >> (56 - 8 * i));
    return (MDB_val){.mv_size = 9, .mv_data = key};
}

static err_code put(metrics_log *m, MDB_val key, const void *bytes, size_t size)
{
    MDB_txn *txn;
    MDB_val value = {.mv_size = size, .mv_data = (void *)(uintptr_t)bytes};
    int rc = mdb_txn_begin(m->env, NULL, 0, &txn);
    if (rc) return failed("begin", rc);
    rc = mdb_put(txn, m->dbi, &key, &value, 0);
    if (rc) {
        mdb_txn_abort(txn);
        return failed("put", rc);
    }
    rc = mdb_txn_commit(txn);
    return rc ? failed("commit", rc) : ERR_OK;
}

/* A metric is stored up to the last of its sums. */
static size_t stored_bytes(uint32_t sums)
{
    return offsetof(core_metric, sums) + sums * sizeof(double);
}

static bool take_metric(MDB_val value, core_metric *out)
{
    *out = (core_metric){0};
    if (value.mv_size < stored_bytes(0) || value.mv_size > sizeof *out) return false;
    memcpy(out, value.mv_data, value.mv_size);
    return out->sums_n <= METRIC_SUMS_MAX && value.mv_size == stored_bytes(out->sums_n);
}

static err_code read_earlier(metrics_log *m, MDB_cursor *cursor)
{
    MDB_val key, value;
    core_metric metric;
    int rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    for (; rc == 0; rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
        const char *name = key.mv_data;
        if (key.mv_size == 1 && name[0] == 's') {
            m->state = xmalloc(value.mv_size);
            memcpy(m->state, value.mv_data, value.mv_size);
            m->state_bytes = value.mv_size;
        } else if (key.mv_size == 9 && name[0] == 'm' && take_metric(value, &metric)) {
            grow(&m->earlier, &m->earlier_cap, m->earlier_n + 1, sizeof *m->earlier);
            m->earlier[m->earlier_n++] = metric;
        } else {
            log_error("scheduler_state", "reason=\"unknown record\" bytes=%zu", value.mv_size);
            return ERR_CORRUPT;
        }
    }
    m->next = m->earlier_n;
    return rc == MDB_NOTFOUND ? ERR_OK : failed("read", rc);
}

static err_code open_env(metrics_log *m, const char *path)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    int rc = mdb_env_create(&m->env);
    if (!rc) rc = mdb_env_set_mapsize(m->env, METRICS_MAP_BYTES);
    if (!rc) rc = mdb_env_open(m->env, path, MDB_NOSUBDIR | MDB_NOSYNC, 0600);
    if (!rc) rc = mdb_txn_begin(m->env, NULL, 0, &txn);
    if (!rc) rc = mdb_dbi_open(txn, NULL, 0, &m->dbi);
    if (!rc) rc = mdb_cursor_open(txn, m->dbi, &cursor);
    if (rc) {
        if (txn) mdb_txn_abort(txn);
        return failed(path, rc);
    }
    err_code read = read_earlier(m, cursor);
    mdb_cursor_close(cursor);
    rc = mdb_txn_commit(txn);
    return read != ERR_OK ? read : rc ? failed("commit", rc) : ERR_OK;
}

static void remove_earlier(const char *db, const char *metrics, const char *steps,
                           const char *events)
{
    char *lock = xprintf("%s-lock", db);
    unlink(db);
    unlink(lock);
    unlink(metrics);
    unlink(steps);
    if (files_exist(events) && files_remove_tree(events) != ERR_OK)
        log_warn("remove_failed", "path=\"%s\"", events);
    free(lock);
}

err_code metrics_log_open(const char *run_dir, bool fresh, metrics_log **out)
{
    metrics_log *m = xcalloc(1, sizeof *m);
    char *db = xprintf("%s/scheduler.mdb", run_dir);
    char *metrics = xprintf("%s/metrics.jsonl", run_dir),
         *steps = xprintf("%s/steps.jsonl", run_dir);
    char *events = files_join(run_dir, "tensorboard");
    if (fresh) remove_earlier(db, metrics, steps, events);
    m->tensorboard = tensorboard_log_new(events);
    err_code rc = local_disk_check(run_dir, "work_dir");
    if (rc == ERR_OK) rc = open_env(m, db);
    if (rc == ERR_OK) {
        m->metrics = fopen(metrics, "ae");
        m->steps = fopen(steps, "ae");
        if (!m->metrics || !m->steps) {
            log_error("open_failed", "path=\"%s\" reason=\"%s\"", metrics, strerror(errno));
            rc = ERR_IO;
        }
    }
    m->path = metrics;
    m->restarted = m->earlier_n > 0;
    free(db);
    free(steps);
    free(events);
    if (rc != ERR_OK) {
        metrics_log_close(m);
        return rc;
    }
    *out = m;
    return ERR_OK;
}

void metrics_log_close(metrics_log *m)
{
    if (!m) return;
    if (m->metrics) fclose(m->metrics);
    if (m->steps) fclose(m->steps);
    tensorboard_log_close(m->tensorboard);
    if (m->env) mdb_env_close(m->env);
    free(m->path);
    free(m->state);
    free(m->earlier);
    free(m);
}

scheduler_durable metrics_log_durable(const metrics_log *m)
{
    return (scheduler_durable){.state = m->state,
                               .state_bytes = m->state_bytes,
                               .metric = m->earlier,
                               .metrics = m->earlier_n};
}

err_code metrics_log_persist(metrics_log *m, const void *bytes, size_t size)
{
    char name = 's';
    err_code rc = put(m, (MDB_val){.mv_size = 1, .mv_data = &name}, bytes, size);
    if (rc != ERR_OK) return rc;
    int sync = mdb_env_sync(m->env, 1);
    return sync ? failed("sync", sync) : ERR_OK;
}

static char *write_line(metrics_log *m, const job *j, const core_metric *metric)
{
    if (metric->kind == METRIC_PUT) return NULL; /* Not a line of metrics.jsonl. */
    char *line = metrics_log_line(j, metric);
    fputs(line, m->metrics);
    return line;
}

/* An earlier life may have ended between storing a metric and writing its line, or lost stored
 * metrics whose lines are there: the lines are written anew from what is stored. */
static void write_earlier(metrics_log *m, const job *j)
{
    m->restarted = false;
    FILE *again = freopen(m->path, "we", m->metrics);
    m->metrics = again;
    if (!again) {
        log_error("open_failed", "path=\"%s\" reason=\"%s\"", m->path, strerror(errno));
        return;
    }
    for (size_t i = 0; i < m->earlier_n; i++) free(write_line(m, j, &m->earlier[i]));
}

/* ---- Going back ---- */

static err_code delete_from(metrics_log *m, uint64_t index)
{
    MDB_txn *txn;
    MDB_cursor *cursor = NULL;
    uint8_t bytes[9];
    MDB_val key = metric_key(bytes, index), value;
    int rc = mdb_txn_begin(m->env, NULL, 0, &txn);
    if (rc) return failed("begin", rc);
    rc = mdb_cursor_open(txn, m->dbi, &cursor);
    if (!rc) rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (!rc && key.mv_size == 9 && *(const char *)key.mv_data == 'm') {
        rc = mdb_cursor_del(cursor, 0);
        if (!rc) rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    if (cursor) mdb_cursor_close(cursor);
    if (rc && rc != MDB_NOTFOUND) {
        mdb_txn_abort(txn);
        return failed("delete", rc);
    }
    rc = mdb_txn_commit(txn);
    return rc ? failed("commit", rc) : ERR_OK;
}

static err_code read_again(metrics_log *m)
{
    MDB_txn *txn;
    MDB_cursor *cursor = NULL;
    int rc = mdb_txn_begin(m->env, NULL, MDB_RDONLY, &txn);
    if (rc) return failed("begin", rc);
    free(m->state);
    m->state = NULL;
    m->earlier_n = 0;
    err_code read = ERR_OK;
    rc = mdb_cursor_open(txn, m->dbi, &cursor);
    if (!rc) read = read_earlier(m, cursor);
    if (cursor) mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    return rc ? failed("cursor", rc) : read;
}

err_code metrics_log_cut(metrics_log *m, uint64_t index)
{
    err_code rc = delete_from(m, index);
    if (rc == ERR_OK) rc = read_again(m);
    tensorboard_log_back(m->tensorboard);
    m->restarted = true; /* metrics.jsonl is written anew with the next metric */
    return rc;
}

void metrics_log_add(metrics_log *m, const job *j, const core_metric *metric, double seconds)
{
    uint8_t key[9];
    MDB_val at = metric_key(key, metric->index);
    if (put(m, at, metric, stored_bytes(metric->sums_n)) != ERR_OK) return;
    if (m->restarted) write_earlier(m, j);
    if (metric->index < m->next || !m->metrics) return; /* A restarted core repeats itself. */
    m->next = metric->index + 1;
    tensorboard_log_add(m->tensorboard, j, metric, seconds);
    char *line = write_line(m, j, metric);
    fflush(m->metrics);
    if (metric->kind == METRIC_STEP) {
        fprintf(m->steps, "%.*s,\"seconds\":%.6f}\n", (int)strlen(line) - 2, line, seconds);
        fflush(m->steps);
    }
    free(line);
}

/* ---- Lines ---- */

static void step_fields(json_writer *w, const job *j, const core_metric *m)
{
    json_field_number9(w, "lr", (double)plan_lr(j->plan, m->stage, m->step));
    json_field_number9(w, "loss", m->loss);
    json_field_u64(w, "examples", m->examples);
    json_field_u64(w, "void", m->voids);
}

static void valid_fields(json_writer *w, const job *j, const core_metric *m)
{
    json_field_string(w, "metric", plan_metric(m->stage));
    json_field_metric(w, "value", m->value);
    json_key(w, "by_type");
    json_object_begin(w);
    for (uint32_t t = 0; 2 * t + 1 < m->sums_n; t++) {
        if (m->sums[2 * t + 1] < 1) continue;
        json_field_metric(w, j->manifest->types.items[t], m->sums[2 * t] / m->sums[2 * t + 1]);
    }
    json_object_end(w);
    json_field_bool(w, "best", m->best);
}

static const char *stopped_name(uint32_t stopped)
{
    switch (stopped) {
    case STOPPED_EPOCHS: return "epochs";
    case STOPPED_MAX_STEPS: return "max_steps";
    case STOPPED_PATIENCE: return "patience";
    default: return "end";
    }
}

static void stage_fields(json_writer *w, const job *j, const core_metric *m)
{
    json_field_u64(w, "steps", m->step);
    if (!plan_is_training(m->stage)) {
        json_field_u64(w, "rows", m->examples);
        return;
    }
    json_field_u64(w, "epochs", m->step ? plan_epoch(j->plan, m->stage, m->step) : 0);
    json_field_u64(w, "best_step", m->epoch);
    json_field_string(w, "stopped", stopped_name(m->stopped));
    json_field_string(w, "metric", plan_metric(m->stage));
    json_field_metric(w, "best", m->value);
    json_field_number9(w, "last_loss", m->loss);
    json_field_u64(w, "void_slots", m->voids);
}

char *metrics_log_line(const job *j, const core_metric *m)
{
    static const char *const kinds[] = {"", "step", "valid", "stage"};
    ASSERT(m->kind >= METRIC_STEP && m->kind <= METRIC_STAGE);
    bytes_writer b;
    json_writer w;
    bytes_writer_init(&b);
    json_init_bytes(&w, &b, JSON_STYLE_COMPACT);
    json_object_begin(&w);
    json_field_string(&w, "kind", kinds[m->kind]);
    json_field_string(&w, "stage", stage_name(m->stage));
    if (m->kind != METRIC_STAGE) {
        json_field_u64(&w, "epoch", plan_epoch(j->plan, m->stage, m->step));
        json_field_u64(&w, "step", m->step);
    }
    if (m->kind == METRIC_STEP) step_fields(&w, j, m);
    if (m->kind == METRIC_VALID) valid_fields(&w, j, m);
    if (m->kind == METRIC_STAGE) stage_fields(&w, j, m);
    json_object_end(&w);
    err_code rc = json_finish(&w);
    bytes_put(&b, "\n", 2);
    (void)rc; /* Into memory: cannot fail. */
    return (char *)b.data;
}
