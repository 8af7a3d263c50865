/* A short training by processes of its own (bench.h). */
#include "common/files.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/store_path.h"
#include "deploy/bench.h"
#include "deploy/cluster.h"
#include "deploy/forecast.h"
#include "deploy/job_status.h"
#include "deploy/progress_view.h"
#include "deploy/run_stages.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RUN_MS = 20, STEPS_MIN = 10, SETS_MAX = 20 };

static const char folder_prefix[] = ".bench-"; /* of the training's, in work_dir */
static const uint32_t trained[2] = {STAGE_HGNN, STAGE_TWO_TOWER};

typedef struct training {
    bench *b;
    const job *given;
    char *folder;
    job *job; /* of the short training */
    cluster *cluster;
    forecast_slot slot[2];
    double first[2][STATUS_PHASES]; /* seconds of all workers at a stage's start */
    double last[2][STATUS_PHASES];  /* and now */
    bool seen[2];
} training;

/* ---- The job ---- */

static double arithmetic(const training *t)
{
    double threads = t->given->config->cluster.threads * (double)t->given->config->cluster.workers;
    return t->b->speed.sgemm_flops * fmin(threads, t->b->speed.cores);
}

/* That take the time asked for, at a third of what the arithmetic allows. */
static uint32_t steps_of(const training *t, int i)
{
    double flops = t->slot[i].flops * t->given->config->train.microbatches_per_step;
    double steps = ceil(t->b->seconds * arithmetic(t) / 3 / fmax(flops, 1));
    uint32_t most = plan_steps(t->given->plan, trained[i]);
    return (uint32_t)fmin(fmax(steps, STEPS_MIN), most);
}

/* As YAML: the folder may have a colon in its name. */
static char *work_dir_of(const training *t)
{
    json_t *folder = json_string(t->folder);
    char *value = json_dumps(folder, JSON_ENCODE_ANY), *set = xprintf("work_dir=%s", value);
    json_decref(folder);
    free(value);
    return set;
}

/* Nothing of the given job is touched: neither its folders nor its addresses. */
static err_code make_job(training *t, const char *store_folder)
{
    char *sets[SETS_MAX], *text = config_print(t->given->config, CONFIG_ALL);
    static const char *const own[] = {"store.source=\"\"",
                                      "store.local=\"\"",
                                      "checkpoint.dir=\"\"",
                                      "checkpoint.every=0",
                                      "cluster.scheduler=\"\"",
                                      "cluster.advertise=\"\"",
                                      "cluster.port=0",
                                      "cluster.on_done=exit",
                                      "http.bind=127.0.0.1:0",
                                      "http.token_file=\"\"",
                                      "http.process_bind=127.0.0.1:0",
                                      "security.keys=\"\"",
                                      "validate.every=1000000000",
                                      "evaluate.baselines=[popularity]"};
    size_t n = 0;
    for (; n < sizeof own / sizeof *own; n++) sets[n] = xstrdup(own[n]);
    sets[n++] = work_dir_of(t);
    sets[n++] = xprintf("hgnn.max_steps=%" PRIu32, steps_of(t, 0));
    sets[n++] = xprintf("two_tower.max_steps=%" PRIu32, steps_of(t, 1));
    config *c = NULL;
    err_code rc = config_parse("configuration", text, (const char *const *)sets, n, &c);
    if (rc == ERR_OK) rc = job_load(c, store_folder, &t->job);
    if (!t->job) config_free(c);
    for (size_t i = 0; i < n; i++) free(sets[i]);
    free(text);
    return rc;
}

/* ---- The run ---- */

static void add_phases(double sum[STATUS_PHASES], const json_t *status)
{
    size_t i;
    json_t *worker;
    memset(sum, 0, STATUS_PHASES * sizeof *sum);
    json_array_foreach(json_object_get(status, "workers"), i, worker)
    {
        const json_t *phase = json_object_get(worker, "phase_s");
        for (int k = 0; k < STATUS_PHASES; k++)
            sum[k] += json_number_value(json_object_get(phase, status_phases[k]));
    }
}

/* Counts from a stage's first step on. */
static void note(training *t, const json_t *status)
{
    uint32_t stage = job_status_stage(status);
    bool stepped = json_integer_value(json_object_get(status, "step")) > 0;
    for (int i = 0; i < 2; i++) {
        if (trained[i] != stage || !stepped) continue;
        add_phases(t->last[i], status);
        if (!t->seen[i]) memcpy(t->first[i], t->last[i], sizeof t->first[i]);
        t->seen[i] = true;
    }
}

