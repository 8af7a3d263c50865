/* Proves: a slot's bytes do not depend on threads, caches or repeats; what is not finite becomes a
 * void push; clipping bounds the norm; every kind of slot gives what its round expects; tasks that
 * were dropped, wrong micro-batches and wrong replies are errors, not crashes. */
#include "worker/engine.h"

#include "common/mem.h"
#include "common/microbatch.h"
#include "common/table_id.h"
#include "testing_files.h"
#include "testing_prepare.h"
#include "testing_slot.h"

#include <check.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define KEYS TESTING_JOB_KEYS "train: {chunks_per_slot: 3, microbatches_per_step: 2}\n"

static testing_bench bench;

static void set_up(void)
{
    testing_enter_folder();
    testing_bench_open(&bench, KEYS);
}

static void tear_down(void)
{
    testing_bench_close(&bench);
    testing_leave_folder();
}

static slot_name slot_of(uint32_t stage, uint32_t step, uint32_t slot)
{
    return plan_name(bench.job->plan, stage, step, slot);
}

/* The bodies of the slot, computed by an engine of its own; bodies owned. */
static void compute(slot_name name, uint32_t threads, blob *body[TESTING_SERVERS])
{
    testing_lease l;
    engine *e = engine_new(bench.job, threads);
    testing_lease_open(&l, &bench, name);
    const worker_output *out = testing_lease_compute(&l, e);
    ck_assert_uint_eq(out->bodies, TESTING_SERVERS);
    for (int i = 0; i < TESTING_SERVERS; i++) body[i] = blob_ref(out->body[i]);
    engine_done(NULL, 0, out);
    testing_lease_close(&l);
    engine_free(e);
}

static void expect_same(blob *const a[TESTING_SERVERS], blob *const b[TESTING_SERVERS])
{
    for (int i = 0; i < TESTING_SERVERS; i++) {
        ck_assert_uint_eq(blob_size(a[i]), blob_size(b[i]));
        ck_assert_mem_eq(blob_data(a[i]), blob_data(b[i]), blob_size(a[i]));
    }
}

static void drop(blob *body[TESTING_SERVERS])
{
    for (int i = 0; i < TESTING_SERVERS; i++) blob_unref(body[i]);
}

static push_view decode(const blob *body)
{
    push_view v;
    ck_assert_int_eq(push_decode(body, &v), ERR_OK);
    return v;
}

START_TEST(threads_change_no_byte)
{
    static const uint32_t stages[] = {STAGE_HGNN, STAGE_TWO_TOWER, STAGE_TWO_TOWER_NO_Z};
    slot_name name = slot_of(stages[_i], 2, 1);
    blob *one[TESTING_SERVERS], *three[TESTING_SERVERS], *many[TESTING_SERVERS];
    testing_lease l;
    testing_lease_open(&l, &bench, name);
    microbatch *b;
    ck_assert_int_eq(microbatch_decode(bench.job->manifest, l.asked.build, &b), ERR_OK);
    ck_assert_uint_eq(b->chunks, 3);
    microbatch_free(b);
    testing_lease_close(&l);
    compute(name, 1, one);
    compute(name, 3, three);
    compute(name, 9, many);
    expect_same(one, three);
    expect_same(one, many);
    push_view v = decode(one[0]);
    ck_assert_uint_gt(v.head.examples, 64);
    ck_assert(!v.head.is_void && v.head.loss > 0);
    drop(one);
    drop(three);
    drop(many);
}
END_TEST

