#include "deploy/cluster_processes.h"

#include "common/clock.h"
#include "common/files.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/process.h"
#include "common/role.h"
#include "common/shell.h"
#include "common/zmq_client.h"
#include "deploy/job_watch.h"
#include "deploy/process_table.h"
#include "deploy/supervisor.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { START_TIMEOUT_MS = 20000, POLL_MS = 20 };
/* One try of a call; the scheduler is asked again, and so said to be waited for. */
enum { CALL_TIMEOUT_MS = 15000, TRY_TIMEOUT_MS = 200 };
/* Ending: the scheduler tells everybody, then SIGTERM, then SIGKILL. */
enum { FINISH_TIMEOUT_MS = 15000, GOODBYE_TIMEOUT_MS = 25000, TERM_TIMEOUT_MS = 10000 };
enum { SETTLED_US = 4 * SHELL_IDLE_MS * 1000 }; /* after this long a status has what was before */
enum { LOG_BYTES_MAX = 64 << 20, WHY_BYTES_MAX = 300, SAID_LINES_MAX = 24, OTHER_LINES_MAX = 4 };

struct cluster_processes {
    const config *config;
    const char *run_dir;
    const atomic_int *stop;
    supervisor *children;
    process_table table;
    job_watch watch;
    keyring *keys; /* the driver's; NULL: none */
    zmq_client *client;
    char *config_file;
    uint32_t restarts;
    bool up;      /* the scheduler has been there */
    bool started; /* so have been the others */
    bool finishing;
    err_code over; /* not ERR_OK: a process ended, and the job ends with this */
};

/* ---- Starting ---- */

/* Words that a scheduler of a later life gets besides: where the one before was watched, so that an
 * open page goes on. */
typedef struct later_life {
    char bind[96];
    const char *word[3]; /* NULL-terminated */
} later_life;

static void add_later_life(const cluster_processes *p, later_life *l)
{
    size_t n = 0;
    if (p->watch.place) {
        snprintf(l->bind, sizeof l->bind, "http.bind=%s", p->watch.place);
        l->word[n++] = "--set";
        l->word[n++] = l->bind;
    }
    l->word[n] = NULL;
}

static err_code start_scheduler(cluster_processes *p, const char *name, const char *flag)
{
    later_life l = {0};
    job_watch_forget(&p->watch);
    add_later_life(p, &l);
    const char *first[] = {"-c", p->config_file, "--driver", flag, NULL};
    const char *again[] = {"-c", p->config_file, "--driver", l.word[0], l.word[1], NULL};
    return supervisor_start(p->children, name, "weft-scheduler", p->up ? again : first);
}

static err_code start_process(cluster_processes *p, process_slot *x, const char *flag)
{
    char name[PROCESS_NAME_MAX], number[16], program[32];
    process_name(x, name);
    x->state = PROCESS_RUNNING;
    x->started_us = clock_now_us();
    if (x->role == WIRE_SCHEDULER) return start_scheduler(p, name, flag);
    snprintf(number, sizeof number, "%" PRIu32, x->index);
    snprintf(program, sizeof program, "weft-%s", wire_role_name(x->role));
    const char *argv[] = {"-c", p->config_file, "--index", number, NULL};
    return supervisor_start(p->children, name, program, argv);
}

static err_code start_role(cluster_processes *p, uint32_t role, uint32_t n)
{
    err_code rc = ERR_OK;
    for (uint32_t i = 0; i < n && rc == ERR_OK; i++)
        rc = start_process(p, process_table_get(&p->table, role, i), NULL);
    return rc;
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
    err_code rc = ERR_OK;
    uint64_t end = clock_now_us() + START_TIMEOUT_MS * 1000u;
    while (rc == ERR_OK && !job_watch_find(&p->watch)) {
        rc = cluster_processes_run(p, POLL_MS);
        if (rc == ERR_OK && clock_now_us() > end) {
            log_user_error("the scheduler does not start: see %s/logs/scheduler-0.log",
                           p->config->work_dir);
            rc = ERR_CLOSED;
        }
    }
    p->up = rc == ERR_OK;
    return rc;
}

