#include "ps/metrics_log.h"

#include "common/bytes.h"
#include "common/files.h"
#include "common/hash.h"
#include "common/json.h"
#include "common/local_disk.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"
#include "ps/checkpoint_metrics.h"
#include "ps/tensorboard_log.h"

#include <errno.h>
#include <lmdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { METRICS_MAP_BYTES = 1 << 30 };

#define NEW_NAME "scheduler.mdb.new"

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
    switch (rc) {
    case MDB_INVALID:
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_CURSOR_FULL: /* deeper than a tree can be */
    case MDB_VERSION_MISMATCH: return ERR_CORRUPT;
    default: return ERR_IO;
    }
}

/* Keys: "s" the core's state, "m" and the index, big-endian so that they sort. */
static MDB_val metric_key(uint8_t key[9], uint64_t index)
{
    key[0] = 'm';
    for (int i = 0; i < 8; i++) key[1 + i] = (uint8_t)(index >> (56 - 8 * i));
    return (MDB_val){.mv_size = 9, .mv_data = key};
}

/* Behind every value: its checksum. */
enum { HASH_BYTES = 8 };

static int put_in(MDB_txn *txn, MDB_dbi dbi, MDB_val key, const void *bytes, size_t size)
{
    MDB_val value = {.mv_size = size + HASH_BYTES};
    int rc = mdb_put(txn, dbi, &key, &value, MDB_RESERVE);
    if (rc) return rc;
    uint64_t hash = hash64(bytes, size, 0);
    memcpy(value.mv_data, bytes, size);
    memcpy((uint8_t *)value.mv_data + size, &hash, HASH_BYTES);
    return 0;
}

static err_code put(metrics_log *m, MDB_val key, const void *bytes, size_t size)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(m->env, NULL, 0, &txn);
    if (rc) return failed("begin", rc);
    rc = put_in(txn, m->dbi, key, bytes, size);
    if (rc) {
        mdb_txn_abort(txn);
        return failed("put", rc);
    }
    rc = mdb_txn_commit(txn);
    return rc ? failed("commit", rc) : ERR_OK;
}

/* Cuts the checksum off; false: it is another one. */
static bool is_whole(MDB_val *value)
{
    uint64_t hash;
    if (value->mv_size < HASH_BYTES) return false;
    value->mv_size -= HASH_BYTES;
    memcpy(&hash, (const uint8_t *)value->mv_data + value->mv_size, HASH_BYTES);
    return hash == hash64(value->mv_data, value->mv_size, 0);
}

