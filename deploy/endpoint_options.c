#include "deploy/endpoint_options.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/token_file.h"
#include "deploy/last_status.h"
#include "deploy/status_client.h"

#include <stdlib.h>
#include <string.h>

enum { OPTION_AT = 0x3300, OPTION_TOKEN_FILE };

static const struct argp_option options[] = {
    {"at", OPTION_AT, "URL", 0, "Status endpoint of the job, instead of -c", 0},
    {"token-file", OPTION_TOKEN_FILE, "FILE", 0, "File that holds the endpoint's token", 0},
    {0},
};
static const struct argp_option watch_options[] = {
    {"at", OPTION_AT, "URL", 0, "Status endpoint of the job, instead of -c", 0},
    {"token-file", OPTION_TOKEN_FILE, "FILE", 0, "File that holds the endpoint's token", 0},
    {"watch", 'w', 0, 0, "Show it again every second, until the job is over", 0},
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    endpoint_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &o->cli; break;
    case OPTION_AT: o->at = arg; break;
    case OPTION_TOKEN_FILE: o->token_file = arg; break;
    case 'w': o->watch = true; break;
    case ARGP_KEY_ARG:
        if (!o->takes || o->argument) return ARGP_ERR_UNKNOWN;
        o->argument = arg;
        break;
    case ARGP_KEY_END:
        if (o->takes && !o->argument) argp_error(state, "give the %s", o->takes);
        if (!o->at && !o->cli.config_file) argp_error(state, "give -c FILE or --at URL");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

void endpoint_options_parse(const char *doc, int argc, char **argv, endpoint_options *o)
{
    const struct argp *common = o->counts ? &cli_argp_scale : &cli_argp_job;
    const struct argp_child children[] = {{common, 0, "Common options:", 0}, {0}};
    const struct argp argp = {.options = o->watches ? watch_options : options,
                              .parser = parse_option,
                              .args_doc = o->takes,
                              .doc = doc,
                              .children = children};
    cli_parse(&argp, argc, argv, o);
}

/* No scheduler is known of, and the last one has left its status. */
static bool is_over(const endpoint_options *o, const config *c)
{
    if (!o->watches || status_client_knows(c)) return false;
    char *text = last_status_text(c->work_dir);
    free(text);
    return text != NULL;
}

static err_code find_by_config(endpoint_options *o, bool needs_token)
{
    config *c;
    err_code rc = cli_load_config(&o->cli, &c);
    if (rc != ERR_OK) return rc;
    if (!o->url) {
        o->work_dir = xstrdup(c->work_dir);
        o->url_file = xprintf("%s/run/url", c->work_dir);
        if (!is_over(o, c)) rc = status_client_url(c, &o->url);
    }
    if (rc == ERR_OK && !o->token && (needs_token || c->http.token_file[0])) {
        rc = status_client_token(c, &o->token);
    }
    config_free(c);
    return rc;
}

err_code endpoint_options_find(endpoint_options *o, bool needs_token)
{
    err_code rc = ERR_OK;
    if (o->at) o->url = xstrdup(o->at);
    if (o->token_file) rc = status_client_read_token(o->token_file, &o->token);
    if (rc == ERR_OK && o->cli.config_file) rc = find_by_config(o, needs_token);
    if (rc == ERR_OK && needs_token && !o->token) {
        log_user_error("%s: this needs the job's token: give -c FILE or --token-file FILE", o->at);
        rc = ERR_INVALID;
    }
    if (rc != ERR_OK) return rc;
    if (!o->url) return ERR_OK;
    for (size_t n = strlen(o->url); n > 0 && o->url[n - 1] == '/'; n--) o->url[n - 1] = '\0';
    return ERR_OK;
}

void endpoint_options_fini(endpoint_options *o)
{
    free(o->url);
    free(o->url_file);
    free(o->work_dir);
    token_free(o->token);
    cli_options_fini(&o->cli);
}
