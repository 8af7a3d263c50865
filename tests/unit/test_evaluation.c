/* Proves: ranks, metrics, segments, intervals, comparisons and skips of worker/evaluation.h are
 * those of naive recomputation, whatever the threads, and wrong input is refused.
 */
/* labels: bits */
#include "common/blas.h"
#include "common/f16.h"
#include "testing_evaluation.h"
#include "worker/bootstrap.h"
#include "worker/evaluation_run.h"

#include <check.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static fixture *f;
static evaluation_result *r;

static void setup(void)
{
    blas_start();
    f = fixture_new(3);
    ck_assert_int_eq(evaluation_score(&f->in, &r), ERR_OK);
}

static void teardown(void)
{
    evaluation_free(r);
    free(f);
}

START_TEST(metrics_of_a_small_case_by_hand)
{
    double v[EVALUATION_METRICS];
    evaluation_user_metrics(v, (uint32_t[]){3, 12, 1}, 3);
    ck_assert_double_eq(v[METRIC_HR], 1);
    ck_assert_double_eq_tol(v[METRIC_RECALL], 2.0 / 3, 1e-15);
    ck_assert_double_eq_tol(v[METRIC_NDCG], (1 + 0.5) / (1 + 1 / log2(3) + 0.5), 1e-15);
    ck_assert_double_eq(v[METRIC_MRR], 1);
    evaluation_user_metrics(v, (uint32_t[]){11}, 1);
    ck_assert_double_eq(v[METRIC_HR] + v[METRIC_RECALL] + v[METRIC_NDCG], 0);
    ck_assert_double_eq(v[METRIC_MRR], 1.0 / 11);
    evaluation_user_metrics(v, (uint32_t[]){101}, 1);
    ck_assert_double_eq(v[METRIC_MRR], 0);
    uint32_t many[20];
    for (uint32_t i = 0; i < 20; i++) many[i] = i + 1;
    evaluation_user_metrics(v, many, 20);
    ck_assert_double_eq(v[METRIC_RECALL], 0.5);
    ck_assert_double_eq(v[METRIC_NDCG], 1); /* the ideal has 10 hits, not 20 */
}
END_TEST

/* What kNN takes from item i. */
static double knn_value(evaluation_model m, uint32_t i, int k)
{
    size_t at = i * FIXTURE_DIM + (size_t)k;
    return (double)(m == MODEL_HGNN_KNN ? f->z[at] : f16_to_f32(f->text[at]));
}

static double knn_length(evaluation_model m, uint32_t i)
{
    double squares = 0;
    for (int k = 0; k < FIXTURE_DIM; k++) squares += knn_value(m, i, k) * knn_value(m, i, k);
    return sqrt(squares);
}

/* score [FIXTURE_ITEMS] of a user by the definitions of the models that have no grid. */
static void naive_score(float *score, evaluation_model m, uint32_t user)
{
    const uint64_t *at = f->train.indptr;
    for (uint32_t i = 0; i < FIXTURE_ITEMS; i++) {
        score[i] = (float)f->count[i];
        if (m == MODEL_POPULARITY || (m != MODEL_TWO_TOWER && at[user] == at[user + 1])) continue;
        double sum = 0;
        for (int k = 0; k < FIXTURE_DIM; k++) {
            double mean = 0;
            if (m == MODEL_TWO_TOWER) {
                size_t c = i * FIXTURE_DIM + (size_t)k;
                sum += (double)(f->user[user * FIXTURE_DIM + (size_t)k] * f->item[c]);
                continue;
            }
            for (uint64_t p = at[user]; p < at[user + 1]; p++) {
                uint32_t j = f->train.item[p];
                mean += knn_value(m, j, k) / knn_length(m, j);
            }
            sum += mean * knn_value(m, i, k);
        }
        score[i] = (float)(m == MODEL_TWO_TOWER ? sum : sum / knn_length(m, i));
    }
}