static err_code read_earlier(metrics_log *m, MDB_cursor *cursor)
{
    MDB_val key, value;
    core_metric metric;
    int rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    for (; rc == 0; rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
        const char *name = key.mv_data;
        if (!is_whole(&value)) {
            log_error("scheduler_state", "reason=\"a damaged record\"");
            return ERR_CORRUPT;
        }
        if (key.mv_size == 1 && name[0] == 's') {
            m->state = xmalloc(value.mv_size);
            memcpy(m->state, value.mv_data, value.mv_size);
            m->state_bytes = value.mv_size;
        } else if (key.mv_size == 9 && name[0] == 'm' &&
                   checkpoint_metrics_take(value.mv_data, value.mv_size, &metric)) {
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

static err_code read_all(metrics_log *m, MDB_txn *txn)
{
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn, m->dbi, &cursor);
    if (rc) return failed("cursor", rc);
    err_code read = read_earlier(m, cursor);
    mdb_cursor_close(cursor);
    return read;
}

static err_code open_env(metrics_log *m, const char *path, unsigned flags)
{
    MDB_txn *txn = NULL;
    int rc = mdb_env_create(&m->env);
    if (!rc) rc = mdb_env_set_mapsize(m->env, METRICS_MAP_BYTES);
    if (!rc) rc = mdb_env_open(m->env, path, MDB_NOSUBDIR | MDB_NOSYNC | flags, 0600);
    if (!rc) rc = mdb_txn_begin(m->env, NULL, 0, &txn);
    if (!rc) rc = mdb_dbi_open(txn, NULL, 0, &m->dbi);
    if (rc) {
        if (txn) mdb_txn_abort(txn);
        return failed(path, rc);
    }
    err_code read = read_all(m, txn);
    rc = mdb_txn_commit(txn);
    return read != ERR_OK ? read : rc ? failed("commit", rc) : ERR_OK;
}

/* ---- Damage ---- */

/* What the process that tries out ends with. */
enum { EXIT_SOUND = 0, EXIT_DAMAGED = 3, EXIT_UNKNOWN = 4 };

static err_code check_length(const metrics_log *m, const char *path)
{
    MDB_envinfo info;
    MDB_stat pages;
    struct stat file;
    int rc = mdb_env_info(m->env, &info);
    if (!rc) rc = mdb_env_stat(m->env, &pages);
    if (!rc && lstat(path, &file) != 0) rc = errno;
    if (rc) return failed(path, rc);
    uint64_t bytes = (info.me_last_pgno + 1) * (uint64_t)pages.ms_psize;
    return (uint64_t)file.st_size < bytes ? failed("length", MDB_CORRUPTED) : ERR_OK;
}

static err_code try_put(const metrics_log *m)
{
    static const char zeros[4096];
    char name = 't';
    MDB_txn *txn;
    int rc = mdb_txn_begin(m->env, NULL, 0, &txn);
    if (rc) return failed("begin", rc);
    rc = put_in(txn, m->dbi, (MDB_val){.mv_size = 1, .mv_data = &name}, zeros, sizeof zeros);
    mdb_txn_abort(txn);
    return rc ? failed("put", rc) : ERR_OK;
}

/* In a process of its own: reads everything and writes something.  Without a lock file, whose page
 * a full disk may refuse with the same signal as damage. */
static _Noreturn void try_out(const char *path)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE};
    metrics_log m = {0};
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++) signal(fatal[i], SIG_DFL);
    err_code rc = open_env(&m, path, MDB_NOLOCK);
    if (rc == ERR_OK) rc = check_length(&m, path);
    if (rc == ERR_OK) rc = try_put(&m);
    _exit(rc == ERR_OK ? EXIT_SOUND : rc == ERR_CORRUPT ? EXIT_DAMAGED : EXIT_UNKNOWN);
}

static err_code cannot_tell(const char *path, const char *what, const char *reason)
{
    log_user_error("%s: cannot be tested, and stays as it is: %s%s", path, what, reason);
    return ERR_IO;
}

static err_code judge(const char *path, int status)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
        number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (code == EXIT_SOUND) return ERR_OK;
    if (code == EXIT_DAMAGED || number == SIGSEGV || number == SIGBUS || number == SIGABRT ||
        number == SIGFPE) {
        log_error("scheduler_state", "path=\"%s\" reason=\"damaged\"", path);
        return ERR_CORRUPT;
    }
    if (code >= 0) return cannot_tell(path, "opening or reading failed", " (see the line before)");
    char text[32];
    snprintf(text, sizeof text, "signal %d", number);
    return cannot_tell(path, "the process that reads it was ended by ", text);
}

static err_code try_in_child(const char *path)
{
    int status = 0;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) try_out(path);
    if (pid < 0) return cannot_tell(path, "fork: ", strerror(errno));
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) return cannot_tell(path, "waitpid: ", strerror(errno));
    }
    return judge(path, status);
}

/* LMDB trusts its pages: one that is damaged may end the process that reads it. */
err_code metrics_log_check(const char *run_dir)
{
    char *db = files_join(run_dir, "scheduler.mdb");
    err_code rc = local_disk_check(run_dir, "work_dir");
    if (rc == ERR_OK && files_exist(db)) rc = try_in_child(db);
    free(db);
    return rc;
}

/* ---- Opening ---- */

static void remove_named(const char *run_dir, const char *name)
{
    char *path = files_join(run_dir, name);
    if (files_exist(path) && files_remove_tree(path) != ERR_OK)
        log_warn("remove_failed", "path=\"%s\"", path);
    free(path);
}

/* What was written for people to read, and the lock of who wrote it. */
static void remove_lines(const char *run_dir)
{
    remove_named(run_dir, "scheduler.mdb-lock");
    remove_named(run_dir, "metrics.jsonl");
    remove_named(run_dir, "steps.jsonl");
    remove_named(run_dir, "tensorboard");
}

