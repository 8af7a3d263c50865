/* Fuzzes the protocol cores: a scheduler, two servers, a sampler and two workers run the
 * simulation's small job in simulated time, with a disk a server and two copies of each part; each
 * byte of the input spoils one message on its way: lost, repeated, reordered, late, to somebody
 * else, with another header or another body.  0 leaves it alone.  Nothing is promised but that
 * nobody crashes, reads what is not there, or never comes to rest. */
#include "common/hash.h"
#include "common/mem.h"
#include "common/panic.h"
#include "common/plan.h"
#include "proto/weft.pb-c.h"
#include "ps/shard_copies.h"
#include "sampler/sampler_loop.h"
#include "sim/sim_disk.h"
#include "sim/sim_model.h"
#include "testing_fuzz.h"

#include <stdlib.h>
#include <string.h>

enum {
    NODES = 6,
    SERVERS = 2,
    STASH = 16,
    EVENTS_MAX = 20000,
    QUIET_TIMERS_MAX = 64,
    QUEUE_MAX = 1 << 16
};

typedef struct message {
    bool is_result;
    uint32_t from, to;
    wire_header header;
    blob *body;
    uint64_t token;
    err_code status;
    void *detail; /* worker_digest or worker_output of a `work` */
} message;

/* What a worker's COMPUTE gave. */
typedef struct work {
    worker_digest digest;
    worker_output output;
    worker_need need[SIM_NEEDS_MAX];
    blob *body[4];
    double sums[SIM_SUMS];
} work;

typedef struct node {
    core_peer self;
    void *core; /* NULL: has exited */
    uint64_t timer_us;
} node;

typedef struct world {
    testing_fuzz_input in;
    node node[NODES];
    message *queue;
    size_t first, n, cap;
    uint64_t now_us;
    sim_disk disk[SERVERS];
    blob *stash[STASH];
    uint32_t stashed;
} world;

/* ---- The worker's computations and the sampler's builds: those of the simulation ---- */

static bool in_plan(slot_name name)
{
    const scheduler_plan *p = sim_plan();
    for (uint32_t i = 0; i < p->stages; i++) {
        uint32_t stage = p->stage[i], steps = p->steps(p->ctx, stage);
        if (stage == name.stage)
            return name.step >= 1 && name.step <= steps &&
                   name.slot < p->round(p->ctx, stage, name.step).slots;
        if (plan_valid_stage(stage) != name.stage || !plan_valid_stage(stage)) continue;
        if (name.epoch < 1 || name.epoch > steps) return false;
        uint32_t rounds = p->valid_rounds(p->ctx, stage, name.epoch);
        return name.step >= 1 && name.step <= rounds &&
               name.slot < p->valid_round(p->ctx, stage, name.epoch, name.step - 1).slots;
    }
    return false;
}

static work *digest(const worker_task *t)
{
    bool again = false;
    work *w = xcalloc(1, sizeof *w);
    w->digest.need = w->need;
    w->digest.needs = sim_needs(t->name, t->needs ? 1 : 0, w->need, &again);
    w->digest.again = again && !t->needs;
    return w;
}

static work *compute(const worker_task *t)
{
    work *w = xcalloc(1, sizeof *w);
    sim_output o;
    sim_compute((staleness){0, false}, t->name, t->kind, t->build, t->reply, t->needs, &o);
    push_result r = {.examples = o.examples,
                     .loss = o.loss,
                     .is_void = o.is_void,
                     .stage = t->name.stage,
                     .dense = o.dense,
                     .dense_floats = o.dense_floats,
                     .section = o.section,
                     .sections = o.sections};
    w->output = (worker_output){.body = w->body,
                                .examples = o.examples,
                                .loss = o.loss,
                                .is_void = o.is_void,
                                .sums = w->sums,
                                .sums_n = o.sums_n};
    memcpy(w->sums, o.sums, sizeof w->sums);
    if (t->kind != ROUND_SCORE) w->output.bodies = t->map->servers;
    ASSERT(w->output.bodies <= 4);
    for (uint32_t i = 0; i < w->output.bodies; i++) w->body[i] = push_encode(&r, t->map, i);
    sim_output_fini(&o);
    return w;
}

static void free_work(work *w)
{
    if (!w) return;
    for (uint32_t i = 0; i < w->digest.needs; i++) blob_unref(w->need[i].body);
    for (uint32_t i = 0; i < w->output.bodies; i++) blob_unref(w->body[i]);
    free(w);
}

typedef struct building {
    slot_name name;
    uint32_t hop;
    uint64_t h;
} building;

static void *build_new(void *ctx, slot_name name, const blob *request)
{
    (void)ctx, (void)request;
    building *b = xcalloc(1, sizeof *b);
    b->name = name;
    return b;
}

