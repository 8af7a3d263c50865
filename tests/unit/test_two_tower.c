/* Proves: towers and their loss have the gradients that differences have, the two-tower inputs are
 * laid out as the exported model says, and gradients reach ids, types, attributes and towers. */
#include "common/blas.h"
#include "common/f16.h"
#include "common/mem.h"
#include "common/rng.h"
#include "testing_gradient.h"
#include "worker/tower.h"
#include "worker/two_tower.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the loss alone ------------------------------------------------------------------------------
 */

enum { ROWS = 5, ITEMS = 8, D = 4 };
static float u[ROWS * D], v[ITEMS * D];
static const uint32_t item_id[ITEMS] = {10, 11, 10, 12, 13, 14, 11, 15};
static const uint32_t item_type[ITEMS] = {0, 1, 0, 0, 1, 0, 1, 1};
static const float log_q[ITEMS] = {-1, -2, -1, -3, -2, -4, -2, -3};
static const float weight[ROWS] = {1, 0.5f, 2, 0, 1.5f};

static tower_loss loss_case(bool same_type)
{
    return (tower_loss){.rows = ROWS,
                        .items = ITEMS,
                        .d = D,
                        .u = u,
                        .v = v,
                        .item = item_id,
                        .item_type = same_type ? item_type : NULL,
                        .log_q = log_q,
                        .weight = weight,
                        .temperature = 0.5f,
                        .logq = 0.7f};
}

static double loss_value(void *context)
{
    const tower_loss *l = context;
    float du[ROWS * D], dv[ITEMS * D], score[ROWS * ITEMS];
    double total;
    return two_tower_loss(du, dv, &total, l, score);
}

static double naive_loss(const tower_loss *l)
{
    double sum = 0;
    for (size_t i = 0; i < ROWS; i++) {
        double total = 0, own = 0;
        for (size_t j = 0; j < ITEMS; j++) {
            if (j != i && item_id[j] == item_id[i]) continue;
            if (l->item_type && item_type[j] != item_type[i]) continue;
            double dot = 0;
            for (size_t k = 0; k < D; k++) dot += (double)u[i * D + k] * (double)v[j * D + k];
            double logit = dot / (double)l->temperature - (double)l->logq * (double)log_q[j];
            total += exp(logit);
            if (j == i) own = logit;
        }
        sum += (double)weight[i] * (log(total) - own);
    }
    return sum;
}

START_TEST(the_loss_and_its_gradients_agree_with_naive_ones)
{
    for (int same_type = 0; same_type < 2; same_type++) {
        tower_loss l = loss_case(same_type);
        float du[ROWS * D], dv[ITEMS * D], score[ROWS * ITEMS];
        double total;
        gradient_fill(u, ROWS * D, 1, 0.5f), gradient_fill(v, ITEMS * D, 2, 0.5f);
        double sum = two_tower_loss(du, dv, &total, &l, score);
        ck_assert_double_lt(fabs(sum - naive_loss(&l)), 1e-5);
        ck_assert_double_lt(fabs(total - 5), 1e-9);
        ck_assert_double_lt(gradient_error(loss_value, &l, u, du, ROWS * D, 1e-2f, 5, 0.05), 1e-2);
        ck_assert_double_lt(gradient_error(loss_value, &l, v, dv, ITEMS * D, 1e-2f, 5, 0.05), 1e-2);
    }
}
END_TEST

/* --- the whole model
 * ------------------------------------------------------------------------------ */

enum {
    TYPES = 2,
    Z = 6,
    TEXT = 5,
    DENSE = 2,
    ID = 3,
    UNIQUE = 9,
    TARGETS = 6,
    USERS = 4,
    ALL_ITEMS = 7
};
static const char *const type_name[TYPES] = {"movie", "book"};
static const subgraph_relation relation[1] = {{0, 1}};
static const model_attribute user_attribute[2] = {{"age", 3}, {"city", 2}};
static const model_attribute item_attribute[1] = {{"genre", 4}};

typedef struct world {
    config *config;
    model_facts facts;
    model_spec *spec;
    two_tower *model;
    two_tower_batch batch;
    float z[UNIQUE * Z], id[UNIQUE * ID], did[UNIQUE * ID], dense[USERS * DENSE];
    uint16_t text[UNIQUE * TEXT];
    float *params, *grads;
} world;

