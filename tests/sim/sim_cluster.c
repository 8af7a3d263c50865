#include "sim/sim_cluster.h"

#include "common/hash.h"
#include "common/mem.h"
#include "common/panic.h"
#include "common/proto_alloc.h"
#include "proto/weft.pb-c.h"
#include "ps/shard_copies.h"
#include "ps/shard_disk.h"
#include "sampler/sampler_loop.h"
#include "sim/sim_disk.h"
#include "sim/sim_network.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NODES_MAX = SIM_NODES_MAX,
    SERVERS_AT_MOST = 4,
    FAULTS = 18,
    FALSE_DONES = 12,
    FAULTS_US = 40000000,
    LOSSY_END_US = 900000000,   /* by then the job has ended */
    HEALING_END_US = 240000000, /* or so long after the last fault began */
    ENDLESS_US = 60000000,
    ENDLESS_FAULTS = 50,
    LOSSES = 3,
    WIPED_US = 60000000, /* a checkpoint may have been made meanwhile */
    PIECE_BYTES = 16384,
    MANIFESTS_MAX = 512,
    STEP_MAX_US = 60000000
};
enum { GHOST = WIRE_ROLES }; /* a scheduler that everybody believes dead */

typedef struct sim_event {
    uint64_t at_us, serial;
    enum { E_MESSAGE, E_TIMER, E_RESULT, E_START, E_FAULT, E_PERSISTED, E_FALSE_DONE, E_LOSS } type;
    uint32_t node;
    uint64_t life; /* of the node it is for; 0: whoever lives there */
    uint64_t route;
    wire_header header;
    blob *body;
    uint64_t token;
    struct sim_work *work;
    shard_load *load; /* to be done now; the core's, as the next two */
    shard_give *give;
    shard_get *get;
    err_code status;
} sim_event;

/* What a worker's COMPUTE gave. */
typedef struct sim_work {
    bool is_digest;
    worker_digest digest;
    worker_need need[SIM_NEEDS_MAX];
    worker_output output;
    blob *body[SERVERS_MAX];
    double sums[SIM_SUMS];
} sim_work;

typedef struct sim_node {
    uint32_t role, index;
    uint64_t life; /* incarnation; 0: down */
    void *core;
    uint64_t paused_until_us, timer_us, timer_serial;
    sim_clock clock;
    bool told;         /* a server that was told to stop */
    bool let_go;       /* a server that a smaller map was to be without: it may hear of that late */
    uint32_t slowness; /* of a worker's computing */
    uint32_t generation, version; /* servers: last seen */
    bool unchecked;               /* its tables were still being read then */
} sim_node;

/* A manifest beside its parts. */
typedef struct sim_manifest {
    scheduler_manifest m; /* its pointers are not used */
    uint8_t record[512];
} sim_manifest;

typedef struct sim {
    sim_options o;
    const sim_oracle *oracle;
    uint64_t random, now_us, serial, lives;
    sim_event *heap;
    size_t heap_n, heap_cap;
    sim_node node[NODES_MAX];
    uint32_t nodes, first_server, first_sampler, first_worker, ghost;
    uint32_t servers, samplers, workers; /* servers: of the map, or on the way to it */
    sim_disk disk[SERVERS_AT_MOST];      /* without copies the first, for all */
    uint64_t wiped_us;                   /* when one was lost last */
    sim_network network;
    uint64_t healthy_from_us;  /* nothing goes wrong any more */
    uint32_t lossy;            /* messages per mille */
    sim_manifest *manifest;    /* owned, [manifests] */
    size_t manifests, lost_at; /* lost_at: so many there were when the disk was lost last */
    core_actions actions;
    /* the scheduler's disk */
    uint8_t durable[8192];
    size_t durable_bytes;
    core_metric *metric;
    size_t metrics, metrics_cap;
    uint32_t durable_generation;
    uint64_t every_us, persist_us;
    uint32_t rollbacks_seen;
    uint32_t announced_term;
    scheduler_config scheduler_config;
    scheduler_plan plan;
    shard_model model;
    uint32_t faults;
    bool ended;
    sim_result result;
} sim;

/* ---- chance ---- */

