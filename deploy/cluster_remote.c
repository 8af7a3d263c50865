#include "deploy/cluster_remote.h"

#include "common/clock.h"
#include "common/files.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/role.h"
#include "common/token_file.h"
#include "common/zmq_client.h"
#include "deploy/last_status.h"
#include "deploy/status_client.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOOK_MS = 1000, CALL_TIMEOUT_MS = 15000, TRY_TIMEOUT_MS = 2000 };
enum { HASH_TEXT_BYTES = 17, BROKEN_MAX = 10 };

struct cluster_remote {
    const config *config;
    const atomic_int *stop;
    keyring *keys; /* the driver's; NULL: none */
    zmq_client *client;
    char *url;
    char *text;         /* the newest status; NULL: no answer */
    char *life;         /* when the scheduler that was last seen began; NULL: none was */
    uint64_t plan_hash; /* 0: not known yet */
    uint64_t looked_us, heard_us;
    err_code over; /* not ERR_OK: the job ends with this, which was printed */
};

err_code cluster_remote_open(const cluster_options *o, core_peer self, cluster_remote **out)
{
    cluster_remote *r = xcalloc(1, sizeof *r);
    r->config = o->config;
    r->stop = o->stop;
    r->heard_us = clock_now_us();
    err_code rc = status_client_url(o->config, &r->url);
    if (rc == ERR_OK) rc = role_open_keys(o->config, WIRE_DRIVER, &r->keys);
    if (rc == ERR_OK) rc = zmq_client_open(self, r->keys, NULL, &r->client);
    if (rc != ERR_OK) {
        cluster_remote_close(r);
        return rc;
    }
    *out = r;
    return ERR_OK;
}

void cluster_remote_close(cluster_remote *r)
{
    if (!r) return;
    zmq_client_close(r->client);
    keyring_close(r->keys);
    free(r->url);
    free(r->text);
    free(r->life);
    free(r);
}

/* A request for `path` of the status endpoint. */
typedef struct page {
    char *url, *token;
} page;

static err_code page_init(page *p, const cluster_remote *r, const char *path)
{
    const char *file = r->config->http.token_file;
    *p = (page){.url = xprintf("%s%s", r->url, path)};
    return file[0] ? token_file_read(file, &p->token) : ERR_OK;
}

static void page_fini(page *p)
{
    token_free(p->token);
    free(p->url);
}

static err_code download(const cluster_remote *r, const char *path)
{
    page p;
    err_code rc = page_init(&p, r, "/api/v1/metrics.jsonl");
    if (rc == ERR_OK) rc = status_client_download(p.url, p.token, path);
    page_fini(&p);
    return rc;
}

err_code cluster_remote_metrics(cluster_remote *r, const char *path)
{
    err_code rc;
    uint32_t broken = 0;
    while ((rc = download(r, path)) == ERR_CLOSED || rc == ERR_CORRUPT) {
        broken += rc == ERR_CORRUPT;
        if (broken == BROKEN_MAX) {
            log_user_error("%s: metrics.jsonl broke off %d times", r->url, BROKEN_MAX);
            return ERR_IO;
        }
        log_warn("waiting", "for=metrics.jsonl whom=scheduler-0 broke_off=%" PRIu32, broken);
        rc = cluster_remote_run(r, LOOK_MS);
        if (rc != ERR_OK) return rc;
    }
    return rc;
}

err_code cluster_remote_over(cluster_remote *r, job_state state, const char *why,
                             const char *goes_on)
{
    if (r->over != ERR_OK) return r->over;
    if (state == JOB_FAILED) {
        log_user_error("the job failed: %s (%s)", why, r->url);
        r->over = ERR_CLOSED;
    } else if (state == JOB_STOPPING) {
        log_user_error("the job was stopped by %s (%s)%s", why, r->url, goes_on);
        r->over = ERR_STOPPED;
    }
    return r->over;
}

void cluster_remote_planned(cluster_remote *r, uint64_t plan_hash)
{
    r->plan_hash = plan_hash;
}

