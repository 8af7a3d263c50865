#include "common/cli.h"
#include "common/file_lock.h"
#include "common/files.h"
#include "common/log.h"
#include "common/numerics.h"
#include "common/process.h"
#include "common/role.h"
#include "common/version.h"
#include "ps/run_state.h"
#include "ps/scheduler_node.h"

#include <stdlib.h>
#include <unistd.h>

/* weft-scheduler: the control plane of one job. */
enum { OPTION_FROM = 0x300 };
typedef struct options {
    cli_options common;
    bool driver, fresh;
    const char *from;
} options;
static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &o->common; return 0;
    case 'd': o->driver = true; return 0;
    case 'f': o->fresh = true; return 0;
    case OPTION_FROM: o->from = arg; return 0;
    case ARGP_KEY_END:
        if (o->from && o->fresh) argp_error(state, "--fresh and --from do not go together");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option option_list[] = {
    {"driver", 'd', 0, 0, "Wait for weft train to prepare, evaluate and end the job", 0},
    {"fresh", 'f', 0, 0, "Forget the state of an earlier run", 0},
    {"from", OPTION_FROM, "CHECKPOINT", 0, "Go back to this checkpoint of an earlier run", 0},
    {0}};
static const struct argp_child children[] = {{&cli_argp_process, 0, "Common options:", 0}, {0}};
static const struct argp scheduler_argp = {
    option_list, parse_option, NULL, "Runs the scheduler of a weft job.", children, NULL, NULL};

static err_code run(const config *c, const options *o, int *code)
{
    core_peer self = {.role = WIRE_SCHEDULER, .incarnation = process_incarnation()};
    char endpoint[CORE_TEXT_MAX], bound[CORE_TEXT_MAX], why[CORE_TEXT_MAX];
    int lock = -1;
    keyring *keys = NULL;
    zmq_shell *shell = NULL;
    scheduler_node *node = NULL;
    char *run_dir = files_join(c->work_dir, "run");
    err_code rc = role_enter_run_dir(c);
    if (rc == ERR_OK) rc = file_lock_take(run_dir, "lock.scheduler", "weft-scheduler", &lock);
    if (rc == ERR_OK) rc = run_state_check(run_dir, o->fresh, o->from); /* before any thread */
    if (rc == ERR_OK) rc = role_bind_endpoint(c, self, endpoint);
    if (rc == ERR_OK) rc = role_open_keys(c, self.role, &keys);
    if (rc == ERR_OK) rc = zmq_shell_open(endpoint, keys, &shell, bound);
    scheduler_node_options n = {.config = c,
                                .run_dir = run_dir,
                                .incarnation = self.incarnation,
                                .fresh = o->fresh,
                                .from = o->from,
                                .driver = o->driver,
                                .post = zmq_shell_post,
                                .shell = shell,
                                .meter = shell ? zmq_shell_meter(shell) : NULL,
                                .http = true};
    if (rc == ERR_OK) rc = scheduler_node_new(&n, &node);
    if (rc == ERR_OK) {
        core_host host = scheduler_node_host(node);
        *code = zmq_shell_run(shell, &host, why);
        role_log_exit(*code, why);
    }
    scheduler_node_free(node);
    zmq_shell_close(shell);
    if (lock >= 0) close(lock);
    keyring_close(keys);
    free(run_dir);
    return rc;
}

int main(int argc, char **argv)
{
    options o = {0};
    config *c = NULL;
    int code = 0;
    log_level level;
    if (version_asked(argv, &code)) return code;
    cli_parse(&scheduler_argp, argc, argv, &o);
    err_code rc = cli_load_config(&o.common, &c);
    if (rc == ERR_OK) rc = numerics_start(argv, c->train.core_type);
    if (rc == ERR_OK && log_level_parse(c->log.level, &level)) log_set_level(level);
    if (rc == ERR_OK) rc = run(c, &o, &code);
    config_free(c);
    cli_options_fini(&o.common);
    return rc == ERR_OK ? code : err_exit(rc);
}
