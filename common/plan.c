#include "common/plan.h"

#include "common/hash.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"
#include "common/rng.h"
#include "common/vmath.h"

#include <stdlib.h>

__extension__ typedef unsigned __int128 wide;

static const double PI = 3.14159265358979323846;

/* A training stage's epoch: partitions' positives cut into slots. */
typedef struct epoch_layout {
    uint64_t *positives; /* [partitions] */
    uint64_t *slot_base; /* [partitions + 1] running counts of slots */
    uint64_t slots;
    uint32_t steps_per_epoch, steps;
    uint32_t batch, chunks_per_slot;
    uint32_t patience;
    const config_optimizer *optimizer;
} epoch_layout;

/* Ranges of nodes or users cut into chunks. */
typedef struct chunk_layout {
    uint32_t ranges;
    uint32_t *begin; /* [ranges] first node or user */
    uint32_t *count; /* [ranges] */
    uint32_t *chunk; /* [ranges + 1] running counts of chunks */
    uint32_t size;
} chunk_layout;

struct plan {
    const config *c;
    const manifest *m;
    bool with_no_z;
    uint64_t *quota;        /* [relations, partitions] */
    uint64_t *quota_prefix; /* [partitions, relations + 1] */
    epoch_layout hgnn, tower;
    chunk_layout nodes, sample_nodes; /* ranges: type * partitions + partition */
    chunk_layout users, sample_users; /* ranges: partition */
};

/* --- Quotas ------------------------------------------------------------------------------------
 */

typedef struct remainder {
    uint64_t rest;
    uint32_t index;
} remainder;

static int remainder_order(const void *a, const void *b)
{
    const remainder *x = a, *y = b;
    if (x->rest != y->rest) return x->rest > y->rest ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

void plan_split(uint64_t *share, const uint64_t *weight, uint32_t n, uint64_t total)
{
    wide sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += weight[i];
    ASSERT(sum <= UINT64_MAX);
    remainder *rest = xcalloc(n ? n : 1, sizeof *rest);
    uint64_t given = 0;
    for (uint32_t i = 0; i < n; i++) {
        share[i] = sum ? (uint64_t)((wide)total * weight[i] / sum) : 0;
        rest[i] = (remainder){sum ? (uint64_t)((wide)total * weight[i] % sum) : 0, i};
        given += share[i];
    }
    qsort(rest, n, sizeof *rest, remainder_order);
    for (uint32_t i = 0; sum && given < total; i++, given++) share[rest[i].index]++;
    free(rest);
}

static uint64_t root(wide x)
{
    uint64_t r = 0;
    for (uint64_t bit = UINT64_C(1) << 63; bit; bit >>= 1) {
        uint64_t next = r | bit;
        if ((wide)next * next <= x) r = next;
    }
    return r;
}

static const uint64_t *pair_mass(const plan *p, const manifest_relation *r)
{
    return p->c->hgnn.pairs == PAIRS_EDGES ? r->partition_edges : r->partition_pair_weight;
}

static uint64_t mass_sum(const plan *p, const manifest_relation *r)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < p->m->partitions; i++) sum += pair_mass(p, r)[i];
    return sum;
}

static uint64_t quota_base(const plan *p)
{
    uint64_t smallest = 0;
    for (uint32_t i = 0; i < p->m->relations; i++) {
        const manifest_relation *r = &p->m->relation[i];
        if (mass_sum(p, r) && (!smallest || r->edges < smallest)) smallest = r->edges;
    }
    uint64_t base = p->c->hgnn.balance_floor;
    return smallest > base ? smallest : base;
}

static uint64_t relation_quota(const plan *p, const manifest_relation *r, uint64_t base)
{
    if (!mass_sum(p, r)) return 0;
    uint64_t quota = r->edges;
    if (p->c->hgnn.balance == BALANCE_MIN) quota = base;
    if (p->c->hgnn.balance == BALANCE_SQRT) quota = root((wide)r->edges * base);
    return quota < r->edges ? quota : r->edges;
}

