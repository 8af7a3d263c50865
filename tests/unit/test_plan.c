/* Proves: the plan cuts every epoch into slots without losing or repeating a positive, splits
 * quotas as promised, and gives the same numbers on every machine and in every version (golden
 * values). */
#include "common/plan.h"
#include "testing_plan.h"

#include "common/hash.h"
#include "common/mem.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static config *c;
static manifest *m;
static plan *p;

static void setup(void)
{
    c = testing_plan_config();
    m = testing_plan_manifest();
    p = NULL;
}

static void teardown(void)
{
    plan_free(p);
    manifest_free(m);
    free(c);
}

static void make(void)
{
    plan_free(p);
    p = NULL;
    ck_assert_int_eq(plan_new(c, m, &p), ERR_OK);
}

/* --- Quotas --- */

static uint64_t quota_sum(uint32_t relation)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < m->partitions; i++) sum += plan_quota(p, relation, i);
    return sum;
}

START_TEST(balance_min_takes_the_smallest_relation_or_the_floor)
{
    c->hgnn.balance_floor = 100;
    make();
    for (uint32_t r = 0; r < m->relations; r++) {
        uint64_t edges = m->relation[r].edges;
        ck_assert_uint_eq(quota_sum(r), edges < 100 ? edges : 100);
    }
    c->hgnn.balance_floor = 0;
    make();
    for (uint32_t r = 0; r < m->relations; r++) {
        ck_assert_uint_eq(quota_sum(r), m->relation[r].edges ? 9 : 0); /* the smallest has 9 */
    }
}
END_TEST

START_TEST(balance_none_takes_all_and_sqrt_lies_between)
{
    c->hgnn.balance = BALANCE_NONE;
    make();
    for (uint32_t r = 0; r < m->relations; r++) {
        ck_assert_uint_eq(quota_sum(r), m->relation[r].edges);
    }
    c->hgnn.balance = BALANCE_SQRT;
    c->hgnn.balance_floor = 100;
    make();
    ck_assert_uint_eq(quota_sum(0), 1732); /* isqrt(30000 x 100) */
    ck_assert_uint_eq(quota_sum(6), 40);
}
END_TEST

START_TEST(quotas_by_edges_never_exceed_a_partitions_edges)
{
    c->hgnn.pairs = PAIRS_EDGES;
    for (uint32_t floor = 0; floor < 1000; floor += 37) {
        c->hgnn.balance_floor = floor;
        make();
        for (uint32_t r = 0; r < m->relations; r++) {
            for (uint32_t i = 0; i < m->partitions; i++) {
                ck_assert_uint_le(plan_quota(p, r, i), m->relation[r].partition_edges[i]);
            }
        }
    }
}
END_TEST

START_TEST(split_gives_all_of_the_total_within_one_of_proportion)
{
    uint64_t weight[7] = {0, 1, 5, UINT64_C(1) << 40, 3, 0, UINT64_C(1) << 39}, share[7];
    uint64_t x = 12345;
    for (int round = 0; round < 200; round++) {
        uint64_t sum = 0, total;
        for (int i = 0; i < 7; i++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            weight[i] = round == 0 ? weight[i] : (x >> 40) % (1 + (x >> 20) % 1000);
            sum += weight[i];
        }
        total = x % 100000;
        plan_split(share, weight, 7, total);
        uint64_t given = 0;
        for (int i = 0; i < 7; i++) {
            given += share[i];
            double exact = sum ? (double)total * (double)weight[i] / (double)sum : 0;
            ck_assert(fabs((double)share[i] - exact) < 1.0001);
            if (!weight[i]) ck_assert_uint_eq(share[i], 0);
        }
        ck_assert_uint_eq(given, sum ? total : 0);
    }
}
END_TEST

/* --- Epochs --- */