err_code cluster_processes_open(const cluster_options *o, const char *run_dir, core_peer self,
                                cluster_processes **out)
{
    cluster_processes *p = xcalloc(1, sizeof *p);
    p->config = o->config;
    p->run_dir = run_dir;
    p->stop = o->stop;
    job_watch_init(&p->watch, run_dir, o->config->http.token_file);
    char *bin = supervisor_bin_dir(), *logs = files_join(o->config->work_dir, "logs");
    err_code rc = files_make_dirs(logs);
    if (rc == ERR_OK) rc = write_config(p);
    p->children = supervisor_new(bin, logs);
    if (rc == ERR_OK) rc = role_open_keys(o->config, WIRE_DRIVER, &p->keys);
    if (rc == ERR_OK) rc = zmq_client_open(self, p->keys, NULL, &p->client);
    process_slot *scheduler = process_table_get(&p->table, WIRE_SCHEDULER, 0);
    char *from = o->from ? xprintf("--from=%s", o->from) : NULL;
    if (rc == ERR_OK) rc = start_process(p, scheduler, o->fresh ? "--fresh" : from);
    free(from);
    if (rc == ERR_OK) rc = wait_for_url(p);
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
    err_code rc = start_role(p, WIRE_SERVER, f->cluster.servers);
    if (rc == ERR_OK) rc = start_role(p, WIRE_SAMPLER, f->cluster.samplers);
    if (rc == ERR_OK) rc = start_role(p, WIRE_WORKER, f->cluster.workers);
    p->started = true;
    return rc;
}

/* ---- Ended processes ---- */

/* A line of a log is for machines: its event and its reason, owned. */
static char *plain_words(const char *line)
{
    static const char mark[] = " reason=\"";
    int event = 0, end = 0;
    const char *why = strstr(line, mark);
    if (strncmp(line, "weft: ", 6) == 0) return xprintf("%.*s", WHY_BYTES_MAX, line + 6);
    if (sscanf(line, "%*d-%*d-%*dT%*s %*s %n%*s%n", &event, &end) < 0 || end == 0)
        return xprintf("%.*s", WHY_BYTES_MAX, line);
    if (!why) return xprintf("%.*s", WHY_BYTES_MAX, line + event);
    why += sizeof mark - 1;
    return xprintf("%.*s: %.*s", end - event, line + event, (int)strcspn(why, "\""), why);
}

/* The last line of a log, or the reason in it if it is that of an exit; owned.  *decided: it is. */
static char *last_words(const char *log_path, bool *decided)
{
    char *text = NULL;
    size_t n = 0;
    *decided = false;
    if (!files_exist(log_path) || files_read(log_path, LOG_BYTES_MAX, &text, &n) != ERR_OK)
        return xstrdup("no log");
    while (n && (text[n - 1] == '\n' || text[n - 1] == '"')) text[--n] = 0;
    const char *line = strrchr(text, '\n');
    line = line ? line + 1 : text;
    const char *why = strstr(line, " why=\"");
    *decided = why && strstr(line, " exit code=");
    char *words = why ? xprintf("%.*s", WHY_BYTES_MAX, why + 6) : plain_words(line);
    free(text);
    return words;
}

static char *log_path_of(const cluster_processes *p, const child_exit *e)
{
    return xprintf("%s/logs/%s.log", p->config->work_dir, e->name);
}

/* The line before `line` of `text`, which is cut there; NULL: there is none. */
static char *line_before(char *text, char *line)
{
    if (line == text) return NULL;
    line[-1] = 0;
    char *end = strrchr(text, '\n');
    return end ? end + 1 : text;
}

/* Repeats what a refused process has said to its user: the last such lines of its log, at most
 * SAID_LINES_MAX, behind which it may have logged a few others. */
static void repeat_said(const char *log_path)
{
    static const char mark[] = "weft: ";
    char *text = NULL, *said[SAID_LINES_MAX];
    size_t n = 0, bytes = 0, others = 0;
    if (files_read(log_path, LOG_BYTES_MAX, &text, &bytes) != ERR_OK) return;
    if (bytes && text[bytes - 1] == '\n') text[bytes - 1] = 0;
    char *line = strrchr(text, '\n');
    line = line ? line + 1 : text;
    for (; line && n < SAID_LINES_MAX && others < OTHER_LINES_MAX; line = line_before(text, line)) {
        bool is_said = strncmp(line, mark, sizeof mark - 1) == 0;
        if (is_said) said[n++] = line + sizeof mark - 1;
        if (!is_said && n) break;
        others += !is_said;
    }
    while (n) log_user_error("%s", said[--n]);
    free(text);
}