static void make_quotas(plan *p)
{
    uint32_t parts = p->m->partitions, relations = p->m->relations;
    p->quota = xcalloc((size_t)relations * parts + 1, sizeof *p->quota);
    p->quota_prefix = xcalloc((size_t)parts * (relations + 1), sizeof *p->quota_prefix);
    uint64_t base = quota_base(p);
    for (uint32_t r = 0; r < relations; r++) {
        const manifest_relation *rel = &p->m->relation[r];
        plan_split(p->quota + (size_t)r * parts, pair_mass(p, rel), parts,
                   relation_quota(p, rel, base));
    }
    for (uint32_t part = 0; part < parts; part++) {
        uint64_t *prefix = p->quota_prefix + (size_t)part * (relations + 1);
        for (uint32_t r = 0; r < relations; r++) {
            prefix[r + 1] = prefix[r] + p->quota[(size_t)r * parts + part];
        }
    }
}

uint64_t plan_quota(const plan *p, uint32_t relation, uint32_t partition)
{
    ASSERT(relation < p->m->relations && partition < p->m->partitions);
    return p->quota[(size_t)relation * p->m->partitions + partition];
}

/* The last i < n with base[i] <= x, where base[] ascends from 0 and x < base[n]. */
static uint32_t range_of(const uint64_t *base, uint32_t n, uint64_t x)
{
    uint32_t low = 0, high = n;
    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;
        if (base[mid] <= x) {
            low = mid;
        } else {
            high = mid;
        }
    }
    return low;
}

void plan_pair(const plan *p, uint32_t partition, uint64_t index, uint32_t *relation, uint64_t *i)
{
    uint32_t relations = p->m->relations;
    const uint64_t *prefix = p->quota_prefix + (size_t)partition * (relations + 1);
    ASSERT(partition < p->m->partitions && index < prefix[relations]);
    *relation = range_of(prefix, relations, index);
    *i = index - prefix[*relation];
}

/* --- Epochs ------------------------------------------------------------------------------------
 */

static uint64_t ceil_div(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

static uint32_t clamp_u32(uint64_t x)
{
    return x > UINT32_MAX ? UINT32_MAX : (uint32_t)x;
}

/* Part j of n items cut into k parts whose sizes differ by at most one, the larger ones first. */
static void even_cut(uint64_t n, uint64_t k, uint64_t j, uint64_t *first, uint64_t *count)
{
    uint64_t size = n / k, rest = n % k;
    *first = j * size + (j < rest ? j : rest);
    *count = size + (j < rest);
}

/* Fills the rest of `e` from its positives, batch and limits.  False: nothing to do. */
static bool layout_epoch(const plan *p, epoch_layout *e, uint32_t epochs, uint32_t max_steps)
{
    uint32_t parts = p->m->partitions;
    e->chunks_per_slot = p->c->train.chunks_per_slot;
    uint64_t size = (uint64_t)e->batch * e->chunks_per_slot;
    e->slot_base = xcalloc((size_t)parts + 1, sizeof *e->slot_base);
    for (uint32_t i = 0; i < parts; i++) {
        e->slot_base[i + 1] = e->slot_base[i] + ceil_div(e->positives[i], size);
    }
    e->slots = e->slot_base[parts];
    uint64_t per_epoch = ceil_div(e->slots, p->c->train.microbatches_per_step);
    e->steps_per_epoch = clamp_u32(per_epoch);
    wide steps = epochs ? (wide)epochs * per_epoch : max_steps;
    if (max_steps && steps > max_steps) steps = max_steps;
    e->steps = steps > UINT32_MAX ? UINT32_MAX : (uint32_t)steps;
    return e->slots && e->steps;
}

static err_code layout_hgnn(plan *p)
{
    epoch_layout *e = &p->hgnn;
    uint32_t parts = p->m->partitions, relations = p->m->relations;
    e->positives = xcalloc((size_t)parts + 1, sizeof *e->positives);
    for (uint32_t i = 0; i < parts; i++) {
        e->positives[i] = p->quota_prefix[(size_t)i * (relations + 1) + relations];
    }
    e->batch = p->c->hgnn.batch;
    e->patience = p->c->hgnn.patience;
    e->optimizer = &p->c->hgnn.optimizer;
    if (layout_epoch(p, e, p->c->hgnn.epochs, p->c->hgnn.max_steps)) return ERR_OK;
    log_user_error("hgnn: nothing to train on: %s",
                   e->slots ? "hgnn.epochs and hgnn.max_steps are both 0"
                            : "no relation of the graph has an edge (graph.relations, "
                              "graph.min_users, graph.window_days, data.kinds)");
    return ERR_INVALID;
}

static err_code layout_tower(plan *p)
{
    epoch_layout *e = &p->tower;
    uint32_t parts = p->m->partitions;
    e->positives = xcalloc((size_t)parts + 1, sizeof *e->positives);
    for (uint32_t i = 0; i < parts; i++) e->positives[i] = p->m->positives[i];
    e->batch = p->c->two_tower.batch;
    e->patience = p->c->two_tower.patience;
    e->optimizer = &p->c->two_tower.optimizer;
    if (layout_epoch(p, e, p->c->two_tower.epochs, p->c->two_tower.max_steps)) return ERR_OK;
    log_user_error("two_tower: nothing to train on: %s",
                   e->slots ? "two_tower.epochs and two_tower.max_steps are both 0"
                            : "no user has a train event with the role positive "
                              "(two_tower.targets, data.kinds)");
    return ERR_INVALID;
}

/* --- Chunks of nodes and users -----------------------------------------------------------------
 */

static void layout_init(chunk_layout *l, uint32_t ranges, uint32_t size)
{
    l->ranges = ranges;
    l->size = size;
    l->begin = xcalloc((size_t)ranges + 1, sizeof *l->begin);
    l->count = xcalloc((size_t)ranges + 1, sizeof *l->count);
    l->chunk = xcalloc((size_t)ranges + 1, sizeof *l->chunk);
}

static void layout_fini(chunk_layout *l)
{
    free(l->begin);
    free(l->count);
    free(l->chunk);
}

static void layout_count(chunk_layout *l)
{
    for (uint32_t i = 0; i < l->ranges; i++) {
        l->chunk[i + 1] = l->chunk[i] + (uint32_t)ceil_div(l->count[i], l->size);
    }
}

/* `sample`: the first `limit` of `all` in proportion to the ranges' sizes available[]. */
static void layout_sample(chunk_layout *sample, const chunk_layout *all, const uint32_t *available,
                          uint32_t limit)
{
    layout_init(sample, all->ranges, all->size);
    uint64_t *weight = xcalloc((size_t)all->ranges + 1, sizeof *weight);
    uint64_t *share = xcalloc((size_t)all->ranges + 1, sizeof *share);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < all->ranges; i++) {
        weight[i] = available[i];
        sum += weight[i];
    }
    plan_split(share, weight, all->ranges, limit && limit < sum ? limit : sum);
    for (uint32_t i = 0; i < all->ranges; i++) {
        sample->begin[i] = all->begin[i];
        sample->count[i] = (uint32_t)share[i];
    }
    layout_count(sample);
    free(weight);
    free(share);
}