static uint64_t check_epoch(uint32_t stage, uint32_t epoch)
{
    uint64_t all = 0;
    uint8_t *seen[4];
    for (uint32_t i = 0; i < 4; i++) seen[i] = xcalloc(plan_positives(p, stage, i) + 1, 1);
    uint32_t per_epoch = plan_steps_per_epoch(p, stage);
    for (uint32_t s = (epoch - 1) * per_epoch + 1; s <= epoch * per_epoch; s++) {
        ck_assert_uint_eq(plan_epoch(p, stage, s), epoch);
        uint32_t slots = plan_slots(p, stage, s);
        ck_assert(slots >= 1 && slots <= c->train.microbatches_per_step);
        ck_assert(s % per_epoch == 0 || slots == c->train.microbatches_per_step);
        for (uint32_t j = 0; j < slots; j++) {
            plan_work w;
            ck_assert(plan_slot(p, plan_name(p, stage, s, j), &w));
            ck_assert_int_eq(w.kind, PLAN_TRAIN);
            uint64_t next = w.first;
            for (uint32_t k = 0; k < w.chunks; k++) {
                uint64_t first;
                uint32_t count;
                plan_chunk(&w, k, &first, &count);
                ck_assert_uint_eq(first, next);
                ck_assert(count >= 1 &&
                          count <= (stage == STAGE_HGNN ? c->hgnn.batch : c->two_tower.batch));
                next += count;
            }
            ck_assert_uint_eq(next, w.first + w.count);
            for (uint32_t k = 0; k < w.count; k++) {
                ck_assert_uint_lt(w.first + k, plan_positives(p, stage, w.partition));
                uint64_t index = plan_position(p, stage, epoch, w.partition, w.first + k);
                ck_assert_uint_eq(seen[w.partition][index]++, 0);
                all++;
            }
        }
    }
    for (uint32_t i = 0; i < 4; i++) free(seen[i]);
    return all;
}

START_TEST(an_epoch_holds_every_positive_once)
{
    c->hgnn.batch = 100;
    c->hgnn.balance_floor = 2000;
    c->two_tower.batch = 64;
    for (uint32_t chunks = 1; chunks <= 3; chunks++) {
        c->train.chunks_per_slot = chunks;
        c->train.microbatches_per_step = 1 + 2 * chunks;
        make();
        uint64_t pairs = 0, rows = 0;
        for (uint32_t i = 0; i < 4; i++) {
            pairs += plan_positives(p, STAGE_HGNN, i);
            rows += plan_positives(p, STAGE_TWO_TOWER, i);
        }
        ck_assert_uint_eq(rows, 330 * 13);
        for (uint32_t epoch = 1; epoch <= 2; epoch++) {
            ck_assert_uint_eq(check_epoch(STAGE_HGNN, epoch), pairs);
            ck_assert_uint_eq(check_epoch(STAGE_TWO_TOWER, epoch), rows);
        }
    }
}
END_TEST

START_TEST(epochs_and_stages_are_permuted_differently)
{
    make();
    uint32_t same = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t a = plan_position(p, STAGE_TWO_TOWER, 1, 0, i);
        same += a == plan_position(p, STAGE_TWO_TOWER, 2, 0, i);
        same += a == plan_position(p, STAGE_TWO_TOWER_NO_Z, 1, 0, i);
        same += a == plan_position(p, STAGE_TWO_TOWER, 1, 1, i);
    }
    ck_assert_uint_lt(same, 30);
}
END_TEST

START_TEST(a_pair_index_names_its_relation_and_place)
{
    make();
    for (uint32_t part = 0; part < 4; part++) {
        uint64_t index = 0;
        for (uint32_t r = 0; r < m->relations; r++) {
            for (uint64_t i = 0; i < plan_quota(p, r, part); i++, index++) {
                uint32_t got;
                uint64_t at;
                plan_pair(p, part, index, &got, &at);
                ck_assert_uint_eq(got, r);
                ck_assert_uint_eq(at, i);
            }
        }
        ck_assert_uint_eq(index, plan_positives(p, STAGE_HGNN, part));
    }
}
END_TEST

/* --- Stages, limits, validation --- */

START_TEST(stages_follow_the_configuration)
{
    uint32_t stages[STAGE_COUNT];
    make();
    ck_assert_uint_eq(plan_stages(p, stages), 5);
    ck_assert_uint_eq(stages[0], STAGE_HGNN);
    ck_assert_uint_eq(stages[3], STAGE_TWO_TOWER_NO_Z);
    ck_assert_uint_eq(stages[4], STAGE_VECTORS);
    ck_assert_uint_eq(plan_steps(p, STAGE_VECTORS), 4);
    c->two_tower.use_z = false;
    make();
    ck_assert_uint_eq(plan_stages(p, stages), 4);
    ck_assert_uint_eq(plan_steps(p, STAGE_VECTORS), 2);
    ck_assert_uint_eq(plan_steps(p, STAGE_TWO_TOWER_NO_Z), 0);
    ck_assert(!plan_has_stage(p, STAGE_TWO_TOWER_NO_Z_VALID));
    ck_assert_str_eq(plan_metric(STAGE_HGNN), "mrr_100");
    ck_assert_str_eq(plan_metric(STAGE_TWO_TOWER_VALID), "hr_10");
    ck_assert_str_eq(plan_metric(STAGE_EMBED), "");
}
END_TEST