/* Every parameter is held by one server, every row key by one, and all say the same examples. */
START_TEST(bodies_are_cut_by_server)
{
    blob *body[TESTING_SERVERS];
    compute(slot_of(STAGE_TWO_TOWER, 1, 0), 1, body);
    const model_spec *s = job_spec(bench.job, STAGE_TWO_TOWER);
    size_t floats = 0;
    uint32_t rows = 0;
    for (uint32_t i = 0; i < TESTING_SERVERS; i++) {
        push_view v = decode(body[i]);
        ck_assert_uint_eq(v.head.dense_floats,
                          table_server_floats(&bench.map, STAGE_TWO_TOWER, s->values, i));
        floats += v.head.dense_floats;
        for (uint32_t k = 0; k < v.head.sections; k++) {
            ck_assert_uint_eq(v.section[k].table, TABLE_ITEM_ID);
            ck_assert(table_keys_ascend(v.section[k].keys, v.section[k].n));
            for (uint32_t j = 0; j < v.section[k].n; j++)
                ck_assert_uint_eq(table_server_of(&bench.map, v.section[k].keys[j]), i);
            rows += v.section[k].n;
        }
    }
    ck_assert_uint_eq(floats, s->values);
    ck_assert_uint_gt(rows, 10);
    drop(body);
}
END_TEST

/* The stable keys of the items that nobody has in train. */
static size_t untrained_keys(uint64_t *keys, size_t max)
{
    size_t n = 0;
    for (uint32_t node = 0; node < bench.job->manifest->items && n < max; node++) {
        store_item item;
        ck_assert(store_item_get(bench.store, node, &item));
        if (!item.positives) keys[n++] = item.key;
    }
    return n;
}

/* Sums of |gradient| over the id rows of untrained items and of the others, over some steps. */
static void id_gradients(double *untrained, double *trained, uint32_t *seen)
{
    enum { STEPS = 4, MAX = 512 };
    uint64_t keys[MAX];
    size_t n = untrained_keys(keys, MAX);
    ck_assert_uint_gt(n, 0);
    *untrained = *trained = *seen = 0;
    for (uint32_t step = 1; step <= STEPS; step++) {
        blob *body[TESTING_SERVERS];
        compute(slot_of(STAGE_TWO_TOWER, step, 0), 1, body);
        for (uint32_t i = 0; i < TESTING_SERVERS; i++) {
            push_view v = decode(body[i]);
            for (uint32_t r = 0; v.head.sections && r < v.section[0].n; r++) {
                bool is_untrained = false;
                for (size_t k = 0; k < n; k++) is_untrained |= keys[k] == v.section[0].keys[r];
                *seen += is_untrained;
                for (uint32_t d = 0; d < v.section[0].dim; d++) {
                    double g = fabs((double)v.section[0].rows[r * v.section[0].dim + d]);
                    *(is_untrained ? untrained : trained) += g;
                }
            }
        }
        drop(body);
    }
}

/* They come up as uniform negatives, but are neither negatives nor bearers of an id. */
START_TEST(an_item_that_nobody_has_learns_no_id)
{
    double untrained, trained;
    uint32_t seen;
    id_gradients(&untrained, &trained, &seen);
    ck_assert_uint_gt(seen, 0);
    ck_assert(untrained == 0);
    ck_assert(trained > 0);
}
END_TEST

/* With (nearly) every history dropped no gradient comes through the histories: a slot's loss is
 * that of users of whom nothing is known. */
START_TEST(histories_are_dropped_in_training)
{
    slot_name name = slot_of(STAGE_TWO_TOWER, 1, 0);
    blob *kept[TESTING_SERVERS], *dropped[TESTING_SERVERS];
    compute(name, 1, kept);
    double chance = bench.job->config->two_tower.history_drop;
    bench.job->config->two_tower.history_drop = 0.999999;
    compute(name, 1, dropped);
    bench.job->config->two_tower.history_drop = chance;
    push_view a = decode(kept[0]), b = decode(dropped[0]);
    ck_assert_uint_eq(a.head.examples, b.head.examples);
    ck_assert(a.head.loss != b.head.loss);
    drop(kept);
    drop(dropped);
}
END_TEST

