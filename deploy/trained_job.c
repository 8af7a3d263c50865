#include "deploy/trained_job.h"

#include "common/files.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/numerics.h"
#include "common/store_path.h"
#include "deploy/checkpoint_tables.h"
#include "ps/checkpoint_metrics.h"
#include "ps/metrics_log.h"
#include "ps/plan_text.h"
#include "sampler/prepare.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void trained_job_fini(trained_job *t)
{
    if (t->metrics_path) close(t->metrics_file);
    trained_fini(&t->trained);
    dataset_close(t->data);
    job_free(t->job);
    free(t->metrics_path);
    free(t->numerics);
    *t = (trained_job){0};
}

/* ---- The plan ---- */

typedef struct opening {
    const config *config;
    const atomic_int *stop;
    char *store, *run_dir, *dir; /* dir: of the checkpoints */
    const checkpoint_manifest *last;
    job *trained; /* with the evaluate keys of the training */
} opening;

/* The job of this configuration, with the evaluate keys of `evaluate`. */
static err_code load_job(const opening *o, const config *evaluate, job **out)
{
    char *text = config_print(o->config, CONFIG_ALL);
    config *own = NULL;
    err_code rc = config_parse("configuration", text, NULL, 0, &own);
    if (rc == ERR_OK) {
        own->evaluate = evaluate->evaluate;
        rc = job_load(own, o->store, out);
        if (rc != ERR_OK) config_free(own);
    }
    free(text);
    return rc;
}

/* was: the plan keys of the training; NULL: they are not known. */
static err_code refuse_plan(const opening *o, const config *was)
{
    static const char other[] = "of another plan than this configuration and its prepared data";
    char name[CHECKPOINT_NAME_MAX];
    config same = *o->config;
    checkpoint_files_name(&o->last->id, name);
    if (!was) {
        log_user_error("%s/%s: %s; %s/plan.yaml, which has its `evaluate` keys, is not there",
                       o->dir, name, other, o->run_dir);
        return ERR_MISMATCH;
    }
    log_user_error("%s/%s: %s, also apart from `evaluate` keys", o->dir, name, other);
    same.evaluate = was->evaluate;
    if (plan_text_differences(o->run_dir, &same))
        log_user_error("  weft prepare takes those of the training again, where its configuration "
                       "and input files are these");
    return ERR_MISMATCH;
}

/* Finds the evaluate keys of the training: those that give the plan that the checkpoint is of. */
static err_code find_plan(opening *o)
{
    config *was = NULL;
    err_code rc = load_job(o, o->config, &o->trained);
    if (rc != ERR_OK || o->trained->plan_hash == o->last->plan_hash) return rc;
    job_free(o->trained);
    o->trained = NULL;
    rc = plan_text_read(o->run_dir, &was);
    if (rc == ERR_OK) rc = load_job(o, was, &o->trained);
    bool other = rc == ERR_OK && o->trained->plan_hash != o->last->plan_hash;
    if (other || (!was && rc == ERR_NOT_FOUND)) rc = refuse_plan(o, was);
    config_free(was);
    return rc;
}

/* ---- The end of the training ---- */

static err_code check_end(const opening *o)
{
    const checkpoint_id *id = &o->last->id;
    uint32_t stages[STAGE_COUNT], n = plan_stages(o->trained->plan, stages);
    if (id->final && id->stage == stages[n - 1]) return ERR_OK;
    if (id->final) {
        log_user_error("%s: training has not come to its end: the newest checkpoint is the end of "
                       "%s; weft train goes on from there",
                       o->config->work_dir, stage_name(id->stage));
    } else {
        log_user_error("%s: training has not come to its end: the newest checkpoint is of %s, step "
                       "%" PRIu32 " of %" PRIu32 "; weft train goes on from there",
                       o->config->work_dir, stage_name(id->stage), o->last->step,
                       plan_steps(o->trained->plan, id->stage));
    }
    return ERR_NOT_FOUND;
}

/* The metrics that came before the newest checkpoint, as a file without a name: a later run in the
 * same folder may have written others. */