START_TEST(steps_end_at_epochs_or_max_steps)
{
    make();
    uint32_t per_epoch = plan_steps_per_epoch(p, STAGE_TWO_TOWER);
    ck_assert_uint_eq(plan_steps(p, STAGE_TWO_TOWER), 10 * per_epoch);
    c->two_tower.max_steps = 7;
    make();
    ck_assert_uint_eq(plan_steps(p, STAGE_TWO_TOWER), 7);
    c->two_tower.max_steps = 0;
    make();
    ck_assert_uint_eq(plan_steps(p, STAGE_TWO_TOWER), 10 * per_epoch);
    c->two_tower.epochs = 0;
    c->two_tower.max_steps = 9;
    make();
    ck_assert_uint_eq(plan_steps(p, STAGE_TWO_TOWER), 9);
}
END_TEST

START_TEST(nothing_to_train_on_is_invalid)
{
    plan *q = NULL;
    c->hgnn.epochs = c->hgnn.max_steps = 0;
    ck_assert_int_eq(plan_new(c, m, &q), ERR_INVALID);
    c->hgnn.epochs = 1;
    for (uint32_t i = 0; i < 4; i++) m->positives[i] = 0;
    ck_assert_int_eq(plan_new(c, m, &q), ERR_INVALID);
    ck_assert_ptr_null(q);
}
END_TEST

START_TEST(validation_is_every_n_steps_and_at_the_end)
{
    c->hgnn.max_steps = 250;
    make();
    for (uint32_t s = 0; s <= 252; s++) {
        ck_assert_int_eq(plan_validates(p, STAGE_HGNN, s), s == 100 || s == 200 || s == 250);
    }
    slot_name name = {STAGE_HGNN_VALID, 100, 1, 0};
    plan_work w;
    ck_assert(plan_slot(p, name, &w));
    name.epoch = 101;
    ck_assert(!plan_slot(p, name, &w));
    for (uint32_t i = 0; i < 4; i++) m->valid_users[i] = 0;
    make();
    ck_assert(!plan_validates(p, STAGE_HGNN, 250));
}
END_TEST

/* Chunks of one step cover every range once; returns how many nodes or users. */
static uint32_t check_chunks(uint32_t stage, uint32_t epoch, uint32_t step, plan_kind kind)
{
    uint32_t n = plan_slots(p, stage, step), sum = 0;
    uint64_t end = 0;
    for (uint32_t i = 0; i < n; i++) {
        plan_work w;
        ck_assert(plan_slot(p, (slot_name){stage, epoch, step, i}, &w));
        ck_assert_int_eq(w.kind, kind);
        ck_assert(w.first >= end && w.count >= 1);
        end = w.first + w.count;
        if (w.users) {
            ck_assert_uint_le(w.count, PLAN_CHUNK_USERS);
            ck_assert(w.first >= m->user_base[w.partition] && end <= m->user_base[w.partition + 1]);
        } else {
            uint32_t range = w.type * m->partitions + w.partition;
            ck_assert_uint_le(w.count, PLAN_CHUNK_NODES);
            ck_assert(w.first >= m->node_base[range] && end <= m->node_base[range + 1]);
        }
        sum += w.count;
    }
    plan_work w;
    ck_assert(!plan_slot(p, (slot_name){stage, epoch, step, n}, &w));
    return sum;
}

START_TEST(chunks_cover_nodes_and_users_once)
{
    make();
    ck_assert_uint_eq(check_chunks(STAGE_EMBED, 1, 1, PLAN_PUT), 759);
    ck_assert_uint_eq(check_chunks(STAGE_EMBED, 2, 2, PLAN_PUT), 759);
    for (uint32_t step = 1; step <= 4; step++) {
        uint32_t n = check_chunks(STAGE_VECTORS, 1, step, PLAN_PUT);
        ck_assert_uint_eq(n, step % 2 ? 759 : 330);
    }
    ck_assert_uint_eq(check_chunks(STAGE_HGNN_VALID, 100, 3, PLAN_SCORE), 50 + 60 + 51 + 3);
}
END_TEST