START_TEST(a_parameter_that_is_not_a_number_voids_the_slot)
{
    testing_lease l;
    bool again;
    const worker_output *out;
    engine *e = engine_new(bench.job, 2);
    testing_lease_open(&l, &bench, slot_of(STAGE_HGNN, 1, 0));
    ck_assert_int_eq(testing_lease_digest(&l, e, &again), ERR_OK);
    ck_assert_int_eq(testing_lease_digest(&l, e, &again), ERR_OK);
    blob **dense = testing_lease_reply(&l, NEED_DENSE, 0);
    ck_assert_ptr_nonnull(dense);
    blob *copy = blob_copy(blob_data(*dense), blob_size(*dense));
    ((float *)(void *)blob_writable(copy))[blob_size(copy) / 4 - 1] = NAN;
    blob_unref(*dense);
    *dense = copy;
    ck_assert_int_eq(engine_slot_now(e, &l.asked, &out), ERR_OK);
    ck_assert(out->is_void);
    ck_assert_uint_eq(out->examples, 0);
    ck_assert_double_eq(out->loss, 0);
    for (uint32_t i = 0; i < TESTING_SERVERS; i++) {
        push_view v = decode(out->body[i]);
        ck_assert(v.head.is_void && !v.head.sections && !v.head.dense_floats && !v.head.examples);
    }
    engine_done(NULL, 0, out);
    testing_lease_close(&l);
    engine_free(e);
}
END_TEST

/* Sum of squares of all gradients in the bodies. */
static double squares_of(blob *const body[TESTING_SERVERS], uint64_t *examples)
{
    double sum = 0;
    for (int i = 0; i < TESTING_SERVERS; i++) {
        push_view v = decode(body[i]);
        for (uint64_t k = 0; k < v.head.dense_floats; k++) sum += (double)v.dense[k] * v.dense[k];
        for (uint32_t s = 0; s < v.head.sections; s++) {
            const push_section *p = &v.section[s];
            for (size_t k = 0; k < (size_t)p->n * p->dim; k++)
                sum += (double)p->rows[k] * p->rows[k];
        }
        *examples = v.head.examples;
    }
    return sum;
}

START_TEST(clipping_bounds_the_mean_gradient)
{
    blob *free_body[TESTING_SERVERS], *clipped[TESTING_SERVERS], *same[TESTING_SERVERS];
    uint64_t examples;
    slot_name name = slot_of(STAGE_TWO_TOWER, 1, 0);
    compute(name, 1, free_body);
    double norm = sqrt(squares_of(free_body, &examples)) / (double)examples;
    bench.job->config->two_tower.optimizer.clip = (float)(norm / 4);
    compute(name, 3, clipped);
    ck_assert_double_eq_tol(sqrt(squares_of(clipped, &examples)) / (double)examples, norm / 4,
                            norm * 1e-5);
    push_view a = decode(free_body[0]), b = decode(clipped[0]);
    for (uint64_t i = 0; i < a.head.dense_floats; i++)
        ck_assert_double_eq_tol(a.dense[i] / 4, b.dense[i], fabs(a.dense[i]) * 1e-5 + 1e-12);
    bench.job->config->two_tower.optimizer.clip = (float)(norm * 2);
    compute(name, 1, same);
    expect_same(free_body, same);
    drop(free_body);
    drop(clipped);
    drop(same);
}
END_TEST

/* Rows of a PUT: one per node or user of the chunk, of length 1 where the model normalises: not
 * over the last coordinate of a vector, popularity. */
