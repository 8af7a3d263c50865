/* Proves: a whole training over tcp with keys gives the same bytes as without; who has no good keys
 * does not take part, and says why; who has a worker's key and is hostile changes nothing;
 * and nothing that passes can be read. */
#include "testing_attack.h"
#include "testing_echo.h"
#include "testing_files.h"
#include "testing_network.h"
#include "testing_run.h"

#include "common/clock.h"
#include "common/files.h"

#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* So long that it never ends before we end it. */
#define ENDLESS                                                                                    \
    "--set hgnn.max_steps=100000 --set hgnn.epochs=100000 --set hgnn.patience=100000 "             \
    "--set validate.every=30 "

static unsigned port;

static void setup(void)
{
    testing_enter_folder();
    testing_run_files();
    testing_echo_folders();
    port = testing_network_free_port();
}

#define KEYED "--set cluster.scheduler=tcp://127.0.0.1:%u --set security.keys=keys "

/* Starts a worker that has nothing but an address and keys; its stderr goes to <name>.err. */
static pid_t start_worker(const char *name, const char *keys)
{
    char address[64], path[64];
    snprintf(address, sizeof address, "tcp://127.0.0.1:%u", port);
    snprintf(path, sizeof path, "%s.err", name);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || dup2(fd, 2) < 0) _exit(126);
    execl(WEFT_BINARY_DIR "/bin/weft-worker", "weft-worker", "--scheduler", address,
          keys ? "--keys" : NULL, keys, (char *)NULL);
    _exit(127);
}

START_TEST(training_over_tcp_with_keys_gives_the_same_bytes)
{
    testing_run_must("one", "train -c job.yaml --set work_dir=one --in-process");
    testing_run_must(
        "two", "train -c job.yaml --set work_dir=two " KEYED "--workers 2 --samplers 2 --servers 2",
        port);
    testing_run_same("one/out", "two/out");
    testing_run_left_nothing("two");
}
END_TEST

static int64_t refused_peers(const char *work_dir)
{
    json_t *status = testing_run_status(work_dir);
    json_t *n = json_object_get(json_object_get(status, "counters"), "refused_peers");
    int64_t v = n ? json_integer_value(n) : 0;
    json_decref(status);
    return v;
}

/* Those of servers and samplers come with their next HELLO. */
static void wait_for_refused(int64_t n)
{
    uint64_t end = clock_now_us() + TESTING_RUN_WAIT_MS * UINT64_C(1000);
    while (refused_peers("two") < n) {
        ck_assert_msg(clock_now_us() < end, "%" PRId64 " were refused", refused_peers("two"));
        usleep(50000);
    }
}

/* Whoever it asks first after its key was revoked: then it ends. */
static bool any_log_says(const char *part)
{
    static const char *const logs[] = {"scheduler-0", "ps-0", "sampler-0"};
    bool found = false;
    for (size_t i = 0; i < 3; i++) {
        char path[64];
        snprintf(path, sizeof path, "two/logs/%s.log", logs[i]);
        char *log = testing_get_text(path, NULL);
        found = found || strstr(log, part);
        free(log);
    }
    return found;
}

START_TEST(who_has_no_good_keys_does_not_take_part)
{
    pid_t job =
        testing_run_start("two", "train -c job.yaml --set work_dir=two " KEYED ENDLESS, port);
    testing_run_wait_step("two", "hgnn", 2);

    /* None; then those of another cluster that knows our servers' public keys. */
    ck_assert_int_eq(testing_run_wait("none", start_worker("none", NULL), 60000), 2);
    testing_run_said("none", "does not let us in (without keys: security.keys)");
    char *peers = testing_get_text("keys/peers", NULL);
    testing_put_text("other/peers", peers);
    free(peers);
    ck_assert_int_eq(testing_run_wait("stranger", start_worker("stranger", "other"), 60000), 2);
    testing_run_said("stranger", "our key is not in its allow table, or revoked");

    /* One more key takes part, until it is revoked. */
    ck_assert_int_eq(testing_echo_keygen("keys", "worker", "lab"), 0);
    ck_assert_int_eq(mkdir("lab", 0700), 0);
    ck_assert_int_eq(rename("keys/worker-lab.key", "lab/worker.key"), 0);
    ck_assert_int_eq(link("keys/peers", "lab/peers"), 0);
    pid_t lab = start_worker("lab", "lab");
    testing_run_wait_step("two", "hgnn", 20);
    usleep(1500000);
    ck_assert_int_eq(waitpid(lab, NULL, WNOHANG), 0); /* It goes on. */
    testing_echo_allow("keys", " lab", NULL);
    int code = testing_run_wait("lab", lab, 60000);
    ck_assert_msg(code == 1 || code == 2, "%d", code); /* By whom it was told first. */
    testing_run_said("lab", "its key was revoked");

    wait_for_refused(3);
    char *log = testing_get_text("two/logs/scheduler-0.log", NULL);
    testing_expect_part(log, "reason=handshake");
    testing_expect_part(log, "reason=unknown_key");
    free(log);
    ck_assert_msg(any_log_says("was revoked"), "nobody says whose key was revoked");
    ck_assert_int_eq(kill(job, SIGINT), 0);
    ck_assert_int_eq(testing_run_wait("two", job, 60000), 130);
}
END_TEST