static void layout_chunks(plan *p)
{
    const manifest *m = p->m;
    uint32_t ranges = (uint32_t)m->types.n * m->partitions;
    layout_init(&p->nodes, ranges, PLAN_CHUNK_NODES);
    for (uint32_t i = 0; i < ranges; i++) {
        p->nodes.begin[i] = m->node_base[i];
        p->nodes.count[i] = m->node_base[i + 1] - m->node_base[i];
    }
    layout_count(&p->nodes);
    layout_sample(&p->sample_nodes, &p->nodes, p->nodes.count, p->c->validate.items);
    layout_init(&p->users, m->partitions, PLAN_CHUNK_USERS);
    for (uint32_t i = 0; i < m->partitions; i++) {
        p->users.begin[i] = m->user_base[i];
        p->users.count[i] = m->user_base[i + 1] - m->user_base[i];
    }
    layout_count(&p->users);
    layout_sample(&p->sample_users, &p->users, m->valid_users, p->c->validate.users);
}

static bool layout_get(const chunk_layout *l, uint32_t chunk, uint32_t *range, uint32_t *first,
                       uint32_t *count)
{
    if (chunk >= l->chunk[l->ranges]) return false;
    uint32_t low = 0, high = l->ranges;
    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;
        if (l->chunk[mid] <= chunk) {
            low = mid;
        } else {
            high = mid;
        }
    }
    uint32_t offset = (chunk - l->chunk[low]) * l->size, rest = l->count[low] - offset;
    *range = low;
    *first = l->begin[low] + offset;
    *count = rest < l->size ? rest : l->size;
    return true;
}

uint32_t plan_sample_nodes(const plan *p, uint32_t type, uint32_t partition)
{
    ASSERT(type < p->m->types.n && partition < p->m->partitions);
    return p->sample_nodes.count[type * p->m->partitions + partition];
}