START_TEST(ranks_are_those_of_a_naive_count_ties_included)
{
    const evaluation_model models[] = {MODEL_TWO_TOWER, MODEL_POPULARITY, MODEL_HGNN_KNN,
                                       MODEL_TEXT_KNN};
    float score[FIXTURE_ITEMS];
    size_t checked = 0;
    for (uint32_t t = 0; t < 3; t++) {
        const evaluation_type_users *u = &r->type_users[t];
        for (uint32_t i = 0; i < u->users; i++) {
            for (size_t m = 0; m < 4; m++) {
                naive_score(score, models[m], u->user[i]);
                for (uint64_t p = u->indptr[i]; p < u->indptr[i + 1]; p++, checked++) {
                    uint32_t item = u->positive[p];
                    ck_assert_int_eq(f->part[u->user[i]][item], 3);
                    ck_assert_uint_eq(u->rank[models[m]][p],
                                      fixture_naive_rank(f, u->user[i], item, score));
                }
            }
        }
    }
    ck_assert_uint_gt(checked, 300);
}
END_TEST

START_TEST(a_user_without_history_gets_popularity)
{
    const evaluation_type_users *u = &r->type_users[0];
    size_t checked = 0;
    for (uint32_t i = 0; i < u->users; i++) {
        if (u->user[i] < FIXTURE_USERS - 10) continue;
        for (uint64_t p = u->indptr[i]; p < u->indptr[i + 1]; p++, checked++) {
            uint32_t want = u->rank[MODEL_POPULARITY][p];
            ck_assert_uint_eq(u->rank[MODEL_EASE][p], want);
            ck_assert_uint_eq(u->rank[MODEL_ITEM_KNN][p], want);
            ck_assert_uint_eq(u->rank[MODEL_TEXT_KNN][p], want);
            ck_assert_uint_eq(u->rank[MODEL_HGNN_KNN][p], want);
        }
    }
    ck_assert_uint_gt(checked, 5);
}
END_TEST

START_TEST(a_type_with_one_item_ranks_it_first)
{
    const evaluation_type_users *u = &r->type_users[1];
    ck_assert_uint_gt(u->users, 0);
    for (uint32_t i = 0; i < u->users; i++) {
        ck_assert_uint_eq(u->rank[MODEL_TWO_TOWER][i], 1);
        ck_assert_uint_eq(u->list_len[i], 1);
        ck_assert_uint_eq(u->list_items[i * 7], 33);
    }
    const evaluation_row *row = evaluation_find(r, 1, MODEL_EASE, SEGMENT_ALL);
    ck_assert_double_eq(row->value[METRIC_NDCG], 1);
    ck_assert_double_eq(row->coverage_10, 1);
}
END_TEST

START_TEST(a_type_without_test_positives_is_skipped_with_the_reason)
{
    bool found = false;
    for (size_t i = 0; i < r->skipped_n; i++) {
        const evaluation_skip *s = &r->skipped[i];
        found =
            found || (s->type == 2 && s->model == -1 && !strcmp(s->reason, "no test positives"));
    }
    ck_assert(found);
    ck_assert_ptr_null(evaluation_find(r, 2, MODEL_POPULARITY, SEGMENT_ALL));
}
END_TEST

START_TEST(a_model_that_is_off_or_cannot_run_is_named)
{
    evaluation_result *off = NULL;
    f->in.baselines = BASELINE_POPULARITY | BASELINE_EASE | BASELINE_TEXT_KNN;
    f->in.text_dim = 0;
    f->in.ease_items = 1;
    ck_assert_int_eq(evaluation_score(&f->in, &off), ERR_OK);
    uint32_t models = 0;
    for (size_t i = 0; i < off->skipped_n; i++) {
        if (off->skipped[i].model >= 0) models |= 1u << off->skipped[i].model;
    }
    ck_assert_uint_eq(models, 1u << MODEL_TWO_TOWER_NO_Z | 1u << MODEL_HGNN_KNN |
                                  1u << MODEL_ITEM_KNN | 1u << MODEL_TEXT_KNN | 1u << MODEL_EASE);
    ck_assert_ptr_null(evaluation_find(off, 0, MODEL_EASE, SEGMENT_ALL));
    evaluation_free(off);
}
END_TEST

/* Whether a user or one of her positives is in the segment, from the fixture alone. */
static bool naive_member(evaluation_segment s, uint32_t type, uint32_t user)
{
    uint64_t history = f->train.indptr[user + 1] - f->train.indptr[user];
    bool warm = false;
    for (uint32_t i = 0; i < FIXTURE_ITEMS; i++) {
        warm = warm || (f->type[i] == type && f->part[user][i] == 1);
    }
    switch (s) {
    case SEGMENT_WARM: return warm;
    case SEGMENT_COLD: return !warm;
    case SEGMENT_HISTORY_0: return history == 0;
    case SEGMENT_HISTORY_1_4: return history >= 1 && history <= 4;
    case SEGMENT_HISTORY_5_19: return history >= 5 && history <= 19;
    case SEGMENT_HISTORY_20_PLUS: return history >= 20;
    default: return true;
    }
}