static void say_refused(const cluster_processes *p, const child_exit *e)
{
    bool decided;
    char *log_path = log_path_of(p, e), *words = last_words(log_path, &decided);
    repeat_said(log_path);
    log_user_error("%s was refused (it ended with code %d): %s; its log: %s", e->name, e->code,
                   words, log_path);
    free(words);
    free(log_path);
}

/* `why`: why the job cannot go on without it. */
static void say_lost(const cluster_processes *p, const child_exit *e, const char *why)
{
    bool decided;
    char *log_path = log_path_of(p, e), *words = last_words(log_path, &decided);
    if (e->signal) {
        log_user_error("%s was lost, ended by signal %d (%s), %s: %s; its log: %s", e->name,
                       e->signal, strsignal(e->signal), why, words, log_path);
    } else {
        log_user_error("%s ended with code %d, %s: %s; its log: %s", e->name, e->code, why, words,
                       log_path);
    }
    free(words);
    free(log_path);
}

/* The scheduler ends the job and says why in its last line; false: it was lost. */
static bool job_failed(const cluster_processes *p, const child_exit *e)
{
    bool decided = false;
    char *log_path = log_path_of(p, e), *words = last_words(log_path, &decided);
    if (e->signal == 0 && decided)
        log_user_error("the job failed: %s; the scheduler's log: %s", words, log_path);
    free(words);
    free(log_path);
    return e->signal == 0 && decided;
}

/* By somebody else than us; its last line says by whom. */
static err_code job_stopped(const cluster_processes *p, const child_exit *e)
{
    bool decided;
    char *log_path = log_path_of(p, e), *words = last_words(log_path, &decided);
    log_user_error("the job was %s", decided ? words : "stopped");
    free(words);
    free(log_path);
    return ERR_STOPPED;
}

/* The scheduler has ended: what that means for the job.  ERR_OK: it is to be started again. */
static err_code scheduler_ended(const cluster_processes *p, const child_exit *e)
{
    if (e->signal == 0 && e->code == 0) return job_stopped(p, e);
    if (p->up) return job_failed(p, e) ? ERR_CLOSED : ERR_OK;
    say_lost(p, e, "and the job cannot start without it");
    return ERR_CLOSED;
}

/* A server that is there for a map to come, before the scheduler knows of it (or not any more: it
 * may have been started again since): the job does not need it. */
static bool is_early(const cluster_processes *p, const process_slot *x)
{
    return x->role == WIRE_SERVER && p->watch.servers_now && x->index >= p->watch.servers_now;
}

static void wait_for_map(process_slot *x, const child_exit *e)
{
    if (!restart_policy_next(&x->policy, x->started_us, x->ended_us, &x->due_us))
        x->due_us = x->ended_us + RESTART_DELAY_MAX_MS * UINT64_C(1000);
    x->state = PROCESS_WAITING;
    log_warn("not_in_the_map", "name=%s signal=%d code=%d", e->name, e->signal, e->code);
}

/* Whether it may have left because the job ends or it was drained: may_start tells. */
static bool is_perhaps_over(const process_slot *x)
{
    return x->left && x->role != WIRE_SCHEDULER;
}

static void say_again(const child_exit *e, double in_s)
{
    if (e->signal)
        log_user_error("%s was ended by signal %d (%s); it starts again in %.1f s", e->name,
                       e->signal, strsignal(e->signal), in_s);
    else
        log_user_error("%s ended with code %d; it starts again in %.1f s", e->name, e->code, in_s);
}

static void say_back(const process_slot *x)
{
    char name[PROCESS_NAME_MAX];
    process_name(x, name);
    log_user_error("%s ended with code 0; it starts again", name);
}

/* What an ended child means: it will be started again, or the job ends with the code returned. */
static err_code child_ended(cluster_processes *p, process_slot *x, const child_exit *e)
{
    if (is_early(p, x)) {
        wait_for_map(x, e);
        return ERR_OK;
    }
    if (e->code == 2) {
        say_refused(p, e);
        return ERR_INVALID;
    }
    err_code rc = x->role == WIRE_SCHEDULER ? scheduler_ended(p, e) : ERR_OK;
    if (rc != ERR_OK) return rc;
    if (!restart_policy_next(&x->policy, x->started_us, x->ended_us, &x->due_us)) {
        char why[96];
        snprintf(why, sizeof why, "more than %d times in %d s, and the job cannot go on without it",
                 RESTARTS_MAX, RESTARTS_WINDOW_MS / 1000);
        say_lost(p, e, why);
        return ERR_CLOSED;
    }
    x->state = PROCESS_WAITING;
    if (!is_perhaps_over(x)) say_again(e, (double)(x->due_us - x->ended_us) / 1e6);
    return ERR_OK;
}