static const uint32_t node[UNIQUE] = {100, 101, 102, 103, 104, 105, 106, 107, 108};
static const uint32_t type[UNIQUE] = {0, 1, 0, 0, 1, 0, 1, 1, 0};
static const uint32_t genre[TARGETS] = {0, 1, 4, 2, 2, 3};
static const uint64_t history_indptr[USERS + 1] = {0, 3, 3, 5, 9};
static const uint32_t history[9] = {6, 0, 7, 8, 8, 1, 2, 6, 3};
static const uint32_t positives[TARGETS] = {3, 1, 0, 7, 2, 20};
static const uint32_t age_city[USERS * 2] = {0, 1, 3, 2, 1, 1, 0, 0};
static const uint32_t items[ALL_ITEMS] = {0, 1, 2, 0, 3, 4, 5};
static const float chunk_log_q[ALL_ITEMS] = {-1, -2, -1.5f, -1, -2, -3, -1};
static const float user_weight[USERS] = {1, 2, 0.5f, 1};

static world *make_world(stage_id stage, const char *const *sets, size_t n)
{
    world *w = xcalloc(1, sizeof *w);
    ck_assert_int_eq(config_load(NULL, sets, n, &w->config), ERR_OK);
    config *c = w->config;
    c->hgnn.dims[1] = Z;
    c->two_tower.layers = 2;
    c->two_tower.dims[0] = 7, c->two_tower.dims[1] = 4;
    c->two_tower.item_id = ID;
    c->two_tower.type_embedding = 2, c->two_tower.attribute_embedding = 2;
    c->two_tower.temperature = 0.5f;
    w->facts = (model_facts){.types = TYPES,
                             .type = type_name,
                             .relations = 1,
                             .relation = relation,
                             .text_dim = TEXT,
                             .item_attributes = 1,
                             .item_attribute = item_attribute,
                             .user_attributes = 2,
                             .user_attribute = user_attribute,
                             .user_dense_dim = DENSE};
    w->spec = model_spec_new(c, &w->facts, stage);
    w->model = two_tower_new(c, &w->facts, w->spec);
    gradient_fill(w->z, UNIQUE * Z, 1, 0.5f), gradient_fill(w->id, UNIQUE * ID, 2, 0.5f);
    gradient_fill(w->dense, USERS * DENSE, 3, 0.5f);
    for (uint64_t i = 0; i < UNIQUE * TEXT; i++)
        w->text[i] = f16_from_f32(rng_unit(4, i, 0) - 0.5f);
    w->batch = (two_tower_batch){.unique = UNIQUE,
                                 .targets = TARGETS,
                                 .node = node,
                                 .type = type,
                                 .z = w->z,
                                 .text = w->text,
                                 .id = w->id,
                                 .positives = positives,
                                 .item_attribute = genre,
                                 .users = USERS,
                                 .history_indptr = history_indptr,
                                 .history = history,
                                 .user_attribute = age_city,
                                 .user_dense = w->dense,
                                 .items = ALL_ITEMS,
                                 .item = items,
                                 .log_q = chunk_log_q,
                                 .weight = user_weight};
    w->params = xcalloc(w->spec->values, sizeof(float));
    w->grads = xcalloc(w->spec->values, sizeof(float));
    for (size_t i = 0; i < w->spec->tensors; i++) {
        const model_tensor *t = &w->spec->tensor[i];
        model_spec_init(t, 1, 0, t->n, w->params + t->offset);
        if (t->rank == 1) gradient_fill(w->params + t->offset, t->n, 60 + i, 0.2f);
    }
    return w;
}

static void free_world(world *w)
{
    two_tower_free(w->model);
    model_spec_free(w->spec);
    config_free(w->config);
    free(w->params);
    free(w->grads);
    free(w);
}

static double train(world *w)
{
    double loss, total;
    memset(w->grads, 0, w->spec->values * sizeof(float));
    ck_assert_int_eq(
        two_tower_train(w->model, w->params, &w->batch, w->grads, w->did, &loss, &total), ERR_OK);
    ck_assert_double_eq(total, 4.5);
    return loss;
}

static double loss_of(void *context)
{
    world *w = context;
    float *grads = w->grads, did[UNIQUE * ID];
    double loss, total;
    float *scratch = xcalloc(w->spec->values, sizeof(float));
    ck_assert_int_eq(two_tower_train(w->model, w->params, &w->batch, scratch, did, &loss, &total),
                     ERR_OK);
    free(scratch);
    w->grads = grads;
    return loss;
}