START_TEST(the_validation_sample_is_a_bounded_prefix)
{
    c->validate.items = 76;
    c->validate.users = 20;
    make();
    uint32_t last = plan_steps(p, STAGE_TWO_TOWER);
    ck_assert_uint_eq(check_chunks(STAGE_HGNN_VALID, 100, 1, PLAN_PUT), 759);
    ck_assert_uint_eq(check_chunks(STAGE_HGNN_VALID, 100, 2, PLAN_PUT), 76);
    ck_assert_uint_eq(check_chunks(STAGE_TWO_TOWER_VALID, last, 1, PLAN_PUT), 76);
    ck_assert_uint_eq(check_chunks(STAGE_TWO_TOWER_VALID, last, 2, PLAN_SCORE), 20);
    uint32_t inside = 0;
    for (uint32_t i = 0; i < m->items; i++) inside += plan_in_sample(p, i);
    ck_assert_uint_eq(inside, 76);
    for (uint32_t t = 0; t < 3; t++) {
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t n = plan_sample_nodes(p, t, i), first = m->node_base[t * 4 + i];
            if (n) ck_assert(plan_in_sample(p, first + n - 1));
            if (n < m->node_base[t * 4 + i + 1] - first) ck_assert(!plan_in_sample(p, first + n));
        }
    }
}
END_TEST

START_TEST(names_outside_the_plan_are_refused)
{
    make();
    plan_work w;
    ck_assert(!plan_slot(p, (slot_name){STAGE_HGNN, 2, 1, 0}, &w));
    ck_assert(!plan_slot(p, (slot_name){STAGE_HGNN, 1, 0, 0}, &w));
    ck_assert(!plan_slot(p, (slot_name){STAGE_HGNN, 1, 1, 2}, &w));
    ck_assert(!plan_slot(p, (slot_name){STAGE_EMBED, 1, 3, 0}, &w));
    ck_assert(!plan_slot(p, (slot_name){STAGE_EVALUATE, 1, 1, 0}, &w));
    ck_assert(!plan_slot(p, (slot_name){UINT32_MAX, 1, 1, 0}, &w));
    ck_assert_uint_eq(plan_slots(p, STAGE_HGNN, UINT32_MAX), 0);
}
END_TEST

START_TEST(the_rate_warms_up_and_falls)
{
    make();
    uint32_t steps = plan_steps(p, STAGE_HGNN), warm = steps / 4 < 100 ? steps / 4 : 100;
    ck_assert_float_eq_tol(plan_lr(p, STAGE_HGNN, 1), 1e-3f / (float)warm, 1e-9f);
    ck_assert_float_eq_tol(plan_lr(p, STAGE_HGNN, warm), 1e-3f, 1e-9f);
    float last = 1;
    for (uint32_t s = warm + 1; s <= steps; s++) {
        float x = plan_lr_scale(p, STAGE_HGNN, s);
        ck_assert(x > 0 && x <= last);
        last = x;
    }
    c->hgnn.optimizer.schedule = SCHEDULE_CONSTANT;
    make();
    ck_assert_float_eq(plan_lr_scale(p, STAGE_HGNN, steps), 1);
}
END_TEST

/* --- Placement --- */

START_TEST(adding_an_owner_moves_partitions_only_to_it)
{
    for (uint32_t n = 1; n < 9; n++) {
        uint32_t moved = 0, count = 0;
        for (uint32_t i = 0; i < 1024; i++) {
            uint32_t a = plan_partition_owner(i, n), b = plan_partition_owner(i, n + 1);
            ck_assert(a < n && (b == a || b == n));
            moved += b != a;
            a = plan_vshard_owner(i, n);
            b = plan_vshard_owner(i, n + 1);
            ck_assert(a < n && (b == a || b == n));
            count += a == 0;
            if (n == 1) continue;
            uint32_t second = plan_vshard_second(i, n);
            ck_assert(second < n && second != a);
            ck_assert(b != n || plan_vshard_second(i, n + 1) == a); /* who had it comes next */
        }
        ck_assert(moved > 1024 / (n + 1) / 2 && moved < 1024 / (n + 1) * 2);
        ck_assert(count > 1024 / n / 2);
    }
}
END_TEST

