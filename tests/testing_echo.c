#include "testing_echo.h"

#include "common/files.h"
#include "deploy/command_keygen.h"
#include "testing_files.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int testing_echo_keygen(const char *folder, const char *add, const char *name)
{
    char words[7][64] = {"weft keygen", "--out", "", "--add", "", "--name", ""}, *argv[8] = {NULL};
    snprintf(words[2], sizeof words[2], "%s", folder);
    snprintf(words[4], sizeof words[4], "%s", add ? add : "");
    snprintf(words[6], sizeof words[6], "%s", name ? name : "");
    int argc = add ? 7 : 3;
    for (int i = 0; i < argc; i++) argv[i] = words[i];
    testing_capture_start();
    int code = command_keygen(argc, argv);
    testing_capture_end();
    return code;
}

void testing_echo_folders(void)
{
    ck_assert_int_eq(testing_echo_keygen("keys", NULL, NULL), 0);
    ck_assert_int_eq(testing_echo_keygen("other", NULL, NULL), 0);
}

static uint64_t echo_step(void *core, const core_event *event, core_actions *out)
{
    testing_echo *e = core;
    if (event->type == CORE_STOP) core_exit(out, 0, "signal");
    if (event->type != CORE_MESSAGE) return UINT64_MAX;
    const wire_header *h = event->message.header;
    wire_header answer = wire_answer(h, e->status);
    core_peer to = {h->role, h->index, h->incarnation};
    bool back = e->status == WIRE_OK;
    core_send(out, to, event->message.route, &answer, back ? blob_ref(event->message.body) : NULL);
    if (h->op == WIRE_STOP) {
        core_exit(out, 0, "asked to");
        return UINT64_MAX;
    }
    e->messages++;
    e->key_role = event->message.key_role;
    return UINT64_MAX;
}

keyring *testing_echo_keys(const char *folder, wire_role role)
{
    keyring *k;
    ck_assert_int_eq(keyring_open(folder, role, &k), ERR_OK);
    return k;
}

void testing_echo_open(testing_echo *e, bool use_keys)
{
    *e = (testing_echo){
        .host = {.self = {WIRE_SERVER, 0, 99}, .core = e, .step = echo_step, .user = e}};
    if (use_keys) e->keys = testing_echo_keys("keys", WIRE_SERVER);
    ck_assert_int_eq(zmq_shell_open("tcp://127.0.0.1:*", e->keys, &e->shell, e->bound), ERR_OK);
}

void testing_echo_run(testing_echo *e, void *(*script)(void *), void *user)
{
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, script, user), 0);
    ck_assert_int_eq(zmq_shell_run(e->shell, &e->host, e->why), 0);
    alarm(0);
    pthread_join(thread, NULL);
    ck_assert_str_eq(e->why, "asked to");
}

void testing_echo_close(testing_echo *e)
{
    zmq_shell_close(e->shell);
    keyring_close(e->keys);
}

uint64_t testing_echo_refused(const testing_echo *e, refusal why)
{
    return refusals_count(zmq_shell_refusals(e->shell), why);
}

err_code testing_echo_ask(testing_echo *e, keyring *keys, wire_role role, wire_op op,
                          uint32_t timeout_ms, wire_header *answer)
{
    zmq_client *c;
    core_peer self = {role, 0, 1234};
    wire_header h = wire_request(op);
    blob *body = NULL;
    *answer = (wire_header){0};
    ck_assert_int_eq(zmq_client_open(self, keys, NULL, &c), ERR_OK);
    err_code rc = zmq_client_call(c, e->bound, &h, NULL, timeout_ms, NULL, NULL, answer, &body);
    blob_unref(body);
    zmq_client_close(c);
    return rc;
}

/* STOP is served by more than one role, so that a client cannot know whose key it needs: COMMIT's
 * is asked first, and leaves the connection. */
void testing_echo_stop(testing_echo *e)
{
    zmq_client *c;
    core_peer self = {WIRE_SCHEDULER, 0, 4321};
    keyring *keys = e->keys ? testing_echo_keys("keys", WIRE_SCHEDULER) : NULL;
    wire_header commit = wire_request(WIRE_COMMIT), stop = wire_request(WIRE_STOP), answer;
    blob *body = NULL;
    ck_assert_int_eq(zmq_client_open(self, keys, NULL, &c), ERR_OK);
    ck_assert_int_eq(zmq_client_call(c, e->bound, &commit, NULL, 20000, NULL, NULL, &answer, &body),
                     ERR_OK);
    ck_assert_int_eq(zmq_client_call(c, e->bound, &stop, NULL, 20000, NULL, NULL, &answer, &body),
                     ERR_OK);
    zmq_client_close(c);
    keyring_close(keys);
    e->messages--; /* The COMMIT. */
}

void testing_echo_allow(const char *folder, const char *word, const char *line)
{
    char *path = files_join(folder, "allow"), *text = testing_get_text(path, NULL);
    char *out = calloc(1, strlen(text) + 256), *rest = text, *one;
    while ((one = strsep(&rest, "\n"))) {
        const char *keep = strstr(one, word) ? line : one;
        if (keep) strcat(strcat(out, keep), "\n");
    }
    ck_assert_int_eq(files_write_atomic(path, out, strlen(out), 0644), ERR_OK);
    free(out);
    free(text);
    free(path);
}