/* What comes after the towers says nothing about them. */
static bool is_over(const training *t, const json_t *status)
{
    uint32_t stage = job_status_stage(status);
    return stage == STAGE_VECTORS || job_status_is_trained(status, t->job->plan);
}

static err_code run(training *t, bool silent)
{
    progress_view *view = progress_view_new(stderr, silent);
    bool over = false;
    err_code rc = ERR_OK;
    while (rc == ERR_OK && !over) {
        rc = cluster_run(t->cluster, RUN_MS);
        char *text = rc == ERR_OK ? cluster_status(t->cluster) : NULL;
        json_t *status = text ? json_loads(text, 0, NULL) : NULL;
        if (status && !job_status_is_starting(status)) {
            over = is_over(t, status);
            if (over)
                progress_view_end_before(view, status);
            else
                progress_view_update(view, status);
            note(t, status);
        }
        json_decref(status);
        free(text);
    }
    progress_view_end(view, NULL);
    progress_view_free(view);
    return rc;
}

/* ---- What came of it ---- */

static void add_row(training *t, int i, const run_json_stage *stage)
{
    const config *c = t->job->config;
    double total = 0;
    bench_row row = {.part = "training",
                     .what = xprintf("%s, %" PRIu32 " steps, %" PRIu32 " worker%s", stage->stage,
                                     plan_steps(t->job->plan, trained[i]), c->cluster.workers,
                                     c->cluster.workers == 1 ? "" : "s"),
                     .rate = stage->examples_per_s,
                     .unit = i == 0 ? "pairs" : "rows",
                     .used = stage->examples_per_s * t->slot[i].flops / t->slot[i].pairs,
                     .limit = arithmetic(t),
                     .of = "flops of sgemm"};
    for (int k = 0; k < STATUS_PHASES; k++) total += t->last[i][k] - t->first[i][k];
    row.has_shares = total > 0;
    for (int k = 0; k < STATUS_PHASES && row.has_shares; k++)
        row.share[k] = (t->last[i][k] - t->first[i][k]) / total;
    bench_add(t->b, row);
}

static void add_rows(training *t)
{
    run_stages stages;
    char *steps = xprintf("%s/run/steps.jsonl", t->folder);
    run_stages_merge(&stages, NULL, 0, steps);
    for (int i = 0; i < 2; i++) {
        for (size_t k = 0; k < stages.n; k++) {
            if (strcmp(stages.stage[k].stage, stage_name(trained[i])) == 0)
                add_row(t, i, &stages.stage[k]);
        }
    }
    free(steps);
}

static err_code expect_slots(training *t)
{
    outlook *o = NULL;
    err_code rc = outlook_make(t->given->config, NULL, &o);
    if (rc == ERR_OK) {
        forecast_slot_hgnn(t->given, o, &t->slot[0]);
        forecast_slot_tower(t->given, o, STAGE_TWO_TOWER, &t->slot[1]);
    }
    outlook_free(o);
    return rc;
}

static err_code train_a_little(training *t, const char *store_folder, bool silent,
                               const atomic_int *stop)
{
    err_code rc = expect_slots(t);
    if (rc == ERR_OK) rc = make_job(t, store_folder);
    char *store = files_join(t->folder, "store");
    if (rc == ERR_OK) rc = files_make_dirs(store);
    if (rc == ERR_OK) rc = store_path_set(t->job->config, store_folder);
    free(store);
    if (rc != ERR_OK) return rc;
    cluster_options o = {.config = t->job->config, .fresh = true, .stop = stop};
    rc = cluster_open(&o, &t->cluster);
    if (rc == ERR_OK) rc = cluster_start(t->cluster, t->job, store_folder);
    if (rc == ERR_OK) rc = run(t, silent);
    cluster_close(t->cluster);
    if (rc == ERR_OK) add_rows(t);
    return rc;
}

err_code bench_training(bench *b, const job *j, const char *store_folder, bool silent,
                        const atomic_int *stop)
{
    training t = {.b = b, .given = j};
    char *here = getcwd(NULL, 0);
    t.folder = xprintf("%s/%s%ld", j->config->work_dir, folder_prefix, (long)getpid());
    err_code rc = files_remove_stale(j->config->work_dir, folder_prefix);
    if (rc == ERR_OK) rc = train_a_little(&t, store_folder, silent, stop);
    if (here && chdir(here) != 0) log_warn("chdir_failed", "path=\"%s\"", here);
    err_code removed = files_remove_tree(t.folder);
    job_free(t.job);
    free(t.folder);
    free(here);
    return rc == ERR_OK ? removed : rc;
}