static void check_put(slot_name name, uint32_t table, bool unit)
{
    blob *body[TESTING_SERVERS];
    plan_work work;
    uint32_t rows = 0, dim = table_dim(bench.job->config, table);
    const config *c = bench.job->config;
    bool vector = (table >= TABLE_ITEM_VECTORS && table <= TABLE_NO_Z_USER_VECTORS) ||
                  table == TABLE_VALID_ITEMS;
    uint32_t normal = dim - (vector && c->two_tower.popularity);
    ck_assert(plan_slot(bench.job->plan, name, &work));
    compute(name, 2, body);
    for (int i = 0; i < TESTING_SERVERS; i++) {
        push_view v = decode(body[i]);
        ck_assert_uint_eq(v.head.dense_floats, 0);
        ck_assert(!v.head.is_void);
        for (uint32_t s = 0; s < v.head.sections; s++) {
            const push_section *p = &v.section[s];
            ck_assert_uint_eq(p->table, table);
            ck_assert_uint_eq(p->dim, dim);
            for (uint32_t r = 0; unit && r < p->n; r++) {
                double squares = 0;
                for (uint32_t k = 0; k < normal; k++)
                    squares += (double)p->rows[r * dim + k] * p->rows[r * dim + k];
                ck_assert_double_eq_tol(squares, 1, 1e-5);
            }
            rows += p->n;
        }
    }
    ck_assert_uint_eq(rows, work.count);
    drop(body);
}

START_TEST(puts_hold_every_row_of_their_chunk)
{
    check_put(slot_of(STAGE_EMBED, 1, 0), TABLE_LAYER + 1, false);
    check_put(slot_of(STAGE_EMBED, 2, 1), TABLE_Z, true);
    check_put(slot_of(STAGE_VECTORS, 1, 0), TABLE_ITEM_VECTORS, true);
    check_put(slot_of(STAGE_VECTORS, 2, 0), TABLE_USER_VECTORS, true);
    check_put(slot_of(STAGE_VECTORS, 3, 0), TABLE_NO_Z_ITEM_VECTORS, true);
    check_put(slot_of(STAGE_VECTORS, 4, 0), TABLE_NO_Z_USER_VECTORS, true);
    check_put((slot_name){STAGE_HGNN_VALID, 10, 1, 0}, TABLE_VALID_LAYER + 1, false);
    check_put((slot_name){STAGE_TWO_TOWER_VALID, 10, 1, 0}, TABLE_VALID_ITEMS, true);
}
END_TEST

START_TEST(scores_are_sums_per_type)
{
    static const slot_name names[] = {{STAGE_HGNN_VALID, 10, 3, 0},
                                      {STAGE_TWO_TOWER_VALID, 10, 2, 0}};
    testing_lease l;
    engine *e = engine_new(bench.job, 1);
    for (int twice = 0; twice < 2;
         twice++) { /* The second takes the candidates kept from the first. */
        testing_lease_open(&l, &bench, names[_i]);
        const worker_output *out = testing_lease_compute(&l, e);
        ck_assert_uint_eq(out->bodies, 0);
        ck_assert_uint_eq(out->sums_n, 2 * bench.job->manifest->types.n);
        double users = 0;
        for (uint32_t t = 0; t < out->sums_n; t += 2) {
            ck_assert(out->sums[t] >= 0 && out->sums[t] <= out->sums[t + 1]);
            users += out->sums[t + 1];
        }
        ck_assert_double_gt(users, 0);
        ck_assert(
            (testing_lease_reply(&l, NEED_ROWS, _i ? TABLE_VALID_ITEMS : TABLE_VALID_LAYER + 2) ==
             NULL) == twice);
        engine_done(NULL, 0, out);
        testing_lease_close(&l);
    }
    engine_free(e);
}
END_TEST

/* Nothing is larger than what is not a number: without care such a user would be a hit. */
START_TEST(scores_that_are_not_numbers_hit_nothing)
{
    testing_lease l;
    bool again;
    const worker_output *out;
    engine *e = engine_new(bench.job, 1);
    testing_lease_open(&l, &bench, (slot_name){STAGE_TWO_TOWER_VALID, 10, 2, 0});
    do {
        ck_assert_int_eq(testing_lease_digest(&l, e, &again), ERR_OK);
    } while (again);
    blob **dense = testing_lease_reply(&l, NEED_DENSE, 0);
    ck_assert_ptr_nonnull(dense);
    blob *copy = blob_copy(blob_data(*dense), blob_size(*dense));
    float *x = (float *)(void *)blob_writable(copy);
    for (size_t i = 0; i < blob_size(copy) / sizeof *x; i++) x[i] = NAN;
    blob_unref(*dense);
    *dense = copy;
    ck_assert_int_eq(engine_slot_now(e, &l.asked, &out), ERR_OK);
    double users = 0;
    for (uint32_t t = 0; t < out->sums_n; t += 2) {
        ck_assert_double_eq(out->sums[t], 0);
        users += out->sums[t + 1];
    }
    ck_assert_double_gt(users, 0);
    engine_done(NULL, 0, out);
    testing_lease_close(&l);
    engine_free(e);
}
END_TEST

