/* Fuzzes what samplers are asked and answer each other (LEAF) and are asked by workers (FEATURES):
 * real bodies of a small store, spoilt.  A request is refused or answered; an answer is refused or
 * taken, and then the micro-batch is one.  The first byte chooses which, the second the slot. */
#include "common/feature_row.h"
#include "common/mem.h"
#include "common/microbatch.h"
#include "common/panic.h"
#include "sampler/build.h"
#include "testing_fuzz.h"

#include <stdlib.h>

enum { NAMES = 4, STEPS_MAX = 8 };

typedef struct world {
    manifest *m;
    plan *plan;
    store *whole, *part; /* `part` has the partition of each name only */
    build_env *whole_env, *part_env[NAMES];
    slot_name name[NAMES];
} world;

static void open_world(world *w)
{
    static const uint32_t stages[NAMES] = {STAGE_HGNN, STAGE_EMBED, STAGE_HGNN, STAGE_EMBED};
    const char *folder;
    const config *c = testing_fuzz_prepared(&folder);
    ASSERT(store_open(folder, NULL, 0, VERIFY_OPEN, &w->whole) == ERR_OK);
    ASSERT(manifest_load(folder, &w->m) == ERR_OK);
    ASSERT(manifest_count_positives(folder, c, w->m) == ERR_OK);
    ASSERT(plan_new(c, w->m, &w->plan) == ERR_OK);
    ASSERT(build_env_new(c, w->m, w->plan, w->whole, &w->whole_env) == ERR_OK);
    for (uint32_t i = 0; i < NAMES; i++) {
        plan_work work;
        uint32_t last = plan_steps(w->plan, stages[i]);
        w->name[i] = plan_name(w->plan, stages[i], i < 2 ? 1 : last, 0);
        ASSERT(plan_slot(w->plan, w->name[i], &work));
        ASSERT(store_open(folder, &work.partition, 1, VERIFY_OPEN, &w->part) == ERR_OK);
        ASSERT(build_env_new(c, w->m, w->plan, w->part, &w->part_env[i]) == ERR_OK);
    }
}

static blob *spoil(testing_fuzz_input *in, const blob *good)
{
    size_t size;
    uint8_t *p = testing_fuzz_spoil(in, blob_data(good), blob_size(good), true, &size);
    blob *b = blob_copy(p, size);
    free(p);
    return b;
}

static blob *answer(const world *w, slot_name name, const build_leaf *l)
{
    blob *reply;
    ASSERT(leaf_answer(w->whole_env, name, l->body, &reply) == ERR_OK);
    return reply;
}

/* True: the build wants answers; *r lists them. */
static bool start(const world *w, uint32_t i, build **b, build_result *r)
{
    ASSERT(build_new(w->part_env[i], w->name[i], b) == ERR_OK);
    ASSERT(build_step(*b, r) == ERR_OK);
    if (r->state == BUILD_WAIT) return true;
    blob_unref(r->body);
    build_free(*b);
    return false;
}

static void fuzz_request(const world *w, uint32_t i, testing_fuzz_input *in)
{
    build *b;
    build_result r;
    blob *reply = NULL;
    if (!start(w, i, &b, &r)) return;
    blob *request = spoil(in, r.leaf[0].body);
    if (leaf_answer(w->whole_env, w->name[i], request, &reply) == ERR_OK) {
        err_code rc = build_leaf_reply(b, r.leaf[0].part, reply);
        ASSERT(rc == ERR_OK || rc == ERR_INVALID); /* of another question */
    }
    blob_unref(reply);
    blob_unref(request);
    build_free(b);
}

static void fuzz_answer(const world *w, uint32_t i, testing_fuzz_input *in)
{
    build *b;
    build_result r;
    microbatch *m;
    uint32_t rounds = 0;
    if (!start(w, i, &b, &r)) return;
    while (r.state == BUILD_WAIT) {
        ASSERT(rounds++ < STEPS_MAX && r.leaves);
        blob *good = answer(w, w->name[i], &r.leaf[0]), *bad = spoil(in, good);
        uint32_t part = r.leaf[0].part;
        /* What is refused leaves the question open. */
        if (build_leaf_reply(b, part, bad) != ERR_OK)
            ASSERT(build_leaf_reply(b, part, good) == ERR_OK);
        blob_unref(bad);
        blob_unref(good);
        for (uint32_t k = 1; k < r.leaves; k++) {
            good = answer(w, w->name[i], &r.leaf[k]);
            ASSERT(build_leaf_reply(b, r.leaf[k].part, good) == ERR_OK);
            blob_unref(good);
        }
        ASSERT(build_step(b, &r) == ERR_OK);
    }
    ASSERT(microbatch_decode(w->m, r.body, &m) == ERR_OK);
    microbatch_free(m);
    blob_unref(r.body);
    build_free(b);
}

static void fuzz_features(const world *w, testing_fuzz_input *in)
{
    uint32_t node[3];
    feature_row_request q = {.partition = 1, .nodes = 3, .node = node};
    for (uint32_t i = 0; i < q.nodes; i++) node[i] = w->m->node_base[q.partition] + i;
    blob *good = feature_row_encode_request(&q), *reply = NULL;
    blob *request = spoil(in, good);
    if (features_answer(w->whole_env, request, &reply) == ERR_OK) {
        feature_row_reply r;
        ASSERT(feature_row_decode_reply(w->m, reply, &r) == ERR_OK);
    }
    blob_unref(reply);
    blob_unref(request);
    blob_unref(good);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static world *w;
    if (!w) {
        w = xcalloc(1, sizeof *w);
        open_world(w);
    }
    testing_fuzz_input in = {data, size};
    uint64_t what = testing_fuzz_number(&in, 1) % 3;
    uint32_t i = (uint32_t)testing_fuzz_number(&in, 1) % NAMES;
    if (what == 0) fuzz_request(w, i, &in);
    if (what == 1) fuzz_answer(w, i, &in);
    if (what == 2) fuzz_features(w, &in);
    return 0;
}
