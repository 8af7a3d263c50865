#include "deploy/train.h"

#include "common/clock.h"
#include "common/files.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/numerics.h"
#include "common/out_dir.h"
#include "common/store_path.h"
#include "deploy/checkpoint_pick.h"
#include "deploy/cluster_tables.h"
#include "deploy/job_status.h"
#include "deploy/last_status.h"
#include "deploy/progress_print.h"
#include "deploy/progress_view.h"
#include "deploy/result_place.h"
#include "deploy/status_view.h"
#include "deploy/train_results.h"
#include "deploy/trained.h"
#include "sampler/prepare.h"
#include "sampler/store_copy.h"

#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUN_MS = 20, WAIT_MS = 300, STATUS_US = 400000 };

typedef struct train {
    const train_options *options;
    char *out; /* folder of the result */
    cluster *cluster;
    job *job;
    dataset *dataset;
    char *store;
    progress_printer printer;
    progress_view *view;
    train_facts facts;
    trained trained;
    evaluation_result *result;
    uint64_t told_us;
    err_code ended; /* not ERR_OK: the job cannot go on, and what computes has been told to end */
} train;

static bool is_silent(const train_options *o)
{
    return progress_is_silent(o->json);
}

/* The cluster gets its turns from what computes in this thread.  A job that cannot go on ends the
 * computation. */
static void tell(train *t, uint32_t stage, uint64_t done, uint64_t total)
{
    uint64_t now = clock_now_us();
    int none = 0;
    if (now - t->told_us < STATUS_US) return;
    t->told_us = now;
    err_code rc = cluster_progress(t->cluster, stage, done, total);
    if (rc == ERR_OK) rc = cluster_run(t->cluster, 0);
    if (rc == ERR_OK) return;
    t->ended = rc;
    atomic_compare_exchange_strong(t->options->stop, &none, SIGTERM);
}

/* ---- Preparation ---- */

static void on_prepare(void *context, const char *stage, uint64_t done, uint64_t total)
{
    train *t = context;
    progress_print(&t->printer, stage, done, total);
    tell(t, STAGE_PREPARE, done, total);
}

/* Another process prepares the same: this one brings it here then. */
static err_code wait_for_store(train *t)
{
    const config *c = t->options->config;
    uint64_t hash;
    err_code rc = prepare_hash(c, &hash);
    if (rc == ERR_OK && !store_copy_is_published(c, hash))
        log_warn("waiting", "for=\"the prepared store\" folder=\"%s/%016" PRIx64 "\"",
                 c->store.source, hash);
    while (rc == ERR_OK && !store_copy_is_published(c, hash)) rc = cluster_run(t->cluster, WAIT_MS);
    return rc;
}

static err_code prepare(train *t)
{
    const train_options *o = t->options;
    progress p = {.report = on_prepare, .context = t, .stop = o->stop};
    uint64_t start = clock_now_us();
    err_code rc = o->prepared ? wait_for_store(t) : ERR_OK;
    if (rc == ERR_OK) rc = prepare_run(o->config, &p, &t->store, &t->facts.prepare);
    progress_printer_end(&t->printer);
    if (rc == ERR_OK) rc = store_path_set(o->config, t->store);
    if (rc == ERR_OK && t->facts.prepare.reused && !is_silent(o)) {
        fprintf(stderr, "%-*s done  by an earlier run\n", PROGRESS_VIEW_HEAD, "prepare");
    }
    train_facts_stage(&t->facts, "prepare", start, 0);
    return rc;
}

static err_code open_job(train *t)
{
    char *text = config_print(t->options->config, CONFIG_ALL);
    config *own = NULL;
    err_code rc = config_parse("configuration", text, NULL, 0, &own);
    if (rc == ERR_OK) {
        rc = job_load(own, t->store, &t->job);
        if (rc != ERR_OK) config_free(own);
    }
    if (rc == ERR_OK) rc = dataset_open(t->store, &t->dataset);
    free(text);
    return rc;
}

