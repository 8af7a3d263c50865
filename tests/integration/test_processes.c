/* Proves: processes that are killed, paused or told to leave change nothing; every process ends by
 * itself and leaves nothing behind, however the run ends; a lost server, a second run and bad input
 * are refused clearly; and the status tells what FORMATS says while it runs. */
#include "testing_files.h"
#include "testing_run.h"

#include "common/clock.h"
#include "common/files.h"
#include "common/mem.h"

#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Long enough to do something to it meanwhile. */
#define LONG                                                                                       \
    "--set hgnn.max_steps=60 --set hgnn.epochs=500 --set two_tower.max_steps=60 "                  \
    "--set two_tower.epochs=500 --set validate.every=30 --set evaluate.baselines=[popularity,"     \
    "two_tower_no_z] "
#define MANY "--workers 2 --samplers 2 --servers 2 "
/* So long that it never ends before we end it. */
#define ENDLESS                                                                                    \
    LONG "--set hgnn.max_steps=100000 --set hgnn.epochs=100000 "                                   \
         "--set hgnn.patience=100000 "

enum { GONE_MS = 10000, END_MS = 60000 };

/* What every test compares with: made once. */
static void setup(void)
{
    testing_enter_folder();
    testing_run_files();
    testing_run_must("one", "train -c job.yaml --set work_dir=one --in-process " LONG);
}

static void remove_two(void)
{
    ck_assert_int_eq(files_remove_tree("two"), ERR_OK);
}

static void send_to(const char *work_dir, const char *role, uint32_t index, int number)
{
    pid_t pid = testing_run_process(work_dir, role, index);
    ck_assert_msg(pid > 0, "%s-%u is not there", role, index);
    ck_assert_int_eq(kill(pid, number), 0);
}

/* The number of restarts in run.json. */
static int64_t restarts_of(const char *out)
{
    char *path = files_join(out, "run.json"), *text = testing_get_text(path, NULL);
    json_t *run = json_loads(text, 0, NULL);
    ck_assert_ptr_nonnull(run);
    int64_t n = json_integer_value(json_object_get(run, "restarts"));
    json_decref(run);
    free(text);
    free(path);
    return n;
}

/* ---- Lost processes ---- */

START_TEST(killed_workers_and_samplers_change_nothing)
{
    pid_t pid = testing_run_start("two", "train -c job.yaml --set work_dir=two " MANY LONG);
    testing_run_wait_step("two", "hgnn", 5);
    send_to("two", "weft-worker", 0, SIGKILL);
    testing_run_wait_step("two", "hgnn", 30);
    send_to("two", "weft-sampler", 1, SIGKILL);
    testing_run_wait_step("two", "two_tower", 3);
    send_to("two", "weft-worker", 1, SIGKILL);
    ck_assert_int_eq(testing_run_wait("two", pid, TESTING_RUN_WAIT_MS), 0);
    testing_run_said("two", "weft: sampler-1 was ended by signal 9 (Killed); it starts again in ");
    testing_run_same("one/out", "two/out");
    ck_assert_int_eq(restarts_of("two/out"), 3);
    testing_run_left_nothing("two");
}
END_TEST

START_TEST(a_paused_worker_changes_nothing)
{
    pid_t pid = testing_run_start("two", "train -c job.yaml --set work_dir=two " MANY LONG);
    testing_run_wait_step("two", "hgnn", 5);
    send_to("two", "weft-worker", 0, SIGSTOP);
    testing_run_wait_step("two", "hgnn", 25); /* The other goes on. */
    send_to("two", "weft-worker", 0, SIGCONT);
    ck_assert_int_eq(testing_run_wait("two", pid, TESTING_RUN_WAIT_MS), 0);
    testing_run_same("one/out", "two/out");
    testing_run_left_nothing("two");
}
END_TEST