START_TEST(caches_change_no_byte)
{
    blob *cold[TESTING_SERVERS];
    slot_name name = slot_of(STAGE_TWO_TOWER, 3, 0);
    compute(name, 1, cold);
    engine *e = engine_new(bench.job, 1);
    for (int i = 0; i < 2; i++) {
        testing_lease l;
        testing_lease_open(&l, &bench, name);
        const worker_output *out = testing_lease_compute(&l, e);
        expect_same(cold, out->body);
        bool warm = i > 0;
        ck_assert((testing_lease_reply(&l, NEED_FEATURES, 0) == NULL) == warm);
        ck_assert((testing_lease_reply(&l, NEED_ROWS, TABLE_Z) == NULL) == warm);
        ck_assert_ptr_nonnull(testing_lease_reply(&l, NEED_DENSE, 0));
        engine_done(NULL, 0, out);
        testing_lease_close(&l);
    }
    engine_free(e);
    drop(cold);
}
END_TEST

/* The slot was leased twice to this worker: the first digest is forgotten. */
START_TEST(a_repeated_digest_starts_anew)
{
    testing_lease first, second;
    blob *alone[TESTING_SERVERS];
    bool again;
    slot_name name = slot_of(STAGE_HGNN, 1, 1);
    compute(name, 1, alone);
    engine *e = engine_new(bench.job, 1);
    testing_lease_open(&first, &bench, name);
    testing_lease_open(&second, &bench, name);
    ck_assert_int_eq(testing_lease_digest(&first, e, &again), ERR_OK);
    const worker_output *out = testing_lease_compute(&second, e);
    expect_same(alone, out->body);
    engine_done(NULL, 0, out);
    ck_assert_int_eq(testing_lease_digest(&first, e, &again), ERR_CLOSED);
    ck_assert_int_eq(engine_slot_now(e, &second.asked, &out), ERR_CLOSED);
    testing_lease_close(&first);
    testing_lease_close(&second);
    engine_free(e);
    drop(alone);
}
END_TEST

/* Digests the same slot as of another round, and forgets about it. */
static void digest_and_leave(engine *e, uint32_t generation, uint32_t version)
{
    testing_lease l;
    bool again;
    testing_lease_open(&l, &bench, slot_of(STAGE_HGNN, 1, 0));
    l.asked.generation = generation;
    l.asked.version = version;
    ck_assert_int_eq(testing_lease_digest(&l, e, &again), ERR_OK);
    testing_lease_close(&l);
}

static const struct {
    uint32_t generation, version;
    err_code rc; /* of the task of round 5 of generation 2 */
} rounds[] = {{2, 6, ERR_OK}, {2, 4, ERR_OK},     {1, 99, ERR_OK},    {2, 0, ERR_OK},
              {2, 5, ERR_OK}, {2, 7, ERR_CLOSED}, {3, 0, ERR_CLOSED}, {2, 99, ERR_CLOSED}};

/* Versions and generations are tasks of their own; those of rounds that are over are not kept, as
 * large as they are. */
START_TEST(tasks_of_past_rounds_are_dropped)
{
    testing_lease first;
    bool again;
    engine *e = engine_new(bench.job, 1);
    slot_name name = slot_of(STAGE_HGNN, 1, rounds[_i].version == 5 ? 1 : 0);
    testing_lease_open(&first, &bench, name);
    first.asked.generation = 2;
    first.asked.version = 5;
    ck_assert_int_eq(testing_lease_digest(&first, e, &again), ERR_OK);
    digest_and_leave(e, rounds[_i].generation, rounds[_i].version);
    ck_assert_int_eq(testing_lease_digest(&first, e, &again), rounds[_i].rc);
    testing_lease_close(&first);
    engine_free(e);
}
END_TEST