/* ---- Training ---- */

/* Reads the status once: shows it, notes when stages change.  *done: training is over. */
static void look(train *t, bool *done)
{
    char *text = cluster_status(t->cluster);
    json_t *status = text ? json_loads(text, 0, NULL) : NULL;
    if (!status || job_status_is_starting(status)) {
        progress_view_away(t->view);
    } else {
        *done = job_status_is_trained(status, t->job->plan);
        if (*done)
            progress_view_end_before(t->view, status);
        else
            progress_view_update(t->view, status);
        train_facts_status(&t->facts, status);
    }
    json_decref(status);
    free(text);
}

static err_code run_stages(train *t)
{
    bool done = false;
    uint64_t look_us = 0;
    err_code rc = cluster_start(t->cluster, t->job, t->store);
    while (rc == ERR_OK && !done) {
        rc = cluster_run(t->cluster, RUN_MS);
        if (rc != ERR_OK || clock_now_us() < look_us) continue;
        look(t, &done);
        look_us = clock_now_us() + STATUS_US;
    }
    if (rc != ERR_STOPPED) progress_view_end(t->view, NULL);
    train_facts_trained(&t->facts);
    return rc;
}

/* ---- Evaluation and export ---- */

static err_code read_trained(train *t)
{
    cluster_tables *c = NULL;
    err_code rc = cluster_tables_open(t->cluster, t->job->config, &c);
    if (rc == ERR_OK) {
        trained_source s = cluster_tables_source(c, t->job);
        rc = trained_read(&s, t->job, t->dataset, &t->trained);
    }
    cluster_tables_close(c);
    return rc;
}

static void on_evaluate(void *context, const char *stage, uint64_t done, uint64_t total)
{
    train *t = context;
    progress_print(&t->printer, stage, done, total);
    tell(t, STAGE_EVALUATE, done, total);
}

static err_code evaluate(train *t)
{
    uint64_t start = clock_now_us();
    progress p = {.report = on_evaluate, .context = t, .stop = t->options->stop};
    progress_printer_init(&t->printer, "", is_silent(t->options));
    err_code rc = trained_evaluate(&t->trained, t->job, t->dataset, &p, &t->result);
    progress_printer_end(&t->printer);
    train_facts_stage(&t->facts, "evaluate", start, 0);
    return rc;
}

static err_code finish(train *t)
{
    const train_options *o = t->options;
    uint64_t start = clock_now_us();
    char *steps = xprintf("%s/run/steps.jsonl", o->config->work_dir);
    train_results r = {.config = o->config,
                       .command = o->command,
                       .json = o->json,
                       .processes = o->in_process ? RUN_JSON_IN_PROCESS : RUN_JSON_CLUSTER,
                       .job = t->job,
                       .dataset = t->dataset,
                       .trained = &t->trained,
                       .result = t->result,
                       .facts = &t->facts,
                       .metrics_path = cluster_metrics_path(t->cluster),
                       .steps_path = steps};
    err_code rc = cluster_progress(t->cluster, STAGE_EXPORT, 0, 1);
    out_dir *dir = NULL;
    if (rc == ERR_OK) rc = cluster_metrics(t->cluster);
    if (rc == ERR_OK) rc = out_dir_open(t->out, &dir);
    if (rc == ERR_OK) rc = train_results_write(&r, dir);
    train_facts_stage(&t->facts, "export", start, 0);
    if (rc == ERR_OK) rc = cluster_finish(t->cluster);
    t->facts.cluster = cluster_get_facts(t->cluster);
    if (rc == ERR_OK) rc = train_results_write_run(&r, dir);
    if (rc == ERR_OK) rc = out_dir_commit(dir);
    out_dir_close(dir);
    if (rc == ERR_OK) train_results_print(&r, t->out);
    free(steps);
    return rc;
}

