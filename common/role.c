#include "common/role.h"

#include "common/address.h"
#include "common/cli.h"
#include "common/clock.h"
#include "common/files.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/notify.h"
#include "common/numerics.h"
#include "common/process.h"
#include "common/reach.h"
#include "common/resolver.h"
#include "common/version.h"
#include "common/zmq_client.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* A try is short: the scheduler's name may stand for another address by now. */
enum { FETCH_TRY_MS = 3000, FETCH_PAUSE_US = 200000, RESOLVE_MS = 30000 };
/* A start may take so much longer with each sign of a scheduler. */
enum { START_EXTENSION_US = 60000000 };
enum { FIRST_REPORT_US = 2000000 };
enum { OPTION_ADVERTISE = 0x3600, OPTION_HTTP };

/* ---- Endpoints ---- */

void role_scheduler_endpoint(const config *c, char out[CORE_TEXT_MAX])
{
    snprintf(out, CORE_TEXT_MAX, "%s",
             c->cluster.scheduler[0] ? c->cluster.scheduler : "ipc://scheduler.sock");
}

err_code role_enter_run_dir(const config *c)
{
    char *run = files_join(c->work_dir, "run");
    err_code rc = files_make_dirs(run);
    if (rc == ERR_OK && (chmod(run, 0700) != 0 || chdir(run) != 0)) {
        log_user_error("%s: cannot be used as a folder", run);
        rc = ERR_IO;
    }
    free(run);
    return rc;
}

/* The address this machine reaches host:port from: a UDP socket is connected, nothing is sent. */
static bool local_address(const char *endpoint, char out[64])
{
    char host[128], port[16];
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_DGRAM}, *found = NULL;
    if (sscanf(endpoint, "tcp://%127[^:]:%15s", host, port) != 2) return false;
    if (getaddrinfo(host, port, &hints, &found) != 0 || !found) return false;
    struct sockaddr_in mine = {0};
    socklen_t size = sizeof mine;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    bool ok = fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) == 0 &&
              getsockname(fd, (struct sockaddr *)&mine, &size) == 0 &&
              inet_ntop(AF_INET, &mine.sin_addr, out, 64);
    if (fd >= 0) close(fd);
    freeaddrinfo(found);
    return ok;
}

/* tcp://127.x.y.z:port, numbers only: a name may stand for anything. */
static bool is_loopback(const char *endpoint)
{
    char host[64];
    struct in_addr a;
    int colon = 0; /* past it; 0: something else follows the number */
    if (sscanf(endpoint, "tcp://%63[0-9.]:%n", host, &colon) != 1 || !colon) return false;
    return inet_pton(AF_INET, host, &a) == 1 && (ntohl(a.s_addr) >> 24) == 127;
}

static err_code check_bind(const config *c, const char *endpoint)
{
    /* ipc://@name has no file, and so no permissions. */
    bool is_file = strncmp(endpoint, "ipc://", 6) == 0 && endpoint[6] != '@' && endpoint[6] != '*';
    if (is_file) return ERR_OK;
    if (strncmp(endpoint, "tcp://", 6) != 0 || endpoint[6] == '[') {
        log_user_error("%s: an endpoint is tcp:// with an IPv4 address or name, or ipc:// with a "
                       "file (cluster.scheduler, cluster.advertise)",
                       endpoint);
        return ERR_INVALID;
    }
    if (is_loopback(endpoint) || c->security.keys[0] || c->security.insecure) return ERR_OK;
    log_user_error("%s is not a loopback address: it needs security.keys (weft keygen), or, on a "
                   "network you trust, security.insecure: true",
                   endpoint);
    return ERR_INVALID;
}

err_code role_open_keys(const config *c, uint32_t role, keyring **out)
{
    char scheduler[CORE_TEXT_MAX];
    role_scheduler_endpoint(c, scheduler);
    *out = NULL;
    if (!c->security.keys[0] || !keyring_wanted(scheduler)) return ERR_OK;
    return keyring_open(c->security.keys, role, out);
}