START_TEST(a_worker_that_is_told_to_leave_changes_nothing)
{
    pid_t pid = testing_run_start("two", "train -c job.yaml --set work_dir=two " LONG);
    testing_run_wait_step("two", "hgnn", 5);
    pid_t worker = testing_run_process("two", "weft-worker", 0);
    ck_assert_int_eq(kill(worker, SIGTERM), 0);
    ck_assert_int_eq(testing_run_wait("two", pid, TESTING_RUN_WAIT_MS), 0);
    testing_run_same("one/out", "two/out");
    ck_assert_int_eq(restarts_of("two/out"), 1);
    char *log = testing_get_text("two/logs/worker-0.log", NULL);
    testing_expect_part(log, "exit code=0 why=\"asked to leave\"");
    free(log);
    testing_run_said("two", "weft: worker-0 ended with code 0; it starts again");
    testing_run_left_nothing("two");
}
END_TEST

START_TEST(a_killed_scheduler_changes_nothing)
{
    pid_t pid = testing_run_start("two", "train -c job.yaml --set work_dir=two " MANY LONG);
    testing_run_wait_step("two", "hgnn", 5);
    char *before = testing_get_text("two/run/url", NULL);
    send_to("two", "weft-scheduler", 0, SIGKILL);
    testing_run_wait_step("two", "two_tower", 3);
    char *after = testing_get_text("two/run/url", NULL);
    ck_assert_str_eq(before, after); /* An open page goes on. */
    free(before);
    free(after);
    send_to("two", "weft-scheduler", 0, SIGKILL);
    ck_assert_int_eq(testing_run_wait("two", pid, TESTING_RUN_WAIT_MS), 0);
    testing_run_same("one/out", "two/out");
    ck_assert_int_eq(restarts_of("two/out"), 2);
    testing_run_said("two",
                     "weft: scheduler-0 was ended by signal 9 (Killed); it starts again in ");
    testing_run_left_nothing("two");
}
END_TEST

/* Whatever a process cannot do without is gone: it ends again and again. */
START_TEST(a_process_that_ends_again_and_again_ends_the_job)
{
    pid_t pid = testing_run_start("two", "train -c job.yaml --set work_dir=two " LONG ENDLESS);
    testing_run_wait_step("two", "hgnn", 3);
    char *store = testing_run_store("two");
    ck_assert_int_eq(files_remove_tree(store), ERR_OK);
    send_to("two", "weft-sampler", 0, SIGKILL);
    ck_assert_int_eq(testing_run_wait("two", pid, TESTING_RUN_WAIT_MS), 1);
    testing_run_said("two", "sampler-0 ended with code 1, more than 10 times in 120 s");
    testing_run_said("two", store);
    testing_run_left_nothing("two");
    free(store);
}
END_TEST

START_TEST(a_killed_server_changes_nothing)
{
    pid_t pid = testing_run_start("two", "train -c job.yaml --set work_dir=two " MANY LONG);
    testing_run_wait_step("two", "hgnn", 5);
    send_to("two", "weft-ps", 0, _i);
    testing_run_wait_step("two", "two_tower", 3);
    send_to("two", "weft-ps", 1, _i);
    ck_assert_int_eq(testing_run_wait("two", pid, TESTING_RUN_WAIT_MS), 0);
    char *log = testing_get_text("two/logs/scheduler-0.log", NULL);
    ck_assert((strstr(log, "told to stop, after a checkpoint") != NULL) == (_i == SIGTERM));
    free(log);
    testing_run_same("one/out", "two/out");
    ck_assert_int_eq(restarts_of("two/out"), 2);
    testing_run_left_nothing("two");
}
END_TEST

static const int interruptions[] = {SIGINT, SIGKILL};

/* An interrupted job, or one whose processes all died, goes on with other numbers of them. */
START_TEST(the_same_command_goes_on_and_changes_nothing)
{
    pid_t pid = testing_run_start("two", "train -c job.yaml --set work_dir=two " MANY LONG);
    testing_run_wait_step("two", "hgnn", 5);
    kill(pid, interruptions[_i]);
    testing_run_wait("two", pid, 30000);
    testing_run_wait_gone("two", 10000);
    testing_run_must("two", "train -c job.yaml --set work_dir=two --servers 3 --workers 1 " LONG);
    testing_run_same("one/out", "two/out");
    testing_run_left_nothing("two");
    char *log = testing_get_text("two/logs/scheduler-0.log", NULL);
    testing_expect_part(log, interruptions[_i] == SIGINT ? "rollback who=scheduler-0 why=\"to hgnn"
                                                         : "rollback");
    free(log);
}
END_TEST

