#include "deploy/command_keygen.h"

#include "common/bytes.h"
#include "common/cli.h"
#include "common/files.h"
#include "common/json.h"
#include "common/keys.h"
#include "common/log.h"
#include "common/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { OPTION_ADD = 0x2300, OPTION_NAME, ALLOW_BYTES_MAX = 1 << 20 };

static const struct argp_option options[] = {
    {"add", OPTION_ADD, "ROLE", 0,
     "One more key pair for worker or driver, in a folder that is there", 0},
    {"name", OPTION_NAME, "NAME", 0, "Of the key to add: its file is ROLE-NAME.key", 0},
    {0},
};

typedef struct request {
    cli_options cli;
    const char *add, *name;
} request;

static bool is_name(const char *text)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t n = strlen(text);
    return n && n <= KEY_NAME_MAX && strspn(text, good) == n && text[0] != '.';
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    request *r = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &r->cli; break;
    case OPTION_ADD: r->add = arg; break;
    case OPTION_NAME: r->name = arg; break;
    case ARGP_KEY_END:
        if (!r->cli.out_dir) argp_error(state, "--out DIR is missing");
        if (r->add && strcmp(r->add, "worker") != 0 && strcmp(r->add, "driver") != 0)
            argp_error(state, "--add: worker or driver: those who are called have one key");
        if (!r->add != !r->name) argp_error(state, "--add ROLE and --name NAME go together");
        if (r->name && !is_name(r->name))
            argp_error(state, "--name: up to %d letters, digits, - _ .", KEY_NAME_MAX);
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* Writes the pair to DIR/`file` and adds its public key's line to `allow` and, for those who are
 * called, to `peers`. */
static err_code make_pair(const char *dir, const char *file, uint32_t role, const char *name,
                          bytes_writer *allow, bytes_writer *peers)
{
    char public_key[KEY_TEXT_BYTES + 1], secret_key[KEY_TEXT_BYTES + 1], text[KEY_FILE_MAX];
    char *path = files_join(dir, file);
    err_code rc = ERR_INVALID;
    if (files_exist(path)) {
        log_user_error("%s: is there already; nothing was changed", path);
        free(path);
        return rc;
    }
    rc = keys_generate(public_key, secret_key);
    if (rc == ERR_OK) {
        keys_format(role, public_key, secret_key, text);
        rc = files_write_atomic(path, text, strlen(text), 0600);
    }
    explicit_bzero(secret_key, sizeof secret_key);
    explicit_bzero(text, sizeof text);
    char *line = xprintf("%s %s %s\n", wire_role_name(role), public_key, name);
    bytes_put(allow, line, strlen(line));
    bool called = role == WIRE_SCHEDULER || role == WIRE_SERVER || role == WIRE_SAMPLER;
    if (called) bytes_put(peers, line, strlen(line));
    free(line);
    free(path);
    return rc;
}

static err_code write_table(const char *dir, const char *file, const bytes_writer *w)
{
    char *path = files_join(dir, file);
    err_code rc = files_write_atomic(path, w->data, w->len, 0644);
    free(path);
    return rc;
}

static void put_text(bytes_writer *w, const char *text)
{
    bytes_put(w, text, strlen(text));
}

/* A new folder with everything. */
static err_code make_all(const char *dir)
{
    bytes_writer allow, peers;
    bytes_writer_init(&allow);
    bytes_writer_init(&peers);
    put_text(&allow,
             "# Who may call: role, public key, name.  Remove a line, or write `revoked` for "
             "its role, to shut a key out.\n");
    put_text(&peers, "# Public keys of those who are called.\n");
    err_code rc = ERR_OK;
    if (mkdir(dir, 0700) != 0) {
        log_user_error("%s: cannot make the folder: %s", dir, strerror(errno));
        rc = ERR_INVALID;
    }
    for (uint32_t role = WIRE_NONE + 1; role < WIRE_ROLES && rc == ERR_OK; role++) {
        char file[32];
        snprintf(file, sizeof file, "%s.key", wire_role_name(role));
        rc = make_pair(dir, file, role, "all", &allow, &peers);
    }
    if (rc == ERR_OK) rc = write_table(dir, "allow", &allow);
    if (rc == ERR_OK) rc = write_table(dir, "peers", &peers);
    bytes_writer_fini(&allow);
    bytes_writer_fini(&peers);
    return rc;
}

/* One more pair in a folder that is there: the table stays as it is but for one line. */
static err_code add_one(const char *dir, const char *role_name, const char *name)
{
    char *path = files_join(dir, "allow"), *file = xprintf("%s-%s.key", role_name, name);
    char *text = NULL;
    size_t n = 0;
    key_table t = {0};
    bytes_writer allow, peers;
    bytes_writer_init(&allow);
    bytes_writer_init(&peers);
    uint32_t role = strcmp(role_name, "worker") == 0 ? WIRE_WORKER : WIRE_DRIVER;
    err_code rc = key_table_load(path, &t);
    if (rc == ERR_OK) rc = files_read(path, ALLOW_BYTES_MAX, &text, &n);
    if (rc == ERR_OK) {
        bytes_put(&allow, text, n);
        if (n && text[n - 1] != '\n') put_text(&allow, "\n");
        rc = make_pair(dir, file, role, name, &allow, &peers);
    }
    if (rc == ERR_OK) rc = write_table(dir, "allow", &allow);
    bytes_writer_fini(&allow);
    bytes_writer_fini(&peers);
    key_table_fini(&t);
    free(text);
    free(path);
    free(file);
    return rc;
}

static err_code print_json(const request *r)
{
    json_writer w;
    json_init_file(&w, stdout, JSON_STYLE_SPACED);
    json_object_begin(&w);
    json_field_string(&w, "out", r->cli.out_dir);
    if (r->add) json_field_string(&w, "role", r->add);
    if (r->add) json_field_string(&w, "name", r->name);
    json_object_end(&w);
    return json_finish_line(&w);
}

static void print_made(const request *r)
{
    const char *dir = r->cli.out_dir;
    if (r->add) {
        printf("%s/%s-%s.key: copy it to its host as %s.key, beside peers\n"
               "%s/allow has its public key: copy it to the hosts that are called\n",
               dir, r->add, r->name, r->add, dir);
    } else {
        printf(
            "%s: keys of scheduler, ps, sampler, worker and driver\n"
            "  a host with workers needs     worker.key and peers\n"
            "  a host that is called needs   scheduler.key, ps.key or sampler.key, peers, allow\n"
            "  weft commands need            driver.key and peers\n",
            dir);
    }
}

int command_keygen(int argc, char **argv)
{
    const struct argp_child children[] = {{&cli_argp_out, 0, "Common options:", 0}, {0}};
    const struct argp argp = {.options = options,
                              .parser = parse_option,
                              .doc = "Makes the keys of a cluster in a new folder --out DIR, for "
                                     "security.keys.",
                              .children = children};
    request r = {0};
    cli_parse(&argp, argc, argv, &r);
    const char *dir = r.cli.out_dir;
    err_code rc = r.add ? add_one(dir, r.add, r.name) : make_all(dir);
    if (rc == ERR_OK && !r.cli.json) print_made(&r);
    if (rc == ERR_OK && r.cli.json) rc = print_json(&r);
    cli_options_fini(&r.cli);
    return err_exit(rc);
}
