#include "ps/run_state.h"

#include "common/files.h"
#include "common/log.h"
#include "common/mem.h"
#include "ps/checkpoint_resume.h"

#include <inttypes.h>
#include <stdlib.h>

/* What an earlier job left there is not this job's. */
static void forget_checkpoints(const char *dir)
{
    char why[CHECKPOINT_WHY_MAX];
    err_code rc = checkpoint_files_clear(dir, why);
    if (rc != ERR_OK) log_warn("prune_failed", "reason=\"%s\"", why);
}

/* The state becomes what the checkpoint tells. */
static err_code adopt(const char *run_dir, const checkpoint_resume *r, metrics_log **out)
{
    char name[CHECKPOINT_NAME_MAX];
    err_code rc = metrics_log_replace(run_dir, r->metric, r->metrics, blob_data(r->state),
                                      blob_size(r->state));
    if (rc == ERR_OK) rc = metrics_log_open(run_dir, false, out);
    checkpoint_files_name(&r->id, name);
    if (rc == ERR_OK) log_warn("recovered", "checkpoint=%s metrics=%zu", name, r->metrics);
    return rc;
}

static err_code go_back_to(const char *dir, const char *run_dir, const char *from,
                           metrics_log **out)
{
    char why[CHECKPOINT_WHY_MAX];
    checkpoint_id id;
    checkpoint_resume r;
    if (!checkpoint_files_parse(from, &id)) {
        log_user_error("--from %s: not the name of a checkpoint", from);
        return ERR_INVALID;
    }
    err_code rc = checkpoint_resume_read(dir, &id, &r, why);
    if (rc != ERR_OK) log_user_error("--from %s: %s", from, why);
    if (rc == ERR_OK) rc = adopt(run_dir, &r, out);
    checkpoint_resume_fini(&r);
    return rc;
}

/* There is no state: the newest checkpoint, if there is one, has it. */
static err_code recover(const char *dir, const char *run_dir, metrics_log **out)
{
    char why[CHECKPOINT_WHY_MAX];
    checkpoint_resume r;
    err_code rc = checkpoint_resume_read(dir, NULL, &r, why);
    metrics_log_close(*out);
    *out = NULL;
    if (rc == ERR_OK)
        rc = adopt(run_dir, &r, out);
    else if (rc == ERR_NOT_FOUND)
        rc = metrics_log_open(run_dir, true, out);
    else
        log_user_error("%s has no state, and no checkpoint can be gone on from: %s; make it "
                       "readable, or --fresh starts anew",
                       run_dir, why);
    checkpoint_resume_fini(&r);
    return rc;
}

/* Under a name that is free: an earlier one stays what it is. */
static err_code put_aside(const char *run_dir)
{
    char *path = files_join(run_dir, "scheduler.mdb"), *aside = xprintf("%s.damaged", path);
    for (unsigned i = 2; files_exist(aside); i++) {
        free(aside);
        aside = xprintf("%s.damaged-%u", path, i);
    }
    log_error("state_damaged", "path=\"%s\" aside=\"%s\"", path, aside);
    err_code rc = files_rename(path, aside);
    free(path);
    free(aside);
    return rc;
}

err_code run_state_check(const char *run_dir, bool fresh, const char *from)
{
    if (fresh || from) return ERR_OK; /* it will not be read */
    err_code rc = metrics_log_check(run_dir);
    return rc == ERR_CORRUPT ? put_aside(run_dir) : rc;
}

static err_code open_state(const char *dir, const char *run_dir, metrics_log **out)
{
    char *path = files_join(run_dir, "scheduler.mdb");
    err_code rc = files_exist(path) ? metrics_log_open(run_dir, false, out) : ERR_OK;
    free(path);
    if (rc != ERR_OK || (*out && metrics_log_durable(*out).state)) return rc;
    return recover(dir, run_dir, out);
}

err_code run_state_open(const config *c, const char *run_dir, bool fresh, const char *from,
                        metrics_log **out)
{
    char *dir = checkpoint_files_dir(c);
    err_code rc;
    *out = NULL;
    if (fresh) forget_checkpoints(dir);
    if (from)
        rc = go_back_to(dir, run_dir, from, out);
    else if (fresh)
        rc = metrics_log_open(run_dir, true, out);
    else
        rc = open_state(dir, run_dir, out);
    if (rc != ERR_OK) {
        metrics_log_close(*out);
        *out = NULL;
    }
    free(dir);
    return rc;
}