/* What the scheduler binds of its own address: libzmq binds to numbers, not to names. */
static void own_endpoint(const config *c, const char *scheduler, char out[CORE_TEXT_MAX])
{
    char host[128], port[16];
    struct in_addr a;
    bool named = sscanf(scheduler, "tcp://%127[^:[]:%15s", host, port) == 2 &&
                 inet_pton(AF_INET, host, &a) != 1;
    if (!named) {
        snprintf(out, CORE_TEXT_MAX, "%s", scheduler);
    } else if (strcmp(host, "localhost") == 0) {
        snprintf(out, CORE_TEXT_MAX, "tcp://127.0.0.1:%s", port);
    } else {
        snprintf(out, CORE_TEXT_MAX, "tcp://%s:%s",
                 c->cluster.advertise[0] ? c->cluster.advertise : "*", port);
    }
}

static void put_endpoint(char out[CORE_TEXT_MAX], const char *host, uint32_t port)
{
    if (port)
        snprintf(out, CORE_TEXT_MAX, "tcp://%s:%" PRIu32, host, port);
    else
        snprintf(out, CORE_TEXT_MAX, "tcp://%s:*", host);
}

err_code role_bind_endpoint(const config *c, core_peer self, char out[CORE_TEXT_MAX])
{
    char scheduler[CORE_TEXT_MAX], host[64];
    role_scheduler_endpoint(c, scheduler);
    if (self.role == WIRE_SCHEDULER) {
        own_endpoint(c, scheduler, out);
    } else if (strncmp(scheduler, "ipc://", 6) == 0) {
        snprintf(out, CORE_TEXT_MAX, "ipc://%s-%" PRIu32 ".sock", wire_role_name(self.role),
                 self.index);
    } else if (c->cluster.advertise[0]) {
        put_endpoint(out, c->cluster.advertise, c->cluster.port);
    } else if (local_address(scheduler, host)) {
        put_endpoint(out, host, c->cluster.port);
    } else {
        log_user_error("cluster.scheduler: \"%s\" cannot be resolved", scheduler);
        return ERR_INVALID;
    }
    return check_bind(c, out);
}

/* ---- Options ---- */

typedef struct role_options {
    cli_options common;
    const char *index, *scheduler, *keys, *http;
    bool is_worker;
} role_options;

