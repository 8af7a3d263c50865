#include "deploy/command_checkpoint.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/slot.h"
#include "deploy/checkpoint_verify.h"
#include "deploy/job_command.h"
#include "deploy/status_client.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct request {
    endpoint_options job;      /* url, token: for now */
    const char *action, *name; /* name NULL: not given */
    bool off, wait;
    checkpoint_folders also; /* the first is dir */
    config *config;          /* owned */
    char *dir;               /* owned */
} request;

typedef struct action {
    const char *name;
    err_code (*run)(request *r);
    bool takes_name, needs_name;
} action;

enum { OPTION_OFF = 0x3500, OPTION_WAIT, OPTION_ALSO };
enum { WAIT_S = 60, WAIT_POLL_US = 300000 };

static const struct argp_option options[] = {
    {"also", OPTION_ALSO, "DIR", 0, "verify: look there, too: a folder of another server; repeat",
     0},
    {"off", OPTION_OFF, NULL, 0, "pin: let it go again", 0},
    {"wait", OPTION_WAIT, NULL, 0, "now: until it is complete, at most a minute", 0},
    {0}};

/* --- list --------------------------------------------------------------------------------------
 */

static const char *state_of(const checkpoint_listed *l)
{
    /* With two copies other servers' folders have the rest. */
    bool lacks = l->entry.parts < l->manifest.parts && l->manifest.copies < 2;
    if (l->rc == ERR_OK) return lacks ? "damaged" : "complete";
    return l->rc == ERR_NOT_FOUND ? "incomplete" : "damaged";
}

static err_code list_json(const request *r, const checkpoint_listed *list, size_t n)
{
    json_writer w;
    json_init_file(&w, stdout, JSON_STYLE_SPACED);
    json_object_begin(&w);
    json_field_string(&w, "dir", r->dir);
    json_key(&w, "checkpoints");
    json_array_begin(&w);
    for (size_t i = 0; i < n; i++) {
        const checkpoint_listed *l = &list[i];
        char name[CHECKPOINT_NAME_MAX], time[21];
        checkpoint_files_name(&l->entry.id, name);
        clock_iso((uint64_t)l->entry.time, time);
        json_object_begin(&w);
        json_field_string(&w, "name", name);
        json_field_string(&w, "stage", stage_name(l->entry.id.stage));
        json_field_u64(&w, "version", l->entry.id.version);
        json_field_u64(&w, "generation", l->entry.id.generation);
        json_field_bool(&w, "final", l->entry.id.final);
        json_field_string(&w, "state", state_of(l));
        json_field_string(&w, "time", time);
        json_field_bool(&w, "pinned", l->entry.pinned);
        json_field_u64(&w, "parts", l->entry.parts);
        json_field_u64(&w, "bytes", l->entry.bytes);
        if (l->rc == ERR_OK) {
            json_field_u64(&w, "epoch", l->manifest.epoch);
            json_field_u64(&w, "step", l->manifest.step);
            json_field_u64(&w, "parts_made", l->manifest.parts);
            json_field_u64(&w, "copies", l->manifest.copies > 1 ? l->manifest.copies : 1);
            json_field_string(&w, "reason", checkpoint_reason_name(l->manifest.reason));
        }
        json_object_end(&w);
    }
    json_array_end(&w);
    json_object_end(&w);
    return json_finish_line(&w);
}

static void format_size(char text[16], uint64_t bytes)
{
    static const char *const unit[] = {"kB", "MB", "GB", "TB"};
    double size = (double)bytes / 1000;
    uint32_t i = 0;
    for (; size >= 999.95 && i < 3; i++) size /= 1000;
    snprintf(text, 16, "%.1f %s", size, unit[i]);
}