static void check_gradients(world *w)
{
    (void)train(w);
    for (size_t i = 0; i < w->spec->tensors; i++) {
        const model_tensor *t = &w->spec->tensor[i];
        double error = gradient_error(loss_of, w, w->params + t->offset, w->grads + t->offset, t->n,
                                      5e-4f, 3, 0.1);
        ck_assert_msg(error < 0.02, "%s: %g", t->name, error);
    }
    double error = gradient_error(loss_of, w, w->id, w->did, UNIQUE * ID, 5e-4f, 3, 0.1);
    ck_assert_msg(error < 0.02, "ids: %g", error);
    free_world(w);
}

START_TEST(gradients_with_z_and_a_shared_skip)
{
    check_gradients(make_world(STAGE_TWO_TOWER, NULL, 0));
}
END_TEST

START_TEST(gradients_with_every_pool_and_all_types_as_negatives)
{
    const char *both[] = {"history.pool=both", "two_tower.negatives=all"};
    check_gradients(make_world(STAGE_TWO_TOWER, both, 2));
    const char *per_type[] = {"history.pool=per_type", "two_tower.skip=none"};
    check_gradients(make_world(STAGE_TWO_TOWER, per_type, 2));
}
END_TEST

START_TEST(gradients_without_z_or_text_and_with_dropped_ids)
{
    world *w = make_world(STAGE_TWO_TOWER_NO_Z, NULL, 0);
    w->batch.z = NULL;
    check_gradients(w);
    const char *no_text[] = {"two_tower.use_text=false", "two_tower.id_drop=0.5",
                             "two_tower.skip_text=false"};
    w = make_world(STAGE_TWO_TOWER, no_text, 3);
    w->batch.text = NULL;
    w->batch.training = true;
    w->batch.id_drop_key = 3;
    check_gradients(w);
}
END_TEST

START_TEST(gradients_with_unknown_items_and_without_popularity)
{
    const char *some[] = {"two_tower.item_drop=4", "two_tower.popularity=false"};
    for (size_t n = 1; n <= 2; n++) {
        world *w = make_world(STAGE_TWO_TOWER, some, n);
        w->batch.training = true;
        w->batch.id_drop_key = 3;
        check_gradients(w);
    }
}
END_TEST

/* The input rows, as the exported model's reader would build them. */
static size_t expected_user(const world *w, size_t user, float *x)
{
    size_t at = 0, n = 0, per_type[TYPES] = {0};
    for (size_t i = 0; i < Z + ID; i++) x[i] = 0;
    for (uint64_t e = history_indptr[user]; e < history_indptr[user + 1]; e++, n++) {
        for (size_t i = 0; i < Z; i++) x[i] += w->z[history[e] * Z + i];
        for (size_t i = 0; i < ID; i++) x[Z + i] += w->id[history[e] * ID + i];
        per_type[type[history[e]]]++;
    }
    for (; at < Z + ID; at++) x[at] /= n ? (float)n : 1.0f;
    for (size_t t = 0; t < TYPES; t++) x[at++] = 0.3f * log1pf((float)per_type[t]);
    static const char *const key[2] = {"two_tower.attribute.user.age",
                                       "two_tower.attribute.user.city"};
    for (size_t a = 0; a < 2; a++) {
        const float *table = w->params + model_spec_find(w->spec, key[a])->offset;
        for (size_t i = 0; i < 2; i++) x[at++] = table[age_city[user * 2 + a] * 2 + i];
    }
    for (size_t i = 0; i < DENSE; i++) x[at++] = w->dense[user * DENSE + i];
    return at;
}

static size_t expected_item(const world *w, size_t item, float *x)
{
    size_t at = 0;
    const float known = positives[item] ? 1.0f : 0.0f;
    for (size_t i = 0; i < Z; i++) x[at++] = known * w->z[item * Z + i];
    for (size_t i = 0; i < TEXT; i++) x[at++] = f16_to_f32(w->text[item * TEXT + i]);
    const float *types = w->params + model_spec_find(w->spec, "two_tower.type")->offset;
    for (size_t i = 0; i < 2; i++) x[at++] = types[type[item] * 2 + i];
    const float *genres =
        w->params + model_spec_find(w->spec, "two_tower.attribute.item.genre")->offset;
    for (size_t i = 0; i < 2; i++) x[at++] = genres[genre[item] * 2 + i];
    for (size_t i = 0; i < ID; i++) x[at++] = known * w->id[item * ID + i];
    return at;
}