static void say_start(const train *t)
{
    const char *url = cluster_url(t->cluster);
    if (is_silent(t->options)) return;
    fprintf(stderr, "job %s  seed %llu  %s\n", t->options->config->job,
            (unsigned long long)t->options->config->seed, numerics_id());
    if (*url) fprintf(stderr, "status %s\n", url);
}

/* The job has made its checkpoint since the last look: what its scheduler left says where it is. */
static void show_stop(train *t)
{
    const train_options *o = t->options;
    json_t *last = o->attach ? NULL : last_status_read(o->config->work_dir);
    const json_t *resume = json_object_get(last, "resume");
    progress_view_end(t->view, last);
    if (json_is_object(resume) && !is_silent(o)) {
        fprintf(stderr, "the same command goes on from %s step %" PRIu32 "\n",
                status_view_text(resume, "stage", "?"), status_view_count(resume, "step"));
    }
    json_decref(last);
}

static void close_all(train *t, err_code rc)
{
    cluster_close(t->cluster);
    if (rc == ERR_STOPPED) show_stop(t);
    progress_view_free(t->view);
    trained_fini(&t->trained);
    evaluation_free(t->result);
    train_facts_fini(&t->facts);
    dataset_close(t->dataset);
    job_free(t->job);
    free(t->store);
    free(t->out);
}

/* A result that has no place is said before hours of work, not after. */
static err_code check_out(const train *t)
{
    out_dir *dir = NULL;
    err_code rc = result_place_check(t->options->config, t->out);
    if (rc == ERR_OK) rc = out_dir_open(t->out, &dir);
    out_dir_close(dir);
    return rc;
}

/* Which checkpoint is gone back to, as its name [CHECKPOINT_NAME_MAX], and what becomes of those
 * that came after it. */
static err_code pick(const train_options *o, char *name)
{
    checkpoint_id id;
    uint32_t step, newer;
    char *dir = checkpoint_files_dir(o->config);
    err_code rc = checkpoint_pick(dir, o->from, &id, &step, &newer);
    free(dir);
    if (rc != ERR_OK) return rc;
    checkpoint_files_name(&id, name);
    if (is_silent(o)) return rc;
    fprintf(stderr, "going back to %s step %" PRIu32 " (%s)\n", stage_name(id.stage), step, name);
    if (newer)
        fprintf(stderr,
                "%u newer checkpoint%s: removed when the next is made, but for ends of stages and "
                "pinned ones\n",
                newer, newer > 1 ? "s" : "");
    return rc;
}

err_code train_run(const train_options *o)
{
    char from[CHECKPOINT_NAME_MAX];
    train t = {.options = o};
    cluster_options c = {.config = o->config,
                         .in_process = o->in_process,
                         .attach = o->attach,
                         .fresh = o->fresh,
                         .from = o->from ? from : NULL,
                         .stop = o->stop};
    t.out = o->out_dir ? xstrdup(o->out_dir) : files_join(o->config->work_dir, "out");
    progress_printer_init(&t.printer, "prepare ", is_silent(o));
    t.view = progress_view_new(stderr, is_silent(o));
    train_facts_init(&t.facts);
    err_code rc = o->from ? pick(o, from) : ERR_OK;
    if (rc == ERR_OK) rc = cluster_open(&c, &t.cluster);
    if (rc == ERR_OK) rc = check_out(&t);
    if (rc == ERR_OK) say_start(&t);
    if (rc == ERR_OK) rc = prepare(&t);
    if (rc == ERR_OK) rc = open_job(&t);
    if (rc == ERR_OK) rc = run_stages(&t);
    if (rc == ERR_OK) rc = read_trained(&t);
    if (rc == ERR_OK) rc = evaluate(&t);
    if (rc == ERR_OK) rc = finish(&t);
    if (rc == ERR_STOPPED && t.ended != ERR_OK) rc = t.ended;
    close_all(&t, rc);
    return rc;
}