/* --name VALUE is short for --set key=VALUE. */
static void add_set(role_options *o, const char *key, const char *value)
{
    cli_options *c = &o->common;
    grow(&c->sets, &c->sets_cap, c->sets_n + 1, sizeof *c->sets);
    c->sets[c->sets_n++] = xprintf("%s=%s", key, value);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    role_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &o->common; return 0;
    case 'i': o->index = arg; return 0;
    case 's': o->scheduler = arg; return 0;
    case 'k': o->keys = arg; return 0;
    case OPTION_ADVERTISE: add_set(o, "cluster.advertise", arg); return 0;
    case OPTION_HTTP:
        o->http = arg;
        add_set(o, "http.process_bind", arg);
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* clang-format off */
#define ROLE_OPTIONS                                                                               \
    {"index", 'i', "N|auto", 0, "Which one of its role; auto: from the host name's ordinal", 0},   \
    {"advertise", OPTION_ADVERTISE, "HOST", 0,                                                     \
     "Address that others reach this process at (cluster.advertise)", 0},                          \
    {"http", OPTION_HTTP, "HOST:PORT", 0,                                                          \
     "Where /healthz, /readyz and /metrics are (http.process_bind)", 0}
/* clang-format on */

/* Servers and samplers have their configuration; a worker can do with the scheduler's address. */
static const struct argp_option role_options_all[] = {ROLE_OPTIONS, {0}};
static const struct argp_option worker_options[] = {
    ROLE_OPTIONS,
    {"scheduler", 's', "ADDRESS", 0, "Where the scheduler is, instead of -c", 0},
    {"keys", 'k', "DIR", 0, "Folder of the keys (security.keys) where there is no -c", 0},
    {0}};
static const struct argp_child children[] = {{&cli_argp_role, 0, "Common options:", 0}, {0}};
static const char role_doc[] = "Runs one process of a weft cluster.";
static const struct argp role_argp = {role_options_all, parse_option, NULL, role_doc,
                                      children,         NULL,         NULL};
static const struct argp worker_argp = {worker_options, parse_option, NULL, role_doc,
                                        children,       NULL,         NULL};

/* SLURM_PROCID, or the digits at the end of the host name (ps-3). */
static bool index_auto(uint32_t *out)
{
    char name[256] = "";
    const char *digits = getenv("SLURM_PROCID");
    if (!digits) {
        gethostname(name, sizeof name - 1);
        size_t n = strlen(name);
        while (n && name[n - 1] >= '0' && name[n - 1] <= '9') n--;
        digits = name + n;
    }
    char *end;
    unsigned long v = strtoul(digits, &end, 10);
    *out = (uint32_t)v;
    return *digits && !*end && v < 100000;
}

static bool parse_index(const role_options *o, uint32_t *out)
{
    if (!o->index) {
        *out = 0;
        if (!o->is_worker) return true;
        *out = (uint32_t)WIRE_ANY_INDEX;
        return true;
    }
    if (strcmp(o->index, "auto") == 0) return index_auto(out);
    char *end;
    unsigned long v = strtoul(o->index, &end, 10);
    *out = (uint32_t)v;
    return *o->index && !*end && v < UINT32_MAX;
}

/* ---- The job ---- */

err_code role_check_stop(void *context)
{
    (void)context;
    sigset_t pending;
    sigpending(&pending);
    bool stop = sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1;
    return stop ? ERR_STOPPED : ERR_OK;
}

/* To whoever supervises this process: it starts, and is not to be given up. */
static void say_waiting(const role_start *r, const char *what)
{
    process_http_waits(r->http, what);
    notify_waiting(what, START_EXTENSION_US);
}

/* Who waits for the scheduler, and when it says so again. */
typedef struct waiter {
    role_start *r;
    zmq_client *client; /* NULL: its name has no address yet */
    uint64_t from_us, say_us;
} waiter;

static void begin_waiting(waiter *w)
{
    w->from_us = clock_now_us();
    w->say_us = w->from_us + FIRST_REPORT_US;
}

/* After 2, 10, 30 s, then each minute. */
static uint64_t next_report_us(uint64_t waited_us)
{
    static const uint64_t at_us[] = {FIRST_REPORT_US, 10000000, 30000000};
    for (size_t i = 0; i < sizeof at_us / sizeof *at_us; i++) {
        if (waited_us < at_us[i]) return at_us[i];
    }
    return (waited_us / 60000000 + 1) * 60000000;
}

/* Between tries: says what is wrong, and hears SIGTERM. */
static err_code while_waiting(void *context)
{
    waiter *w = context;
    char why[CORE_TEXT_MAX] = "its name has no address";
    uint64_t waited_us = clock_now_us() - w->from_us;
    if (w->from_us + waited_us < w->say_us) return role_check_stop(NULL);
    if (w->client) zmq_client_why(w->client, why);
    log_user_error("the scheduler at %s has not answered for %" PRIu64 " s: %s; trying again at "
                   "least every %d s",
                   w->r->scheduler, waited_us / 1000000, why, REACH_AGAIN_US / 1000000);
    w->say_us = w->from_us + next_report_us(waited_us);
    return role_check_stop(NULL);
}

/* One try.  ERR_OK: the job is there if r->job is; ERR_CLOSED: nobody answers. */
static err_code ask_for_job(waiter *w)
{
    wire_header request = wire_request(WIRE_CONFIG), answer = {0};
    role_start *r = w->r;
    blob *body = NULL;
    err_code rc = zmq_client_call(w->client, r->scheduler, &request, NULL, FETCH_TRY_MS,
                                  while_waiting, w, &answer, &body);
    if (rc == ERR_OK && answer.status == WIRE_OK) {
        rc = job_decode(body, &r->job);
        if (r->self.index == (uint32_t)WIRE_ANY_INDEX) r->self.index = answer.part;
    } else if (rc == ERR_OK && answer.status == WIRE_REFUSED) {
        log_user_error("%s: %.*s", r->scheduler, (int)blob_size(body),
                       blob_size(body) ? (const char *)blob_data(body) : "");
        rc = ERR_MISMATCH;
    }
    blob_unref(body);
    return rc;
}

/* Waits for the scheduler, and for it to have a job: neither fails by itself. */
static err_code fetch_job(role_start *r)
{
    zmq_client *client;
    core_peer self = {
        .role = r->self.role, .index = r->self.index, .incarnation = r->self.incarnation};
    err_code rc = zmq_client_open(self, r->keys, zmq_shell_context(r->shell), &client);
    if (rc != ERR_OK) return rc;
    waiter w = {.r = r, .client = client};
    begin_waiting(&w);
    say_waiting(r, "waiting for the scheduler");
    while (rc == ERR_OK && !r->job) {
        rc = ask_for_job(&w);
        if (rc == ERR_CLOSED) {
            say_waiting(r, "waiting for the scheduler");
            rc = ERR_OK;
        } else if (rc == ERR_OK && !r->job) {
            begin_waiting(&w); /* it is there */
            say_waiting(r, "waiting for the job to be prepared");
            usleep(FETCH_PAUSE_US);
        }
    }
    zmq_client_close(client);
    return rc;
}

static err_code check_plan(const role_start *r)
{
    if (!r->config) return ERR_OK;
    char *mine = config_plan_json(r->config), *theirs = config_plan_json(r->job->config);
    size_t differ = config_plan_diff(mine, theirs);
    free(mine);
    free(theirs);
    if (!differ) return ERR_OK;
    log_user_error("%s has another plan than the scheduler at %s: %zu key%s (above, ours -> the "
                   "job's)",
                   r->config->file, r->scheduler, differ, differ == 1 ? " differs" : "s differ");
    return ERR_MISMATCH;
}

static err_code open_keys(role_start *r, const char *folder)
{
    if (folder && r->config) {
        log_user_error("--keys: with -c the folder is security.keys");
        return ERR_INVALID;
    }
    if (r->config) return role_open_keys(r->config, r->self.role, &r->keys);
    return folder ? keyring_open(folder, r->self.role, &r->keys) : ERR_OK;
}

static err_code open_shell(role_start *r)
{
    char endpoint[CORE_TEXT_MAX];
    bool binds = r->self.role != WIRE_WORKER;
    err_code rc = ERR_OK;
    if (strncmp(r->scheduler, "ipc://", 6) == 0 && r->config) rc = role_enter_run_dir(r->config);
    if (rc == ERR_OK && binds) rc = role_bind_endpoint(r->config, r->self, endpoint);
    if (rc == ERR_OK) rc = zmq_shell_open(binds ? endpoint : NULL, r->keys, &r->shell, r->address);
    return rc;
}

/* Its thread leaves SIGTERM and SIGINT to ours. */
static err_code start_http(role_start *r, const char *given)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    const char *bind = r->config ? r->config->http.process_bind : given ? given : "127.0.0.1:0";
    return process_http_start(bind, r->self, &r->http);
}