static sampler_build build_step(void *ctx, void *of, sampler_wants *wants)
{
    (void)ctx;
    building *b = of;
    if (b->hop == 2) return BUILD_READY;
    sampler_wants_add(wants, b->hop, sim_leaf_partition(b->name, b->hop, b->h),
                      sim_leaf_question(b->name, b->hop, b->h));
    return BUILD_WAITS;
}

static void build_leaf(void *ctx, void *of, uint32_t id, const blob *reply)
{
    (void)ctx;
    building *b = of;
    if (id != b->hop) return;
    b->h = hash64(blob_data(reply), blob_size(reply), b->h);
    b->hop++;
}

static blob *build_take(void *ctx, void *of)
{
    (void)ctx;
    return blob_copy(&((building *)of)->h, 8);
}

static void build_free(void *ctx, void *of)
{
    (void)ctx;
    free(of);
}

static err_code answer_leaf(void *ctx, slot_name name, uint32_t partition, const blob *request,
                            blob **out)
{
    (void)ctx, (void)name, (void)request;
    if (partition >= SIM_PARTITIONS) return ERR_NOT_FOUND;
    *out = blob_copy(&partition, sizeof partition);
    return ERR_OK;
}

static err_code answer_features(void *ctx, uint32_t partition, const blob *request, blob **out)
{
    return answer_leaf(ctx, (slot_name){0}, partition, request, out);
}

static const sampler_ops ops = {.build_new = build_new,
                                .build_step = build_step,
                                .build_leaf = build_leaf,
                                .build_take = build_take,
                                .build_free = build_free,
                                .leaf_answer = answer_leaf,
                                .features_answer = answer_features};

static uint32_t partition_of(void *ctx, slot_name name)
{
    (void)ctx;
    return (name.slot + name.step) % SIM_PARTITIONS;
}

static const worker_plan worker_plan_fuzz = {.partition = partition_of};

/* ---- Lives ---- */

static void *new_core(const core_peer *p)
{
    if (p->role == WIRE_SCHEDULER) {
        static scheduler_config c = {.job = "fuzz",
                                     .servers = SERVERS,
                                     .copies = 2,
                                     .samplers = 1,
                                     .virtual_shards = 16,
                                     .numerics = "sim",
                                     .numerics_strict = true,
                                     .max_void_slots = 3};
        scheduler_durable none = {0};
        scheduler *s;
        c.incarnation = p->incarnation;
        ASSERT(scheduler_new(&c, sim_plan(), SIM_PLAN_HASH, &none, &s) == ERR_OK);
        return s;
    }
    if (p->role == WIRE_SERVER) {
        shard_config c = {.index = p->index,
                          .incarnation = p->incarnation,
                          .plan_hash = SIM_PLAN_HASH,
                          .numerics = "sim",
                          .address = "sim",
                          .model = sim_shard_model(),
                          .piece_bytes = 16384};
        return shard_new(&c);
    }
    if (p->role == WIRE_SAMPLER) {
        sampler_loop_config c = {.index = p->index,
                                 .samplers = 1,
                                 .incarnation = p->incarnation,
                                 .plan_hash = SIM_PLAN_HASH,
                                 .numerics = "sim",
                                 .address = "sim",
                                 .ops = &ops};
        return sampler_loop_new(&c);
    }
    worker_loop_config c = {.index = p->index,
                            .incarnation = p->incarnation,
                            .plan_hash = SIM_PLAN_HASH,
                            .numerics = "sim",
                            .address = "",
                            .plan = &worker_plan_fuzz,
                            .leases = 2};
    return worker_loop_new(&c);
}

static void free_core(node *n)
{
    if (!n->core) return;
    switch (n->self.role) {
    case WIRE_SCHEDULER: scheduler_free(n->core); break;
    case WIRE_SERVER: shard_free(n->core); break;
    case WIRE_SAMPLER: sampler_loop_free(n->core); break;
    default: worker_loop_free(n->core);
    }
    n->core = NULL;
}

static uint64_t step_core(node *n, const core_event *e, core_actions *out)
{
    switch (n->self.role) {
    case WIRE_SCHEDULER: return scheduler_step(n->core, e, out);
    case WIRE_SERVER: return shard_step(n->core, e, out);
    case WIRE_SAMPLER: return sampler_loop_step(n->core, e, out);
    default: return worker_loop_step(n->core, e, out);
    }
}

/* ---- Messages ---- */

static void put(world *w, message m)
{
    if (w->n - w->first >= QUEUE_MAX) {
        blob_unref(m.body);
        free_work(m.detail);
        return;
    }
    grow(&w->queue, &w->cap, w->n + 1, sizeof *w->queue);
    w->queue[w->n++] = m;
}