START_TEST(wrong_micro_batches_are_refused)
{
    testing_lease l, other;
    bool again;
    engine *e = engine_new(bench.job, 1);
    testing_lease_open(&l, &bench, slot_of(STAGE_HGNN, 1, 0));
    testing_lease_open(&other, &bench, slot_of(STAGE_HGNN, 1, 1));
    blob *own = l.asked.build;
    l.asked.build = other.asked.build;
    ck_assert_int_eq(testing_lease_digest(&l, e, &again), ERR_INVALID);
    l.asked.build = NULL;
    ck_assert_int_eq(testing_lease_digest(&l, e, &again), ERR_INVALID);
    blob *cut = blob_copy(blob_data(own), blob_size(own) - 8);
    l.asked.build = cut;
    ck_assert_int_eq(testing_lease_digest(&l, e, &again), ERR_INVALID);
    l.asked.build = own;
    l.asked.name.step = 9999;
    ck_assert_int_eq(testing_lease_digest(&l, e, &again), ERR_NOT_FOUND);
    l.asked.name.step = 1;
    ck_assert_int_eq(testing_lease_digest(&l, e, &again), ERR_OK);
    blob_unref(cut);
    testing_lease_close(&l);
    testing_lease_close(&other);
    engine_free(e);
}
END_TEST

/* Replaces a reply by one that is `less` bytes shorter. */
static void shorten(blob **reply, size_t less)
{
    ck_assert_ptr_nonnull(reply);
    blob *cut =
        less < blob_size(*reply) ? blob_copy(blob_data(*reply), blob_size(*reply) - less) : NULL;
    blob_unref(*reply);
    *reply = cut;
}

START_TEST(wrong_replies_are_refused)
{
    static const struct {
        worker_need_kind kind;
        uint32_t table;
        size_t less;
    } cases[] = {
        {NEED_FEATURES, 0, 8},          {NEED_FEATURES, 0, SIZE_MAX}, {NEED_ROWS, TABLE_Z, 32},
        {NEED_ROWS, TABLE_Z, SIZE_MAX}, {NEED_DENSE, 0, 4},           {NEED_DENSE, 0, SIZE_MAX},
        {NEED_ROWS, TABLE_ITEM_ID, 16}};
    testing_lease l;
    bool again = true;
    err_code rc = ERR_OK;
    const worker_output *out;
    engine *e = engine_new(bench.job, 1);
    testing_lease_open(&l, &bench, slot_of(STAGE_TWO_TOWER, 1, 0));
    for (bool cut = false; rc == ERR_OK && again;) {
        rc = testing_lease_digest(&l, e, &again);
        blob **reply = testing_lease_reply(&l, cases[_i].kind, cases[_i].table);
        if (reply && !cut) {
            shorten(reply, cases[_i].less);
            cut = true;
        }
    }
    if (rc == ERR_OK) rc = engine_slot_now(e, &l.asked, &out);
    ck_assert_int_eq(rc, ERR_INVALID);
    testing_lease_close(&l);
    engine_free(e);
}
END_TEST

/* ---- Threads of its own ---- */

typedef struct box {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t token;
    err_code status;
    const void *detail;
} box;