uint32_t plan_sample_users(const plan *p, uint32_t partition)
{
    ASSERT(partition < p->m->partitions);
    return p->sample_users.count[partition];
}

bool plan_in_sample(const plan *p, uint32_t node)
{
    const manifest *m = p->m;
    ASSERT(node < m->items);
    uint32_t low = 0, high = p->nodes.ranges;
    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;
        if (m->node_base[mid] <= node) {
            low = mid;
        } else {
            high = mid;
        }
    }
    return node - m->node_base[low] < p->sample_nodes.count[low];
}

/* --- The whole ---------------------------------------------------------------------------------
 */

err_code plan_new(const config *c, const manifest *m, plan **out)
{
    plan *p = xcalloc(1, sizeof *p);
    p->c = c;
    p->m = m;
    p->with_no_z = c->two_tower.use_z && (c->evaluate.baselines & BASELINE_TWO_TOWER_NO_Z);
    make_quotas(p);
    layout_chunks(p);
    err_code rc = layout_hgnn(p);
    if (rc == ERR_OK) rc = layout_tower(p);
    if (rc != ERR_OK) {
        plan_free(p);
        return rc;
    }
    *out = p;
    return ERR_OK;
}

void plan_free(plan *p)
{
    if (!p) return;
    free(p->quota);
    free(p->quota_prefix);
    free(p->hgnn.positives);
    free(p->hgnn.slot_base);
    free(p->tower.positives);
    free(p->tower.slot_base);
    layout_fini(&p->nodes);
    layout_fini(&p->sample_nodes);
    layout_fini(&p->users);
    layout_fini(&p->sample_users);
    free(p);
}

bool plan_is_training(uint32_t stage)
{
    return stage == STAGE_HGNN || stage == STAGE_TWO_TOWER || stage == STAGE_TWO_TOWER_NO_Z;
}

bool plan_has_stage(const plan *p, uint32_t stage)
{
    uint32_t trained = plan_trained_stage(stage);
    if (trained != STAGE_NONE) stage = trained;
    if (stage == STAGE_TWO_TOWER_NO_Z) return p->with_no_z;
    return stage == STAGE_HGNN || stage == STAGE_EMBED || stage == STAGE_TWO_TOWER ||
           stage == STAGE_VECTORS;
}

uint32_t plan_stages(const plan *p, uint32_t stages[STAGE_COUNT])
{
    static const uint32_t order[] = {STAGE_HGNN, STAGE_EMBED, STAGE_TWO_TOWER, STAGE_TWO_TOWER_NO_Z,
                                     STAGE_VECTORS};
    uint32_t n = 0;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        if (plan_has_stage(p, order[i])) stages[n++] = order[i];
    }
    return n;
}

uint32_t plan_valid_stage(uint32_t stage)
{
    return plan_is_training(stage) ? stage + 1 : STAGE_NONE;
}

uint32_t plan_trained_stage(uint32_t valid_stage)
{
    return valid_stage && plan_is_training(valid_stage - 1) ? valid_stage - 1 : STAGE_NONE;
}

_Static_assert(STAGE_HGNN_VALID == STAGE_HGNN + 1 && STAGE_TWO_TOWER_VALID == STAGE_TWO_TOWER + 1 &&
                   STAGE_TWO_TOWER_NO_Z_VALID == STAGE_TWO_TOWER_NO_Z + 1,
               "a stage's validation follows it");

static const epoch_layout *layout_of(const plan *p, uint32_t stage)
{
    ASSERT(plan_is_training(stage));
    return stage == STAGE_HGNN ? &p->hgnn : &p->tower;
}

const char *plan_metric(uint32_t stage)
{
    uint32_t trained = plan_trained_stage(stage);
    if (trained == STAGE_NONE) trained = stage;
    if (!plan_is_training(trained)) return "";
    return trained == STAGE_HGNN ? "mrr_100" : "hr_10";
}

uint32_t plan_patience(const plan *p, uint32_t stage)
{
    return plan_is_training(stage) ? layout_of(p, stage)->patience : 0;
}

uint32_t plan_steps(const plan *p, uint32_t stage)
{
    if (!plan_has_stage(p, stage)) return 0;
    if (plan_is_training(stage)) return layout_of(p, stage)->steps;
    switch (stage) {
    case STAGE_EMBED: return (uint32_t)p->c->hgnn.layers;
    case STAGE_HGNN_VALID: return (uint32_t)p->c->hgnn.layers + 1;
    case STAGE_TWO_TOWER_VALID:
    case STAGE_TWO_TOWER_NO_Z_VALID: return 2;
    case STAGE_VECTORS: return p->with_no_z ? 4 : 2;
    default: return 0;
    }
}