static void carry_send(world *w, uint32_t from, const core_action *a)
{
    message m = {
        .from = from, .to = NODES, .header = a->send.header, .body = blob_ref(a->send.body)};
    m.header.role = (uint8_t)w->node[from].self.role;
    m.header.index = w->node[from].self.index;
    m.header.incarnation = w->node[from].self.incarnation;
    if (a->send.route) m.to = (uint32_t)(a->send.route - 1) % NODES;
    for (uint32_t i = 0; !a->send.route && i < NODES; i++) {
        const core_peer *p = &w->node[i].self;
        if (p->role == a->send.to.role && p->index == a->send.to.index) m.to = i;
    }
    if (m.to == NODES) {
        blob_unref(m.body);
    } else {
        put(w, m);
    }
}

/* A server's disk does it at once. */
static err_code use_disk(world *w, const node *n, const core_action *a)
{
    sim_disk *d = &w->disk[n->self.index];
    part_store store = sim_disk_store(d);
    void *job = (void *)(uintptr_t)a->compute.detail;
    err_code rc;
    switch (a->compute.kind) {
    case SHARD_SAVE:
        rc = sim_disk_write(d, n->self.incarnation, job, 0);
        sim_disk_sync(d, n->self.incarnation);
        return rc;
    case SHARD_LOAD: return shard_disk_load(&store, job);
    case SHARD_GIVE: return shard_disk_give(&store, job);
    default: return shard_disk_get(&store, job);
    }
}

static void carry_compute(world *w, uint32_t at, const core_action *a)
{
    const worker_task *t = a->compute.detail;
    message m = {.is_result = true, .to = at, .token = a->compute.token, .status = ERR_NOT_FOUND};
    if (w->node[at].self.role == WIRE_WORKER && in_plan(t->name)) {
        m.status = ERR_OK;
        m.detail = a->compute.kind == WORKER_DIGEST ? digest(t) : compute(t);
    }
    if (w->node[at].self.role == WIRE_SERVER) m.status = use_disk(w, &w->node[at], a);
    put(w, m);
}

static void step(world *w, uint32_t at, core_event *e, const work *done)
{
    node *n = &w->node[at];
    core_actions out;
    if (!n->core) return;
    (void)done;
    core_actions_init(&out);
    e->now_us = w->now_us;
    n->timer_us = step_core(n, e, &out);
    for (size_t i = 0; i < out.n && n->core; i++) {
        const core_action *a = &out.items[i];
        if (a->type == CORE_SEND) carry_send(w, at, a);
        if (a->type == CORE_COMPUTE) carry_compute(w, at, a);
        if (a->type == CORE_PERSIST)
            put(w, (message){.is_result = true, .to = at, .token = a->persist.token});
        if (a->type == CORE_EXIT) free_core(n);
    }
    core_actions_fini(&out);
}

static void deliver(world *w, message *m)
{
    core_event e = {.type = m->is_result ? CORE_RESULT : CORE_MESSAGE};
    if (m->is_result) {
        e.result.token = m->token;
        e.result.status = m->status;
        work *done = m->detail;
        bool is_digest = done && done->digest.need;
        e.result.detail = !done ? NULL : is_digest ? (void *)&done->digest : (void *)&done->output;
        step(w, m->to, &e, done);
        free_work(done);
        return;
    }
    m->header.body_bytes = blob_size(m->body);
    if (wire_check(&m->header, blob_size(m->body)) == ERR_OK) {
        e.message.route = m->from + 1;
        e.message.header = &m->header;
        e.message.body = m->body;
        step(w, m->to, &e, NULL);
    }
    blob_unref(w->stash[w->stashed % STASH]);
    w->stash[w->stashed++ % STASH] = m->body;
}

/* ---- Spoiling ---- */

static uint64_t number(world *w, size_t bytes)
{
    return testing_fuzz_number(&w->in, bytes);
}

static void spoil_header(world *w, wire_header *h)
{
    static const uint32_t values[] = {0, 1, 2, 3, 7, 255, 0x7fffffff, 0xffffffff};
    uint32_t v = values[number(w, 1) % 8];
    switch (number(w, 1) % 16) {
    case 0: h->op = (uint8_t)v; break;
    case 1: h->status = (uint8_t)v; break;
    case 2: h->stage = (uint8_t)(v % STAGE_COUNT); break;
    case 3: h->table = (uint16_t)v; break;
    case 4: h->index = v; break;
    case 5: h->incarnation = v; break;
    case 6: h->target = v; break;
    case 7: h->term = v; break;
    case 8: h->generation = v; break;
    case 9: h->map = v; break;
    case 10: h->epoch = v; break;
    case 11: h->step = v; break;
    case 12: h->slot = v; break;
    case 13: h->part = v; break;
    case 14: h->version = v; break;
    default: h->flags = (uint32_t)number(w, 1); break;
    }
    if (number(w, 1) % 4 == 0) h->role = (uint8_t)(number(w, 1) % WIRE_ROLES);
}