START_TEST(rows_of_user_segments_are_means_of_their_users)
{
    const evaluation_type_users *u = &r->type_users[0];
    for (int s = SEGMENT_ALL; s <= SEGMENT_HISTORY_20_PLUS; s++) {
        double sum[EVALUATION_METRICS] = {0}, v[EVALUATION_METRICS];
        uint32_t users = 0;
        for (uint32_t i = 0; i < u->users; i++) {
            if (!naive_member((evaluation_segment)s, 0, u->user[i])) continue;
            evaluation_user_metrics(v, u->rank[MODEL_ITEM_KNN] + u->indptr[i],
                                    u->indptr[i + 1] - u->indptr[i]);
            for (int k = 0; k < EVALUATION_METRICS; k++) sum[k] += v[k];
            users++;
        }
        const evaluation_row *row = evaluation_find(r, 0, MODEL_ITEM_KNN, (evaluation_segment)s);
        ck_assert_uint_eq(row->users, users);
        for (int k = 0; k < EVALUATION_METRICS && users > 0; k++) {
            ck_assert_double_eq_tol(row->value[k], sum[k] / users, 1e-12);
            ck_assert_double_le(row->lo[k], row->value[k]);
            ck_assert_double_ge(row->hi[k], row->value[k]);
        }
    }
}
END_TEST

START_TEST(item_segments_count_only_their_positives)
{
    const evaluation_type_users *u = &r->type_users[0];
    uint64_t untrained = 0, users = 0, tiers = 0;
    double recall = 0;
    for (uint32_t i = 0; i < u->users; i++) {
        uint32_t here = 0, hits = 0;
        for (uint64_t p = u->indptr[i]; p < u->indptr[i + 1]; p++) {
            if (f->count[u->positive[p]] > 0) continue;
            here++;
            hits += u->rank[MODEL_TWO_TOWER][p] <= 10;
        }
        untrained += here;
        users += here > 0;
        if (here > 0) recall += (double)hits / here;
    }
    const evaluation_row *row = evaluation_find(r, 0, MODEL_TWO_TOWER, SEGMENT_ITEM_UNTRAINED);
    ck_assert_uint_gt(untrained, 0);
    ck_assert_uint_eq(row->positives, untrained);
    ck_assert_uint_eq(row->users, users);
    ck_assert_double_eq_tol(row->value[METRIC_RECALL], recall / (double)users, 1e-12);
    uint64_t never = 0;
    for (uint32_t i = 0; i < FIXTURE_ITEMS; i++) never += f->type[i] == 0 && f->count[i] == 0;
    ck_assert_uint_gt(never, 3);
    ck_assert_uint_eq(row->untrained_candidates, never);
    for (int s = SEGMENT_ITEM_TIER_1; s <= SEGMENT_ITEM_TIER_5; s++) {
        tiers += evaluation_find(r, 0, MODEL_EASE, (evaluation_segment)s)->positives;
    }
    ck_assert_uint_eq(tiers + untrained, u->indptr[u->users]);
    uint64_t tail = evaluation_find(r, 0, MODEL_EASE, SEGMENT_ITEM_TAIL)->positives;
    uint64_t head = evaluation_find(r, 0, MODEL_EASE, SEGMENT_ITEM_TIER_1)->positives +
                    evaluation_find(r, 0, MODEL_EASE, SEGMENT_ITEM_TIER_2)->positives;
    ck_assert_uint_eq(tail + head, tiers);
}
END_TEST

START_TEST(the_rows_of_every_type_are_means_over_types)
{
    for (int m = 0; m < EVALUATION_MODELS; m++) {
        const evaluation_row *all =
            evaluation_find(r, EVALUATION_EVERY_TYPE, (evaluation_model)m, 0);
        const evaluation_row *a = evaluation_find(r, 0, (evaluation_model)m, SEGMENT_ALL);
        if (m == MODEL_TWO_TOWER_NO_Z) {
            ck_assert_ptr_null(all);
            continue;
        }
        const evaluation_row *b = evaluation_find(r, 1, (evaluation_model)m, SEGMENT_ALL);
        ck_assert_uint_eq(all->users, a->users + b->users);
        ck_assert(!all->has_interval);
        ck_assert_double_eq_tol(all->value[METRIC_MRR],
                                (a->value[METRIC_MRR] + b->value[METRIC_MRR]) / 2, 1e-12);
    }
}
END_TEST

