#include "deploy/cluster_processes.h"

#include "common/clock.h"
#include "common/files.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/process.h"
#include "common/role.h"
#include "common/zmq_client.h"
#include "deploy/status_client.h"
#include "deploy/supervisor.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CALL_TIMEOUT_MS = 60000, START_TIMEOUT_MS = 20000, POLL_MS = 20 };
/* Ending: the scheduler tells everybody, then SIGTERM, then SIGKILL. */
enum { FINISH_TIMEOUT_MS = 15000, GOODBYE_TIMEOUT_MS = 5000, TERM_TIMEOUT_MS = 10000 };
enum { RESTARTS_MAX = 20, RESTART_PAUSE_MS = 500, LOG_BYTES_MAX = 64 << 20, WHY_BYTES_MAX = 300 };
#define RESTARTS_WINDOW_US (600 * UINT64_C(1000000))

struct cluster_processes {
    const config *config;
    const char *run_dir;
    const atomic_int *stop;
    supervisor *children;
    zmq_client *client;
    char *config_file, *url;
    uint32_t restarts, window_restarts;
    uint64_t window_us; /* start of the window that window_restarts counts */
    bool finishing;
    err_code over; /* not ERR_OK: a process ended, and the job ends with this */
};

/* ---- Starting ---- */

static err_code start_role(cluster_processes *p, const char *role, uint32_t index, const char *flag)
{
    char name[32], number[16], program[32];
    snprintf(name, sizeof name, "%s-%" PRIu32, role, index);
    snprintf(number, sizeof number, "%" PRIu32, index);
    snprintf(program, sizeof program, "weft-%s", role);
    const char *indexed[] = {"-c", p->config_file, "--index", number, NULL};
    const char *driven[] = {"-c", p->config_file, "--driver", flag, NULL};
    bool is_scheduler = strcmp(role, "scheduler") == 0;
    return supervisor_start(p->children, name, program, is_scheduler ? driven : indexed);
}

static err_code write_config(cluster_processes *p)
{
    char *text = config_print(p->config, CONFIG_ALL);
    p->config_file = files_join(p->run_dir, "config.yaml");
    err_code rc = files_write_atomic(p->config_file, text, strlen(text), 0644);
    free(text);
    return rc;
}

/* Waits for the file the scheduler writes its URL to. */
static err_code wait_for_url(cluster_processes *p)
{
    char *path = files_join(p->run_dir, "url");
    err_code rc = ERR_OK;
    uint64_t end = clock_now_us() + START_TIMEOUT_MS * 1000u;
    while (rc == ERR_OK && !files_exist(path)) {
        rc = cluster_processes_run(p, POLL_MS);
        if (rc == ERR_OK && clock_now_us() > end) {
            log_user_error("the scheduler does not start: see %s/logs/scheduler-0.log",
                           p->config->work_dir);
            rc = ERR_CLOSED;
        }
    }
    size_t bytes;
    if (rc == ERR_OK) rc = files_read(path, 4096, &p->url, &bytes);
    free(path);
    return rc;
}

err_code cluster_processes_open(const cluster_options *o, const char *run_dir, core_peer self,
                                cluster_processes **out)
{
    cluster_processes *p = xcalloc(1, sizeof *p);
    p->config = o->config;
    p->run_dir = run_dir;
    p->stop = o->stop;
    char *bin = supervisor_bin_dir(), *logs = files_join(o->config->work_dir, "logs");
    char *old_url = files_join(run_dir, "url");
    unlink(old_url);
    err_code rc = files_make_dirs(logs);
    if (rc == ERR_OK) rc = write_config(p);
    p->children = supervisor_new(bin, logs);
    if (rc == ERR_OK) rc = zmq_client_open(self, &p->client);
    if (rc == ERR_OK) rc = start_role(p, "scheduler", 0, o->fresh ? "--fresh" : NULL);
    if (rc == ERR_OK) rc = wait_for_url(p);
    free(old_url);
    free(bin);
    free(logs);
    if (rc != ERR_OK) {
        cluster_processes_close(p);
        return rc;
    }
    *out = p;
    return ERR_OK;
}

