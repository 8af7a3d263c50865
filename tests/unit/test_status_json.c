/* Proves: the status object has the promised keys in their order, whatever is or is not known
 * yet, and survives numbers that are not finite; the Prometheus text is valid and keeps every
 * digit. */
#include "ps/status_json.h"
#include "ps/status_metrics.h"

#include "testing_prepare.h"

#include <check.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WORKERS = 2, EVENTS = 2 };

static config *settings;
static scheduler_status status;
static status_peer workers[WORKERS], server, sampler;
static status_event events[EVENTS];
static status_curve curve, valid;
static op_meter *meter;
static const status_disks disks = {.work_free = 1000, .work_size = 5000};
static const uint32_t stages[2] = {STAGE_HGNN, STAGE_EMBED};
static status_input input;

static status_peer peer(uint32_t role, uint32_t index)
{
    status_peer p = {.peer = {role, index, 0xabcdef0123456789}, .pid = 17, .state = PEER_READY};
    strcpy(p.address, "tcp://127.0.0.1:5000");
    p.last_seen_ms = 1500;
    p.rss_bytes = 12345678901;
    return p;
}

static void fill_job(void)
{
    status = (scheduler_status){.state = JOB_RUNNING,
                                .stage = STAGE_HGNN,
                                .epoch = 1,
                                .step = 345,
                                .steps = 1500,
                                .progress = 0.23,
                                .elapsed_s = 41.25,
                                .eta_s = 137.5,
                                .examples = 176640,
                                .examples_per_s = 4287.5,
                                .loss = 2.25,
                                .metric = "mrr_100",
                                .has_validation = true,
                                .valid_last = 0.05,
                                .valid_best = 0.051,
                                .best_step = 200,
                                .result = {{STAGE_HGNN, 1500, 1450, "mrr_100", 0.0625}},
                                .results_n = 1,
                                .generation = 1,
                                .term = 2,
                                .map = 3,
                                .bits_guaranteed = true,
                                .plan_hash = 0x0123456789abcdef};
    strcpy(status.numerics, "openblas");
    status.counters.leases = 7;
}

static void set_up(void)
{
    settings = testing_prepare_config("");
    meter = op_meter_new();
    fill_job();
    for (uint32_t i = 0; i < WORKERS; i++) workers[i] = peer(WIRE_WORKER, i);
    workers[0].slot = (slot_name){STAGE_HGNN, 1, 345, 1};
    workers[0].state = PEER_COMPUTING;
    server = peer(WIRE_SERVER, 0);
    server.bytes = 9007199254740991;
    sampler = peer(WIRE_SAMPLER, 0);
    events[0] = (status_event){.at_us = 5000000, .event = "join", .who = workers[1].peer};
    events[1] = (status_event){.at_us = 7000000, .event = "lost", .who = server.peer};
    strcpy(events[1].why, "said \"no\"\n");
    status.workers = WORKERS;
    status.servers = status.samplers = 1;
    status.worker = workers;
    status.server = &server;
    status.sampler = &sampler;
    curve = (status_curve){.n = 2};
    curve.point[0] = (curve_point){1, {3.5, 100, 0, 0.5, 2}};
    curve.point[1] = (curve_point){2, {3.25, 200, 0, 0.25, 2}};
    valid = (status_curve){.n = 1};
    valid.point[0] = (curve_point){200, {0.051}};
    status.events_n = EVENTS;
    status.curve_stage = STAGE_HGNN;
    status.curve = &curve;
    status.valid = &valid;
    status.event = events;
    input = (status_input){.status = &status,
                           .config = settings,
                           .stages = stages,
                           .stages_n = 2,
                           .partitions = 4,
                           .start_wall_s = 1767225600,
                           .start_us = 4000000};
}

static void tear_down(void)
{
    op_meter_free(meter);
    config_free(settings);
}

static char *metrics(void)
{
    return status_metrics(&input, &disks, meter);
}

static json_t *load(void)
{
    char *text = status_json(&input);
    json_error_t error;
    json_t *o = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(o != NULL, "%s: %s", error.text, text);
    free(text);
    return o;
}

/* The keys of `o`, separated by spaces. */
static void expect_keys(json_t *o, const char *expected)
{
    char keys[1024] = "";
    const char *key;
    json_t *value;
    ck_assert(json_is_object(o));
    json_object_foreach(o, key, value)
    {
        if (keys[0]) strcat(keys, " ");
        strcat(keys, key);
    }
    ck_assert_str_eq(keys, expected);
}