static err_code read_metrics(const opening *o, trained_job *t)
{
    char why[CHECKPOINT_WHY_MAX];
    core_metric *metric = NULL;
    size_t n = 0;
    err_code rc = checkpoint_metrics_read(o->dir, &o->last->id, &metric, &n, why);
    if (rc != ERR_OK) log_user_error("%s", why);
    int file = rc == ERR_OK ? memfd_create("metrics", MFD_CLOEXEC) : -1;
    if (rc == ERR_OK && file < 0) rc = ERR_NO_MEMORY;
    for (size_t i = 0; i < n && rc == ERR_OK; i++) {
        if (metric[i].kind == METRIC_PUT) continue;
        char *line = metrics_log_line(o->trained, &metric[i]);
        if (!files_write_all(file, line, strlen(line))) rc = ERR_NO_MEMORY;
        free(line);
    }
    free(metric);
    if (rc == ERR_OK) {
        t->metrics_file = file;
        t->metrics_path = xprintf("/proc/self/fd/%d", file);
    } else if (file >= 0) {
        close(file);
    }
    return rc;
}

static err_code read_tables(const opening *o, trained_job *t)
{
    checkpoint_tables *tables = NULL;
    err_code rc = checkpoint_tables_open(o->dir, o->last, o->trained, o->stop, &tables);
    if (rc == ERR_OK) {
        trained_source s = checkpoint_tables_source(tables);
        rc = trained_read(&s, t->job, t->data, &t->trained);
    }
    checkpoint_tables_close(tables);
    return rc;
}

static void note_numerics(const opening *o, trained_job *t)
{
    t->numerics = xstrdup(o->last->numerics);
    t->other_numerics = strcmp(t->numerics, numerics_id()) != 0;
    if (t->other_numerics)
        log_warn("other_numerics", "trained_with=\"%s\" ours=\"%s\"", t->numerics, numerics_id());
}

/* ---- All of it ---- */

static err_code check_data(const opening *o, const char *data_dir)
{
    uint64_t hash, stored = o->trained->manifest->prepare_hash;
    err_code rc = data_dir ? prepare_hash(o->config, &hash) : ERR_OK;
    if (rc != ERR_OK || !data_dir || hash == stored) return rc;
    log_user_error("--data %s: not what was trained on: %s was prepared from other files", data_dir,
                   o->store);
    return ERR_MISMATCH;
}

static err_code open_last(opening *o, const char *data_dir, trained_job *t)
{
    err_code rc = store_path_get(o->config, &o->store);
    if (rc == ERR_OK) rc = find_plan(o);
    if (rc == ERR_OK) rc = check_data(o, data_dir);
    if (rc == ERR_OK) rc = check_end(o);
    if (rc == ERR_OK) rc = load_job(o, o->config, &t->job);
    if (rc == ERR_OK) rc = dataset_open(o->store, &t->data);
    if (rc == ERR_OK) rc = read_metrics(o, t);
    if (rc == ERR_OK) rc = read_tables(o, t);
    if (rc == ERR_OK) note_numerics(o, t);
    return rc;
}

/* The newest one that was made to its end. */
static err_code find_last(const opening *o, const checkpoint_listed *list, size_t n, size_t *at)
{
    for (*at = 0; *at < n && !list[*at].entry.complete;) (*at)++;
    if (*at == n) {
        log_user_error("%s: there is no checkpoint: weft train makes them", o->dir);
        return ERR_NOT_FOUND;
    }
    if (list[*at].rc != ERR_OK) log_user_error("%s", list[*at].why);
    return list[*at].rc;
}

err_code trained_job_open(const config *c, const char *data_dir, const atomic_int *stop,
                          trained_job *t)
{
    char why[CHECKPOINT_WHY_MAX];
    checkpoint_listed *list = NULL;
    size_t n = 0, at = 0;
    *t = (trained_job){0};
    opening o = {.config = c, .stop = stop, .run_dir = files_join(c->work_dir, "run")};
    o.dir = checkpoint_files_dir(c);
    err_code rc = checkpoint_manifest_list(o.dir, &list, &n, why);
    if (rc != ERR_OK) log_user_error("%s", why);
    if (rc == ERR_OK) rc = find_last(&o, list, n, &at);
    if (rc == ERR_OK) {
        o.last = &list[at].manifest;
        rc = open_last(&o, data_dir, t);
    }
    checkpoint_manifest_list_free(list, n);
    job_free(o.trained);
    free(o.store);
    free(o.run_dir);
    free(o.dir);
    return rc;
}
