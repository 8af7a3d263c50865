#include "worker/engine.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"
#include "common/staleness.h"
#include "worker/slot_work.h"
#include "worker/task_inputs.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { TASKS_MAX = WORKER_LEASES_MAX * 4 };

/* A result as the core sees it (first) with what it points to. */
typedef struct engine_result {
    union {
        worker_digest digest;
        worker_output output;
    };
    worker_need *need;
    uint32_t needs;
    blob **body;
    uint32_t bodies;
    double *sums;
} engine_result;

typedef struct queued {
    struct queued *next;
    uint64_t token, since_us;
    uint32_t kind;
    const worker_task *asked;
    shell_post *post;
    void *shell;
} queued;

typedef struct lane { /* a queue with its thread */
    engine *owner;
    pthread_t thread;
    pthread_cond_t wake;
    queued *first, **last;
    uint64_t since_us; /* the task that it is at was begun; 0: it waits */
} lane;

struct engine {
    const job *job;
    task_inputs *inputs;    /* the digest lane's */
    slot_work *work;        /* the compute lane's */
    pthread_mutex_t lock;   /* guards: tasks, tasks_n, both lanes, stopping */
    task *tasks[TASKS_MAX]; /* oldest first */
    uint32_t tasks_n;
    bool started, stopping;
    lane digest, compute;
};

engine *engine_new(const job *j, uint32_t threads)
{
    engine *e = xcalloc(1, sizeof *e);
    e->job = j;
    e->inputs = task_inputs_new(j);
    e->work = slot_work_new(j, threads);
    pthread_mutex_init(&e->lock, NULL);
    lane *lanes[2] = {&e->digest, &e->compute};
    for (int i = 0; i < 2; i++) {
        lanes[i]->owner = e;
        lanes[i]->last = &lanes[i]->first;
        pthread_cond_init(&lanes[i]->wake, NULL);
    }
    return e;
}