err_code metrics_log_open(const char *run_dir, bool fresh, metrics_log **out)
{
    metrics_log *m = xcalloc(1, sizeof *m);
    char *db = xprintf("%s/scheduler.mdb", run_dir);
    char *metrics = xprintf("%s/metrics.jsonl", run_dir),
         *steps = xprintf("%s/steps.jsonl", run_dir);
    char *events = files_join(run_dir, "tensorboard");
    if (fresh) {
        remove_named(run_dir, "scheduler.mdb");
        remove_lines(run_dir);
    }
    m->tensorboard = tensorboard_log_new(events);
    err_code rc = local_disk_check(run_dir, "work_dir");
    if (rc == ERR_OK) rc = open_env(m, db, 0);
    if (rc == ERR_OK) {
        m->metrics = fopen(metrics, "ae");
        m->steps = fopen(steps, "ae");
        if (!m->metrics || !m->steps) {
            log_error("open_failed", "path=\"%s\" reason=\"%s\"", metrics, strerror(errno));
            rc = ERR_IO;
        }
    }
    m->path = metrics;
    m->restarted = m->earlier_n > 0 || m->state;
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
    int rc = mdb_txn_begin(m->env, NULL, MDB_RDONLY, &txn);
    if (rc) return failed("begin", rc);
    free(m->state);
    m->state = NULL;
    m->earlier_n = 0;
    err_code read = read_all(m, txn);
    mdb_txn_abort(txn);
    return read;
}

static err_code restore(metrics_log *m, const core_metric *metric, size_t n)
{
    MDB_txn *txn;
    uint8_t key[9];
    int rc = mdb_txn_begin(m->env, NULL, 0, &txn);
    if (rc) return failed("begin", rc);
    for (size_t i = 0; i < n && !rc; i++) {
        size_t bytes = checkpoint_metrics_stored(&metric[i]);
        rc = put_in(txn, m->dbi, metric_key(key, i), &metric[i], bytes);
    }
    if (rc) {
        mdb_txn_abort(txn);
        return failed("put", rc);
    }
    rc = mdb_txn_commit(txn);
    return rc ? failed("commit", rc) : ERR_OK;
}

err_code metrics_log_replace(const char *run_dir, const core_metric *metric, size_t n,
                             const void *state, size_t bytes)
{
    metrics_log m = {0};
    char *db = files_join(run_dir, "scheduler.mdb"), *path = files_join(run_dir, NEW_NAME);
    err_code rc = local_disk_check(run_dir, "work_dir");
    if (rc == ERR_OK) rc = files_remove_tree(path); /* what a crash has left */
    if (rc == ERR_OK) rc = open_env(&m, path, MDB_NOLOCK);
    if (rc == ERR_OK) rc = restore(&m, metric, n);
    if (rc == ERR_OK) rc = metrics_log_persist(&m, state, bytes);
    if (m.env) mdb_env_close(m.env);
    if (rc == ERR_OK) rc = files_rename(path, db);
    if (rc == ERR_OK) {
        rc = files_sync(run_dir);
        remove_lines(run_dir);
    } else {
        log_user_error("%s: cannot be replaced, and stays as it is", db);
        unlink(path);
    }
    free(path);
    free(db);
    return rc;
}

static err_code read_one(const metrics_log *m, MDB_txn *txn, uint64_t index, core_metric *out)
{
    uint8_t bytes[9];
    MDB_val key = metric_key(bytes, index), value;
    int rc = mdb_get(txn, m->dbi, &key, &value);
    if (rc == MDB_NOTFOUND) return ERR_NOT_FOUND;
    if (rc) return failed("get", rc);
    bool good = is_whole(&value) && checkpoint_metrics_take(value.mv_data, value.mv_size, out);
    return good ? ERR_OK : ERR_CORRUPT;
}

err_code metrics_log_read(const metrics_log *m, size_t n, core_metric **out)
{
    MDB_txn *txn;
    err_code read = ERR_OK;
    *out = NULL;
    int rc = mdb_txn_begin(m->env, NULL, MDB_RDONLY, &txn);
    if (rc) return failed("begin", rc);
    core_metric *list = xcalloc(n + 1, sizeof *list);
    for (size_t i = 0; i < n && read == ERR_OK; i++) read = read_one(m, txn, i, &list[i]);
    mdb_txn_abort(txn);
    if (read != ERR_OK)
        free(list);
    else
        *out = list;
    return read;
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
    if (put(m, at, metric, checkpoint_metrics_stored(metric)) != ERR_OK) return;
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