/* ---- The wire ---- */

/* Of headers, of the configuration, of the store's facts, of control messages. */
static const char *const telling[] = {"WEFT\x01", "two_tower", "work_dir", "openblas", NULL};

static uint64_t capture_run(const char *name, const char *keys, uint64_t *bytes)
{
    uint64_t packets, lost;
    unsigned http = testing_network_free_port();
    testing_capture *c = testing_network_capture(telling, (uint16_t)http);
    testing_run_must(name,
                     "train -c job.yaml --set work_dir=%s --workers 2 --set http.bind=127.0.0.1:%u "
                     "--set cluster.scheduler=tcp://127.0.0.1:%u --set security.keys=%s",
                     name, http, port, keys);
    uint64_t seen = testing_network_end(c, &packets, bytes, &lost);
    ck_assert_uint_eq(lost, 0);
    ck_assert_uint_gt(packets, 1000);
    return seen;
}

START_TEST(nothing_on_the_wire_can_be_read)
{
    uint64_t plain, secret;
    if (!testing_network_enter()) return;
    ck_assert_uint_gt(capture_run("plain", "", &plain), 1000); /* It would be seen. */
    ck_assert_uint_eq(capture_run("secret", "keys", &secret), 0);
    ck_assert_uint_gt(secret, plain / 2);
    testing_run_same("plain/out", "secret/out");
}
END_TEST

/* ---- Hostile workers ---- */

#define LONG                                                                                       \
    "--set hgnn.max_steps=400 --set hgnn.epochs=5000 --set hgnn.patience=100000 "                  \
    "--set validate.every=500 "
enum { RSS_MAX_MIB = 700 };

typedef struct target {
    char endpoint[256];
    wire_role role;
} target;

/* The scheduler, the first server and the first sampler of a run; what the open round is. */
static void find_targets(const char *work_dir, target t[3], testing_attack *a)
{
    static const char *const lists[] = {"servers", "samplers"};
    json_t *status = NULL;
    const char *address[2] = {"", ""};
    snprintf(t[0].endpoint, sizeof t[0].endpoint, "tcp://127.0.0.1:%u", port);
    t[0].role = WIRE_SCHEDULER;
    while (!*address[0] || !*address[1]) { /* It is published now and then. */
        usleep(20000);
        json_decref(status);
        status = testing_run_status(work_dir);
        for (int i = 0; i < 2 && status; i++) {
            json_t *one = json_array_get(json_object_get(status, lists[i]), 0);
            address[i] = json_string_value(json_object_get(one, "address"));
            ck_assert_ptr_nonnull(address[i]);
            json_t *version = json_object_get(one, "version");
            if (!i) a->version = (uint32_t)json_integer_value(version);
        }
    }
    for (int i = 0; i < 2; i++) {
        snprintf(t[1 + i].endpoint, sizeof t[0].endpoint, "%s", address[i]);
        t[1 + i].role = i ? WIRE_SAMPLER : WIRE_SERVER;
    }
    a->generation = (uint32_t)json_integer_value(json_object_get(status, "generation"));
    a->stage = STAGE_HGNN;
    json_decref(status);
}

/* The most that the status has told while it could be asked. */
typedef struct seen {
    int64_t server_mib, sampler_mib, refused;
} seen;

static void keep_largest(int64_t *to, int64_t value)
{
    if (value > *to) *to = value;
}

static void look(const char *work_dir, seen *x)
{
    json_t *status = testing_run_status(work_dir);
    json_t *server = json_array_get(json_object_get(status, "servers"), 0);
    json_t *sampler = json_array_get(json_object_get(status, "samplers"), 0);
    json_t *n = json_object_get(json_object_get(status, "counters"), "refused_peers");
    keep_largest(&x->server_mib, json_integer_value(json_object_get(server, "rss_bytes")) >> 20);
    keep_largest(&x->sampler_mib, json_integer_value(json_object_get(sampler, "rss_bytes")) >> 20);
    keep_largest(&x->refused, json_integer_value(n));
    json_decref(status);
}