void engine_free(engine *e)
{
    if (!e) return;
    engine_stop(e);
    for (uint32_t i = 0; i < e->tasks_n; i++) task_free(e->tasks[i]);
    task_inputs_free(e->inputs);
    slot_work_free(e->work);
    pthread_cond_destroy(&e->digest.wake);
    pthread_cond_destroy(&e->compute.wake);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

/* ---- Tasks between digest and slot ---- */

static bool is_of(const task *t, const worker_task *w)
{
    return slot_equal(t->name, w->name) && t->generation == w->generation &&
           t->version == w->version;
}

/* Takes the task of `w` out of the list; NULL: there is none. */
static task *take_task(engine *e, const worker_task *w)
{
    task *found = NULL;
    pthread_mutex_lock(&e->lock);
    for (uint32_t i = 0; i < e->tasks_n && !found; i++) {
        if (!is_of(e->tasks[i], w)) continue;
        found = e->tasks[i];
        memmove(&e->tasks[i], &e->tasks[i + 1], (e->tasks_n - i - 1) * sizeof e->tasks[0]);
        e->tasks_n--;
    }
    pthread_mutex_unlock(&e->lock);
    return found;
}

/* True if no lease can name `old` any more now that there is `t`: leases are of the open round and
 * of those that may be computed before it is over, and one more. */
static bool is_past(const engine *e, const task *old, const task *t)
{
    if (old->generation != t->generation) return old->generation < t->generation;
    return old->version + staleness_of(e->job->config).steps + 1 < t->version;
}

/* Puts a task (back) into the list.  Those of past rounds, whose slots were taken away before they
 * were computed, go; so does the oldest of a full list. */
static void put_task(engine *e, task *t)
{
    task *dropped[TASKS_MAX];
    uint32_t kept = 0, n = 0;
    pthread_mutex_lock(&e->lock);
    for (uint32_t i = 0; i < e->tasks_n; i++) {
        bool full = e->tasks_n - n == TASKS_MAX;
        if (full || is_past(e, e->tasks[i], t))
            dropped[n++] = e->tasks[i];
        else
            e->tasks[kept++] = e->tasks[i];
    }
    e->tasks[kept++] = t;
    e->tasks_n = kept;
    pthread_mutex_unlock(&e->lock);
    for (uint32_t i = 0; i < n; i++) task_free(dropped[i]);
}

/* ---- The two kinds of work ---- */

err_code engine_digest_now(engine *e, const worker_task *w, const worker_digest **out)
{
    task *t = w->needs ? take_task(e, w) : NULL;
    err_code rc = ERR_OK;
    if (!t) {
        if (w->needs) return ERR_CLOSED; /* It was dropped meanwhile: the slot goes back. */
        task *old = take_task(e, w);     /* The same slot leased again: its first digest is void. */
        task_free(old);
        rc = task_inputs_begin(e->inputs, w, &t);
        if (rc != ERR_OK) return rc;
    }
    worker_need *need = xcalloc(TASK_NEEDS_MAX, sizeof *need);
    uint32_t total = w->needs;
    bool more = false;
    rc = task_inputs_round(e->inputs, t, w, need, &total, &more);
    if (rc != ERR_OK) {
        for (uint32_t i = w->needs; i < total; i++) blob_unref(need[i].body);
        free(need);
        task_free(t);
        return rc;
    }
    put_task(e, t);
    engine_result *r = xcalloc(1, sizeof *r);
    r->needs = total - w->needs;
    memmove(need, need + w->needs, r->needs * sizeof *need);
    r->need = xrealloc(need, r->needs + 1, sizeof *need);
    r->digest = (worker_digest){.need = r->need, .needs = r->needs, .again = more};
    *out = &r->digest;
    return ERR_OK;
}

static void fill_output(engine_result *r, slot_result *s, const worker_task *w, plan_kind kind)
{
    r->output = (worker_output){
        .examples = s->push.examples, .loss = s->push.loss, .is_void = s->push.is_void};
    if (kind == PLAN_SCORE) {
        r->sums = s->sums;
        s->sums = NULL;
        r->output.sums = r->sums;
        r->output.sums_n = s->sums_n;
        return;
    }
    r->bodies = w->map->servers;
    r->body = xcalloc(r->bodies, sizeof *r->body);
    for (uint32_t i = 0; i < r->bodies; i++) {
        r->body[i] = push_encode(&s->push, w->map, i);
        if (!r->body[i]) panic(__FILE__, __LINE__, "out of memory for a push");
    }
    r->output.body = r->body;
    r->output.bodies = r->bodies;
}

err_code engine_slot_now(engine *e, const worker_task *w, const worker_output **out)
{
    task *t = take_task(e, w);
    if (!t) return ERR_CLOSED;
    slot_result s = {0};
    err_code rc = slot_work_compute(e->work, t, w, &s);
    if (rc == ERR_OK) {
        engine_result *r = xcalloc(1, sizeof *r);
        fill_output(r, &s, w, t->work.kind);
        *out = &r->output;
    }
    slot_result_fini(&s);
    task_free(t);
    return rc;
}

void engine_done(void *user, uint64_t token, const void *detail)
{
    (void)user, (void)token;
    engine_result *r = (engine_result *)(uintptr_t)detail;
    if (!r) return;
    for (uint32_t i = 0; i < r->needs; i++) blob_unref(r->need[i].body);
    for (uint32_t i = 0; i < r->bodies; i++) blob_unref(r->body[i]);
    free(r->need);
    free(r->body);
    free(r->sums);
    free(r);
}

static void carry_out(engine *e, const queued *q)
{
    const void *detail = NULL;
    err_code rc;
    if (q->kind == WORKER_DIGEST) {
        const worker_digest *d = NULL;
        rc = engine_digest_now(e, q->asked, &d);
        detail = d;
    } else {
        const worker_output *o = NULL;
        rc = engine_slot_now(e, q->asked, &o);
        detail = o;
    }
    if (rc != ERR_OK) {
        char name[64];
        slot_format(q->asked->name, name);
        log_warn("slot_failed", "slot=%s reason=%s", name, err_name(rc));
    }
    q->post(q->shell, q->token, rc, detail);
}

/* ---- Threads ---- */

static void *run_lane(void *user)
{
    lane *l = user;
    engine *e = l->owner;
    pthread_mutex_lock(&e->lock);
    while (!e->stopping) {
        queued *q = l->first;
        if (!q) {
            pthread_cond_wait(&l->wake, &e->lock);
            continue;
        }
        l->first = q->next;
        if (!l->first) l->last = &l->first;
        l->since_us = clock_now_us();
        pthread_mutex_unlock(&e->lock);
        carry_out(e, q);
        free(q);
        pthread_mutex_lock(&e->lock);
        l->since_us = 0;
    }
    pthread_mutex_unlock(&e->lock);
    return NULL;
}

void engine_start(engine *e)
{
    ASSERT(!e->started);
    e->started = true;
    int a = pthread_create(&e->digest.thread, NULL, run_lane, &e->digest);
    int b = pthread_create(&e->compute.thread, NULL, run_lane, &e->compute);
    if (a != 0 || b != 0) panic(__FILE__, __LINE__, "pthread_create");
    pthread_setname_np(e->digest.thread, "digest");
    pthread_setname_np(e->compute.thread, "compute");
}

static uint64_t lane_busy_since(const lane *l)
{
    if (l->since_us) return l->since_us;
    return l->first ? l->first->since_us : 0;
}

uint64_t engine_busy_since(engine *e)
{
    pthread_mutex_lock(&e->lock);
    uint64_t a = lane_busy_since(&e->digest), b = lane_busy_since(&e->compute);
    pthread_mutex_unlock(&e->lock);
    return !a || (b && b < a) ? b : a;
}

static void drop_queue(lane *l)
{
    while (l->first) {
        queued *q = l->first;
        l->first = q->next;
        free(q);
    }
    l->last = &l->first;
}

void engine_stop(engine *e)
{
    if (!e->started) return;
    pthread_mutex_lock(&e->lock);
    e->stopping = true;
    pthread_cond_signal(&e->digest.wake);
    pthread_cond_signal(&e->compute.wake);
    pthread_mutex_unlock(&e->lock);
    pthread_join(e->digest.thread, NULL);
    pthread_join(e->compute.thread, NULL);
    drop_queue(&e->digest);
    drop_queue(&e->compute);
    e->started = false;
}

void engine_compute(void *user, uint64_t token, uint32_t kind, const void *detail, shell_post *post,
                    void *shell)
{
    engine *e = user;
    queued here = {.token = token, .kind = kind, .asked = detail, .post = post, .shell = shell};
    if (!e->started) {
        carry_out(e, &here);
        return;
    }
    queued *q = xmalloc(sizeof *q);
    *q = here;
    q->since_us = clock_now_us();
    lane *l = kind == WORKER_DIGEST ? &e->digest : &e->compute;
    pthread_mutex_lock(&e->lock);
    *l->last = q;
    l->last = &q->next;
    pthread_cond_signal(&l->wake);
    pthread_mutex_unlock(&e->lock);
}