uint32_t plan_steps_per_epoch(const plan *p, uint32_t stage)
{
    return plan_is_training(stage) ? layout_of(p, stage)->steps_per_epoch : plan_steps(p, stage);
}

/* The chunks of a step that does not train. */
static const chunk_layout *step_chunks(const plan *p, uint32_t stage, uint32_t step)
{
    uint32_t layers = (uint32_t)p->c->hgnn.layers;
    switch (stage) {
    case STAGE_EMBED: return &p->nodes;
    case STAGE_HGNN_VALID:
        if (step > layers) return &p->sample_users;
        return step < layers ? &p->nodes : &p->sample_nodes;
    case STAGE_TWO_TOWER_VALID:
    case STAGE_TWO_TOWER_NO_Z_VALID: return step == 1 ? &p->sample_nodes : &p->sample_users;
    case STAGE_VECTORS: return step % 2 ? &p->nodes : &p->users;
    default: UNREACHABLE();
    }
}

static uint64_t first_of_step(const plan *p, const epoch_layout *e, uint32_t step)
{
    return (uint64_t)((step - 1) % e->steps_per_epoch) * p->c->train.microbatches_per_step;
}

uint32_t plan_slots(const plan *p, uint32_t stage, uint32_t step)
{
    if (step < 1 || step > plan_steps(p, stage)) return 0;
    if (!plan_is_training(stage)) {
        const chunk_layout *l = step_chunks(p, stage, step);
        return l->chunk[l->ranges];
    }
    const epoch_layout *e = layout_of(p, stage);
    uint64_t left = e->slots - first_of_step(p, e, step);
    uint32_t m = p->c->train.microbatches_per_step;
    return left < m ? (uint32_t)left : m;
}

uint32_t plan_epoch(const plan *p, uint32_t stage, uint32_t step)
{
    ASSERT(plan_trained_stage(stage) == STAGE_NONE);
    if (plan_is_training(stage)) return (step - 1) / layout_of(p, stage)->steps_per_epoch + 1;
    return stage == STAGE_EMBED ? step : 1;
}

slot_name plan_name(const plan *p, uint32_t stage, uint32_t step, uint32_t slot)
{
    return (slot_name){stage, plan_epoch(p, stage, step), step, slot};
}

static void train_work(const plan *p, slot_name name, plan_work *out)
{
    const epoch_layout *e = layout_of(p, name.stage);
    uint64_t key = rng_key(p->c->seed, name.stage, name.epoch, 0, 0, USE_SLOTS);
    uint64_t slot = rng_permute(key, e->slots, first_of_step(p, e, name.step) + name.slot);
    uint32_t part = range_of(e->slot_base, p->m->partitions, slot);
    uint64_t first, count;
    even_cut(e->positives[part], e->slot_base[part + 1] - e->slot_base[part],
             slot - e->slot_base[part], &first, &count);
    *out = (plan_work){.kind = PLAN_TRAIN,
                       .partition = part,
                       .type = PLAN_NO_TYPE,
                       .first = first,
                       .count = (uint32_t)count,
                       .chunks = (uint32_t)ceil_div(count, e->batch)};
}

static bool chunk_work(const plan *p, slot_name name, plan_work *out)
{
    const chunk_layout *l = step_chunks(p, name.stage, name.step);
    uint32_t range, first, count;
    if (!layout_get(l, name.slot, &range, &first, &count)) return false;
    bool users = l == &p->users || l == &p->sample_users;
    bool embeds = name.stage == STAGE_EMBED || name.stage == STAGE_HGNN_VALID;
    *out = (plan_work){.kind = l == &p->sample_users ? PLAN_SCORE : PLAN_PUT,
                       .partition = range % p->m->partitions,
                       .type = users ? PLAN_NO_TYPE : range / p->m->partitions,
                       .layer = embeds && !users ? name.step : 0,
                       .users = users,
                       .first = first,
                       .count = count,
                       .chunks = 1};
    return true;
}