START_TEST(hostile_workers_change_nothing)
{
    target t[3];
    testing_attack a = {.rounds = 300};
    testing_run_must("one", "train -c job.yaml --set work_dir=one --in-process " LONG);
    pid_t job = testing_run_start("two", "train -c job.yaml --set work_dir=two " KEYED LONG, port);
    testing_run_wait_step("two", "hgnn", 2);
    find_targets("two", t, &a);
    pid_t honest = testing_run_process("two", "weft-worker", 0);
    ck_assert_int_gt(honest, 0);
    ck_assert_int_eq(kill(honest, SIGSTOP), 0); /* Or the job would end before the last script. */
    pid_t scripts = fork();
    ck_assert_int_ge(scripts, 0);
    if (!scripts) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        a.keys = testing_echo_keys("keys", WIRE_WORKER);
        for (int k = 0; k < 3 * TESTING_ATTACKS; k++) {
            a.endpoint = t[k % 3].endpoint;
            a.at = t[k % 3].role;
            if (!testing_attack_run(k / 3, &a)) _exit(1 + k);
        }
        keyring_close(a.keys);
        _exit(0);
    }
    seen x = {0};
    int ended;
    while (waitpid(scripts, &ended, WNOHANG) == 0) {
        look("two", &x);
        usleep(50000);
    }
    ck_assert_int_eq(ended, 0);
    ck_assert_int_eq(kill(honest, SIGCONT), 0);
    ck_assert_int_eq(testing_run_wait("two", job, TESTING_RUN_WAIT_MS), 0);
    ck_assert_int_ge(x.refused, 100);
    ck_assert(x.server_mib > 0 && x.server_mib < RSS_MAX_MIB);
    ck_assert(x.sampler_mib > 0 && x.sampler_mib < RSS_MAX_MIB);
    testing_run_same("one/out", "two/out");
    testing_run_left_nothing("two");
}
END_TEST

static void same_file(const char *a, const char *b)
{
    size_t n, m;
    char *x = testing_get_text(a, &n), *y = testing_get_text(b, &m);
    ck_assert_msg(n == m && memcmp(x, y, n) == 0, "%s and %s differ", a, b);
    free(x);
    free(y);
}

/* Nobody has computed them: the server lacks them, and they are leased again.  What a step's loss
 * was is hearsay; the model is not. */
START_TEST(a_slot_that_is_said_to_be_done_is_computed_all_the_same)
{
    enum { SLOTS = 16, TRIES = 200 };
    static const char *const model[] = {"model.safetensors", "items.npy", "users.npy"};
    target t[3];
    testing_attack a = {.at = WIRE_SCHEDULER};
    testing_run_must("one", "train -c job.yaml --set work_dir=one --in-process " LONG);
    pid_t job = testing_run_start("two", "train -c job.yaml --set work_dir=two " KEYED LONG, port);
    testing_run_wait_step("two", "hgnn", 2);
    pid_t honest = testing_run_process("two", "weft-worker", 0);
    ck_assert_int_eq(kill(honest, SIGSTOP), 0);
    find_targets("two", t, &a);
    a.keys = testing_echo_keys("keys", WIRE_WORKER);
    a.endpoint = t[0].endpoint;
    char *log = NULL;
    for (int i = 0; i < TRIES && !(log && strstr(log, "false_done")); i++) {
        json_t *status = testing_run_status("two");
        uint32_t epoch = (uint32_t)json_integer_value(json_object_get(status, "epoch"));
        a.version = (uint32_t)json_integer_value(json_object_get(status, "step"));
        testing_attack_done(&a, epoch, a.version + 1, SLOTS);
        json_decref(status);
        usleep(200000);
        free(log);
        log = testing_get_text("two/logs/scheduler-0.log", NULL);
    }
    ck_assert_msg(strstr(log, "false_done") != NULL, "%s", log);
    free(log);
    keyring_close(a.keys);
    ck_assert_int_eq(kill(honest, SIGCONT), 0);
    ck_assert_int_eq(testing_run_wait("two", job, TESTING_RUN_WAIT_MS), 0);
    for (size_t i = 0; i < sizeof model / sizeof *model; i++) {
        char x[64], y[64];
        snprintf(x, sizeof x, "one/out/%s", model[i]);
        snprintf(y, sizeof y, "two/out/%s", model[i]);
        same_file(x, y);
    }
}
END_TEST

START_TEST(a_key_that_others_can_read_stops_the_job_before_it_begins)
{
    ck_assert_int_eq(chmod("keys/driver.key", 0644), 0);
    ck_assert_int_eq(testing_run_code("two", "train -c job.yaml --set work_dir=two " KEYED, port),
                     2);
    testing_run_said("two", "keys/driver.key: a secret key has mode 0644");
    testing_run_left_nothing("two");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("security");
    TCase *c = tcase_create("security");
    tcase_set_timeout(c, 300);
    tcase_add_checked_fixture(c, setup, testing_leave_folder);
    tcase_add_test(c, training_over_tcp_with_keys_gives_the_same_bytes);
    tcase_add_test(c, who_has_no_good_keys_does_not_take_part);
    tcase_add_test(c, nothing_on_the_wire_can_be_read);
    tcase_add_test(c, hostile_workers_change_nothing);
    tcase_add_test(c, a_slot_that_is_said_to_be_done_is_computed_all_the_same);
    tcase_add_test(c, a_key_that_others_can_read_stops_the_job_before_it_begins);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