START_TEST(keys_spread_evenly_over_virtual_shards)
{
    uint32_t count[256] = {0};
    for (uint64_t k = 0; k < 256 * 100; k++) {
        uint32_t v = plan_vshard(k << 20, 256);
        ck_assert_uint_lt(v, 256);
        count[v]++;
    }
    for (int i = 0; i < 256; i++) ck_assert(count[i] > 50 && count[i] < 160);
    ck_assert_uint_eq(plan_vshard(77, 1), 0);
}
END_TEST

/* --- Golden values --- */

static uint64_t digest(uint32_t stage)
{
    hash_stream *h = hash_stream_new(0);
    for (uint32_t s = 1, n = plan_steps(p, stage); s <= n; s++) {
        for (uint32_t j = 0; j < plan_slots(p, stage, s); j++) {
            plan_work w;
            ck_assert(plan_slot(p, plan_name(p, stage, s, j), &w));
            uint64_t v[8] = {s, j, w.kind, w.partition, w.type, w.layer, w.first, w.count};
            hash_stream_add(h, v, sizeof v);
            if (w.kind != PLAN_TRAIN) continue;
            float lr = plan_lr(p, stage, s);
            v[0] = plan_position(p, stage, plan_epoch(p, stage, s), w.partition, w.first);
            hash_stream_add(h, v, sizeof *v);
            hash_stream_add(h, &lr, sizeof lr);
        }
    }
    uint64_t x = hash_stream_digest(h);
    hash_stream_free(h);
    return x;
}

START_TEST(the_plan_has_its_golden_values)
{
    static const struct {
        uint32_t stage;
        uint64_t hash;
    } golden[] = {
        {STAGE_HGNN, 0x7f04ff27f47f9d56u},      {STAGE_EMBED, 0x3fe8058947b84ed7u},
        {STAGE_TWO_TOWER, 0x8e079f77cc17447au}, {STAGE_TWO_TOWER_NO_Z, 0x7c95d2a595b8f8d1u},
        {STAGE_VECTORS, 0xc7d09edb352ab8d7u},
    };
    c->hgnn.balance_floor = 1000;
    c->hgnn.batch = c->two_tower.batch = 50;
    make();
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        uint64_t got = digest(golden[i].stage);
        ck_assert_msg(got == golden[i].hash, "%s: 0x%016lx", stage_name(golden[i].stage),
                      (unsigned long)got);
    }
    ck_assert_uint_eq(plan_partition_owner(5, 3), 0);
    ck_assert_uint_eq(plan_vshard_owner(200, 5), 1);
    ck_assert_uint_eq(plan_vshard_second(200, 5), 0);
    ck_assert_uint_eq(plan_vshard(0x123456789abcdefu, 256), 157);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("plan");
    TCase *t = tcase_create("plan");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, balance_min_takes_the_smallest_relation_or_the_floor);
    tcase_add_test(t, balance_none_takes_all_and_sqrt_lies_between);
    tcase_add_test(t, quotas_by_edges_never_exceed_a_partitions_edges);
    tcase_add_test(t, split_gives_all_of_the_total_within_one_of_proportion);
    tcase_add_test(t, an_epoch_holds_every_positive_once);
    tcase_add_test(t, epochs_and_stages_are_permuted_differently);
    tcase_add_test(t, a_pair_index_names_its_relation_and_place);
    tcase_add_test(t, stages_follow_the_configuration);
    tcase_add_test(t, steps_end_at_epochs_or_max_steps);
    tcase_add_test(t, nothing_to_train_on_is_invalid);
    tcase_add_test(t, validation_is_every_n_steps_and_at_the_end);
    tcase_add_test(t, chunks_cover_nodes_and_users_once);
    tcase_add_test(t, the_validation_sample_is_a_bounded_prefix);
    tcase_add_test(t, names_outside_the_plan_are_refused);
    tcase_add_test(t, the_rate_warms_up_and_falls);
    tcase_add_test(t, adding_an_owner_moves_partitions_only_to_it);
    tcase_add_test(t, keys_spread_evenly_over_virtual_shards);
    tcase_add_test(t, the_plan_has_its_golden_values);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