START_TEST(another_plan_does_not_go_on_and_its_keys_are_named)
{
    pid_t pid = testing_run_start("two", "train -c job.yaml --set work_dir=two " LONG);
    testing_run_wait_step("two", "hgnn", 5);
    kill(pid, SIGINT);
    ck_assert_int_eq(testing_run_wait("two", pid, 30000), 130);
    ck_assert_int_eq(testing_run_code("two", "train -c job.yaml --set work_dir=two "
                                             "--set hgnn.temperature=0.3 " LONG),
                     2);
    char *log = testing_get_text("two/logs/scheduler-0.log", NULL);
    testing_expect_part(log, "hgnn: \"temperature: 0.3\", the job has \"temperature: 0.1\"");
    free(log);
    testing_run_left_nothing("two");
}
END_TEST

START_TEST(a_second_scheduler_in_a_work_dir_is_refused)
{
    pid_t pid = testing_run_start("two", "train -c job.yaml --set work_dir=two " MANY LONG);
    testing_run_wait_step("two", "hgnn", 3);
    char part[128];
    snprintf(part, sizeof part, "another weft-scheduler (process %ld) is at work",
             (long)testing_run_process("two", "weft-scheduler", 0));
    pid_t second =
        testing_run_start_program("weft-scheduler", "refused", "-c two/run/config.yaml --driver");
    ck_assert_int_eq(testing_run_wait("refused", second, END_MS), 1);
    testing_run_said("refused", part);
    ck_assert_int_eq(testing_run_wait("two", pid, TESTING_RUN_WAIT_MS), 0);
    testing_run_same("one/out", "two/out");
    ck_assert_int_eq(restarts_of("two/out"), 0);
}
END_TEST

/* ---- Ends ---- */

static const struct {
    int number, code;
    bool in_process, group; /* group: to everybody in the parent's process group, as Ctrl-C */
} signals[] = {{SIGINT, 130, false, true},
               {SIGTERM, 143, false, false},
               {SIGINT, 130, true, false},
               {SIGTERM, 143, true, false}};

/* The inode of the one prepared store says whether it is the same one; 0: there is none. */
static ino_t store_inode(const char *work_dir)
{
    char *path = testing_run_store(work_dir);
    struct stat st = {0};
    ino_t inode = path && stat(path, &st) == 0 ? st.st_ino : 0;
    free(path);
    return inode;
}

START_TEST(a_signal_stops_cleanly_and_the_prepared_data_is_kept)
{
    const char *how = signals[_i].in_process ? "--in-process " : MANY;
    pid_t pid = testing_run_start("two", "train -c job.yaml --set work_dir=two %s " ENDLESS, how);
    testing_run_wait_step("two", "hgnn", 1);
    kill(signals[_i].group ? -pid : pid, signals[_i].number);
    ck_assert_int_eq(testing_run_wait("two", pid, 15000), signals[_i].code);
    testing_run_left_nothing("two");
    ck_assert(!files_exist("two/out/run.json"));
    char *last = testing_get_text("two/run/last_status.json", NULL);
    testing_expect_part(last, signals[_i].number == SIGINT ? "\"stopped_by\": \"SIGINT (Ctrl-C)\""
                                                           : "\"stopped_by\": \"SIGTERM\"");
    free(last);
    ino_t before = store_inode("two");
    ck_assert_uint_ne(before, 0);
    if (_i) return;
    testing_run_must("two", "train -c job.yaml --fresh --set work_dir=two " MANY LONG);
    testing_run_same("one/out", "two/out");
    ck_assert_uint_eq(store_inode("two"), before);
}
END_TEST

START_TEST(a_second_signal_ends_at_once_and_nobody_is_left)
{
    pid_t pid = testing_run_start("two", "train -c job.yaml --set work_dir=two " MANY ENDLESS);
    testing_run_wait_step("two", "hgnn", 1);
    send_to("two", "weft-worker", 0, SIGSTOP); /* The clean stop takes long. */
    kill(pid, SIGINT);
    usleep(300000);
    kill(pid, SIGINT);
    ck_assert_int_eq(testing_run_wait("two", pid, 2000), -SIGINT);
    if (testing_run_process("two", "weft-worker", 0)) send_to("two", "weft-worker", 0, SIGCONT);
    testing_run_wait_gone("two", GONE_MS);
    testing_run_left_nothing("two");
}
END_TEST