static json_t *first(json_t *o, const char *key)
{
    return json_array_get(json_object_get(o, key), 0);
}

START_TEST(keys_and_their_order)
{
    json_t *o = load();
    expect_keys(
        o,
        "format weft commit job state started ended waiting failure stopped_by stage stages epoch "
        "step steps progress elapsed_s eta_s examples examples_per_s loss validation results "
        "generation term map numerics bits plan_hash seed time_share wanted workers servers "
        "samplers counters checkpoint resume curves events config");
    expect_keys(json_object_get(o, "validation"), "metric last best best_step");
    expect_keys(json_object_get(o, "time_share"), "sample pull compute push wait");
    expect_keys(first(o, "workers"),
                "id incarnation pid address state slot leases lease_age_s slots_done "
                "examples_per_s step_ms_p50 step_ms_p99 time_share phase_s last_seen_ms "
                "rss_bytes");
    expect_keys(first(o, "servers"),
                "id incarnation pid address state version rows bytes pulls pushes repeats "
                "pulls_per_s pushes_per_s apply_ms_p50 apply_ms_p99 last_checkpoint_step "
                "last_seen_ms rss_bytes");
    expect_keys(first(o, "samplers"), "id incarnation pid address state partitions batches "
                                      "batches_per_s queue remote_share last_seen_ms rss_bytes");
    expect_keys(
        json_object_get(o, "counters"),
        "leases reassigned void_slots gone hash_mismatches refused_peers repeats rollbacks");
    expect_keys(json_object_get(o, "checkpoint"), "made failed under_way last");
    expect_keys(json_object_get(o, "curves"),
                "stage step loss examples_per_s staleness step_s workers validation");
    expect_keys(first(o, "events"), "time event who why");
    json_decref(o);
}
END_TEST

START_TEST(values_are_those_of_the_status)
{
    json_t *o = load();
    ck_assert_str_eq(json_string_value(json_object_get(o, "state")), "RUNNING");
    ck_assert(json_is_null(json_object_get(o, "waiting")));
    ck_assert_str_eq(json_string_value(json_object_get(o, "plan_hash")), "0123456789abcdef");
    ck_assert_str_eq(json_string_value(json_object_get(o, "bits")), "guaranteed");
    ck_assert_double_eq(json_real_value(json_object_get(o, "progress")), 0.23);
    ck_assert_int_eq((int)json_array_size(json_object_get(o, "stages")), 5);
    json_t *w = first(o, "workers"), *s = first(o, "samplers");
    ck_assert_str_eq(json_string_value(json_object_get(w, "id")), "worker-0");
    ck_assert_str_eq(json_string_value(json_object_get(w, "state")), "computing");
    ck_assert_str_eq(json_string_value(json_object_get(w, "slot")), "hgnn/1/345/1");
    ck_assert_str_eq(json_string_value(json_object_get(first(o, "servers"), "id")), "ps-0");
    ck_assert_int_eq((int)json_array_size(json_object_get(s, "partitions")), 4);
    json_t *result = first(o, "results");
    expect_keys(result, "stage steps metric best best_step");
    ck_assert_str_eq(json_string_value(json_object_get(result, "stage")), "hgnn");
    ck_assert_double_eq(json_real_value(json_object_get(result, "best")), 0.0625);
    json_t *last = json_array_get(json_object_get(o, "events"), 1);
    ck_assert_str_eq(json_string_value(json_object_get(last, "time")), "2026-01-01T00:00:03Z");
    ck_assert_str_eq(json_string_value(json_object_get(last, "why")), "said \"no\"\n");
    ck_assert(json_object_size(json_object_get(o, "config")) > 50);
    json_decref(o);
}
END_TEST

START_TEST(a_wait_says_for_what_and_whom)
{
    status.is_waiting = true;
    status.state = JOB_STALLED;
    strcpy(status.waiting_for, "commit of the step");
    strcpy(status.waiting_whom, "ps-0");
    status.waiting_since_s = 31.5;
    json_t *o = load(), *wait = json_object_get(o, "waiting");
    expect_keys(wait, "for whom since_s");
    ck_assert_str_eq(json_string_value(json_object_get(o, "state")), "STALLED");
    ck_assert_str_eq(json_string_value(json_object_get(wait, "whom")), "ps-0");
    json_decref(o);
}
END_TEST