enum { SKIP = Z + TEXT + ID };

/* [z | text | id] of an input x that begins with z. */
static void expected_skip(const world *w, const float *x, const float *id, const uint32_t *item,
                          size_t n, float *s)
{
    for (size_t i = 0; i < SKIP; i++) s[i] = 0;
    memcpy(s, x, Z * sizeof *s);
    memcpy(s + Z + TEXT, id, ID * sizeof *s);
    for (size_t e = 0; e < n; e++) {
        for (size_t i = 0; i < TEXT; i++) {
            s[Z + i] += f16_to_f32(w->text[item[e] * TEXT + i]) / (float)n;
        }
    }
}

static float expected_weight(const world *w, size_t user)
{
    uint32_t n[TYPES] = {0};
    const float *weights = w->params + model_spec_find(w->spec, "two_tower.popularity.w")->offset;
    float sum = w->params[model_spec_find(w->spec, "two_tower.popularity.b")->offset];
    for (uint64_t e = history_indptr[user]; e < history_indptr[user + 1]; e++) {
        n[type[history[e]]]++;
    }
    for (size_t t = 0; t < TYPES; t++) sum += weights[t] * 0.3f * log1pf((float)n[t]);
    return sum;
}

static void expected_vector(const world *w, const char *side, const float *x, size_t in,
                            const float *s, float *out)
{
    char name[64];
    float h[7];
    double norm = 0, y[4];
    for (int k = 1; k <= 2; k++) {
        const size_t rows = k == 1 ? 7 : 4, cols = k == 1 ? in : 7;
        ck_assert_int_lt(snprintf(name, sizeof name, "two_tower.%s.%d.w", side, k), 64);
        const model_tensor *weights = model_spec_find(w->spec, name);
        name[strlen(name) - 1] = 'b';
        const float *bias = w->params + model_spec_find(w->spec, name)->offset;
        ck_assert_uint_eq(weights->rows, rows);
        ck_assert_uint_eq(weights->cols, cols);
        for (size_t j = 0; j < rows; j++) {
            double sum = bias[j];
            for (size_t i = 0; i < cols; i++) {
                sum += (double)w->params[weights->offset + j * cols + i] *
                       (double)(k == 1 ? x[i] : h[i]);
            }
            if (k == 1) h[j] = sum > 0 ? (float)sum : 0;
            if (k == 2) y[j] = sum;
        }
    }
    const float *skip = w->params + model_spec_find(w->spec, "two_tower.skip.w")->offset;
    for (size_t j = 0; j < 4; j++) {
        for (size_t i = 0; i < SKIP; i++) y[j] += (double)skip[j * SKIP + i] * (double)s[i];
        norm += y[j] * y[j];
    }
    for (size_t j = 0; j < 4; j++) out[j] = (float)(y[j] / sqrt(norm));
}

START_TEST(vectors_are_those_of_the_documented_inputs)
{
    world *w = make_world(STAGE_TWO_TOWER, NULL, 0);
    const float *out;
    float x[64], s[SKIP], e[4];
    float *weights = w->params + model_spec_find(w->spec, "two_tower.popularity.w")->offset;
    float *unknown = w->params + model_spec_find(w->spec, "two_tower.popularity.unknown")->offset;
    gradient_fill(weights, TYPES, 5, 0.5f);
    gradient_fill(unknown, TYPES, 6, 0.5f);
    ck_assert_int_eq(two_tower_users(w->model, w->params, &w->batch, &out), ERR_OK);
    for (size_t i = 0; i < USERS; i++) {
        size_t n = expected_user(w, i, x);
        ck_assert_uint_eq(n, w->spec->user_dim);
        expected_skip(w, x, x + Z, history + history_indptr[i],
                      history_indptr[i + 1] - history_indptr[i], s);
        expected_vector(w, "user", x, n, s, e);
        for (size_t j = 0; j < 4; j++) ck_assert_float_eq_tol(out[i * 5 + j], e[j], 1e-5f);
        ck_assert_float_eq_tol(out[i * 5 + 4], expected_weight(w, i), 1e-5f);
    }
    ck_assert_int_eq(two_tower_items(w->model, w->params, &w->batch, &out), ERR_OK);
    for (size_t i = 0; i < TARGETS; i++) {
        size_t n = expected_item(w, i, x);
        ck_assert_uint_eq(n, w->spec->item_dim);
        const uint32_t own = (uint32_t)i;
        expected_skip(w, x, x + n - ID, &own, 1, s);
        expected_vector(w, "item", x, n, s, e);
        for (size_t j = 0; j < 4; j++) ck_assert_float_eq_tol(out[i * 5 + j], e[j], 1e-5f);
        const float known = 0.3f * log1pf((float)positives[i]);
        ck_assert_float_eq_tol(out[i * 5 + 4], positives[i] ? known : unknown[type[i]], 1e-5f);
    }
    free_world(w);
}
END_TEST