err_code cluster_remote_foreign(cluster_remote *r, const char *why)
{
    if (r->over != ERR_OK) return r->over;
    log_user_error("%s (cluster.scheduler: %s, http.bind: %s): this driver is not its driver", why,
                   r->config->cluster.scheduler, r->config->http.bind);
    r->over = ERR_MISMATCH;
    return r->over;
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

/* A status endpoint may be another job's, as its port was free. */
static err_code check_identity(cluster_remote *r, const json_t *status)
{
    char why[CORE_TEXT_MAX], ours[HASH_TEXT_BYTES];
    const char *name = text_of(status, "job"), *has = text_of(status, "plan_hash");
    if (strcmp(name, r->config->job) != 0) {
        snprintf(why, sizeof why, "%s: the job there is \"%.100s\", not \"%.100s\"", r->url, name,
                 r->config->job);
        return cluster_remote_foreign(r, why);
    }
    snprintf(ours, sizeof ours, "%016" PRIx64, r->plan_hash);
    if (!r->plan_hash || !strcmp(has, "0000000000000000") || !strcmp(has, ours)) return ERR_OK;
    snprintf(why, sizeof why, "%s: the job there has the plan %.16s, not %s", r->url, has, ours);
    return cluster_remote_foreign(r, why);
}

/* The end of the job is told by the scheduler, which waits until we have heard of it. */
static void take(cluster_remote *r, const json_t *status)
{
    if (check_identity(r, status) != ERR_OK) return;
    r->heard_us = clock_now_us();
    free(r->life);
    r->life = xstrdup(text_of(status, "started"));
}

/* It does not wait for a driver that is silent, as one that was paused: then what it has left says
 * the same, where the folder is ours, too.  After a signal (SIG...) it may come back. */
static void take_last(cluster_remote *r)
{
    json_t *last = last_status_read(r->config->work_dir);
    const char *state = text_of(last, "state");
    bool same = r->life && strcmp(text_of(last, "started"), r->life) == 0;
    err_code rc = last && same ? check_identity(r, last) : ERR_MISMATCH;
    if (rc == ERR_OK && strcmp(state, "FAILED") == 0)
        rc = cluster_remote_over(r, JOB_FAILED, text_of(last, "failure"), "");
    const char *by = text_of(last, "stopped_by");
    if (rc == ERR_OK && strcmp(state, "STOPPING") == 0 && strncmp(by, "SIG", 3) != 0)
        rc = cluster_remote_over(r, JOB_STOPPING, by, "");
    (void)rc; /* kept */
    json_decref(last);
}

/* Everything but that nobody answers is printed; all is asked again. */
static err_code fetch_status(cluster_remote *r)
{
    page p;
    err_code rc = page_init(&p, r, "/api/v1/status");
    r->text = NULL;
    if (rc == ERR_OK) {
        rc = status_client_get(p.url, p.token, &r->text);
        if (rc != ERR_CLOSED) rc = status_client_explain(p.url, rc);
    }
    page_fini(&p);
    return rc;
}

static void look(cluster_remote *r, uint64_t now_us)
{
    r->looked_us = now_us;
    free(r->text);
    err_code rc = fetch_status(r);
    if (rc == ERR_CLOSED) take_last(r);
    if (rc != ERR_OK) return;
    json_t *status = json_loads(r->text, 0, NULL);
    if (status) take(r, status);
    json_decref(status);
}

/* Looks now and then.  A scheduler that stops is started again by whoever looks after it. */
static err_code look_after(void *context)
{
    cluster_remote *r = context;
    uint64_t now = clock_now_us(), limit = (uint64_t)r->config->train.stall_timeout_ms * 1000u;
    if (r->stop && atomic_load(r->stop)) return ERR_STOPPED;
    if (r->over != ERR_OK) return r->over;
    if (now - r->looked_us >= LOOK_MS * UINT64_C(1000)) look(r, now);
    uint64_t silent = clock_now_us() - r->heard_us;
    if (r->over == ERR_OK && limit && silent >= limit) {
        log_user_error("nothing was heard of the job at %s for %" PRIu64 " s", r->url,
                       silent / 1000000);
        r->over = ERR_CLOSED;
    }
    return r->over;
}

err_code cluster_remote_run(cluster_remote *r, uint32_t wait_ms)
{
    err_code rc = look_after(r);
    if (rc == ERR_OK) usleep(wait_ms * 1000u);
    return rc;
}

static err_code ask_scheduler(cluster_remote *r, const wire_header *h, blob *body,
                              uint32_t timeout_ms, wire_header *answer, blob **answer_body)
{
    char to[CORE_TEXT_MAX];
    role_scheduler_endpoint(r->config, to);
    err_code rc =
        zmq_client_call(r->client, to, h, body, timeout_ms, look_after, r, answer, answer_body);
    return rc == ERR_CLOSED && r->over == ERR_OK ? ERR_NOT_FOUND : rc;
}

err_code cluster_remote_call(cluster_remote *r, const char *address, const wire_header *h,
                             blob *body, wire_header *answer, blob **answer_body)
{
    err_code rc;
    if (address)
        return zmq_client_call(r->client, address, h, body, CALL_TIMEOUT_MS, look_after, r, answer,
                               answer_body);
    while ((rc = ask_scheduler(r, h, body, CALL_TIMEOUT_MS, answer, answer_body)) == ERR_NOT_FOUND)
        log_warn("waiting", "for=\"an answer to %s\" whom=scheduler-0 since_s=%" PRIu64,
                 wire_op_name(h->op), (clock_now_us() - r->heard_us) / 1000000);
    return rc;
}

err_code cluster_remote_try(cluster_remote *r, const wire_header *h, blob *body,
                            wire_header *answer, blob **answer_body)
{
    return ask_scheduler(r, h, body, TRY_TIMEOUT_MS, answer, answer_body);
}

char *cluster_remote_status(const cluster_remote *r)
{
    return r->text ? xstrdup(r->text) : NULL;
}

const char *cluster_remote_url(const cluster_remote *r)
{
    return r->url;
}