/* Before anything is known: no plan, no peers, no loss, no validation. */
START_TEST(nothing_is_known_yet)
{
    curve.n = valid.n = 0;
    status = (scheduler_status){.loss = NAN,
                                .eta_s = -1,
                                .metric = "",
                                .stage = STAGE_PREPARE,
                                .curve = &curve,
                                .valid = &valid};
    input.stages = NULL;
    input.stages_n = input.partitions = 0;
    json_t *o = load();
    ck_assert_str_eq(json_string_value(json_object_get(o, "state")), "STARTING");
    ck_assert(json_is_null(json_object_get(o, "loss")));
    ck_assert(json_is_null(json_object_get(o, "eta_s")));
    ck_assert(json_is_null(json_object_get(json_object_get(o, "validation"), "best")));
    ck_assert_int_eq((int)json_array_size(json_object_get(o, "workers")), 0);
    json_decref(o);
    char *text = metrics();
    ck_assert_ptr_null(strstr(text, "nan"));
    free(text);
}
END_TEST

START_TEST(numbers_that_are_not_finite_are_null)
{
    curve.point[1].v[CURVE_LOSS] = INFINITY;
    curve.point[0].v[CURVE_RATE] = NAN;
    valid.point[0].v[0] = NAN;
    status.valid_best = -INFINITY;
    json_t *o = load(), *curves = json_object_get(o, "curves");
    ck_assert(json_is_null(json_array_get(json_object_get(curves, "loss"), 1)));
    ck_assert(json_is_null(json_array_get(json_object_get(curves, "examples_per_s"), 0)));
    ck_assert(json_is_null(json_array_get(first(curves, "validation"), 1)));
    json_decref(o);
}
END_TEST

/* ---- Prometheus ---- */

static bool is_name(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool letter = (s[i] >= 'a' && s[i] <= 'z') || s[i] == '_';
        if (!letter && !(i && s[i] >= '0' && s[i] <= '9')) return false;
    }
    return n > 0;
}

/* `name{label="value",...} number`, of the family that was announced. */
static void check_sample(const char *line, const char *family)
{
    size_t n = strcspn(line, "{ ");
    ck_assert_msg(is_name(line, n), "%s", line);
    size_t length = strlen(family); /* of a histogram: with _bucket, _sum or _count */
    ck_assert_msg(n >= length && strncmp(line, family, length) == 0 &&
                      (n == length || line[length] == '_'),
                  "%s in %s", line, family);
    const char *at = line + n;
    while (*at == '{' || *at == ',') {
        size_t label = strcspn(++at, "=");
        ck_assert_msg(is_name(at, label) && at[label + 1] == '"', "%s", line);
        at += label + 2;
        at += strcspn(at, "\"\\\n");
        ck_assert_msg(*at == '"', "%s", line);
        at++;
    }
    if (*at == '}') at++;
    char *end;
    ck_assert_msg(*at == ' ' && at[1] != ' ', "%s", line);
    double v = strtod(at + 1, &end);
    ck_assert_msg(*end == 0 && isfinite(v), "%s", line);
}

START_TEST(the_end_says_when_and_what_goes_on)
{
    json_t *o = load();
    ck_assert(json_is_null(json_object_get(o, "ended")));
    ck_assert(json_is_null(json_object_get(o, "resume")));
    json_decref(o);
    input.end_us = 6000000;
    status.resume_stage = STAGE_HGNN;
    status.resume_step = 40;
    o = load();
    ck_assert_str_eq(json_string_value(json_object_get(o, "ended")), "2026-01-01T00:00:02Z");
    json_t *resume = json_object_get(o, "resume");
    expect_keys(resume, "stage step");
    ck_assert_str_eq(json_string_value(json_object_get(resume, "stage")), "hgnn");
    ck_assert_int_eq(json_integer_value(json_object_get(resume, "step")), 40);
    json_decref(o);
}
END_TEST