START_TEST(a_killed_parent_leaves_nothing)
{
    pid_t pid = testing_run_start("two", "train -c job.yaml --set work_dir=two " MANY ENDLESS);
    testing_run_wait_step("two", "hgnn", 1);
    kill(pid, SIGKILL);
    ck_assert_int_eq(testing_run_wait("two", pid, 2000), -SIGKILL);
    testing_run_wait_gone("two", GONE_MS);
    testing_run_left_nothing("two");
}
END_TEST

START_TEST(a_run_right_after_a_killed_one_waits_for_what_is_left)
{
    pid_t pid = testing_run_start("two", "train -c job.yaml --set work_dir=two " MANY ENDLESS);
    testing_run_wait_step("two", "hgnn", 1);
    kill(pid, SIGKILL);
    ck_assert_int_eq(testing_run_wait("two", pid, 2000), -SIGKILL);
    testing_run_must("two", "train -c job.yaml --fresh --set work_dir=two " MANY LONG);
    testing_run_same("one/out", "two/out");
    testing_run_left_nothing("two");
}
END_TEST

/* A folder that begins with .partial- in work_dir/store. */
static bool has_partial(const char *work_dir)
{
    char *path = files_join(work_dir, "store");
    bool found = false;
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));)
        found = found || strncmp(e->d_name, ".partial-", 9) == 0;
    if (d) closedir(d);
    free(path);
    return found;
}

static const int ends[] = {SIGKILL, SIGINT};

START_TEST(a_run_that_ends_while_it_prepares_leaves_no_half_store)
{
    testing_run_must("synth", "synth --users 2000 --items 2000 --types 3 --interactions 60000 "
                              "--seed 3 --out big");
    pid_t pid = testing_run_start("two", "train -c job.yaml --data big --set work_dir=two " MANY);
    uint64_t end = clock_now_us() + END_MS * UINT64_C(1000);
    while (!has_partial("two") && clock_now_us() < end) usleep(1000);
    kill(pid, ends[_i]);
    ck_assert_int_eq(testing_run_wait("two", pid, 15000), ends[_i] == SIGINT ? 130 : -SIGKILL);
    testing_run_wait_gone("two", GONE_MS);
    if (ends[_i] == SIGINT) ck_assert(!has_partial("two"));
    ck_assert_uint_eq(store_inode("two"), 0);
    testing_run_must("two", "prepare -c job.yaml --data big --set work_dir=two");
    testing_run_left_nothing("two");
}
END_TEST

START_TEST(a_port_in_use_is_said_plainly)
{
    char said[96];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int s = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(s, (struct sockaddr *)&at, n), 0);
    ck_assert_int_eq(listen(s, 1), 0);
    ck_assert_int_eq(getsockname(s, (struct sockaddr *)&at, &n), 0);
    snprintf(said, sizeof said, "cannot listen on tcp://127.0.0.1:%u: Address already in use",
             ntohs(at.sin_port));
    ck_assert_int_eq(testing_run_code("two",
                                      "train -c job.yaml --set work_dir=two --set "
                                      "security.insecure=true --set "
                                      "cluster.scheduler=tcp://127.0.0.1:%u",
                                      ntohs(at.sin_port)),
                     1);
    close(s);
    testing_run_said("two", said);
    char *text = testing_get_text("two.err", NULL);
    ck_assert_msg(!strstr(text, " error "), "a line of a log:\n%s", text);
    free(text);
    testing_run_left_nothing("two");
}
END_TEST