err_code cluster_processes_start(cluster_processes *p)
{
    const config *f = p->config;
    err_code rc = ERR_OK;
    for (uint32_t i = 0; i < f->cluster.servers && rc == ERR_OK; i++)
        rc = start_role(p, "ps", i, NULL);
    for (uint32_t i = 0; i < f->cluster.samplers && rc == ERR_OK; i++)
        rc = start_role(p, "sampler", i, NULL);
    for (uint32_t i = 0; i < f->cluster.workers && rc == ERR_OK; i++)
        rc = start_role(p, "worker", i, NULL);
    return rc;
}

/* ---- Ended processes ---- */

/* The last line of a log, or the reason in it if it is that of an exit; owned. */
static char *last_words(const char *log_path)
{
    char *text = NULL;
    size_t n = 0;
    if (!files_exist(log_path) || files_read(log_path, LOG_BYTES_MAX, &text, &n) != ERR_OK)
        return xstrdup("no log");
    while (n && (text[n - 1] == '\n' || text[n - 1] == '"')) text[--n] = 0;
    const char *line = strrchr(text, '\n');
    line = line ? line + 1 : text;
    const char *why = strstr(line, " why=\"");
    if (why) line = why + 6;
    if (strncmp(line, "weft: ", 6) == 0) line += 6;
    char *words = xprintf("%.*s", WHY_BYTES_MAX, line);
    free(text);
    return words;
}

static void say_lost(const cluster_processes *p, const child_exit *e)
{
    char *log_path = xprintf("%s/logs/%s.log", p->config->work_dir, e->name);
    char *words = last_words(log_path);
    if (e->signal) {
        log_user_error("%s was lost, ended by signal %d (%s), and the job cannot go on without it; "
                       "its log: %s",
                       e->name, e->signal, strsignal(e->signal), log_path);
    } else {
        log_user_error(
            "%s ended with code %d, and the job cannot go on without it: %s; its log: %s", e->name,
            e->code, words, log_path);
    }
    free(words);
    free(log_path);
}

/* True if another restart is within the limit; counts it. */
static bool may_restart(cluster_processes *p)
{
    uint64_t now = clock_now_us();
    if (now - p->window_us > RESTARTS_WINDOW_US) {
        p->window_us = now;
        p->window_restarts = 0;
    }
    p->restarts++;
    return p->window_restarts++ < RESTARTS_MAX;
}

/* True if the scheduler leaves of its own accord, now or soon after one of those whom it tells.  If
 * it leaves otherwise, *e becomes its exit: what the others were told is its reason. */
static bool scheduler_left(cluster_processes *p, child_exit *e)
{
    uint64_t end = clock_now_us() + GOODBYE_TIMEOUT_MS * UINT64_C(1000);
    child_exit x = *e;
    while (strcmp(x.name, "scheduler-0") != 0) {
        if (supervisor_poll(p->children, &x)) continue;
        if (clock_now_us() > end) return false;
        usleep(POLL_MS * 1000u);
    }
    *e = x;
    return e->signal == 0 && e->code == 0;
}

/* What an ended child means: a stateless role is started again, anything else ends the job.
 * Scheduler and servers leave well only when somebody asked for it (`weft stop`). */
static err_code child_ended(cluster_processes *p, child_exit *e)
{
    char role[32];
    snprintf(role, sizeof role, "%.*s", (int)strcspn(e->name, "-"), e->name);
    uint32_t index = (uint32_t)strtoul(e->name + strcspn(e->name, "-") + 1, NULL, 10);
    bool stateless = strcmp(role, "worker") == 0 || strcmp(role, "sampler") == 0;
    if (!stateless && e->signal == 0 && e->code == 0 && scheduler_left(p, e)) {
        log_user_error("the job was stopped");
        return ERR_STOPPED;
    }
    bool refused = e->code == 2;
    if (!stateless || refused || !may_restart(p)) {
        say_lost(p, e);
        return refused ? ERR_INVALID : ERR_CLOSED;
    }
    log_warn("restart", "name=%s signal=%d code=%d", e->name, e->signal, e->code);
    usleep(RESTART_PAUSE_MS * 1000u);
    return start_role(p, role, index, NULL);
}

/* After the end everybody leaves; who leaves badly is named. */
static void child_left(const child_exit *e)
{
    if (e->signal || e->code)
        log_warn("bad_exit", "name=%s signal=%d code=%d", e->name, e->signal, e->code);
}

/* ---- Running ---- */

