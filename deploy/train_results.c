#include "deploy/train_results.h"

#include "common/clock.h"
#include "common/files.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/numerics.h"
#include "deploy/export_files.h"
#include "deploy/report.h"
#include "deploy/run_stages.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { TRAININGS_MAX = 3 };

/* A report_input with the arrays it points to. */
typedef struct assembled {
    report_input input;
    report_training training[TRAININGS_MAX];
    json_t *lines[TRAININGS_MAX]; /* what training[] borrows from, owned */
} assembled;

static void assembled_fini(assembled *a)
{
    for (size_t i = 0; i < TRAININGS_MAX; i++) json_decref(a->lines[i]);
}

static const char *text_of(const json_t *line, const char *key)
{
    const char *s = json_string_value(json_object_get(line, key));
    return s ? s : "";
}

static uint32_t count_of(const json_t *line, const char *key)
{
    return (uint32_t)json_integer_value(json_object_get(line, key));
}

/* A "stage" line of a training stage. */
static void add_training(assembled *a, json_t *line)
{
    if (!json_object_get(line, "stopped") || a->input.training_n == TRAININGS_MAX) {
        json_decref(line);
        return;
    }
    size_t i = a->input.training_n++;
    a->lines[i] = line;
    a->training[i] = (report_training){
        .stage = text_of(line, "stage"),
        .epochs = count_of(line, "epochs"),
        .steps = count_of(line, "steps"),
        .best_step = count_of(line, "best_step"),
        .stopped = text_of(line, "stopped"),
        .metric = text_of(line, "metric"),
        .best = json_number_value(json_object_get(line, "best")),
        .last_loss = json_number_value(json_object_get(line, "last_loss")),
        .void_slots = count_of(line, "void_slots"),
    };
}

static err_code read_training(assembled *a, const char *metrics_path)
{
    char *line = NULL;
    size_t cap = 0;
    FILE *file = fopen(metrics_path, "r");
    if (!file) {
        log_user_error("%s: %s", metrics_path, strerror(errno));
        return ERR_IO;
    }
    while (getline(&line, &cap, file) > 0) {
        if (strncmp(line, "{\"kind\":\"stage\"", 15) != 0) continue;
        json_t *object = json_loads(line, 0, NULL);
        if (object) add_training(a, object);
    }
    a->input.training = a->training;
    bool failed = ferror(file) != 0;
    free(line);
    fclose(file);
    if (failed) log_user_error("%s: cannot be read", metrics_path);
    return failed ? ERR_IO : ERR_OK;
}

static err_code assemble(assembled *a, const train_results *r)
{
    const manifest *m = r->job->manifest;
    *a = (assembled){0};
    a->input = (report_input){
        .numerics = numerics_id(),
        .bits_guaranteed = r->config->train.numerics_strict && r->config->train.mode == TRAIN_BSP &&
                           !r->other_numerics,
        .seed = r->config->seed,
        .plan_hash = r->job->plan_hash,
        .foundation_id = m->foundation_id,
        .z_id = export_z_id(r->job, r->trained->hgnn),
        .encoder = m->encoder,
        .encoder_note = m->encoder_note,
        .encoder_dim = m->text_dim,
        .data_json = m->data_json,
        .type_name = (const char *const *)m->types.items,
        .data = r->dataset,
        .metrics_path = r->metrics_path,
        .result = r->result,
    };
    evaluation_z_cosine(&a->input.z_cosine_mean, &a->input.z_cosine_sd, r->trained->z,
                        r->dataset->items, r->trained->z_dim, r->config->seed);
    return read_training(a, r->metrics_path);
}

static err_code write_report(const train_results *r, out_dir *dir)
{
    assembled a;
    char *path = out_dir_path(dir, "report.json"), *folder = files_parent(path);
    err_code rc = assemble(&a, r);
    if (rc == ERR_OK) rc = report_write(&a.input, folder);
    free(folder);
    free(path);
    assembled_fini(&a);
    return rc;
}

err_code train_results_write(const train_results *r, out_dir *dir)
{
    const trained *t = r->trained;
    export_input in = {.job = r->job,
                       .data = r->dataset,
                       .item_vectors = t->item_vectors,
                       .user_vectors = t->user_vectors,
                       .z = t->z,
                       .hgnn = t->hgnn,
                       .two_tower = t->two_tower,
                       .item_id = t->item_id,
                       .metrics_path = r->metrics_path,
                       .numerics = r->other_numerics ? r->other_numerics : numerics_id(),
                       .z_id = export_z_id(r->job, t->hgnn),
                       .model_only = !r->result};
    err_code rc = export_write(&in, dir);
    if (rc == ERR_OK && r->result) rc = write_report(r, dir);
    return rc;
}

static uint64_t peak_rss(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

static void merge_stages(const train_results *r, run_stages *out)
{
    const train_facts *f = r->facts;
    run_json_stage seen[TRAIN_STAGES_MAX];
    for (uint32_t i = 0; i < f->stages; i++) {
        const train_stage_time *s = &f->stage[i];
        seen[i] = (run_json_stage){s->stage, s->seconds, s->examples_per_s};
    }
    run_stages_merge(out, seen, f->stages, r->steps_path);
}

err_code train_results_write_run(const train_results *r, out_dir *dir)
{
    const train_facts *f = r->facts;
    run_stages stages;
    merge_stages(r, &stages);
    run_json_input in = {
        .start_wall_s = f->start_wall_s,
        .end_wall_s = clock_wall_s(),
        .command = r->command,
        .numerics = numerics_id(),
        .config = r->config,
        .processes = r->processes,
        .stage = stages.stage,
        .stages = stages.n,
        .store_bytes = f->prepare.store_bytes,
        .store_reused = f->prepare.reused,
        .encoder_cache_hits = f->prepare.cache_hits,
        .has_encoder_cache = f->prepare.cache_hits + f->prepare.cache_misses > 0,
        .restarts = f->cluster.restarts,
        .status = f->last,
    };
    memcpy(in.peak_rss_bytes, f->cluster.peak_rss, sizeof in.peak_rss_bytes);
    if (!in.peak_rss_bytes[WIRE_DRIVER]) in.peak_rss_bytes[WIRE_DRIVER] = peak_rss();
    char *path = out_dir_path(dir, "run.json");
    err_code rc = run_json_write(&in, path);
    free(path);
    return rc;
}

void train_results_print(const train_results *r, const char *out)
{
    assembled a;
    if (assemble(&a, r) == ERR_OK) {
        char *json = r->json ? report_json(&a.input) : NULL;
        if (json) {
            fputs(json, stdout);
        } else {
            report_print(&a.input, stdout);
            printf("\nresults in %s (report.html)\n", out);
        }
        free(json);
    }
    assembled_fini(&a);
}