/* After the end everybody leaves; who leaves badly is named. */
static void child_left(const child_exit *e)
{
    if (e->signal || e->code)
        log_warn("bad_exit", "name=%s signal=%d code=%d", e->name, e->signal, e->code);
}

static void take_exit(cluster_processes *p, const child_exit *e)
{
    process_slot *x = process_table_named(&p->table, e->name);
    bool leaving = p->finishing || !x || x->state == PROCESS_LEAVING;
    if (x) {
        x->ended_us = clock_now_us();
        x->left = e->signal == 0 && e->code == 0;
        x->state = PROCESS_OFF;
    }
    if (leaving)
        child_left(e);
    else
        p->over = child_ended(p, x, e);
}

/* ---- Processes that are wanted ---- */

/* Whether one that ended is to be started again now.  Everybody but the scheduler leaves of its own
 * accord when the job ends or it was drained: a status that is newer than its end says whether.
 * Pages are published every SHELL_IDLE_MS: one that is asked for at once may be the one from
 * before. */
static bool may_start(const cluster_processes *p, const process_slot *x, uint64_t now_us)
{
    if (x->state != PROCESS_WAITING || now_us < x->due_us) return false;
    if (x->role == WIRE_SCHEDULER || !p->watch.text) return true;
    uint64_t settled_us = x->ended_us + (x->left ? SETTLED_US : 0);
    return p->watch.asked_us > settled_us && !p->watch.ends;
}

static void start_again(cluster_processes *p)
{
    for (size_t i = 0; i < p->table.n && p->over == ERR_OK; i++) {
        process_slot *x = p->table.slot[i];
        if (!may_start(p, x, clock_now_us())) continue;
        if (is_perhaps_over(x)) say_back(x);
        p->restarts++;
        p->over = start_process(p, x, NULL);
    }
}

static void let_go(cluster_processes *p, process_slot *x)
{
    char name[PROCESS_NAME_MAX];
    process_name(x, name);
    bool runs = x->state == PROCESS_RUNNING && supervisor_signal(p->children, name, SIGTERM);
    x->state = runs ? PROCESS_LEAVING : PROCESS_OFF;
    x->due_us = clock_now_us() + TERM_TIMEOUT_MS * UINT64_C(1000);
    log_info("leaves", "name=%s", name);
}

static void resize(cluster_processes *p, uint32_t role, uint32_t at_least, uint32_t at_most)
{
    process_slot *x;
    while ((x = process_table_surplus(&p->table, role, at_most))) let_go(p, x);
    while (p->over == ERR_OK && (x = process_table_missing(&p->table, role, at_least)))
        p->over = start_process(p, x, NULL);
}

/* As many workers as are wanted; servers are there before a map names them, and go when none does.
 */
static void follow_wanted(cluster_processes *p)
{
    const job_watch *w = &p->watch;
    if (!p->started || !w->text || w->ends || !w->wants) return;
    resize(p, WIRE_WORKER, w->workers, w->workers);
    bool settled = w->runs && w->servers_now == w->servers;
    uint32_t servers = w->servers > w->servers_now ? w->servers : w->servers_now;
    resize(p, WIRE_SERVER, servers, settled ? servers : UINT32_MAX);
}

static void kill_late(cluster_processes *p)
{
    for (size_t i = 0; i < p->table.n; i++) {
        process_slot *x = p->table.slot[i];
        char name[PROCESS_NAME_MAX];
        if (x->state != PROCESS_LEAVING || clock_now_us() < x->due_us) continue;
        process_name(x, name);
        log_warn("child_killed", "name=%s", name);
        supervisor_signal(p->children, name, SIGKILL);
        x->due_us = UINT64_MAX;
    }
}

/* ---- Running ---- */

