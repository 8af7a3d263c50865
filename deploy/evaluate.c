#include "deploy/evaluate.h"

#include "common/clock.h"
#include "common/files.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/out_dir.h"
#include "deploy/export_files.h"
#include "deploy/progress_print.h"
#include "deploy/result_place.h"
#include "deploy/train_results.h"
#include "deploy/trained_job.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct evaluate {
    const evaluate_options *options;
    char *out;    /* folder of the result */
    out_dir *dir; /* it, open */
    trained_job trained;
    evaluation_result *result; /* NULL: export only */
    train_facts facts;
} evaluate;

static train_results results_of(const evaluate *e)
{
    const evaluate_options *o = e->options;
    const trained_job *t = &e->trained;
    return (train_results){.config = o->config,
                           .command = o->command,
                           .json = o->json,
                           .processes = RUN_JSON_NONE,
                           .job = t->job,
                           .dataset = t->data,
                           .trained = &t->trained,
                           .result = e->result,
                           .facts = &e->facts,
                           .metrics_path = t->metrics_path,
                           .other_numerics = t->other_numerics ? t->numerics : NULL};
}

static err_code score(evaluate *e)
{
    const evaluate_options *o = e->options;
    uint64_t start = clock_now_us();
    progress_printer printer;
    progress p = {.report = progress_print, .context = &printer, .stop = o->stop};
    progress_printer_init(&printer, "", progress_is_silent(o->json));
    err_code rc =
        trained_evaluate(&e->trained.trained, e->trained.job, e->trained.data, &p, &e->result);
    progress_printer_end(&printer);
    train_facts_stage(&e->facts, "evaluate", start, 0);
    return rc;
}

static void note_store(evaluate *e)
{
    const manifest *m = e->trained.job->manifest;
    e->facts.prepare.reused = true;
    for (uint32_t p = 0; p < m->partitions; p++)
        e->facts.prepare.store_bytes += m->partition_bytes[p];
}

static err_code write_files(evaluate *e)
{
    train_results r = results_of(e);
    uint64_t start = clock_now_us();
    note_store(e);
    err_code rc = train_results_write(&r, e->dir);
    train_facts_stage(&e->facts, "export", start, 0);
    if (rc == ERR_OK) rc = train_results_write_run(&r, e->dir);
    if (rc == ERR_OK && atomic_load(e->options->stop)) rc = ERR_STOPPED;
    return rc == ERR_OK ? out_dir_commit(e->dir) : rc;
}

static err_code print_export_json(const evaluate *e)
{
    const trained_job *t = &e->trained;
    json_writer w;
    json_init_file(&w, stdout, JSON_STYLE_SPACED);
    json_object_begin(&w);
    json_field_string(&w, "out", e->out);
    json_field_u64(&w, "items", t->data->items);
    json_field_u64(&w, "users", t->data->users);
    json_field_u64(&w, "dim", t->trained.vector_dim);
    json_key(&w, "plan_hash");
    json_hex64(&w, t->job->plan_hash);
    json_key(&w, "z_id");
    json_hex64(&w, export_z_id(t->job, t->trained.hgnn));
    json_object_end(&w);
    return json_finish_line(&w);
}

static err_code print_result(const evaluate *e)
{
    const trained_job *t = &e->trained;
    train_results r = results_of(e);
    err_code rc = ERR_OK;
    if (e->result)
        train_results_print(&r, e->out);
    else if (e->options->json)
        rc = print_export_json(e);
    else
        printf("%" PRIu32 " items and %" PRIu32 " users, vectors of %" PRIu32 " numbers, in %s\n",
               t->data->items, t->data->users, t->trained.vector_dim, e->out);
    return rc;
}

/* A report is not removed by a command that writes none. */
static err_code check_out(const evaluate *e)
{
    char *report = files_join(e->out, "report.json");
    bool refused = e->options->export_only && files_exist(report);
    if (refused)
        log_user_error("%s: holds a report, and an export has none: give another folder, or take "
                       "what is there: an export's files are among them",
                       e->out);
    free(report);
    return refused ? ERR_INVALID : result_place_check(e->options->config, e->out);
}

err_code evaluate_run(const evaluate_options *o)
{
    evaluate e = {.options = o};
    e.out = o->out_dir ? files_absolute(o->out_dir)
                       : files_join(o->config->work_dir, o->export_only ? "export" : "out");
    train_facts_init(&e.facts);
    err_code rc = check_out(&e);
    if (rc == ERR_OK) rc = trained_job_open(o->config, o->data_dir, o->stop, &e.trained);
    if (rc == ERR_OK) rc = out_dir_open(e.out, &e.dir); /* before the hours of an evaluation */
    if (rc == ERR_OK && !o->export_only) rc = score(&e);
    if (rc == ERR_OK) rc = write_files(&e);
    if (rc == ERR_OK) rc = print_result(&e);
    out_dir_close(e.dir);
    trained_job_fini(&e.trained);
    evaluation_free(e.result);
    train_facts_fini(&e.facts);
    free(e.out);
    return rc;
}