static void list_text(const request *r, const checkpoint_listed *list, size_t n)
{
    static const char *const head[] = {"NAME", "STEP", "REASON", "SIZE", "COPIES", "TIME", "STATE"};
    int width = (int)strlen(head[0]);
    char name[CHECKPOINT_NAME_MAX];
    if (!n) printf("no checkpoints in %s\n", r->dir);
    for (size_t i = 0; i < n; i++) {
        checkpoint_files_name(&list[i].entry.id, name);
        if ((int)strlen(name) > width) width = (int)strlen(name);
    }
    if (n) {
        printf("%-*s  %8s  %-9s  %9s  %6s  %-20s  %s\n", width, head[0], head[1], head[2], head[3],
               head[4], head[5], head[6]);
    }
    for (size_t i = 0; i < n; i++) {
        const checkpoint_listed *l = &list[i];
        char step[16] = "-", copies[16] = "-", size[16], time[21];
        checkpoint_files_name(&l->entry.id, name);
        clock_iso((uint64_t)l->entry.time, time);
        format_size(size, l->entry.bytes);
        if (l->rc == ERR_OK) snprintf(step, sizeof step, "%" PRIu32, l->manifest.step);
        if (l->rc == ERR_OK) snprintf(copies, sizeof copies, "%d", l->manifest.copies > 1 ? 2 : 1);
        printf("%-*s  %8s  %-9s  %9s  %6s  %-20s  %s%s", width, name, step,
               l->rc == ERR_OK ? checkpoint_reason_name(l->manifest.reason) : "-", size, copies,
               time, state_of(l), l->entry.pinned ? ", pinned" : "");
        if (l->rc == ERR_OK && l->manifest.copies > 1)
            printf(", %" PRIu32 " of %" PRIu32 " parts here", l->entry.parts, l->manifest.parts);
        putchar('\n');
    }
}

/* The snapshots of r->dir (all, or the one that is named); what fails is printed. */
static err_code find(const request *r, checkpoint_listed **list, size_t *n)
{
    char why[CHECKPOINT_WHY_MAX];
    err_code rc = checkpoint_manifest_list(r->dir, list, n, why);
    if (rc != ERR_OK) log_user_error("%s", why);
    return rc;
}

static err_code run_list(request *r)
{
    checkpoint_listed *list;
    size_t n;
    err_code rc = find(r, &list, &n);
    if (rc != ERR_OK) return rc;
    if (r->job.cli.json)
        rc = list_json(r, list, n);
    else
        list_text(r, list, n);
    checkpoint_manifest_list_free(list, n);
    return rc;
}

/* --- verify ------------------------------------------------------------------------------------
 */

/* One snapshot after the other goes to stdout; `json` NULL: as text. */
typedef struct verify_output {
    json_writer *json;
    const char *name;
} verify_output;

static void tell(void *user, const char *text)
{
    verify_output *o = user;
    if (o->json)
        json_str(o->json, text);
    else
        printf("%s: %s\n", o->name, text);
}

/* What there is of a checkpoint of which two copies were made. */
static void print_copies(const request *r, const checkpoint_verified *v)
{
    if (r->also.n == 1)
        printf("ok, %" PRIu32 " of %" PRIu32 " parts are here, 2 copies of each were made\n",
               v->once, v->parts);
    else
        printf("ok, %" PRIu32 " parts: 2 copies of %" PRIu32 ", 1 of %" PRIu32 "\n", v->parts,
               v->twice, v->once);
}

static uint32_t verify_one(const request *r, const checkpoint_listed *l, json_writer *json)
{
    char name[CHECKPOINT_NAME_MAX];
    verify_output o = {json, name};
    checkpoint_verified v = {0};
    /* Without a manifest it never happened: nothing goes back to it. */
    bool unfinished = l->rc == ERR_NOT_FOUND && !r->name;
    checkpoint_files_name(&l->entry.id, name);
    if (json) {
        json_object_begin(json);
        json_field_string(json, "name", name);
        json_key(json, "problems");
        json_array_begin(json);
    }
    if (!unfinished) v = checkpoint_verify(&r->also, l, tell, &o);
    if (json) {
        json_array_end(json);
        json_field_bool(json, "complete", !unfinished);
        json_field_bool(json, "ok", v.problems == 0);
        if (l->rc == ERR_OK) {
            json_field_u64(json, "parts", v.parts);
            json_field_u64(json, "parts_twice", v.twice);
            json_field_u64(json, "parts_once", v.once);
        }
        json_object_end(json);
    } else if (v.problems == 0 && !unfinished && l->manifest.copies > 1) {
        printf("%s: ", name);
        print_copies(r, &v);
    } else if (v.problems == 0) {
        printf("%s: %s\n", name, unfinished ? "incomplete: no manifest yet, not used" : "ok");
    }
    return v.problems;
}