START_TEST(lists_hold_the_best_unseen_items_in_order)
{
    const evaluation_type_users *u = &r->type_users[0];
    float score[FIXTURE_ITEMS];
    for (uint32_t i = 0; i < u->users; i++) {
        naive_score(score, MODEL_TWO_TOWER, u->user[i]);
        ck_assert_uint_eq(u->list_len[i], 7);
        for (uint32_t k = 0; k < 7; k++) {
            uint32_t item = u->list_items[i * 7 + k];
            uint8_t part = f->part[u->user[i]][item];
            ck_assert(part != 1 && part != 2);
            ck_assert_uint_eq(fixture_naive_rank(f, u->user[i], item, score), k + 1);
            ck_assert(u->list_scores[i * 7 + k] == score[item]);
        }
    }
}
END_TEST

START_TEST(threads_do_not_change_a_bit)
{
    evaluation_result *other = NULL;
    f->in.threads = 3;
    ck_assert_int_eq(evaluation_score(&f->in, &other), ERR_OK);
    ck_assert_uint_eq(other->rows_n, r->rows_n);
    for (size_t i = 0; i < r->rows_n; i++) {
        for (int k = 0; k < EVALUATION_METRICS; k++) {
            ck_assert(other->rows[i].value[k] == r->rows[i].value[k]);
            ck_assert(other->rows[i].lo[k] == r->rows[i].lo[k]);
        }
    }
    evaluation_free(other);
}
END_TEST

static err_code score_with(float item, float user)
{
    evaluation_result *bad = NULL;
    f->item[5] = item;
    f->user[7] = user;
    err_code rc = evaluation_score(&f->in, &bad);
    evaluation_free(bad);
    return rc;
}

START_TEST(a_score_that_is_not_finite_is_an_error)
{
    ck_assert_int_eq(score_with(NAN, 0), ERR_INVALID);
    ck_assert_int_eq(score_with(1, INFINITY), ERR_INVALID);
    ck_assert_int_eq(score_with(1, 1), ERR_OK);
}
END_TEST

START_TEST(a_stop_is_obeyed)
{
    evaluation_result *none = NULL;
    atomic_int stop = 1;
    progress p = {.stop = &stop};
    f->in.progress = &p;
    ck_assert_int_eq(evaluation_score(&f->in, &none), ERR_STOPPED);
    ck_assert_ptr_null(none);
}
END_TEST

START_TEST(the_same_model_is_even)
{
    evaluation_result *other = NULL;
    f->in.two_tower_no_z = f->in.two_tower;
    ck_assert_int_eq(evaluation_score(&f->in, &other), ERR_OK);
    size_t even = 0;
    for (size_t i = 0; i < other->comparisons_n; i++) {
        const evaluation_comparison *c = &other->comparisons[i];
        if (c->b != MODEL_TWO_TOWER_NO_Z) continue;
        ck_assert(c->difference == 0 && c->lo == 0 && c->hi == 0);
        ck_assert_int_eq(c->verdict, VERDICT_EVEN);
        even++;
    }
    ck_assert_uint_eq(even, 2 * EVALUATION_METRICS);
    evaluation_free(other);
}
END_TEST

START_TEST(intervals_hold_the_right_share)
{
    /* 400 users, 100 of whom hit: sd of the mean is sqrt(.25 * .75 / 400) = .0217. */
    double value[400], means[1000], lo, hi;
    uint32_t count[400];
    for (int i = 0; i < 400; i++) value[i] = i % 4 == 0;
    bootstrap_means(means, count, value, 400, 1, 1000, 77);
    double first = means[0];
    bootstrap_interval(&lo, &hi, means, 1000);
    ck_assert_double_eq_tol(lo, 0.25 - 1.96 * 0.0217, 0.006);
    ck_assert_double_eq_tol(hi, 0.25 + 1.96 * 0.0217, 0.006);
    ck_assert(means[24] == lo && means[974] == hi);
    bootstrap_means(means, count, value, 400, 1, 1000, 77);
    ck_assert(means[0] == first);
    for (int i = 0; i < 400; i++) value[i] = 0.5;
    bootstrap_means(means, count, value, 400, 1, 1000, 78);
    bootstrap_interval(&lo, &hi, means, 1000);
    ck_assert(lo == 0.5 && hi == 0.5);
}
END_TEST