bool plan_slot(const plan *p, slot_name name, plan_work *out)
{
    if (name.slot >= plan_slots(p, name.stage, name.step)) return false;
    uint32_t trained = plan_trained_stage(name.stage);
    if (trained != STAGE_NONE) {
        return plan_validates(p, trained, name.epoch) && chunk_work(p, name, out);
    }
    if (name.epoch != plan_epoch(p, name.stage, name.step)) return false;
    if (!plan_is_training(name.stage)) return chunk_work(p, name, out);
    train_work(p, name, out);
    return true;
}

uint64_t plan_step_examples(const plan *p, uint32_t stage, uint32_t step)
{
    uint64_t sum = 0;
    for (uint32_t i = 0, n = plan_slots(p, stage, step); i < n; i++) {
        plan_work w;
        if (plan_slot(p, plan_name(p, stage, step, i), &w)) sum += w.count;
    }
    return sum;
}

void plan_chunk(const plan_work *w, uint32_t chunk, uint64_t *first, uint32_t *count)
{
    ASSERT(chunk < w->chunks);
    uint64_t offset, n;
    even_cut(w->count, w->chunks, chunk, &offset, &n);
    *first = w->first + offset;
    *count = (uint32_t)n;
}

bool plan_validates(const plan *p, uint32_t stage, uint32_t step)
{
    if (!plan_is_training(stage) || !plan_has_stage(p, stage)) return false;
    uint32_t steps = plan_steps(p, stage);
    if (step < 1 || step > steps || !p->sample_users.chunk[p->m->partitions]) return false;
    uint32_t every = p->c->validate.every;
    return step == steps || (every && step % every == 0);
}

float plan_lr_scale(const plan *p, uint32_t stage, uint32_t step)
{
    const epoch_layout *e = layout_of(p, stage);
    const config_optimizer *o = e->optimizer;
    ASSERT(step >= 1 && step <= e->steps);
    uint32_t warm = o->warmup_steps < e->steps / 4 ? o->warmup_steps : e->steps / 4;
    if (step <= warm) return (float)((double)step / warm);
    if (o->schedule == SCHEDULE_CONSTANT) return 1;
    double done = (double)(step - 1 - warm) / (e->steps - warm);
    return (float)(0.5 * (1 + vmath_cos(PI * done)));
}

float plan_lr(const plan *p, uint32_t stage, uint32_t step)
{
    return layout_of(p, stage)->optimizer->lr * plan_lr_scale(p, stage, step);
}

uint64_t plan_positives(const plan *p, uint32_t stage, uint32_t partition)
{
    ASSERT(partition < p->m->partitions);
    return layout_of(p, stage)->positives[partition];
}

uint64_t plan_position(const plan *p, uint32_t stage, uint32_t epoch, uint32_t partition,
                       uint64_t position)
{
    uint64_t n = plan_positives(p, stage, partition);
    ASSERT(position < n);
    uint64_t key = rng_key(p->c->seed, stage, epoch, partition, 0, USE_PERMUTE);
    return rng_permute(key, n, position);
}

/* --- Placement ---------------------------------------------------------------------------------
 */

/* The first of the n but for `without` (n: all of them). */
static uint32_t rendezvous(uint32_t what, uint32_t n, uint32_t without, uint64_t seed)
{
    uint32_t best = n;
    uint64_t best_hash = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t pair[2] = {what, i};
        uint64_t h = hash64(pair, sizeof pair, seed);
        if (i == without || (best < n && h <= best_hash)) continue;
        best = i;
        best_hash = h;
    }
    ASSERT(best < n);
    return best;
}

enum { SEED_PARTITION = 1, SEED_VSHARD = 2, SEED_KEY = 3 };

uint32_t plan_partition_owner(uint32_t partition, uint32_t samplers)
{
    return rendezvous(partition, samplers, samplers, SEED_PARTITION);
}

uint32_t plan_vshard_owner(uint32_t vshard, uint32_t servers)
{
    return rendezvous(vshard, servers, servers, SEED_VSHARD);
}

uint32_t plan_vshard_second(uint32_t vshard, uint32_t servers)
{
    return rendezvous(vshard, servers, plan_vshard_owner(vshard, servers), SEED_VSHARD);
}

uint32_t plan_vshard(uint64_t key, uint32_t virtual_shards)
{
    ASSERT(virtual_shards > 0);
    uint64_t h = hash64(&key, sizeof key, SEED_KEY);
    return (uint32_t)(((wide)h * virtual_shards) >> 64);
}