static err_code verify_list(const request *r, const checkpoint_listed *list, size_t n)
{
    json_writer w;
    uint32_t problems = 0;
    err_code rc = ERR_OK;
    json_init_file(&w, stdout, JSON_STYLE_SPACED);
    if (r->job.cli.json) {
        json_object_begin(&w);
        json_field_string(&w, "dir", r->dir);
        json_key(&w, "checkpoints");
        json_array_begin(&w);
    }
    for (size_t i = 0; i < n; i++) {
        char name[CHECKPOINT_NAME_MAX];
        checkpoint_files_name(&list[i].entry.id, name);
        if (r->name && strcmp(r->name, name) != 0) continue;
        problems += verify_one(r, &list[i], r->job.cli.json ? &w : NULL);
    }
    if (r->job.cli.json) {
        json_array_end(&w);
        json_object_end(&w);
        rc = json_finish_line(&w);
    } else if (!n) {
        printf("no checkpoints in %s\n", r->dir);
    }
    return problems ? ERR_CORRUPT : rc;
}

/* The name as an id: no snapshot can have another.  ERR_NOT_FOUND (printed). */
static err_code parse_name(const request *r, const checkpoint_listed *list, size_t n,
                           checkpoint_id *id)
{
    bool found = checkpoint_files_parse(r->name, id), there = false;
    for (size_t i = 0; found && i < n; i++)
        there = there || checkpoint_files_compare(&list[i].entry.id, id) == 0;
    if (there) return ERR_OK;
    log_user_error("%s: no checkpoint \"%s\" there; `weft checkpoint list` names them", r->dir,
                   r->name);
    return ERR_NOT_FOUND;
}

static err_code run_verify(request *r)
{
    checkpoint_listed *list;
    checkpoint_id id;
    size_t n;
    err_code rc = find(r, &list, &n);
    if (rc == ERR_OK && r->name) rc = parse_name(r, list, n, &id);
    if (rc == ERR_OK) rc = verify_list(r, list, n);
    checkpoint_manifest_list_free(list, n);
    return rc;
}

/* --- pin, now ----------------------------------------------------------------------------------
 */

static err_code pin(const request *r, const checkpoint_id *id)
{
    char why[CHECKPOINT_WHY_MAX];
    checkpoint_manifest m = {0};
    err_code rc = checkpoint_files_pin(r->dir, id, !r->off, why);
    /* It may have been removed just before. */
    if (rc == ERR_OK && !r->off) rc = checkpoint_manifest_read(r->dir, id, &m, why);
    checkpoint_manifest_fini(&m);
    if (rc != ERR_OK) {
        log_user_error("%s", why);
    } else if (r->job.cli.json) {
        printf("{\"name\": \"%s\", \"pinned\": %s}\n", r->name, r->off ? "false" : "true");
    } else {
        printf("%s: %s\n", r->name, r->off ? "no longer pinned" : "pinned");
    }
    return rc;
}

static err_code run_pin(request *r)
{
    checkpoint_listed *list;
    checkpoint_id id;
    size_t n;
    err_code rc = find(r, &list, &n);
    if (rc == ERR_OK) rc = parse_name(r, list, n, &id);
    if (rc == ERR_OK) rc = pin(r, &id);
    checkpoint_manifest_list_free(list, n);
    return rc;
}

/* The newest one that counts; false: there is none. */
static bool newest(const request *r, checkpoint_id *id)
{
    checkpoint_listed *list = NULL;
    size_t n = 0, i = 0;
    bool found = find(r, &list, &n) == ERR_OK;
    while (found && i < n && list[i].rc != ERR_OK) i++;
    found = found && i < n;
    if (found) *id = list[i].entry.id;
    checkpoint_manifest_list_free(list, n);
    return found;
}

/* A job that trains can make one; before and after that there is nothing to save. */
static bool can_save(const request *r)
{
    static const char *const states[] = {"RUNNING", "VALIDATING", "ROLLING", "STALLED"};
    char *text = NULL, *url = xprintf("%s/api/v1/status", r->job.url);
    bool can = status_client_get(url, r->job.token, &text) != ERR_OK; /* away: it comes back */
    json_t *status = text ? json_loads(text, 0, NULL) : NULL;
    const char *state = json_string_value(json_object_get(status, "state"));
    for (size_t i = 0; state && i < sizeof states / sizeof *states; i++)
        can = can || strcmp(state, states[i]) == 0;
    json_decref(status);
    free(text);
    free(url);
    return can;
}