static void put_in_box(void *shell, uint64_t token, err_code status, const void *detail)
{
    box *b = shell;
    pthread_mutex_lock(&b->lock);
    b->token = token;
    b->status = status;
    b->detail = detail;
    pthread_cond_signal(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

static const void *wait_for(box *b, uint64_t token)
{
    pthread_mutex_lock(&b->lock);
    while (b->token != token) pthread_cond_wait(&b->changed, &b->lock);
    pthread_mutex_unlock(&b->lock);
    ck_assert_int_eq(b->status, ERR_OK);
    return b->detail;
}

START_TEST(lanes_compute_the_same)
{
    box b = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    testing_lease l;
    blob *alone[TESTING_SERVERS];
    slot_name name = slot_of(STAGE_TWO_TOWER_NO_Z, 1, 0);
    compute(name, 1, alone);
    engine *e = engine_new(bench.job, 2);
    engine_start(e);
    testing_lease_open(&l, &bench, name);
    uint64_t token = 1;
    for (bool again = true; again; token++) {
        engine_compute(e, token, WORKER_DIGEST, &l.asked, put_in_box, &b);
        const worker_digest *d = wait_for(&b, token);
        for (uint32_t i = 0; i < d->needs; i++) {
            uint32_t at = l.asked.needs++;
            l.need[at] = d->need[i];
            blob_ref(l.need[at].body);
            ck_assert_int_eq(replay_source_answer(bench.source, &l.need[at], &l.reply[at]), ERR_OK);
        }
        again = d->again;
        engine_done(NULL, 0, d);
    }
    engine_compute(e, token, WORKER_SLOT, &l.asked, put_in_box, &b);
    const worker_output *out = wait_for(&b, token);
    expect_same(alone, out->body);
    engine_done(NULL, 0, out);
    engine_stop(e);
    testing_lease_close(&l);
    engine_free(e);
    drop(alone);
}
END_TEST

/* One request per partition, however many there are. */
START_TEST(hundreds_of_partitions)
{
    enum { PARTITIONS = 270 };
    testing_enter_folder();
    testing_prepare_write(400, 900, 9000, 5);
    config *c = testing_prepare_config(TESTING_JOB_KEYS "train: {chunks_per_slot: 4}\n");
    c->graph.partitions = PARTITIONS;
    char *folder = testing_prepare_run(c);
    job *j;
    ck_assert_int_eq(job_load(c, folder, &j), ERR_OK);
    testing_bench wide;
    testing_lease l;
    testing_bench_use(&wide, j, folder);
    engine *e = engine_new(j, 1);
    testing_lease_open(&l, &wide, (slot_name){STAGE_HGNN_VALID, 10, 3, 0}); /* All items. */
    const worker_output *out = testing_lease_compute(&l, e);
    ck_assert_uint_gt(l.asked.needs, 256);
    ck_assert_uint_eq(out->sums_n, 2 * j->manifest->types.n);
    engine_done(NULL, 0, out);
    testing_lease_close(&l);
    engine_free(e);
    testing_bench_close(&wide);
    testing_leave_folder();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("engine");
    TCase *c = tcase_create("all"), *alone = tcase_create("alone");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_loop_test(c, threads_change_no_byte, 0, 3);
    tcase_add_test(c, bodies_are_cut_by_server);
    tcase_add_test(c, an_item_that_nobody_has_learns_no_id);
    tcase_add_test(c, histories_are_dropped_in_training);
    tcase_add_test(c, a_parameter_that_is_not_a_number_voids_the_slot);
    tcase_add_test(c, clipping_bounds_the_mean_gradient);
    tcase_add_test(c, puts_hold_every_row_of_their_chunk);
    tcase_add_loop_test(c, scores_are_sums_per_type, 0, 2);
    tcase_add_test(c, scores_that_are_not_numbers_hit_nothing);
    tcase_add_test(c, caches_change_no_byte);
    tcase_add_test(c, a_repeated_digest_starts_anew);
    tcase_add_loop_test(c, tasks_of_past_rounds_are_dropped, 0,
                        (int)(sizeof rounds / sizeof *rounds));
    tcase_add_test(c, wrong_micro_batches_are_refused);
    tcase_add_loop_test(c, wrong_replies_are_refused, 0, 7);
    tcase_add_test(c, lanes_compute_the_same);
    tcase_add_test(alone, hundreds_of_partitions);
    suite_add_tcase(s, c);
    suite_add_tcase(s, alone);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