START_TEST(a_second_run_in_a_work_dir_is_refused)
{
    pid_t pid = testing_run_start("two", "train -c job.yaml --set work_dir=two " MANY LONG);
    testing_run_wait_step("two", "hgnn", 3);
    ck_assert_int_eq(testing_run_code("refused", "train -c job.yaml --set work_dir=two"), 1);
    char part[128];
    snprintf(part, sizeof part, "another weft train (process %ld) is at work", (long)pid);
    testing_run_said("refused", part);
    ck_assert_int_eq(
        testing_run_code("refused", "train -c job.yaml --set work_dir=two --in-process"), 1);
    ck_assert_int_eq(testing_run_wait("two", pid, TESTING_RUN_WAIT_MS), 0);
    testing_run_same("one/out", "two/out");
}
END_TEST

/* ---- Input ---- */

static void put_bad_data(void)
{
    testing_put_text("bad.yaml", "hgnn: {dimz: 3}\n");
    testing_put_text("bad2.yaml", "hgnn: {dims: [16, 12]\n");
    ck_assert_int_eq(files_make_dirs("bad"), ERR_OK);
    ck_assert_int_eq(files_make_dirs("empty"), ERR_OK);
    testing_put_text("bad/items.tsv", "item_id\titem_type\ttext\na\tbook\tA\nb\tbook\n");
    testing_put_text("bad/interactions.tsv", "user_id\titem_id\nu\ta\nu\tb\n");
}

static const struct {
    const char *words;
    int code;
    const char *says;
} inputs[] = {
    {"train", 2, "no configuration: give -c FILE"},
    {"train -c none.yaml", 2, "none.yaml"},
    {"train -c bad.yaml", 2, "bad.yaml:1:8: hgnn.dimz: unknown key"},
    {"train -c bad2.yaml", 2, "bad2.yaml:2"},
    {"train -c job.yaml --set work_dir=two --workers 0", 2, "cluster.workers"},
    {"train -c job.yaml --set work_dir=two --set nothing=1", 2, "nothing"},
    {"train -c job.yaml --set work_dir=two --what", 2, "--what"},
    {"train -c job.yaml --set work_dir=two --data nowhere", 2, "nowhere"},
    {"train -c job.yaml --set work_dir=two --data bad", 2, "items.tsv:3"},
    {"train -c job.yaml --set work_dir=two --data bad --in-process", 2, "items.tsv:3"},
    {"train -c job.yaml --set work_dir=two --data empty", 1, "empty/items.tsv"},
    {"train -c job.yaml --set work_dir=job.yaml/two", 1, "job.yaml: cannot make the folder"},
    {"train -c job.yaml --set work_dir=two --out job.yaml/out " ENDLESS, 1,
     "job.yaml: cannot make the folder"},
    {"train -c job.yaml --set work_dir=two --out data " ENDLESS, 2, "(data.items.path)"},
    {"train -c job.yaml --set work_dir=two --set http.bind=256.0.0.1:0", 2, "256.0.0.1:0"},
    {"traim -c job.yaml", 2, "traim"},
};

START_TEST(bad_input_is_named_and_nothing_is_left)
{
    put_bad_data();
    ck_assert_int_eq(testing_run_code("two", "%s", inputs[_i].words), inputs[_i].code);
    testing_run_said("two", inputs[_i].says);
    testing_run_left_nothing("two");
    ck_assert(!files_exist("two/out/run.json"));
    char *out = testing_get_text("two.out", NULL);
    ck_assert_str_eq(out, "");
    free(out);
}
END_TEST

/* ---- The status ---- */

/* The keys of an object in their order, joined by spaces; owned. */
static char *keys_of(const json_t *object)
{
    char *all = xstrdup("");
    const char *key;
    json_t *value;
    ck_assert(json_is_object(object));
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        char *next = xprintf("%s%s%s", all, *all ? " " : "", key);
        free(all);
        all = next;
    }
    return all;
}

static void expect_keys(const json_t *object, const char *wanted)
{
    char *keys = keys_of(object);
    ck_assert_str_eq(keys, wanted);
    free(keys);
}

static void expect_peers(const json_t *status, const char *name, size_t n, const char *wanted)
{
    const json_t *list = json_object_get(status, name);
    ck_assert_uint_eq(json_array_size(list), n);
    for (size_t i = 0; i < n; i++) {
        const json_t *peer = json_array_get(list, i);
        expect_keys(peer, wanted);
        ck_assert_int_eq(kill((pid_t)json_integer_value(json_object_get(peer, "pid")), 0), 0);
    }
}