/* Our own address is the one that the scheduler is reached from, so its name has to have one. */
static err_code wait_for_name(role_start *r)
{
    char number[CORE_TEXT_MAX];
    waiter w = {.r = r};
    err_code rc;
    begin_waiting(&w);
    do {
        say_waiting(r, "waiting for the scheduler's name to have an address");
        rc = resolver_wait(r->scheduler, RESOLVE_MS, while_waiting, &w, number);
    } while (rc == ERR_CLOSED);
    return rc;
}

/* From the command line (NULL: it is not there), or the configuration, which is checked. */
static err_code take_scheduler(role_start *r, const char *given)
{
    const char *problem = given ? address_problem(ADDRESS_ENDPOINT, given) : NULL;
    if (problem) {
        log_user_error("--scheduler: expects %s, not `%s`: %s", address_form_name(ADDRESS_ENDPOINT),
                       given, problem);
        return ERR_INVALID;
    }
    if (given)
        snprintf(r->scheduler, sizeof r->scheduler, "%s", given);
    else
        role_scheduler_endpoint(r->config, r->scheduler);
    return ERR_OK;
}

bool role_begin(uint32_t role, int argc, char **argv, role_start *r, int *code)
{
    *r = (role_start){.self = {.role = role, .incarnation = process_incarnation()}};
    role_options o = {.is_worker = role == WIRE_WORKER};
    if (version_asked(argv, code)) return false;
    cli_parse(o.is_worker ? &worker_argp : &role_argp, argc, argv, &o);
    err_code rc = ERR_OK;
    if (!parse_index(&o, &r->self.index)) {
        log_user_error("--index: \"%s\" is not a number", o.index ? o.index : "");
        rc = ERR_INVALID;
    }
    bool bare = o.is_worker && !o.common.config_file;
    if (rc == ERR_OK && bare && !o.scheduler) {
        log_user_error("which job? give --scheduler ADDRESS, or -c FILE");
        rc = ERR_INVALID;
    }
    if (rc == ERR_OK && !bare) rc = cli_load_config(&o.common, &r->config);
    if (rc == ERR_OK) {
        rc = numerics_start(argv, r->config ? r->config->train.core_type : "HASWELL");
    }
    log_level level;
    if (r->config && log_level_parse(r->config->log.level, &level)) log_set_level(level);
    if (rc == ERR_OK) rc = take_scheduler(r, o.scheduler);
    if (rc == ERR_OK) rc = open_keys(r, o.keys);
    if (rc == ERR_OK) rc = start_http(r, o.http);
    if (rc == ERR_OK) rc = wait_for_name(r);
    if (rc == ERR_OK) rc = open_shell(r);
    if (rc == ERR_OK) rc = fetch_job(r);
    if (rc == ERR_OK)
        zmq_shell_connect(r->shell, (core_peer){.role = WIRE_SCHEDULER}, r->scheduler);
    process_http_self(r->http, r->self);
    if (rc == ERR_OK) rc = check_plan(r);
    cli_options_fini(&o.common);
    *code = rc == ERR_STOPPED ? 0 : err_exit(rc);
    return rc == ERR_OK;
}

void role_log_exit(int code, const char *why)
{
    if (code)
        log_error("exit", "code=%d why=\"%s\"", code, why);
    else
        log_info("exit", "code=%d why=\"%s\"", code, why);
}

typedef struct role_turn {
    process_http *http;
    const core_host *host;
} role_turn;

static void on_turn(void *user, bool accepted, uint64_t refused)
{
    const role_turn *t = user;
    bool ready = accepted && (!t->host->ready || t->host->ready(t->host->user));
    process_http_turn(t->http, ready, refused);
}

int role_run(role_start *r, const core_host *host)
{
    char why[CORE_TEXT_MAX];
    role_turn turn = {r->http, host};
    process_http_meter(r->http, zmq_shell_meter(r->shell));
    if (r->http) zmq_shell_on_idle(r->shell, on_turn, &turn);
    int code = zmq_shell_run(r->shell, host, why);
    role_log_exit(code, why);
    return code;
}

void role_finish(role_start *r)
{
    process_http_stop(r->http);
    zmq_shell_close(r->shell);
    keyring_close(r->keys);
    job_free(r->job);
    config_free(r->config);
    *r = (role_start){0};
}