/* Hidden values of 1, and the identity above them: an output says which were dropped. */
START_TEST(a_part_of_the_hidden_values_is_dropped_by_key_and_row)
{
    enum { WIDE = 512, FEW = 4 };
    const tower_shape shape = {.layers = 2,
                               .dims = {1, WIDE, WIDE},
                               .w = {[1] = 0, [2] = 2 * WIDE},
                               .b = {[1] = WIDE, [2] = 2 * WIDE + WIDE * WIDE}};
    static float params[3 * WIDE + WIDE * WIDE], first[FEW * WIDE];
    const float x[FEW] = {0};
    tower *t = tower_new(&shape);
    for (size_t i = 0; i < WIDE; i++) params[WIDE + i] = params[2 * WIDE + i * WIDE + i] = 1;
    tower_dropout drop = {.chance = 0.25f, .key = 5};
    ck_assert_int_eq(tower_forward(t, params, x, NULL, FEW, &drop), ERR_OK);
    memcpy(first, tower_output(t), sizeof first);
    for (size_t i = 0; i < FEW; i++) {
        int zeros = 0;
        for (size_t j = 0; j < WIDE; j++) zeros += first[i * WIDE + j] == 0;
        ck_assert_int_gt(zeros, WIDE / 4 - 50); /* five standard deviations */
        ck_assert_int_lt(zeros, WIDE / 4 + 50);
    }
    ck_assert_mem_ne(first, first + WIDE, WIDE * sizeof *first);
    drop.first_row = 1;
    ck_assert_int_eq(tower_forward(t, params, x, NULL, 1, &drop), ERR_OK);
    ck_assert_mem_eq(tower_output(t), first + WIDE, WIDE * sizeof *first);
    drop.key = 6;
    ck_assert_int_eq(tower_forward(t, params, x, NULL, 1, &drop), ERR_OK);
    ck_assert_mem_ne(tower_output(t), first + WIDE, WIDE * sizeof *first);
    ck_assert_int_eq(tower_forward(t, params, x, NULL, 1, NULL), ERR_OK);
    for (size_t j = 0; j < WIDE; j++) ck_assert(tower_output(t)[j] > 0);
    tower_free(t);
}
END_TEST

START_TEST(a_dropped_id_has_no_effect_and_no_gradient)
{
    const char *all[] = {"two_tower.id_drop=0.9999"};
    world *w = make_world(STAGE_TWO_TOWER, all, 1);
    w->batch.training = true;
    double before = train(w);
    for (size_t i = 0; i < UNIQUE * ID; i++) ck_assert(w->did[i] == 0);
    gradient_fill(w->id, UNIQUE * ID, 77, 5);
    ck_assert_double_eq(train(w), before);
    w->batch.training = false; /* inference: nothing is dropped */
    ck_assert_double_ne(train(w), before);
    free_world(w);
}
END_TEST