#define PEER "id incarnation pid address state "

static void check_status(const json_t *s)
{
    expect_keys(
        s,
        "format weft commit job state started ended waiting failure stopped_by stage stages epoch "
        "step "
        "steps progress "
        "elapsed_s "
        "eta_s examples examples_per_s loss validation results generation term map numerics bits "
        "plan_hash seed time_share wanted workers servers samplers counters checkpoint resume "
        "curves "
        "events "
        "config");
    ck_assert_int_eq(json_integer_value(json_object_get(s, "format")), 1);
    ck_assert_str_eq(json_string_value(json_object_get(s, "job")), "bits");
    ck_assert_uint_eq(strlen(json_string_value(json_object_get(s, "plan_hash"))), 16);
    expect_keys(json_object_get(s, "validation"), "metric last best best_step");
    expect_keys(json_object_get(s, "time_share"), "sample pull compute push wait");
    expect_peers(s, "workers", 2,
                 PEER "slot leases lease_age_s slots_done examples_per_s step_ms_p50 step_ms_p99 "
                      "time_share phase_s "
                      "last_seen_ms rss_bytes");
    expect_peers(s, "servers", 2,
                 PEER
                 "version rows bytes pulls pushes repeats pulls_per_s pushes_per_s apply_ms_p50 "
                 "apply_ms_p99 "
                 "last_checkpoint_step last_seen_ms rss_bytes");
    expect_peers(s, "samplers", 2,
                 PEER "partitions batches batches_per_s queue remote_share last_seen_ms rss_bytes");
    expect_keys(
        json_object_get(s, "counters"),
        "leases reassigned void_slots gone hash_mismatches refused_peers repeats rollbacks");
    expect_keys(json_object_get(s, "checkpoint"), "made failed under_way last");
    expect_keys(json_object_get(s, "curves"),
                "stage step loss examples_per_s staleness step_s workers validation");
    expect_keys(json_array_get(json_object_get(s, "events"), 0), "time event who why");
    ck_assert(json_is_array(json_object_get(json_object_get(s, "config"), "hgnn.dims")));
}

/* Every family has one HELP, then one TYPE, then its samples and no other's. */
static void check_metrics(char *text)
{
    char family[128] = "", help[128] = "", *rest = text, *line;
    size_t families = 0;
    bool is_histogram = false;
    while ((line = strsep(&rest, "\n"))) {
        char name[128], type[32];
        double value;
        if (!*line) continue;
        if (sscanf(line, "# HELP %127s %*s", name) == 1) {
            ck_assert(strncmp(name, "weft_", 5) == 0 || strncmp(name, "process_", 8) == 0);
            strcpy(help, name);
        } else if (sscanf(line, "# TYPE %127s %31s", name, type) == 2) {
            ck_assert_str_eq(name, help);
            is_histogram = strcmp(type, "histogram") == 0;
            ck_assert(is_histogram || strcmp(type, "counter") == 0 || strcmp(type, "gauge") == 0);
            strcpy(family, name);
            families++;
        } else {
            size_t n = strcspn(line, "{ ");
            size_t m = strlen(family); /* of a histogram: and _bucket, _sum or _count */
            ck_assert_msg(is_histogram ? n > m && line[m] == '_' : n == m, "%s", line);
            ck_assert_msg(memcmp(line, family, m) == 0, "%s", line);
            const char *space = strrchr(line, ' ');
            ck_assert_ptr_nonnull(space);
            ck_assert_msg(sscanf(space, "%lf", &value) == 1, "%s", line);
        }
    }
    ck_assert_uint_ge(families, 20);
}

static void expect_body(const char *work_dir, const char *path, const char *wanted)
{
    char *text = testing_run_get(work_dir, path);
    ck_assert_ptr_nonnull(text);
    ck_assert_str_eq(text, wanted);
    free(text);
}