/* Until there is another one than `before` (NULL: any). */
static err_code wait_for_another(const request *r, const checkpoint_id *before)
{
    uint64_t end = clock_now_us() + WAIT_S * UINT64_C(1000000);
    while (clock_now_us() < end) {
        if (!can_save(r)) {
            if (!r->job.cli.json) printf("the job is not training: there is nothing to save\n");
            return ERR_OK;
        }
        checkpoint_id id;
        char name[CHECKPOINT_NAME_MAX];
        if (newest(r, &id) && (!before || checkpoint_files_compare(&id, before) != 0)) {
            checkpoint_files_name(&id, name);
            if (!r->job.cli.json) printf("%s\n", name);
            return ERR_OK;
        }
        usleep(WAIT_POLL_US);
    }
    log_user_error("%s: no other checkpoint within %d s", r->dir, WAIT_S);
    return ERR_CLOSED;
}

static err_code run_now(request *r)
{
    checkpoint_id id;
    bool has = r->wait && newest(r, &id);
    err_code rc = endpoint_options_find(&r->job, true);
    if (rc == ERR_OK)
        rc = job_command_send(&r->job, "/api/v1/checkpoint", "{}", "a checkpoint is on its way");
    return rc == ERR_OK && r->wait ? wait_for_another(r, has ? &id : NULL) : rc;
}

/* --- The command -------------------------------------------------------------------------------
 */

static const action actions[] = {{"list", run_list, false, false},
                                 {"verify", run_verify, true, false},
                                 {"pin", run_pin, true, true},
                                 {"now", run_now, false, false}};

static const action *find_action(const char *name)
{
    for (size_t i = 0; name && i < sizeof actions / sizeof *actions; i++) {
        if (strcmp(actions[i].name, name) == 0) return &actions[i];
    }
    return NULL;
}

static void check_usage(const request *r, struct argp_state *state)
{
    const action *a = find_action(r->action);
    if (!a) argp_error(state, "say what: list, verify, pin or now");
    if (r->name && !a->takes_name) argp_error(state, "%s takes no name", a->name);
    if (!r->name && a->needs_name) argp_error(state, "which checkpoint? `list` names them");
    if (r->off && a->run != run_pin) argp_error(state, "--off belongs to pin");
    if (r->also.n > 1 && a->run != run_verify) argp_error(state, "--also belongs to verify");
    if (r->wait && a->run != run_now) argp_error(state, "--wait belongs to now");
    if (!r->job.cli.config_file) argp_error(state, "give -c FILE");
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    request *r = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &r->job.cli; break;
    case OPTION_OFF: r->off = true; break;
    case OPTION_WAIT: r->wait = true; break;
    case OPTION_ALSO:
        if (r->also.n == CHECKPOINT_FOLDERS_MAX) argp_error(state, "too many folders");
        r->also.dir[r->also.n++] = arg;
        break;
    case ARGP_KEY_ARG:
        if (r->name) return ARGP_ERR_UNKNOWN;
        *(r->action ? &r->name : &r->action) = arg;
        break;
    case ARGP_KEY_END: check_usage(r, state); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int command_checkpoint(int argc, char **argv)
{
    const struct argp_child children[] = {{&cli_argp_job, 0, "Common options:", 0}, {0}};
    const struct argp argp = {.options = options,
                              .parser = parse_option,
                              .args_doc = "list | verify [NAME] | pin NAME | now",
                              .doc = "Lists, checks and keeps the checkpoints of a job; asks a "
                                     "running one for another.",
                              .children = children};
    request r = {.also.n = 1};
    cli_parse(&argp, argc, argv, &r);
    err_code rc = cli_load_config(&r.job.cli, &r.config);
    if (rc == ERR_OK) {
        r.dir = checkpoint_files_dir(r.config);
        r.also.dir[0] = r.dir;
        rc = find_action(r.action)->run(&r);
        config_free(r.config);
    }
    free(r.dir);
    endpoint_options_fini(&r.job);
    return err_exit(rc);
}
