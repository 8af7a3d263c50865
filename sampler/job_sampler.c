#include "sampler/job_sampler.h"

#include "common/mem.h"
#include "sampler/build.h"

#include <stdlib.h>

enum { BAD_REPLIES_MAX = 64 }; /* then a build fails: its peer will not do better */

struct job_sampler {
    store *store;
    build_env *env; /* NULL: no partition is ours */
    uint32_t *partition;
    uint32_t partitions;
    sampler_ops ops;
};

/* A build of the core: what build_step left to be sent, and whether it has been asked for already.
 */
typedef struct running {
    build *build;
    blob *body;
    uint32_t asked; /* parts below this were handed out */
    uint32_t bad;   /* replies that were malformed */
} running;

static void *new_build(void *ctx, slot_name name, const blob *request)
{
    (void)request;
    job_sampler *s = ctx;
    if (!s->env) return NULL; /* No partition is ours. */
    running *r = xcalloc(1, sizeof *r);
    if (build_new(s->env, name, &r->build) == ERR_OK) return r;
    free(r);
    return NULL;
}

/* build_step lists every request without a reply; those handed out before are not wanted twice. */
static void add_wants(running *r, const build_result *result, sampler_wants *wants)
{
    uint32_t next = r->asked;
    for (uint32_t i = 0; i < result->leaves; i++) {
        const build_leaf *leaf = &result->leaf[i];
        if (leaf->part < r->asked) continue;
        sampler_wants_add(wants, leaf->part, leaf->partition, blob_ref(leaf->body));
        if (leaf->part >= next) next = leaf->part + 1;
    }
    r->asked = next;
}

static sampler_build step_build(void *ctx, void *of, sampler_wants *wants)
{
    (void)ctx;
    running *r = of;
    build_result result;
    if (r->bad > BAD_REPLIES_MAX || build_step(r->build, &result) != ERR_OK) return BUILD_FAILED;
    if (result.state == BUILD_DONE) {
        r->body = result.body;
        return BUILD_READY;
    }
    add_wants(r, &result, wants);
    return BUILD_WAITS;
}

static void take_leaf(void *ctx, void *of, uint32_t id, const blob *reply)
{
    (void)ctx;
    running *r = of;
    /* A malformed reply is logged there, and the request stays open: it is asked again. */
    if (build_leaf_reply(r->build, id, (blob *)(uintptr_t)reply) == ERR_OK) return;
    r->asked = id;
    r->bad++;
}

static blob *take_body(void *ctx, void *of)
{
    (void)ctx;
    running *r = of;
    blob *body = r->body;
    r->body = NULL;
    return body;
}

static void free_build(void *ctx, void *of)
{
    (void)ctx;
    running *r = of;
    build_free(r->build);
    blob_unref(r->body);
    free(r);
}

static err_code answer_leaf(void *ctx, slot_name name, uint32_t partition, const blob *request,
                            blob **out)
{
    job_sampler *s = ctx;
    (void)partition; /* The body says it, and leaf_answer checks it. */
    if (!s->env) return ERR_NOT_FOUND;
    err_code rc = leaf_answer(s->env, name, request, out);
    return rc == ERR_MISMATCH ? ERR_NOT_FOUND : rc;
}

static err_code answer_features(void *ctx, uint32_t partition, const blob *request, blob **out)
{
    job_sampler *s = ctx;
    (void)partition;
    if (!s->env) return ERR_NOT_FOUND;
    err_code rc = features_answer(s->env, request, out);
    return rc == ERR_MISMATCH ? ERR_NOT_FOUND : rc;
}

err_code job_sampler_open(const job *j, const char *folder, uint32_t index, uint32_t samplers,
                          job_sampler **out)
{
    job_sampler *s = xcalloc(1, sizeof *s);
    s->partition = xcalloc(j->manifest->partitions + 1, sizeof *s->partition);
    for (uint32_t p = 0; p < j->manifest->partitions; p++) {
        if (plan_partition_owner(p, samplers) == index) s->partition[s->partitions++] = p;
    }
    err_code rc = ERR_OK;
    if (s->partitions) {
        rc = store_open(folder, s->partition, s->partitions, j->config->store.verify, &s->store);
        if (rc == ERR_OK) rc = build_env_new(j->config, j->manifest, j->plan, s->store, &s->env);
    }
    if (rc != ERR_OK) {
        job_sampler_close(s);
        return rc;
    }
    s->ops = (sampler_ops){
        .ctx = s,
        .build_new = new_build,
        .build_step = step_build,
        .build_leaf = take_leaf,
        .build_take = take_body,
        .build_free = free_build,
        .leaf_answer = answer_leaf,
        .features_answer = answer_features,
    };
    *out = s;
    return ERR_OK;
}

void job_sampler_close(job_sampler *s)
{
    if (!s) return;
    build_env_free(s->env);
    store_close(s->store);
    free(s->partition);
    free(s);
}

const sampler_ops *job_sampler_ops(const job_sampler *s)
{
    return &s->ops;
}

const uint32_t *job_sampler_partitions(const job_sampler *s, uint32_t *n)
{
    *n = s->partitions;
    return s->partition;
}