static err_code look_after(cluster_processes *p)
{
    child_exit e;
    if (p->stop && atomic_load(p->stop)) return ERR_STOPPED;
    while (p->over == ERR_OK && supervisor_poll(p->children, &e)) take_exit(p, &e);
    if (p->finishing || p->over != ERR_OK) return p->over;
    uint64_t asked_us = p->watch.asked_us;
    job_watch_poll(&p->watch, clock_now_us());
    if (p->watch.asked_us != asked_us) follow_wanted(p);
    start_again(p);
    kill_late(p);
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

/* One try; ERR_NOT_FOUND: no answer within timeout_ms. */
static err_code ask_scheduler(cluster_processes *p, const wire_header *h, blob *body,
                              uint32_t timeout_ms, wire_header *answer, blob **answer_body)
{
    char to[CORE_TEXT_MAX];
    role_scheduler_endpoint(p->config, to);
    err_code rc =
        zmq_client_call(p->client, to, h, body, timeout_ms, check, p, answer, answer_body);
    return rc == ERR_CLOSED && p->over == ERR_OK ? ERR_NOT_FOUND : rc;
}

static err_code wait_for_scheduler(cluster_processes *p, const wire_header *h, blob *body,
                                   wire_header *answer, blob **answer_body)
{
    uint64_t start = clock_now_us(), limit = (uint64_t)p->config->train.stall_timeout_ms * 1000u;
    for (;;) {
        err_code rc = ask_scheduler(p, h, body, CALL_TIMEOUT_MS, answer, answer_body);
        if (rc != ERR_NOT_FOUND) return rc;
        uint64_t waited = clock_now_us() - start;
        if (limit && waited >= limit) {
            log_user_error("the scheduler has not answered %s for %" PRIu64 " s: see "
                           "%s/logs/scheduler-0.log",
                           wire_op_name(h->op), waited / 1000000, p->config->work_dir);
            p->over = ERR_CLOSED;
            return p->over;
        }
        log_warn("waiting", "for=\"an answer to %s\" whom=scheduler-0 since_s=%" PRIu64,
                 wire_op_name(h->op), waited / 1000000);
    }
}

typedef struct server_call {
    cluster_processes *p;
    uint32_t restarts; /* when it began */
} server_call;

/* An answer may never come from a process that has ended, nor to an address that is an old one. */
static err_code check_server(void *context)
{
    const server_call *c = context;
    err_code rc = look_after(c->p);
    return rc == ERR_OK && c->p->restarts != c->restarts ? ERR_CLOSED : rc;
}

err_code cluster_processes_call(cluster_processes *p, const char *address, const wire_header *h,
                                blob *body, wire_header *answer, blob **answer_body)
{
    if (!address) return wait_for_scheduler(p, h, body, answer, answer_body);
    server_call c = {p, p->restarts};
    return zmq_client_call(p->client, address, h, body, CALL_TIMEOUT_MS, check_server, &c, answer,
                           answer_body);
}

err_code cluster_processes_try(cluster_processes *p, const wire_header *h, blob *body,
                               wire_header *answer, blob **answer_body)
{
    return ask_scheduler(p, h, body, TRY_TIMEOUT_MS, answer, answer_body);
}

char *cluster_processes_status(const cluster_processes *p)
{
    return p->watch.text ? xstrdup(p->watch.text) : NULL;
}

const char *cluster_processes_url(const cluster_processes *p)
{
    return p->watch.url ? p->watch.url : "";
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

/* The scheduler gets the signal first: it makes a checkpoint and tells the others, and nobody waits
 * for one who has left. */
static void end_children(cluster_processes *p)
{
    int number = p->stop ? atomic_load(p->stop) : 0; /* it says who stopped the job */
    p->finishing = true;
    p->stop = NULL;
    p->over = ERR_OK;
    if (supervisor_signal(p->children, "scheduler-0", number ? number : SIGTERM)) {
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
    for (size_t i = 0; i < p->table.n; i++)
        remove_socket(p->table.slot[i]->role, p->table.slot[i]->index, p->run_dir);
}

void cluster_processes_close(cluster_processes *p)
{
    if (!p) return;
    end_children(p);
    remove_left(p);
    supervisor_free(p->children);
    process_table_fini(&p->table);
    job_watch_fini(&p->watch);
    zmq_client_close(p->client);
    keyring_close(p->keys);
    free(p->config_file);
    free(p);
}