static uint64_t draw(sim *s)
{
    s->random += 0x9e3779b97f4a7c15ULL;
    uint64_t x = s->random;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

static uint64_t below(sim *s, uint64_t n)
{
    return draw(s) % n;
}

static bool is_healthy(const sim *s)
{
    return s->o.calm || s->now_us >= s->healthy_from_us;
}

static bool chance(sim *s, uint32_t per_mille)
{
    return !is_healthy(s) && below(s, 1000) < per_mille;
}

/* ---- complaints ---- */

__attribute__((format(printf, 2, 3))) static void violation(sim *s, const char *format, ...)
{
    if (s->result.why[0]) return;
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(s->result.why, sizeof s->result.why, "at %" PRIu64 " ms: %s", s->now_us / 1000, text);
}

__attribute__((format(printf, 2, 3))) static void trace(const sim *s, const char *format, ...)
{
    if (!s->o.trace) return;
    fprintf(stderr, "%9" PRIu64 " ", s->now_us / 1000);
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

/* ---- the heap of events ---- */

static bool earlier(const sim_event *a, const sim_event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->serial < b->serial;
}

static void heap_push(sim *s, sim_event e)
{
    e.serial = ++s->serial;
    grow(&s->heap, &s->heap_cap, s->heap_n + 1, sizeof *s->heap);
    size_t i = s->heap_n++;
    for (; i && earlier(&e, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = e;
}

static sim_event heap_pop(sim *s)
{
    sim_event top = s->heap[0], e = s->heap[--s->heap_n];
    size_t i = 0, n = s->heap_n;
    for (;;) {
        size_t c = 2 * i + 1;
        if (c >= n) break;
        if (c + 1 < n && earlier(&s->heap[c + 1], &s->heap[c])) c++;
        if (!earlier(&s->heap[c], &e)) break;
        s->heap[i] = s->heap[c];
        i = c;
    }
    s->heap[i] = e;
    return top;
}

static void free_work(sim_work *w)
{
    if (!w) return;
    for (uint32_t i = 0; i < w->digest.needs; i++) blob_unref(w->need[i].body);
    for (uint32_t i = 0; i < w->output.bodies; i++) blob_unref(w->body[i]);
    free(w);
}

static void free_event(sim_event *e)
{
    blob_unref(e->body);
    free_work(e->work);
}

/* ---- nodes ---- */

static uint32_t node_of(const sim *s, uint32_t role, uint32_t index)
{
    switch (role) {
    case WIRE_SCHEDULER: return 0;
    case WIRE_SERVER: return s->first_server + index;
    case WIRE_SAMPLER: return s->first_sampler + index;
    default: return s->first_worker + index;
    }
}

static void describe(const sim_node *n, char text[32])
{
    const char *role = n->role == GHOST ? "ghost" : wire_role_name(n->role);
    snprintf(text, 32, "%s-%u/%" PRIu64, role, n->index, n->life);
}

static uint64_t network_delay(sim *s)
{
    if (is_healthy(s)) return 200 + below(s, 300);
    uint64_t x = below(s, 100);
    if (x < 70) return 200 + below(s, 800);
    if (x < 90) return 1000 + below(s, 20000);
    if (x < 98) return 10000 + below(s, 200000);
    return 100000 + below(s, 3000000);
}

/* A delayed second copy may come very late: into another step, or stage. */
static uint64_t repeat_delay(sim *s)
{
    return chance(s, 500) ? below(s, 30000000) : network_delay(s);
}

static void post(sim *s, uint32_t node, uint64_t life, uint64_t route, const wire_header *h,
                 blob *body, uint64_t delay)
{
    heap_push(s, (sim_event){.at_us = s->now_us + delay,
                             .type = E_MESSAGE,
                             .node = node,
                             .life = life,
                             .route = route,
                             .header = *h,
                             .body = blob_ref(body)});
}

/* The node in which a life goes on: routes of answers. */
static uint32_t node_of_life(const sim *s, uint64_t life)
{
    for (uint32_t i = 0; i < s->nodes; i++) {
        if (s->node[i].life == life) return i;
    }
    return UINT32_MAX;
}

static void check_grants(sim *s, const sim_node *from, const core_action *a)
{
    const wire_header *h = &a->send.header;
    if (h->op != WIRE_WORK || h->status != WIRE_OK || !a->send.body) return;
    Weft__Grants *g = weft__grants__unpack(NULL, blob_size(a->send.body), blob_data(a->send.body));
    ASSERT(g);
    scheduler_view v;
    scheduler_view_get(from->core, &v);
    for (size_t i = 0; i < g->n_grant; i++) {
        bool ahead = g->grant[i]->round > v.version;
        if (ahead && v.round.kind == ROUND_SCORE)
            violation(s, "a slot was leased before the decision of the validation");
        if (g->grant[i]->round > v.version + 1 + s->o.how.steps)
            violation(s, "a lease too far ahead");
    }
    weft__grants__free_unpacked(g, NULL);
}

static void check_send(sim *s, const sim_node *from, const core_action *a)
{
    if (from->role != WIRE_SCHEDULER) return;
    const wire_header *h = &a->send.header;
    if (h->generation > s->durable_generation)
        violation(s, "generation %u was announced, %u is durable", h->generation,
                  s->durable_generation);
    if (wire_is_answer(h)) check_grants(s, from, a);
}

static void send(sim *s, uint32_t from, const core_action *a)
{
    const sim_node *n = &s->node[from];
    bool answer = wire_is_answer(&a->send.header);
    uint32_t to =
        answer ? node_of_life(s, a->send.route) : node_of(s, a->send.to.role, a->send.to.index);
    check_send(s, n, a);
    s->result.messages++;
    if (to == UINT32_MAX || to >= s->nodes) return;
    if (s->o.trace) {
        char x[32], y[32];
        describe(n, x);
        describe(&s->node[to], y);
        trace(s, "%s -> %s %s%s %s g%u v%u slot %u/%u/%u/%u tag %" PRIu64, x, y,
              wire_op_name(a->send.header.op), answer ? " answer" : "",
              answer ? wire_status_name(a->send.header.status) : "", a->send.header.generation,
              a->send.header.version, a->send.header.stage, a->send.header.epoch,
              a->send.header.step, a->send.header.slot, a->send.header.tag);
    }
    if (chance(s, s->lossy) || sim_network_is_cut(&s->network, from, to, s->now_us)) {
        s->result.dropped++;
        return;
    }
    uint64_t life = answer ? a->send.route : 0;
    uint64_t delay = network_delay(s) + sim_network_late_us(&s->network, from, to, s->now_us);
    post(s, to, life, n->life, &a->send.header, a->send.body, delay);
    if (chance(s, 50)) post(s, to, life, n->life, &a->send.header, a->send.body, repeat_delay(s));
}

/* ---- a worker's computing ---- */

static sim_work *digest(const worker_task *t)
{
    sim_work *w = xcalloc(1, sizeof *w);
    w->is_digest = true;
    w->digest.need = w->need;
    bool again;
    worker_need probe[SIM_NEEDS_MAX];
    uint32_t first = sim_needs(t->name, 0, probe, &again);
    for (uint32_t i = 0; i < first; i++) blob_unref(probe[i].body);
    uint32_t pass = t->needs ? 1 : 0;
    w->digest.needs = sim_needs(t->name, pass, w->need, &again);
    w->digest.again = again && pass == 0;
    return w;
}

/* On arrival a slot may have seen more than it must, never less: every slot up to step t - 1 - s.
 */
static void check_bound(sim *s, const worker_task *t)
{
    uint32_t bound = s->o.how.steps + 1;
    for (uint32_t i = 0; i < t->needs; i++) {
        if (t->need[i].kind != NEED_DENSE || t->need[i].final) continue;
        const float *dense = (const float *)(const void *)blob_data(t->reply[i]);
        size_t n = blob_size(t->reply[i]) / sizeof *dense;
        uint32_t all = t->name.step > bound ? t->name.step - bound : 0;
        for (size_t at = 0; at < n; at += DENSE_BLOCK_FLOATS) {
            const char *wrong =
                sim_check_arrival(t->name.stage, all, UINT32_MAX, dense + at, n - at);
            if (wrong) violation(s, "step %u computes on what is too old: %s", t->name.step, wrong);
        }
    }
}

static void check_slot(sim *s, const worker_task *t, const sim_output *o)
{
    if (s->o.how.on_arrival && t->kind == ROUND_TRAIN) {
        check_bound(s, t);
        return;
    }
    uint64_t hash;
    char name[64];
    slot_format(t->name, name);
    if (!sim_oracle_slot(s->oracle, t->name, &hash))
        violation(s, "slot %s is not in the plan", name);
    else if (hash != o->hash)
        violation(s, "slot %s was computed from other data", name);
}

static sim_work *compute(sim *s, const worker_task *t)
{
    sim_work *w = xcalloc(1, sizeof *w);
    sim_output o;
    sim_compute(s->o.how, t->name, t->kind, t->build, t->reply, t->needs, &o);
    check_slot(s, t, &o);
    w->output = (worker_output){.body = w->body,
                                .examples = o.examples,
                                .loss = o.loss,
                                .is_void = o.is_void,
                                .sums = w->sums,
                                .sums_n = o.sums_n};
    memcpy(w->sums, o.sums, sizeof w->sums);
    uint32_t stage = t->name.stage == STAGE_HGNN_VALID ? STAGE_HGNN : t->name.stage;
    push_result r = {.examples = o.examples,
                     .loss = o.loss,
                     .is_void = o.is_void,
                     .stage = stage,
                     .dense = o.dense,
                     .dense_floats = o.dense_floats,
                     .section = o.section,
                     .sections = o.sections};
    if (t->kind != ROUND_SCORE) w->output.bodies = t->map->servers;
    for (uint32_t i = 0; i < w->output.bodies; i++) w->body[i] = push_encode(&r, t->map, i);
    sim_output_fini(&o);
    return w;
}

/* A computation that hangs: for a while, or (not at every worker, so that it can go on) for good.
 */
static uint64_t hang(sim *s, const sim_node *n)
{
    bool for_good = s->o.hangs ? n->index + 1 < s->workers : s->workers > 1 && n->index == 0;
    if (for_good && below(s, 4) == 0) return 4 * (uint64_t)LOSSY_END_US;
    return below(s, STEP_MAX_US);
}

static sim_disk *disk_of(sim *s, const sim_node *n)
{
    return &s->disk[s->o.copies ? n->index : 0];
}

/* A server writes a snapshot: what of it is on disk when it dies is the disk's affair. */
static void on_save(sim *s, sim_node *n, sim_event *e, shard_save *save)
{
    uint32_t fails_at = chance(s, 60) ? 1 + (uint32_t)below(s, 8) : 0;
    e->status = sim_disk_write(disk_of(s, n), n->life, save, fails_at);
    e->at_us += below(s, 200000);
    s->result.saves += e->status == ERR_OK;
}

/* The disks that have it for good. */
static uint32_t disks_with(const sim *s, const part_id *id)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < SERVERS_AT_MOST; i++) n += sim_disk_has(&s->disk[i], id);
    return n;
}

/* A checkpoint counts: every part of it must be on disk, or on two that were not lost meanwhile. */
static void check_recorded(sim *s, const scheduler_manifest *m)
{
    part_id id = {.stage = m->stage,
                  .generation = m->generation,
                  .version = m->version,
                  .shards = m->shards,
                  .final = m->final};
    for (id.shard = 0; id.shard < m->shards; id.shard++) {
        uint32_t n = disks_with(s, &id);
        bool lost = s->wiped_us && s->now_us - s->wiped_us < WIPED_US;
        if (n >= (s->o.copies && !lost ? 2 : 1)) continue;
        violation(s, "part %u of %s version %u is on %u disks, and the checkpoint counts", id.shard,
                  stage_name(m->stage), m->version, n);
        return;
    }
}

static void keep_manifest(sim *s, const scheduler_manifest *m)
{
    if (!s->manifest) s->manifest = xcalloc(MANIFESTS_MAX, sizeof *s->manifest);
    ASSERT(m->record_bytes <= sizeof s->manifest->record);
    if (s->manifests == MANIFESTS_MAX) return;
    sim_manifest *x = &s->manifest[s->manifests++];
    x->m = *m;
    memcpy(x->record, m->record, m->record_bytes);
}

static void on_disk(sim *s, uint32_t node, const core_action *a)
{
    sim_node *n = &s->node[node];
    sim_event e = {.at_us = s->now_us + 1000 + below(s, 20000),
                   .type = E_RESULT,
                   .node = node,
                   .life = n->life,
                   .token = a->compute.token};
    if (n->role == WIRE_SERVER && a->compute.kind == SHARD_SAVE)
        on_save(s, n, &e, (shard_save *)(uintptr_t)a->compute.detail);
    if (n->role == WIRE_SCHEDULER) {
        check_recorded(s, a->compute.detail);
        keep_manifest(s, a->compute.detail);
    }
    if (n->role == WIRE_SERVER && a->compute.kind == SHARD_LOAD)
        e.load = (shard_load *)(uintptr_t)a->compute.detail;
    if (n->role == WIRE_SERVER && a->compute.kind == SHARD_GIVE)
        e.give = (shard_give *)(uintptr_t)a->compute.detail;
    if (n->role == WIRE_SERVER && a->compute.kind == SHARD_GET)
        e.get = (shard_get *)(uintptr_t)a->compute.detail;
    heap_push(s, e);
}

static void on_compute(sim *s, uint32_t node, const core_action *a)
{
    sim_node *n = &s->node[node];
    if (n->role != WIRE_WORKER) {
        on_disk(s, node, a);
        return;
    }
    bool is_digest = a->compute.kind == WORKER_DIGEST;
    uint64_t delay = is_digest ? 100 + below(s, 1000) : (1000 + below(s, 30000)) * n->slowness;
    if (!is_digest && chance(s, s->o.hangs ? 200 : 20)) delay += hang(s, n);
    heap_push(s, (sim_event){.at_us = s->now_us + delay,
                             .type = E_RESULT,
                             .node = node,
                             .life = n->life,
                             .token = a->compute.token,
                             .work = is_digest ? digest(a->compute.detail)
                                               : compute(s, a->compute.detail)});
}

/* ---- samplers ---- */

typedef struct sim_build_state {
    slot_name name;
    uint32_t hop;
    uint64_t h;
    bool asked;
} sim_build_state;

static void *build_new(void *ctx, slot_name name, const blob *request)
{
    (void)ctx;
    (void)request;
    sim_build_state *b = xcalloc(1, sizeof *b);
    b->name = name;
    uint32_t x[4] = {name.stage, name.epoch, name.step, name.slot};
    b->h = hash64(x, sizeof x, 11);
    return b;
}

static sampler_build build_step(void *ctx, void *build, sampler_wants *wants)
{
    (void)ctx;
    sim_build_state *b = build;
    if (b->hop == 2) return BUILD_READY;
    sampler_wants_add(wants, b->hop, sim_leaf_partition(b->name, b->hop, b->h),
                      sim_leaf_question(b->name, b->hop, b->h));
    return BUILD_WAITS;
}

static void build_leaf(void *ctx, void *build, uint32_t id, const blob *reply)
{
    (void)ctx;
    sim_build_state *b = build;
    if (id != b->hop) return;
    b->h = sim_leaf_fold(b->h, reply);
    b->hop++;
}

static blob *build_take(void *ctx, void *build)
{
    (void)ctx;
    return blob_copy(&((sim_build_state *)build)->h, 8);
}

static void build_free(void *ctx, void *build)
{
    (void)ctx;
    free(build);
}

static err_code leaf_answer(void *ctx, slot_name name, uint32_t partition, const blob *request,
                            blob **out)
{
    (void)ctx;
    (void)name;
    *out = sim_leaf(partition, request);
    return ERR_OK;
}

static err_code features_answer(void *ctx, uint32_t partition, const blob *request, blob **out)
{
    (void)ctx;
    *out = sim_features(partition, request);
    return ERR_OK;
}

static const sampler_ops sampler_ops_sim = {.build_new = build_new,
                                            .build_step = build_step,
                                            .build_leaf = build_leaf,
                                            .build_take = build_take,
                                            .build_free = build_free,
                                            .leaf_answer = leaf_answer,
                                            .features_answer = features_answer};

static uint32_t build_partition(void *ctx, slot_name name)
{
    (void)ctx;
    return (name.slot + name.step) % SIM_PARTITIONS;
}

static const worker_plan worker_plan_sim = {.partition = build_partition};

/* ---- lives ---- */

static void core_free(sim_node *n)
{
    switch (n->role) {
    case WIRE_SCHEDULER:
    case GHOST: scheduler_free(n->core); break;
    case WIRE_SERVER: shard_free(n->core); break;
    case WIRE_SAMPLER: sampler_loop_free(n->core); break;
    default: worker_loop_free(n->core);
    }
    n->core = NULL;
    n->life = 0;
}

static uint64_t core_step(sim_node *n, const core_event *e, core_actions *out)
{
    switch (n->role) {
    case WIRE_SCHEDULER:
    case GHOST: return scheduler_step(n->core, e, out);
    case WIRE_SERVER: return shard_step(n->core, e, out);
    case WIRE_SAMPLER: return sampler_loop_step(n->core, e, out);
    default: return worker_loop_step(n->core, e, out);
    }
}

static void *new_scheduler(sim *s, uint64_t life)
{
    s->scheduler_config =
        (scheduler_config){.incarnation = life,
                           .job = "sim",
                           .servers = s->servers,
                           .samplers = s->samplers,
                           .virtual_shards = 16,
                           .copies = s->o.copies ? 2 : 1,
                           .numerics = "sim",
                           .numerics_strict = true,
                           .max_void_slots = 100,
                           .checkpoint_every_us = s->every_us,
                           .rollbacks_max = 1000,
                           .stall_timeout_us = s->o.kill_server_at_ms ? 60000000 : 0,
                           .dead_holders_max = 1000,
                           .mutations = &s->o.mutations};
    scheduler_durable d = {s->durable_bytes ? s->durable : NULL, s->durable_bytes, s->metric,
                           s->metrics};
    scheduler *core;
    err_code rc = scheduler_new(&s->scheduler_config, &s->plan, SIM_PLAN_HASH, &d, &core);
    if (rc != ERR_OK) violation(s, "the scheduler cannot be restored: %s", err_name(rc));
    return rc == ERR_OK ? core : NULL;
}

static void *new_core(sim *s, const sim_node *n)
{
    const core_mutations *m = &s->o.mutations;
    if (n->role == WIRE_SCHEDULER) return new_scheduler(s, n->life);
    if (n->role == WIRE_SERVER) {
        shard_config c = {.index = n->index,
                          .incarnation = n->life,
                          .plan_hash = SIM_PLAN_HASH,
                          .numerics = "sim",
                          .address = "sim",
                          .model = &s->model,
                          .piece_bytes = PIECE_BYTES,
                          .found_generation = sim_disk_generation(&s->disk[n->index]),
                          .mutations = m};
        return shard_new(&c);
    }
    if (n->role == WIRE_SAMPLER) {
        sampler_loop_config c = {.index = n->index,
                                 .samplers = s->samplers,
                                 .incarnation = n->life,
                                 .plan_hash = SIM_PLAN_HASH,
                                 .numerics = "sim",
                                 .address = "sim",
                                 .ops = &sampler_ops_sim,
                                 .mutations = m};
        return sampler_loop_new(&c);
    }
    worker_loop_config c = {.index = n->index,
                            .incarnation = n->life,
                            .plan_hash = SIM_PLAN_HASH,
                            .numerics = "sim",
                            .address = "",
                            .plan = &worker_plan_sim,
                            .leases = 2,
                            .mutations = m};
    return worker_loop_new(&c);
}

static void start_later(sim *s, uint32_t node, uint64_t delay)
{
    heap_push(s, (sim_event){.at_us = s->now_us + delay, .type = E_START, .node = node});
}

static void on_persisted(sim *s, const sim_event *e);

/* What a dying scheduler was writing may have reached the disk, in order, without an answer. */
static void write_out(sim *s, uint64_t life)
{
    while (below(s, 2)) {
        sim_event *first = NULL;
        for (size_t i = 0; i < s->heap_n; i++) {
            sim_event *e = &s->heap[i];
            if (e->type != E_PERSISTED || e->life != life || !e->body) continue;
            if (!first || earlier(e, first)) first = e;
        }
        if (!first) return;
        on_persisted(s, first);
        blob_unref(first->body);
        first->body = NULL;
    }
}

static void kill_node(sim *s, uint32_t node, uint64_t down_us)
{
    sim_node *n = &s->node[node];
    if (!n->core) return;
    char x[32];
    describe(n, x);
    trace(s, "%s dies", x);
    if (n->role == WIRE_SERVER) sim_disk_crash(disk_of(s, n), n->life, draw(s));
    if (n->role == WIRE_SCHEDULER) write_out(s, n->life);
    bool replaced = n->role == GHOST;
    core_free(n);
    if (!replaced) start_later(s, node, down_us);
}

/* ---- faults ---- */

static void step(sim *s, uint32_t node, core_event *e);

/* The scheduler lives on where nobody can hear it, hung; a new one takes its place. */
static void make_ghost(sim *s)
{
    sim_node *n = &s->node[0], *g = &s->node[s->ghost];
    if (!n->core || g->core) return;
    trace(s, "the scheduler hangs, and is replaced");
    *g = *n;
    g->role = GHOST;
    g->paused_until_us = s->now_us + (below(s, 2) ? below(s, 5000000) : below(s, 80000000));
    g->timer_us = g->paused_until_us;
    heap_push(s, (sim_event){.at_us = g->timer_us,
                             .type = E_TIMER,
                             .node = s->ghost,
                             .life = g->life,
                             .token = g->timer_serial});
    n->core = NULL;
    n->life = 0;
    start_later(s, 0, 100000 + below(s, 2000000));
}

/* Other servers: those of a larger map are started first, and it comes when they are there. */
static void scale(sim *s)
{
    if (!s->node[0].core) return;
    uint32_t least = s->o.copies ? 2 : 1;
    uint32_t n = least + (uint32_t)below(s, SERVERS_AT_MOST + 1 - least);
    trace(s, "%u servers wanted, there are %u", n, s->servers);
    for (uint32_t i = 0; i < n; i++) {
        if (!s->node[s->first_server + i].core)
            start_later(s, s->first_server + i, below(s, 100000));
    }
    for (uint32_t i = n; i < SERVERS_AT_MOST; i++) s->node[s->first_server + i].let_go = true;
    s->servers = n;
    scheduler_want_servers(s->node[0].core, n);
    core_event e = {.type = CORE_TIMER};
    step(s, 0, &e);
}

static void add_manifest(scheduler_recovery *r, const sim_manifest *x)
{
    r->record[r->records] = x->record;
    r->record_bytes[r->records++] = x->m.record_bytes;
}

/* The end of a stage in the newest manifest of it. */
static const sim_manifest *end_of(const sim *s, uint32_t stage_index)
{
    for (size_t i = s->manifests; i-- > 0;) {
        const sim_manifest *x = &s->manifest[i];
        if (x->m.final && x->m.stage_index == stage_index) return x;
    }
    return NULL;
}

/* The scheduler dies, and its disk with it. */
static void lose(sim *s)
{
    /* Twice from one checkpoint would give terms again. */
    if (s->manifests == s->lost_at || s->node[s->ghost].core) return;
    s->lost_at = s->manifests;
    const sim_manifest *last = &s->manifest[s->manifests - 1];
    scheduler_recovery r = {.plan_hash = SIM_PLAN_HASH,
                            .generation = last->m.generation,
                            .shards = last->m.shards,
                            .servers = last->m.servers};
    kill_node(s, 0, 50000 + below(s, 2000000));
    for (uint32_t k = 0; k < last->m.stage_index; k++) add_manifest(&r, end_of(s, k));
    add_manifest(&r, last);
    trace(s, "the scheduler's disk is lost: generation %u version %u is left", last->m.generation,
          last->m.version);
    blob *state = scheduler_recover(&r);
    ASSERT(state && blob_size(state) <= sizeof s->durable);
    s->durable_bytes = blob_size(state);
    memcpy(s->durable, blob_data(state), s->durable_bytes);
    blob_unref(state);
    s->metrics = (size_t)last->m.metrics;
}

/* A server dies, and often its disk with it, if that is not one loss too many. */
static void kill_server(sim *s, uint32_t server)
{
    uint32_t index = s->node[server].index;
    kill_node(s, server, 50000 + below(s, 3000000));
    if (!s->o.copies || below(s, 3) == 0) return;
    if (!sim_disk_may_wipe(s->disk, SERVERS_AT_MOST, index)) return;
    trace(s, "the disk of ps-%u is lost", index);
    sim_disk_wipe(&s->disk[index]);
    s->wiped_us = s->now_us;
    s->result.wipes++;
}

/* A server gets SIGTERM: it goes when it may, and is started again. */
static void tell_server(sim *s, uint32_t server)
{
    sim_node *n = &s->node[server];
    core_event e = {.type = CORE_STOP, .signal = 15};
    if (!n->core || n->paused_until_us > s->now_us) return;
    trace(s, "ps-%u is told to stop", n->index);
    n->told = true;
    s->result.told++;
    step(s, server, &e);
}

static void fault(sim *s)
{
    uint32_t worker = s->first_worker + (uint32_t)below(s, s->workers);
    uint32_t sampler = s->first_sampler + (uint32_t)below(s, s->samplers);
    uint32_t server = s->first_server + (uint32_t)below(s, s->servers);
    if (s->o.rot)
        s->result.damages +=
            sim_disk_rot(&s->disk[s->o.copies ? server - s->first_server : 0], draw(s));
    s->result.faults++;
    uint64_t x = below(s, 130);
    if (x >= 100)
        sim_network_fault(&s->network, s->nodes, s->now_us, draw(s));
    else if (x < 15)
        kill_node(s, worker, 100000 + below(s, 3000000));
    else if (x < 30)
        s->node[worker].paused_until_us = s->now_us + below(s, 40000000);
    else if (x < 35)
        s->node[server].paused_until_us = s->now_us + below(s, 8000000);
    else if (x < 50 && below(s, 3))
        kill_server(s, server);
    else if (x < 50)
        tell_server(s, server);
    else if (x < 55)
        scale(s);
    else if (x < 65)
        kill_node(s, sampler, 100000 + below(s, 3000000));
    else if (x < 75)
        s->node[worker].slowness = 1 + (uint32_t)below(s, 60);
    else if (x < 92)
        kill_node(s, 0, 50000 + below(s, 3000000));
    else
        make_ghost(s);
}

/* ---- invariants ---- */

/* True if `dense` is exactly what server `index` should hold of flat [floats]. */
static bool same_blocks(const sim *s, uint32_t index, uint32_t stage, const float *flat,
                        size_t floats, const blob *dense)
{
    shard_map map;
    shard_stats has;
    shard_stats_get(s->node[s->first_server + index].core, &has);
    shard_map_init(&map, 1, 16, has.servers);
    size_t n = table_server_floats(&map, stage, floats, index);
    if (blob_size(dense) != n * sizeof(float)) return false;
    if (!n) return true;
    float *own = xmalloc(n * sizeof *own);
    table_gather(own, &map, stage, floats, index, flat);
    bool same = memcmp(own, blob_data(dense), n * sizeof *own) == 0;
    free(own);
    return same;
}

/* On arrival: what each block of a server has seen, between two versions. */
static void check_arrivals(sim *s, const sim_node *n, const shard_stats *st)
{
    const blob *dense = shard_dense(n->core, st->stage, false);
    const float *w = (const float *)(const void *)blob_data(dense);
    uint32_t window = staleness_window(s->o.how), all = 0, none = 0;
    uint32_t steps = s->plan.steps(NULL, st->stage);
    if (!blob_size(dense) || s->plan.round(NULL, st->stage, 1).kind != ROUND_TRAIN) return;
    while (all < steps && sim_version_of(st->stage, all + 1) < st->version) all++;
    while (none < steps && sim_version_of(st->stage, none + 1) < st->version + window) none++;
    for (size_t at = 0; at < blob_size(dense) / sizeof *w; at += DENSE_BLOCK_FLOATS) {
        const char *wrong =
            sim_check_arrival(st->stage, all, none, w + at, blob_size(dense) / sizeof *w - at);
        if (wrong)
            violation(s, "ps-%u at %s version %u: %s", n->index, stage_name(st->stage), st->version,
                      wrong);
    }
}

/* True between the commit of a step and the next one: nobody may push for training. */
static bool in_validation(const sim *s, const shard_stats *st)
{
    for (uint32_t t = 1; t <= s->plan.steps(NULL, st->stage); t++) {
        uint32_t from = sim_version_of(st->stage, t);
        if (st->version > from && st->version <= from + s->plan.valid_rounds(NULL, st->stage, t))
            return true;
    }
    return false;
}

static void check_server(sim *s, sim_node *n)
{
    shard_stats st;
    shard_stats_get(n->core, &st);
    bool back = st.generation < n->generation ||
                (st.generation == n->generation && st.version < n->version);
    if (back) violation(s, "ps-%u went back to %u/%u", n->index, st.generation, st.version);
    if (st.hash_mismatches) violation(s, "ps-%u was pushed other bits for one slot", n->index);
    if (s->o.how.on_arrival && !st.loading && !st.finished && st.stage != STAGE_NONE)
        check_arrivals(s, n, &st);
    bool same = st.generation == n->generation && st.version == n->version;
    if (same && (!n->unchecked || st.loading)) return;
    if (!same && st.generation == n->generation && st.version != n->version + 1)
        violation(s, "ps-%u jumped from %u to %u", n->index, n->version, st.version);
    n->generation = st.generation;
    n->version = st.version;
    n->unchecked = st.loading;
    if (st.loading || st.stage == STAGE_NONE) return;
    size_t floats;
    const blob *dense = shard_dense(n->core, st.stage, false);
    const float *flat = sim_oracle_dense(s->oracle, st.stage, st.version, &floats);
    if (!flat) violation(s, "ps-%u committed a round that is not in the plan", n->index);
    if (!flat || st.finished) return;
    if (s->o.how.on_arrival && !in_validation(s, &st)) return;
    if (!same_blocks(s, n->index, st.stage, flat, floats, dense))
        violation(s, "ps-%u has other bits at %s version %u", n->index, stage_name(st.stage),
                  st.version);
}

static void check_servers_level(sim *s)
{
    uint32_t low = UINT32_MAX, high = 0, generation = s->node[s->first_server].generation;
    for (uint32_t i = 0; i < SERVERS_AT_MOST; i++) {
        const sim_node *n = &s->node[s->first_server + i];
        if (!n->core) continue;
        if (n->generation != generation) return;
        if (n->version < low) low = n->version;
        if (n->version > high) high = n->version;
    }
    if (high > low + 1) violation(s, "servers are %u versions apart", high - low);
}

static void check_scheduler(sim *s, const sim_node *n)
{
    scheduler_view v;
    scheduler_view_get(n->core, &v);
    if (v.rollbacks > s->rollbacks_seen) s->result.rollbacks++;
    s->rollbacks_seen = v.rollbacks;
    if (v.term < s->announced_term && !s->o.loses) violation(s, "the term went back");
    s->announced_term = v.term;
    if (v.round.slots && v.done > v.round.slots) violation(s, "more slots are done than there are");
}

static void check_node(sim *s, sim_node *n)
{
    if (!n->core) return;
    if (n->role == WIRE_SERVER) {
        check_server(s, n);
        check_servers_level(s);
    }
    if (n->role == WIRE_SCHEDULER) check_scheduler(s, n);
}

static bool same_metric(const core_metric *a, const core_metric *b)
{
    bool same = a->index == b->index && a->kind == b->kind && a->stage == b->stage &&
                a->epoch == b->epoch && a->step == b->step && a->examples == b->examples &&
                a->voids == b->voids && a->best == b->best && a->stopped == b->stopped &&
                a->sums_n == b->sums_n;
    return same && memcmp(&a->loss, &b->loss, sizeof a->loss) == 0 &&
           memcmp(&a->value, &b->value, sizeof a->value) == 0 &&
           memcmp(a->sums, b->sums, a->sums_n * sizeof *a->sums) == 0;
}

/* The loss of a step is what workers say it is, and one of them lies. */
static bool is_hearsay(const sim *s, const core_metric *a, const core_metric *b)
{
    bool step = a->kind == METRIC_STEP || a->kind == METRIC_PUT || a->kind == METRIC_STAGE;
    return s->o.hostile && step && a->index == b->index && a->kind == b->kind &&
           a->stage == b->stage && a->epoch == b->epoch && a->step == b->step;
}

static void on_metric(sim *s, const core_metric *m)
{
    if (m->kind == METRIC_CUT) {
        if (m->index < s->metrics) s->metrics = m->index;
        return;
    }
    const core_metric *want;
    size_t n = sim_oracle_metrics(s->oracle, &want);
    if (m->index >= n || !(same_metric(m, &want[m->index]) || is_hearsay(s, m, &want[m->index]))) {
        violation(s, "metric %" PRIu64 " (%s step %u) is not the oracle's", m->index,
                  stage_name(m->stage), m->step);
        return;
    }
    if (m->index != s->metrics) {
        violation(s, "metric %" PRIu64 " came as number %zu", m->index, s->metrics);
        return;
    }
    grow(&s->metric, &s->metrics_cap, s->metrics + 1, sizeof *s->metric);
    s->metric[s->metrics++] = *m;
}

/* Servers of the map in force, as the scheduler has it. */
static uint32_t map_servers(const sim *s)
{
    scheduler_status st;
    if (!s->node[0].core) return s->servers;
    scheduler_status_get(s->node[0].core, sim_clock_shows(&s->node[0].clock, s->now_us), &st);
    uint32_t n = st.servers;
    scheduler_status_fini(&st);
    return n;
}

/* False: it died after the last stage was recorded, and its tables are in the checkpoint only. */
static bool has_tables(const sim *s, uint32_t server)
{
    const sim_node *n = &s->node[s->first_server + server];
    shard_stats st;
    if (!n->core) return false;
    shard_stats_get(n->core, &st);
    return st.servers && !st.loading;
}

static void check_end_rows(sim *s)
{
    const sim_row *want;
    size_t n = sim_oracle_rows(s->oracle, &want);
    uint64_t present = 0;
    shard_map map;
    shard_map_init(&map, 1, 16, s->servers);
    for (size_t i = 0; i < n; i++) {
        uint32_t server = table_server_of(&map, want[i].key);
        const sim_node *p = &s->node[s->first_server + server];
        const float *row;
        if (!has_tables(s, server)) continue;
        if (!shard_row(p->core, want[i].stage, want[i].table, true, want[i].key, &row))
            violation(s, "a row of %s is missing", stage_name(want[i].stage));
        else if (memcmp(row, want[i].w, want[i].dim * sizeof *row) != 0)
            violation(s, "a row of %s has other bits", stage_name(want[i].stage));
    }
    for (uint32_t i = 0; i < s->servers; i++) {
        shard_stats st;
        if (!has_tables(s, i)) return;
        shard_stats_get(s->node[s->first_server + i].core, &st);
        present += st.rows;
    }
    if (present != n) violation(s, "%" PRIu64 " rows instead of %zu", present, n);
}

static void check_end(sim *s)
{
    const core_metric *m;
    size_t floats;
    s->servers = map_servers(s);
    if (s->metrics != sim_oracle_metrics(s->oracle, &m)) violation(s, "metrics are missing");
    check_end_rows(s);
    for (uint32_t i = 0; i < s->servers; i++) {
        const sim_node *p = &s->node[s->first_server + i];
        for (uint32_t k = 0; k < sim_plan()->stages && has_tables(s, i); k++) {
            uint32_t stage = sim_plan()->stage[k];
            const float *flat = sim_oracle_final(s->oracle, stage, &floats);
            if (!same_blocks(s, i, stage, flat, floats, shard_dense(p->core, stage, true)))
                violation(s, "the final %s has other bits", stage_name(stage));
        }
    }
}

/* ---- actions ---- */

static bool is_trained(const sim *s)
{
    uint32_t stage_index = 0;
    if (s->durable_bytes) memcpy(&stage_index, s->durable + 12, sizeof stage_index);
    return stage_index >= sim_plan()->stages;
}

static void node_exits(sim *s, uint32_t node, const core_action *a)
{
    sim_node *n = &s->node[node];
    trace(s, "node %u exits with %d: %s", node, a->exit.code, a->exit.why);
    if (n->role == GHOST) {
        core_free(n);
        return;
    }
    if (n->role == WIRE_SCHEDULER) {
        s->ended = true;
        s->result.exit_code = a->exit.code;
        memcpy(s->result.exit_why, a->exit.why, sizeof s->result.exit_why);
        return;
    }
    if (s->node[0].core && n->role == WIRE_SERVER) {
        scheduler_status st;
        scheduler_status_get(s->node[0].core, sim_clock_shows(&s->node[0].clock, s->now_us), &st);
        if (st.state == JOB_FAILED && !s->o.kill_server_at_ms)
            violation(s, "the job failed: %s", st.failure);
        scheduler_status_fini(&st);
    }
    bool over = is_trained(s) || s->o.kill_server_at_ms;
    if (!over && n->told) {
        kill_node(s, node, 50000 + below(s, 3000000));
        return;
    }
    if (n->role == WIRE_SERVER && (n->let_go || n->index >= map_servers(s))) {
        core_free(n);
        if (!over && n->index < s->servers) start_later(s, node, 1000000); /* wanted again */
        return;
    }
    if (!over && strstr(a->exit.why, "a newer process")) { /* a dead life's HELLO came late */
        kill_node(s, node, 1000000);
        return;
    }
    if (n->role == WIRE_SERVER) {
        if (!over) violation(s, "ps-%u left: %s", n->index, a->exit.why);
        return; /* its tables are looked at in the end */
    }
    if (a->exit.code)
        violation(s, "%s-%u failed: %s", wire_role_name(n->role), n->index, a->exit.why);
    core_free(n);
    if (!over) start_later(s, node, 1000000);
}

static void on_persist(sim *s, uint32_t node, const core_action *a)
{
    sim_node *n = &s->node[node];
    if (n->role == GHOST) return; /* the disk is locked by the new one */
    uint64_t at = s->now_us + 500 + below(s, 5000);
    if (at <= s->persist_us) at = s->persist_us + 1; /* one after the other */
    s->persist_us = at;
    heap_push(s, (sim_event){.at_us = at,
                             .type = E_PERSISTED,
                             .node = node,
                             .life = n->life,
                             .token = a->persist.token,
                             .body = blob_ref(a->persist.bytes)});
    if (chance(s, 40)) { /* dies while it writes */
        uint64_t delay = below(s, 6000);
        heap_push(s, (sim_event){
                         .at_us = s->now_us + delay, .type = E_FAULT, .node = 1, .life = n->life});
    }
}

static void on_persisted(sim *s, const sim_event *e)
{
    if (!e->body) return; /* reached the disk as its writer died */
    ASSERT(blob_size(e->body) <= sizeof s->durable);
    s->durable_bytes = blob_size(e->body);
    memcpy(s->durable, blob_data(e->body), s->durable_bytes);
    uint32_t generation;
    memcpy(&generation, s->durable + 8, sizeof generation);
    if (generation > s->durable_generation) s->durable_generation = generation; /* or it was lost */
}

static bool is_order(const wire_header *h)
{
    return h->op == WIRE_COMMIT || h->op == WIRE_STAGE || h->op == WIRE_SNAPSHOT ||
           h->op == WIRE_ROLLBACK;
}

/* The scheduler dies soon after an order (some servers have it, some do not), or the server that it
 * is for. */
static void maybe_die_ordering(sim *s, const sim_node *n, const core_action *a)
{
    if (n->role != WIRE_SCHEDULER || !is_order(&a->send.header) || !chance(s, 12)) return;
    const sim_node *victim = below(s, 2) ? n : &s->node[node_of(s, WIRE_SERVER, a->send.to.index)];
    heap_push(s, (sim_event){.at_us = s->now_us + below(s, 30000),
                             .type = E_FAULT,
                             .node = 1,
                             .life = victim->life});
}

static void carry_out(sim *s, uint32_t node)
{
    for (size_t i = 0; i < s->actions.n; i++) {
        const core_action *a = &s->actions.items[i];
        switch (a->type) {
        case CORE_SEND:
            maybe_die_ordering(s, &s->node[node], a);
            send(s, node, a);
            break;
        case CORE_COMPUTE: on_compute(s, node, a); break;
        case CORE_PERSIST: on_persist(s, node, a); break;
        case CORE_METRIC:
            if (s->node[node].role == GHOST) { /* the disk is locked by the new one: it ends */
                core_free(&s->node[node]);
                return;
            }
            on_metric(s, a->metric);
            break;
        case CORE_EVENT:
            trace(s, "node %u event %s: %s", node, a->event.name, a->event.why);
            if (strcmp(a->event.name, "checkpoint_damaged") == 0 && !s->o.rot)
                violation(s, "a recorded checkpoint cannot be read: %s", a->event.why);
            if (strcmp(a->event.name, "commit_behind") == 0 && !s->o.hostile)
                violation(s, "a commit without its slots: %s", a->event.why);
            break;
        case CORE_EXIT: node_exits(s, node, a); return;
        case CORE_PEER: break;
        }
    }
}

static void set_timer(sim *s, uint32_t node, uint64_t at)
{
    sim_node *n = &s->node[node];
    at = sim_clock_when(&n->clock, at);
    n->timer_serial++;
    n->timer_us = at;
    if (at == UINT64_MAX) return;
    heap_push(s, (sim_event){.at_us = at > s->now_us ? at : s->now_us + 1,
                             .type = E_TIMER,
                             .node = node,
                             .life = n->life,
                             .token = n->timer_serial});
}

static void step(sim *s, uint32_t node, core_event *e)
{
    sim_node *n = &s->node[node];
    e->now_us = sim_clock_shows(&n->clock, s->now_us);
    core_actions_reset(&s->actions);
    uint64_t life = n->life, at = core_step(n, e, &s->actions);
    check_node(s, n);
    carry_out(s, node);
    if (n->core && n->life == life) set_timer(s, node, at);
}

/* ---- events ---- */

static void on_start(sim *s, uint32_t node)
{
    sim_node *n = &s->node[node];
    if (n->core || s->ended) return;
    n->life = ++s->lives;
    n->paused_until_us = 0;
    n->slowness = 1;
    n->generation = n->version = 0;
    n->unchecked = n->let_go = n->told = false;
    if (!s->o.calm) n->clock = sim_clock_new(s->now_us, draw(s));
    n->core = new_core(s, n);
    if (!n->core) return;
    char x[32];
    describe(n, x);
    trace(s, "%s starts", x);
    core_event e = {.type = CORE_START};
    step(s, node, &e);
}

static void deliver(sim *s, const sim_event *e)
{
    core_event x = {.type = CORE_MESSAGE};
    x.message.route = e->route;
    x.message.header = &e->header;
    x.message.body = e->body;
    err_code rc = wire_check(&e->header, blob_size(e->body));
    ASSERT(rc == ERR_OK);
    step(s, e->node, &x);
}

static err_code on_disk_done(sim *s, const sim_event *e)
{
    if (s->node[e->node].role != WIRE_SERVER) return ERR_OK;
    sim_disk *d = disk_of(s, &s->node[e->node]);
    part_store store = sim_disk_store(d);
    if (e->load) return shard_disk_load(&store, e->load);
    if (e->give) return shard_disk_give(&store, e->give);
    if (e->get) return shard_disk_get(&store, e->get);
    sim_disk_sync(d, e->life);
    return e->status;
}

static void on_node_event(sim *s, sim_event *e)
{
    core_event x = {.type = CORE_TIMER};
    switch (e->type) {
    case E_MESSAGE: deliver(s, e); return;
    case E_TIMER:
        if (e->token == s->node[e->node].timer_serial) step(s, e->node, &x);
        return;
    case E_PERSISTED:
        on_persisted(s, e);
        x.type = CORE_RESULT;
        x.result.token = e->token;
        x.result.status = ERR_OK;
        step(s, e->node, &x);
        return;
    case E_RESULT:
        x.type = CORE_RESULT;
        x.result.token = e->token;
        if (!e->work) {
            x.result.status = on_disk_done(s, e);
            step(s, e->node, &x);
            return;
        }
        x.result.status = ERR_OK;
        x.result.detail =
            e->work->is_digest ? (const void *)&e->work->digest : (const void *)&e->work->output;
        step(s, e->node, &x);
        return;
    default: return;
    }
}

/* A worker's key is enough to say that a slot is DONE. */
static void false_done(sim *s)
{
    scheduler_view v;
    Weft__Done done = WEFT__DONE__INIT;
    if (!s->node[0].core) return;
    scheduler_view_get(s->node[0].core, &v);
    if (!v.running || !v.round.slots || v.round.kind == ROUND_SCORE) return;
    wire_header h = wire_request(WIRE_DONE);
    slot_name name = {v.round.stage, v.round.epoch, v.round.step,
                      (uint32_t)below(s, v.round.slots)};
    wire_set_slot(&h, name);
    h.role = WIRE_WORKER;
    h.incarnation = UINT64_MAX;
    h.generation = v.generation;
    h.version = v.version;
    done.version = 1;
    done.examples = below(s, 9);
    done.loss = (double)below(s, 9);
    blob *body = proto_pack(&done.base);
    h.body_bytes = blob_size(body);
    trace(s, "a false DONE of slot %u, version %u", name.slot, v.version);
    post(s, 0, 0, UINT64_MAX, &h, body, 0);
    blob_unref(body);
}

static void on_fault(sim *s, const sim_event *e)
{
    if (e->node) { /* at an interesting moment */
        uint32_t node = e->life ? node_of_life(s, e->life) : UINT32_MAX;
        if (node != UINT32_MAX) kill_node(s, node, 50000 + below(s, 2000000));
        return;
    }
    if (s->o.kill_server_at_ms) {
        core_free(&s->node[s->first_server]);
        return;
    }
    fault(s);
}

static void handle(sim *s, sim_event *e)
{
    sim_node *n = &s->node[e->node];
    if (e->type == E_START) {
        on_start(s, e->node);
    } else if (e->type == E_FAULT) {
        on_fault(s, e);
    } else if (e->type == E_FALSE_DONE) {
        false_done(s);
    } else if (e->type == E_LOSS) {
        lose(s);
    } else if (!n->core || (e->life && e->life != n->life)) {
        return; /* nobody there any more */
    } else if (n->paused_until_us > s->now_us) {
        sim_event later = *e;
        later.at_us = n->paused_until_us;
        later.body = blob_ref(e->body);
        e->work = NULL;
        heap_push(s, later);
    } else {
        on_node_event(s, e);
    }
}

static void add_node(sim *s, uint32_t role, uint32_t index)
{
    ASSERT(s->nodes < NODES_MAX);
    s->node[s->nodes] = (sim_node){.role = role, .index = index, .slowness = 1};
    start_later(s, s->nodes, s->o.calm ? s->nodes * 20000 : below(s, 500000));
    s->nodes++;
}

static void set_up_faults(sim *s)
{
    bool endless = s->o.mode == SIM_ENDLESS;
    uint32_t n = s->o.calm ? 0 : endless ? ENDLESS_FAULTS : FAULTS;
    s->healthy_from_us = s->o.mode == SIM_HEALING ? s->now_us + FAULTS_US : UINT64_MAX;
    s->lossy = endless ? (uint32_t)below(s, 200) : 20;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t at = s->now_us + below(s, endless ? ENDLESS_US : FAULTS_US);
        heap_push(s, (sim_event){.at_us = at, .type = E_FAULT});
    }
}

static void set_up(sim *s)
{
    s->servers = s->o.servers ? s->o.servers : 1 + (uint32_t)below(s, 3);
    if (s->o.copies && s->servers < 2) s->servers = 2;
    s->samplers = s->o.samplers ? s->o.samplers : 1 + (uint32_t)below(s, 2);
    s->workers = s->o.workers ? s->o.workers : 1 + (uint32_t)below(s, 4);
    if (s->o.hangs && s->workers < 3) s->workers = 3;
    add_node(s, WIRE_SCHEDULER, 0);
    s->every_us = s->o.calm ? 0 : 200000 + below(s, 3000000);
    s->first_server = s->nodes;
    for (uint32_t i = 0; i < s->servers; i++) add_node(s, WIRE_SERVER, i);
    for (uint32_t i = s->servers; i < SERVERS_AT_MOST; i++)
        s->node[s->nodes++] = (sim_node){.role = WIRE_SERVER, .index = i, .slowness = 1};
    s->first_sampler = s->nodes;
    for (uint32_t i = 0; i < s->samplers; i++) add_node(s, WIRE_SAMPLER, i);
    s->first_worker = s->nodes;
    for (uint32_t i = 0; i < s->workers; i++) add_node(s, WIRE_WORKER, i);
    s->ghost = s->nodes++;
    s->node[s->ghost] = (sim_node){.role = GHOST, .slowness = 1};
    set_up_faults(s);
    for (uint32_t i = 0; i < LOSSES && s->o.loses; i++)
        heap_push(s, (sim_event){.at_us = s->now_us + below(s, FAULTS_US), .type = E_LOSS});
    for (uint32_t i = 0; i < FALSE_DONES && s->o.hostile; i++)
        heap_push(s, (sim_event){.at_us = s->now_us + below(s, FAULTS_US), .type = E_FALSE_DONE});
    if (s->o.kill_server_at_ms)
        heap_push(s, (sim_event){.at_us = s->now_us + (uint64_t)s->o.kill_server_at_ms * 1000,
                                 .type = E_FAULT});
}

static void tear_down(sim *s)
{
    for (size_t i = 0; i < s->heap_n; i++) free_event(&s->heap[i]);
    for (uint32_t i = 0; i < s->nodes; i++) {
        if (s->node[i].core) core_free(&s->node[i]);
    }
    core_actions_fini(&s->actions);
    for (uint32_t i = 0; i < SERVERS_AT_MOST; i++) sim_disk_fini(&s->disk[i]);
    free(s->heap);
    free(s->metric);
    free(s->manifest);
}

/* When a job that has not ended is stuck, or (faults never end) has been watched for long enough.
 */
static uint64_t watched_until_us(const sim *s)
{
    uint64_t patience = s->o.hangs ? 3 : 1; /* a lease that hangs ends after 60 s, or 5 x p95 */
    switch (s->o.mode) {
    case SIM_HEALING: return s->healthy_from_us + HEALING_END_US * patience;
    case SIM_ENDLESS: return ENDLESS_US;
    default: return LOSSY_END_US * patience;
    }
}

sim_result sim_run(const sim_options *o, const sim_oracle *oracle)
{
    sim *s = xcalloc(1, sizeof *s);
    s->o = *o;
    s->oracle = oracle;
    s->plan = sim_plan_of(o->how);
    s->model = sim_shard_model_of(o->how);
    s->random = hash64(&o->seed, sizeof o->seed, 1);
    s->now_us = 1000000;
    s->result.exit_code = -1;
    core_actions_init(&s->actions);
    set_up(s);
    while (s->heap_n && !s->ended && !s->result.why[0] && s->now_us < watched_until_us(s)) {
        sim_event e = heap_pop(s);
        s->now_us = e.at_us > s->now_us ? e.at_us : s->now_us;
        uint64_t x[3] = {e.at_us, e.type, e.node};
        s->result.digest = hash64(x, sizeof x, s->result.digest);
        s->result.events++;
        handle(s, &e);
        free_event(&e);
    }
    s->result.time_us = s->now_us;
    if (!s->ended && o->mode != SIM_ENDLESS)
        violation(s, "stuck");
    else if (s->ended && s->result.exit_code == 0)
        check_end(s);
    else if (s->ended && !o->kill_server_at_ms)
        violation(s, "the job failed: %s", s->result.exit_why);
    s->result.ok = !s->result.why[0];
    sim_result r = s->result;
    tear_down(s);
    free(s);
    return r;
}