START_TEST(an_item_dropped_in_training_looks_like_one_that_nobody_has)
{
    const char *all[] = {"two_tower.item_drop=1e6", "two_tower.dropout=0"};
    world *w = make_world(STAGE_TWO_TOWER, all, 2);
    const float *out;
    float untrained[TARGETS * 5];
    static const uint32_t nobody[TARGETS] = {0};
    w->batch.positives = nobody;
    ck_assert_int_eq(two_tower_items(w->model, w->params, &w->batch, &out), ERR_OK);
    memcpy(untrained, out, sizeof untrained);
    w->batch.positives = positives;
    ck_assert_int_eq(two_tower_items(w->model, w->params, &w->batch, &out), ERR_OK);
    ck_assert_mem_ne(untrained, out, sizeof untrained);
    w->batch.training = true;
    ck_assert_int_eq(two_tower_items(w->model, w->params, &w->batch, &out), ERR_OK);
    ck_assert_mem_eq(untrained, out, sizeof untrained);
    gradient_fill(w->z, UNIQUE * Z, 78, 5);
    ck_assert_int_eq(two_tower_items(w->model, w->params, &w->batch, &out), ERR_OK);
    ck_assert_mem_eq(untrained, out, sizeof untrained);
    free_world(w);
}
END_TEST

/* User 1 has no history. */
START_TEST(a_user_of_whom_nothing_is_known_gets_what_is_popular)
{
    world *w = make_world(STAGE_TWO_TOWER, NULL, 0);
    const float *out;
    two_tower_free(w->model);
    model_spec_free(w->spec);
    w->config->two_tower.attribute_embedding = 0;
    w->facts.user_dense_dim = 0;
    w->spec = model_spec_new(w->config, &w->facts, STAGE_TWO_TOWER);
    w->model = two_tower_new(w->config, &w->facts, w->spec);
    gradient_fill(w->params, w->spec->values, 11, 0.5f);
    ck_assert_int_eq(two_tower_users(w->model, w->params, &w->batch, &out), ERR_OK);
    for (size_t i = 0; i < USERS; i++) {
        double length = 0;
        for (size_t j = 0; j < 4; j++) length += (double)out[i * 5 + j] * (double)out[i * 5 + j];
        ck_assert_double_eq_tol(length, i == 1 ? 0 : 1, 1e-5);
    }
    ck_assert_float_eq_tol(out[1 * 5 + 4], expected_weight(w, 1), 1e-5f);
    check_gradients(w);
}
END_TEST

START_TEST(the_same_chunk_gives_the_same_bits)
{
    world *a = make_world(STAGE_TWO_TOWER, NULL, 0), *b = make_world(STAGE_TWO_TOWER, NULL, 0);
    (void)train(a), (void)train(b), (void)train(b);
    ck_assert_mem_eq(a->grads, b->grads, a->spec->values * sizeof(float));
    ck_assert_mem_eq(a->did, b->did, sizeof a->did);
    free_world(a), free_world(b);
}
END_TEST

START_TEST(scores_start_as_z_knn)
{
    const char *wide[] = {"two_tower.uniform_negatives=0"};
    world *w = make_world(STAGE_TWO_TOWER, wide, 1);
    const model_tensor *skip = model_spec_find(w->spec, "two_tower.skip.w");
    model_tensor square = *skip;
    square.rows = Z, square.n = (size_t)Z * square.cols; /* as wide as z: the identity */
    float x[Z * SKIP];
    model_spec_init(&square, 1, 0, square.n, x);
    for (size_t i = 0; i < Z; i++) {
        for (size_t j = 0; j < Z; j++) ck_assert(x[i * SKIP + j] == (i == j ? 1.0f : 0.0f));
    }
    free_world(w);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("two_tower");
    TCase *c = tcase_create("two_tower");
    blas_start();
    tcase_add_test(c, the_loss_and_its_gradients_agree_with_naive_ones);
    tcase_add_test(c, gradients_with_z_and_a_shared_skip);
    tcase_add_test(c, gradients_with_every_pool_and_all_types_as_negatives);
    tcase_add_test(c, gradients_without_z_or_text_and_with_dropped_ids);
    tcase_add_test(c, vectors_are_those_of_the_documented_inputs);
    tcase_add_test(c, a_part_of_the_hidden_values_is_dropped_by_key_and_row);
    tcase_add_test(c, a_dropped_id_has_no_effect_and_no_gradient);
    tcase_add_test(c, gradients_with_unknown_items_and_without_popularity);
    tcase_add_test(c, an_item_dropped_in_training_looks_like_one_that_nobody_has);
    tcase_add_test(c, a_user_of_whom_nothing_is_known_gets_what_is_popular);
    tcase_add_test(c, the_same_chunk_gives_the_same_bits);
    tcase_add_test(c, scores_start_as_z_knn);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