START_TEST(prometheus_text_is_valid)
{
    char *text = metrics(), family[128] = "", seen[16384] = "", *rest = text;
    ck_assert_int_eq(text[strlen(text) - 1], '\n');
    for (char *line; (line = strsep(&rest, "\n")) && *line;) {
        char name[128], type[16];
        if (sscanf(line, "# HELP %127s", name) == 1) continue;
        if (sscanf(line, "# TYPE %127s %15s", name, type) == 2) {
            char word[140];
            snprintf(word, sizeof word, " %s ", name);
            ck_assert_msg(!strstr(seen, word), "%s twice", name);
            strcat(seen, word);
            bool known = strncmp(name, "weft_", 5) == 0 || strncmp(name, "process_", 8) == 0;
            ck_assert_msg(known, "%s", name);
            bool counter = strcmp(type, "counter") == 0;
            ck_assert_msg(counter ==
                              (strlen(name) > 6 && strcmp(name + strlen(name) - 6, "_total") == 0),
                          "%s is a %s", name, type);
            strcpy(family, name);
            continue;
        }
        check_sample(line, family);
    }
    free(text);
}
END_TEST

START_TEST(counters_keep_every_digit)
{
    char *text = metrics();
    ck_assert_ptr_nonnull(
        strstr(text, "weft_server_table_bytes{role=\"ps\",index=\"0\"} 9007199254740991\n"));
    ck_assert_ptr_nonnull(strstr(text, "weft_train_examples_total 176640\n"));
    ck_assert_ptr_nonnull(strstr(text, "weft_train_loss 2.25\n"));
    ck_assert_ptr_nonnull(
        strstr(text, "weft_peer_last_seen_seconds{role=\"worker\",index=\"1\"} 1.5\n"));
    free(text);
}
END_TEST

/* What the last checkpoint was, and what is said while there is none. */
START_TEST(a_checkpoint_is_told)
{
    json_t *o = load();
    ck_assert(json_is_null(json_object_get(json_object_get(o, "checkpoint"), "last")));
    json_decref(o);
    status.checkpoint = (status_checkpoint){.made = 2,
                                            .failed = 1,
                                            .stage = STAGE_HGNN,
                                            .step = 300,
                                            .reason = "best",
                                            .bytes = 1234,
                                            .age_s = 11.25,
                                            .took_s = 0.5,
                                            .under_way = "writing"};
    o = load();
    json_t *c = json_object_get(o, "checkpoint"), *last = json_object_get(c, "last");
    expect_keys(last, "stage step reason bytes age_s took_s");
    ck_assert_str_eq(json_string_value(json_object_get(c, "under_way")), "writing");
    ck_assert_int_eq(json_integer_value(json_object_get(last, "step")), 300);
    json_decref(o);
    char *text = metrics();
    ck_assert_ptr_nonnull(
        strstr(text, "weft_checkpoint_last_success_timestamp_seconds 1767225630\n"));
    ck_assert_ptr_nonnull(strstr(text, "weft_checkpoint_failures_total 1\n"));
    free(text);
}
END_TEST

START_TEST(times_are_histograms)
{
    histogram_add(&status.step_time, 300000);
    histogram_add(&status.step_time, 90000000);
    char *text = metrics();
    ck_assert_ptr_nonnull(strstr(text, "weft_step_duration_seconds_bucket{le=\"0.25\"} 0\n"));
    ck_assert_ptr_nonnull(strstr(text, "weft_step_duration_seconds_bucket{le=\"0.5\"} 1\n"));
    ck_assert_ptr_nonnull(strstr(text, "weft_step_duration_seconds_bucket{le=\"+Inf\"} 2\n"));
    ck_assert_ptr_nonnull(strstr(text, "weft_step_duration_seconds_sum 90.3\n"));
    ck_assert_ptr_nonnull(strstr(text, "weft_step_duration_seconds_count 2\n"));
    free(text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("status_json");
    TCase *c = tcase_create("all");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, keys_and_their_order);
    tcase_add_test(c, values_are_those_of_the_status);
    tcase_add_test(c, a_wait_says_for_what_and_whom);
    tcase_add_test(c, nothing_is_known_yet);
    tcase_add_test(c, numbers_that_are_not_finite_are_null);
    tcase_add_test(c, a_checkpoint_is_told);
    tcase_add_test(c, times_are_histograms);
    tcase_add_test(c, prometheus_text_is_valid);
    tcase_add_test(c, the_end_says_when_and_what_goes_on);
    tcase_add_test(c, counters_keep_every_digit);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