static void set_body(message *m, blob *body)
{
    blob_unref(m->body);
    m->body = body;
}

static void spoil_body(world *w, message *m, uint32_t how)
{
    size_t n = blob_size(m->body), got;
    if (how == 0 && n) { /* one byte */
        blob *b = blob_copy(blob_data(m->body), n);
        blob_writable(b)[number(w, 2) % n] = (uint8_t)number(w, 1);
        set_body(m, b);
    } else if (how == 1 && n) {
        size_t keep = number(w, 2) % n;
        set_body(m, keep ? blob_copy(blob_data(m->body), keep) : NULL);
    } else if (how == 2) {
        const uint8_t *raw = testing_fuzz_bytes(&w->in, number(w, 1), &got);
        set_body(m, got ? blob_copy(raw, got) : NULL);
    } else if (how == 3) {
        set_body(m, blob_ref(w->stash[number(w, 1) % STASH]));
    } else if (how == 4 && n >= 4) { /* a number */
        blob *b = blob_copy(blob_data(m->body), n);
        uint32_t v = (uint32_t)number(w, 4);
        memcpy(blob_writable(b) + number(w, 2) % (n / 4) * 4, &v, 4);
        set_body(m, b);
    }
    if (m->header.body_hash)
        m->header.body_hash = hash64(blob_data(m->body), blob_size(m->body), 0);
}

/* True: deliver it now. */
static bool spoil(world *w, message *m)
{
    uint8_t how = (uint8_t)number(w, 1);
    if (m->is_result) return true;
    switch (how % 16) {
    case 1: /* lost */ blob_unref(m->body); return false;
    case 2: /* repeated */
        blob_ref(m->body);
        put(w, *m);
        return true;
    case 3: /* later */ put(w, *m); return false;
    case 4: w->now_us += (uint64_t)number(w, 1) * 100000; return true;
    case 5: m->to = (uint32_t)number(w, 1) % NODES; return true;
    case 6:
    case 7: spoil_header(w, &m->header); return true;
    case 8:
    case 9:
    case 10:
    case 11:
    case 12: spoil_body(w, m, how % 16 - 8u); return true;
    case 13:
        spoil_header(w, &m->header);
        spoil_body(w, m, (uint32_t)number(w, 1) % 5);
        return true;
    default: return true;
    }
}

/* ---- The run ---- */

static void start(world *w)
{
    static const core_peer peers[NODES] = {{WIRE_SCHEDULER, 0, 11}, {WIRE_SERVER, 0, 12},
                                           {WIRE_SERVER, 1, 13},    {WIRE_SAMPLER, 0, 14},
                                           {WIRE_WORKER, 0, 15},    {WIRE_WORKER, 1, 16}};
    w->now_us = 1000000;
    for (uint32_t i = 0; i < NODES; i++) {
        core_event e = {.type = CORE_START};
        w->node[i] = (node){.self = peers[i], .core = new_core(&peers[i]), .timer_us = UINT64_MAX};
        step(w, i, &e, NULL);
    }
}

/* Fires the earliest timer; false: there is none. */
static bool fire_timer(world *w)
{
    uint32_t at = NODES;
    for (uint32_t i = 0; i < NODES; i++) {
        if (!w->node[i].core || w->node[i].timer_us == UINT64_MAX) continue;
        if (at == NODES || w->node[i].timer_us < w->node[at].timer_us) at = i;
    }
    if (at == NODES) return false;
    if (w->node[at].timer_us > w->now_us) w->now_us = w->node[at].timer_us;
    core_event e = {.type = CORE_TIMER};
    step(w, at, &e, NULL);
    return true;
}

static void run(world *w)
{
    uint32_t quiet = 0;
    for (uint32_t events = 0; events < EVENTS_MAX && w->in.size; events++) {
        if (w->first == w->n) {
            if (++quiet > QUIET_TIMERS_MAX || !fire_timer(w)) return;
            continue;
        }
        quiet = 0;
        message m = w->queue[w->first++];
        if (spoil(w, &m)) deliver(w, &m);
    }
}

static void finish(world *w)
{
    for (uint32_t i = 0; i < NODES; i++) free_core(&w->node[i]);
    for (size_t i = w->first; i < w->n; i++) {
        blob_unref(w->queue[i].body);
        free_work(w->queue[i].detail);
    }
    for (uint32_t i = 0; i < STASH; i++) blob_unref(w->stash[i]);
    for (uint32_t i = 0; i < SERVERS; i++) sim_disk_fini(&w->disk[i]);
    free(w->queue);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    world w = {.in = {data, size}};
    start(&w);
    run(&w);
    finish(&w);
    return 0;
}