static err_code look_after(cluster_processes *p)
{
    child_exit e;
    if (p->stop && atomic_load(p->stop)) return ERR_STOPPED;
    while (p->over == ERR_OK && supervisor_poll(p->children, &e)) {
        if (p->finishing) {
            child_left(&e);
        } else {
            p->over = child_ended(p, &e);
        }
    }
    return p->over;
}

err_code cluster_processes_run(cluster_processes *p, uint32_t wait_ms)
{
    err_code rc = look_after(p);
    if (rc == ERR_OK) usleep(wait_ms * 1000u);
    return rc;
}

static err_code check(void *context)
{
    return look_after(context);
}

err_code cluster_processes_call(cluster_processes *p, const char *address, const wire_header *h,
                                blob *body, wire_header *answer, blob **answer_body)
{
    char scheduler[CORE_TEXT_MAX];
    role_scheduler_endpoint(p->config, scheduler);
    const char *to = address ? address : scheduler;
    err_code rc =
        zmq_client_call(p->client, to, h, body, CALL_TIMEOUT_MS, check, p, answer, answer_body);
    if (rc == ERR_CLOSED && p->over == ERR_OK)
        log_error("no_answer", "address=\"%s\" op=%s", to, wire_op_name(h->op));
    return rc;
}

char *cluster_processes_status(const cluster_processes *p)
{
    char *text = NULL, *url = xprintf("%s/api/v1/status", p->url);
    if (status_client_get(url, NULL, &text) != ERR_OK) text = NULL;
    free(url);
    return text;
}

const char *cluster_processes_url(const cluster_processes *p)
{
    return p->url;
}

cluster_facts cluster_processes_facts(const cluster_processes *p)
{
    cluster_facts f = {.restarts = p->restarts};
    f.peak_rss[WIRE_SCHEDULER] = supervisor_peak_rss(p->children, "scheduler");
    f.peak_rss[WIRE_SERVER] = supervisor_peak_rss(p->children, "ps");
    f.peak_rss[WIRE_SAMPLER] = supervisor_peak_rss(p->children, "sampler");
    f.peak_rss[WIRE_WORKER] = supervisor_peak_rss(p->children, "worker");
    f.peak_rss[WIRE_DRIVER] = process_peak_rss_bytes();
    return f;
}

/* ---- Ending ---- */

/* Waits until all children have ended, at most timeout_ms. */
static err_code wait_for_end(cluster_processes *p, uint32_t timeout_ms)
{
    uint64_t end = clock_now_us() + timeout_ms * UINT64_C(1000);
    err_code rc = ERR_OK;
    while (rc == ERR_OK && supervisor_running(p->children) && clock_now_us() < end)
        rc = cluster_processes_run(p, POLL_MS);
    return rc;
}

err_code cluster_processes_finish(cluster_processes *p)
{
    p->finishing = true;
    return wait_for_end(p, FINISH_TIMEOUT_MS); /* cluster_processes_close ends the rest. */
}

/* The scheduler gets the signal first: it tells the others, and nobody waits for one who has left.
 */
static void end_children(cluster_processes *p)
{
    p->finishing = true;
    p->stop = NULL;
    p->over = ERR_OK;
    if (supervisor_signal(p->children, "scheduler-0", SIGTERM)) {
        err_code rc = wait_for_end(p, GOODBYE_TIMEOUT_MS);
        (void)rc; /* Whoever is left is ended now. */
    }
    supervisor_stop(p->children, TERM_TIMEOUT_MS);
}

/* Processes remove their own sockets unless they were killed. */
static void remove_socket(uint32_t role, uint32_t index, const char *run_dir)
{
    char *path = xprintf("%s/%s-%" PRIu32 ".sock", run_dir, wire_role_name(role), index);
    unlink(path);
    free(path);
}

static void remove_left(const cluster_processes *p)
{
    static const char *const names[] = {"scheduler.sock", "url", "token"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = files_join(p->run_dir, names[i]);
        unlink(path);
        free(path);
    }
    for (uint32_t i = 0; i < p->config->cluster.servers; i++)
        remove_socket(WIRE_SERVER, i, p->run_dir);
    for (uint32_t i = 0; i < p->config->cluster.samplers; i++)
        remove_socket(WIRE_SAMPLER, i, p->run_dir);
}

void cluster_processes_close(cluster_processes *p)
{
    if (!p) return;
    end_children(p);
    remove_left(p);
    supervisor_free(p->children);
    zmq_client_close(p->client);
    free(p->config_file);
    free(p->url);
    free(p);
}