/* The step is that of the checkpoint, and where the same command goes on. */
static void expect_stopped(void)
{
    char where[64];
    testing_run_must("status", "status -c job.yaml --set work_dir=two");
    char *text = testing_get_text("status.out", NULL), *at = strstr(text, "  step ");
    ck_assert_ptr_nonnull(at);
    unsigned long step = strtoul(at + 7, NULL, 10);
    testing_expect_part(text, "job      bits  STOPPED\n");
    testing_expect_part(text, "stopped  by weft stop\n");
    snprintf(where, sizeof where, "saved    hgnn step %lu, ", step);
    testing_expect_part(text, where);
    snprintf(where, sizeof where, " goes on from hgnn step %lu\n", step);
    testing_expect_part(text, where);
    free(text);
}

START_TEST(the_status_has_the_keys_of_its_format)
{
    pid_t pid = testing_run_start("two", "train -c job.yaml --set work_dir=two " MANY ENDLESS);
    testing_run_wait_step("two", "hgnn", 40);
    usleep(500000); /* Published every 200 ms. */
    json_t *s = testing_run_status("two");
    check_status(s);
    const char *state = json_string_value(json_object_get(s, "state"));
    ck_assert_msg(strcmp(state, "RUNNING") == 0 || strcmp(state, "VALIDATING") == 0, "%s", state);
    json_decref(s);
    char *metrics = testing_run_get("two", "/metrics");
    ck_assert_ptr_nonnull(metrics);
    check_metrics(metrics);
    free(metrics);
    expect_body("two", "/healthz", "ok\n");
    expect_body("two", "/readyz", "ready\n");
    struct stat st;
    ck_assert_int_eq(stat("two/run/token", &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777u, 0600u);
    testing_run_must("stop", "stop -c job.yaml --set work_dir=two");
    /* Asked once more, it stops as cleanly; it may be gone already. */
    ck_assert_int_le(testing_run_code("stop", "stop -c job.yaml --set work_dir=two"), 1);
    ck_assert_int_eq(testing_run_wait("two", pid, 15000), 143);
    testing_run_said("two", "the job was stopped by weft stop\n");
    expect_stopped();
    testing_run_left_nothing("two");
}
END_TEST

/* ---- The suite ---- */

#define COUNT(array) (int)(sizeof array / sizeof *array)

int main(void)
{
    Suite *s = suite_create("processes");
    TCase *c = tcase_create("processes");
    tcase_set_timeout(c, 300);
    tcase_add_unchecked_fixture(c, setup, testing_leave_folder);
    tcase_add_checked_fixture(c, remove_two, NULL);
    tcase_add_test(c, killed_workers_and_samplers_change_nothing);
    tcase_add_test(c, a_paused_worker_changes_nothing);
    tcase_add_test(c, a_worker_that_is_told_to_leave_changes_nothing);
    tcase_add_test(c, a_killed_scheduler_changes_nothing);
    tcase_add_test(c, a_process_that_ends_again_and_again_ends_the_job);
    tcase_add_loop_test(c, a_killed_server_changes_nothing, SIGKILL, SIGKILL + 1);
    tcase_add_loop_test(c, a_killed_server_changes_nothing, SIGTERM, SIGTERM + 1);
    tcase_add_loop_test(c, the_same_command_goes_on_and_changes_nothing, 0, COUNT(interruptions));
    tcase_add_test(c, another_plan_does_not_go_on_and_its_keys_are_named);
    tcase_add_test(c, a_second_scheduler_in_a_work_dir_is_refused);
    tcase_add_loop_test(c, a_signal_stops_cleanly_and_the_prepared_data_is_kept, 0, COUNT(signals));
    tcase_add_test(c, a_second_signal_ends_at_once_and_nobody_is_left);
    tcase_add_test(c, a_killed_parent_leaves_nothing);
    tcase_add_test(c, a_run_right_after_a_killed_one_waits_for_what_is_left);
    tcase_add_loop_test(c, a_run_that_ends_while_it_prepares_leaves_no_half_store, 0, COUNT(ends));
    tcase_add_test(c, a_port_in_use_is_said_plainly);
    tcase_add_test(c, a_second_run_in_a_work_dir_is_refused);
    tcase_add_loop_test(c, bad_input_is_named_and_nothing_is_left, 0, COUNT(inputs));
    tcase_add_test(c, the_status_has_the_keys_of_its_format);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