static dataset_lists dataset_lists_of(const fixture_lists *l)
{
    return (dataset_lists){l->indptr, l->item};
}

START_TEST(a_dataset_and_a_config_give_the_same)
{
    dataset d = {.items = FIXTURE_ITEMS,
                 .users = FIXTURE_USERS,
                 .types = 3,
                 .text_dim = FIXTURE_DIM,
                 .item_type = f->type,
                 .item_key = f->key,
                 .text = f->text,
                 .train_positives = f->count,
                 .train_any = f->count,
                 .user_types = f->user_types};
    d.positive = d.history = d.seen_train = dataset_lists_of(&f->train);
    d.valid = d.seen_valid = dataset_lists_of(&f->valid);
    d.test = dataset_lists_of(&f->test);
    config *c = NULL;
    const char *sets[] = {"seed=3", "evaluate.recommendations=7"};
    ck_assert_int_eq(config_load(NULL, sets, 2, &c), ERR_OK);
    char movie[] = "movie", book[] = "book", decade[] = "decade";
    char *names[] = {movie, book, decade};
    string_list types = {names, 3};
    evaluation_run_vectors v = {.two_tower = f->in.two_tower, .z = f->z, .z_dim = FIXTURE_DIM};
    evaluation_result *other = NULL;
    ck_assert_int_eq(evaluation_run(c, &d, &types, &v, 2, NULL, &other), ERR_OK);
    ck_assert_uint_eq(other->rows_n, r->rows_n);
    for (size_t i = 0; i < r->rows_n; i++) {
        ck_assert(other->rows[i].value[METRIC_NDCG] == r->rows[i].value[METRIC_NDCG]);
        ck_assert(other->rows[i].hi[METRIC_MRR] == r->rows[i].hi[METRIC_MRR]);
    }
    ck_assert_uint_eq(other->skipped_n, r->skipped_n);
    evaluation_free(other);
    config_free(c);
}
END_TEST

START_TEST(random_pairs_of_z_have_the_cosine_of_their_kind)
{
    float same[6] = {1, 2, 2, 4, 3, 6}, apart[4] = {1, 0, 0, 1};
    double mean, sd;
    evaluation_z_cosine(&mean, &sd, same, 3, 2, 1);
    ck_assert_double_eq_tol(mean, 1, 1e-12);
    ck_assert_double_eq_tol(sd, 0, 1e-6);
    evaluation_z_cosine(&mean, &sd, apart, 2, 2, 1);
    ck_assert_double_eq(mean, 0);
    evaluation_z_cosine(&mean, &sd, apart, 1, 2, 1);
    ck_assert_double_eq(mean, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("evaluation");
    TCase *c = tcase_create("evaluation");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, metrics_of_a_small_case_by_hand);
    tcase_add_test(c, ranks_are_those_of_a_naive_count_ties_included);
    tcase_add_test(c, a_user_without_history_gets_popularity);
    tcase_add_test(c, a_type_with_one_item_ranks_it_first);
    tcase_add_test(c, a_type_without_test_positives_is_skipped_with_the_reason);
    tcase_add_test(c, a_model_that_is_off_or_cannot_run_is_named);
    tcase_add_test(c, rows_of_user_segments_are_means_of_their_users);
    tcase_add_test(c, item_segments_count_only_their_positives);
    tcase_add_test(c, the_rows_of_every_type_are_means_over_types);
    tcase_add_test(c, lists_hold_the_best_unseen_items_in_order);
    tcase_add_test(c, threads_do_not_change_a_bit);
    tcase_add_test(c, a_score_that_is_not_finite_is_an_error);
    tcase_add_test(c, a_stop_is_obeyed);
    tcase_add_test(c, the_same_model_is_even);
    tcase_add_test(c, intervals_hold_the_right_share);
    tcase_add_test(c, a_dataset_and_a_config_give_the_same);
    tcase_add_test(c, random_pairs_of_z_have_the_cosine_of_their_kind);
    suite_add_tcase(s, c);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
