/* Proves: tensors have the exported names and shapes in one sorted array, and their first values
 * are a pure function of seed, name and element, within the stated bounds. */
#include "common/mem.h"
#include "common/model_spec.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const type_name[2] = {"movie", "book"};
static const subgraph_relation relation[3] = {{0, 0}, {1, 0}, {0, 1}};
static const model_attribute user_attribute[1] = {{"age", 3}};
static const model_attribute item_attribute[2] = {{"genre", 4}, {"year", 9}};

static const model_facts facts = {.types = 2,
                                  .type = type_name,
                                  .relations = 3,
                                  .relation = relation,
                                  .text_dim = 40,
                                  .user_attributes = 1,
                                  .user_attribute = user_attribute,
                                  .item_attributes = 2,
                                  .item_attribute = item_attribute,
                                  .user_dense_dim = 7};

static config *load(const char *a, const char *b)
{
    config *c;
    const char *sets[2] = {a ? a : "seed=1", b ? b : "seed=1"};
    ck_assert_int_eq(config_load(NULL, sets, 2, &c), ERR_OK);
    return c;
}

static void check_shape(const model_spec *s, const char *name, uint32_t rows, uint32_t cols)
{
    const model_tensor *t = model_spec_find(s, name);
    ck_assert_msg(t != NULL, "%s is missing", name);
    ck_assert_uint_eq(t->rows, rows);
    ck_assert_uint_eq(t->cols, cols);
}

START_TEST(the_hgnn_has_the_exported_names_and_shapes)
{
    config *c = load("hgnn.dims=[16, 8]", "hgnn.id_embedding=4");
    model_spec *s = model_spec_new(c, &facts, STAGE_HGNN);
    ck_assert_uint_eq(s->tensors, 2 * 2 * (2 + 3));
    ck_assert_uint_eq(s->input_dim, 40 + 64 + 4);
    ck_assert_uint_eq(s->z_dim, 8);
    check_shape(s, "hgnn.1.self.movie.w", 16, 108);
    check_shape(s, "hgnn.1.rel.movie.book.b", 1, 16);
    check_shape(s, "hgnn.2.rel.book.movie.w", 8, 16);
    ck_assert_uint_eq(s->tables, 1);
    ck_assert_str_eq(s->table[0].name, "hgnn.id");
    ck_assert_uint_eq(s->table[0].dim, 4);
    ck_assert_ptr_null(model_spec_find(s, "hgnn.1.rel.book.book.w"));
    model_spec_free(s);
    config_free(c);
}
END_TEST

START_TEST(shared_parameters_do_not_know_types)
{
    config *c = load("hgnn.parameters=shared", NULL);
    model_spec *s = model_spec_new(c, &facts, STAGE_HGNN_VALID);
    ck_assert_uint_eq(s->tensors, 8);
    check_shape(s, "hgnn.2.rel.w", 128, 128);
    model_spec_free(s);
    config_free(c);
}
END_TEST

START_TEST(the_two_tower_widths_follow_the_configuration)
{
    config *c = load(NULL, NULL);
    model_spec *s = model_spec_new(c, &facts, STAGE_TWO_TOWER);
    check_shape(s, "two_tower.user.1.w", 512, 128 + 64 + 2 + 16 + 7);
    check_shape(s, "two_tower.item.1.w", 512, 128 + 40 + 16 + 2 * 16 + 64);
    check_shape(s, "two_tower.skip.w", 128, 128 + 40 + 64);
    check_shape(s, "two_tower.popularity.w", 1, 2);
    check_shape(s, "two_tower.popularity.unknown", 2, 1);
    ck_assert_uint_eq(s->output_dim, 129);
    check_shape(s, "two_tower.type", 2, 16);
    check_shape(s, "two_tower.attribute.item.year", 10, 16);
    ck_assert_str_eq(s->table[0].name, "two_tower.item_id");
    ck_assert_uint_eq(s->table[0].dim, 64);
    model_spec_free(s);
    s = model_spec_new(c, &facts, STAGE_TWO_TOWER_NO_Z);
    check_shape(s, "two_tower_no_z.user.1.w", 512, 40 + 64 + 2 + 16 + 7);
    check_shape(s, "two_tower_no_z.item.1.w", 512, 40 + 16 + 2 * 16 + 64);
    check_shape(s, "two_tower_no_z.skip.w", 128, 40 + 64);
    model_spec_free(s);
    config_free(c);
    c = load("two_tower.skip_text=false", "two_tower.popularity=false");
    s = model_spec_new(c, &facts, STAGE_TWO_TOWER);
    check_shape(s, "two_tower.skip.w", 128, 128 + 64);
    ck_assert_ptr_null(model_spec_find(s, "two_tower.popularity.w"));
    ck_assert_uint_eq(s->output_dim, 128);
    model_spec_free(s);
    config_free(c);
    c = load("history.pool=both", "two_tower.item_id=0");
    s = model_spec_new(c, &facts, STAGE_TWO_TOWER);
    check_shape(s, "two_tower.user.1.w", 512, 3 * 128 + 2 + 16 + 7);
    ck_assert_uint_eq(s->tables, 0);
    model_spec_free(s);
    config_free(c);
}
END_TEST

START_TEST(tensors_are_sorted_and_fill_the_array)
{
    config *c = load(NULL, NULL);
    const stage_id stages[] = {STAGE_HGNN, STAGE_TWO_TOWER, STAGE_TWO_TOWER_NO_Z};
    for (size_t k = 0; k < 3; k++) {
        model_spec *s = model_spec_new(c, &facts, stages[k]);
        size_t next = 0;
        for (size_t i = 0; i < s->tensors; i++) {
            ck_assert(i == 0 || strcmp(s->tensor[i - 1].name, s->tensor[i].name) < 0);
            ck_assert_uint_eq(s->tensor[i].offset, next);
            ck_assert_ptr_eq(model_spec_find(s, s->tensor[i].name), &s->tensor[i]);
            next += s->tensor[i].n;
        }
        ck_assert_uint_eq(next, s->values);
        model_spec_free(s);
    }
    config_free(c);
}
END_TEST

START_TEST(first_values_are_pure_and_bounded)
{
    config *c = load(NULL, NULL);
    model_spec *s = model_spec_new(c, &facts, STAGE_HGNN);
    const model_tensor *t =
        model_spec_find(s, "hgnn.1.rel.book.movie.w"); /* two relations into movie */
    float *a = xcalloc(t->n, sizeof *a), part[100], low = 0, high = 0;
    double sum = 0;
    model_spec_init(t, 1, 0, t->n, a);
    model_spec_init(t, 1, 500, 100, part);
    ck_assert_mem_eq(a + 500, part, sizeof part);
    for (size_t i = 0; i < t->n; i++) {
        low = fminf(low, a[i]), high = fmaxf(high, a[i]), sum += (double)a[i];
    }
    const float bound = sqrtf(6.0f / 104.0f) / sqrtf(3.0f);
    ck_assert(high <= bound && low >= -bound);
    ck_assert(high > 0.99f * bound && low < -0.99f * bound);
    ck_assert_double_lt(fabs(sum / (double)t->n), 0.01 * (double)bound);
    model_spec_init(t, 2, 500, 100, part);
    ck_assert_mem_ne(a + 500, part, sizeof part);
    model_spec_init(model_spec_find(s, "hgnn.1.rel.movie.movie.w"), 1, 500, 100, part);
    ck_assert_mem_ne(a + 500, part, sizeof part);
    model_spec_init(model_spec_find(s, "hgnn.1.rel.book.movie.b"), 1, 0, 100, part);
    for (size_t i = 0; i < 100; i++) ck_assert(part[i] == 0);
    free(a);
    model_spec_free(s);
    config_free(c);
}
END_TEST

START_TEST(a_user_without_input_starts_with_a_direction)
{
    config *c = load(NULL, NULL);
    model_spec *s = model_spec_new(c, &facts, STAGE_TWO_TOWER);
    float b[128], other[128];
    double length = 0;
    model_spec_init(model_spec_find(s, "two_tower.user.3.b"), 1, 0, 128, b);
    model_spec_init(model_spec_find(s, "two_tower.item.3.b"), 1, 0, 128, other);
    for (size_t i = 0; i < 128; i++) length += (double)b[i] * (double)b[i];
    ck_assert_double_lt(fabs(sqrt(length) - 0.1), 0.02);
    for (size_t i = 0; i < 128; i++) ck_assert(other[i] == 0);
    model_spec_free(s);
    config_free(c);
}
END_TEST

START_TEST(a_skip_narrower_than_z_keeps_dot_products)
{
    model_tensor t = {.name = (char[]){"two_tower.skip.w"},
                      .rows = 256,
                      .cols = 300,
                      .n = 256 * 300,
                      .init = MODEL_INIT_SKIP,
                      .identity = 300};
    float *w = xcalloc(t.n, sizeof *w);
    model_spec_init(&t, 1, 0, t.n, w);
    for (size_t i = 0; i < 300; i += 37) {
        double own = 0, other = 0;
        for (size_t r = 0; r < 256; r++) {
            own += (double)w[r * 300 + i] * (double)w[r * 300 + i];
            other += (double)w[r * 300 + i] * (double)w[r * 300 + (i + 1) % 300];
        }
        ck_assert_double_lt(fabs(own - 1), 0.35);
        ck_assert_double_lt(fabs(other), 0.3);
    }
    free(w);
}
END_TEST

START_TEST(rows_of_a_table_depend_on_their_key)
{
    model_table t = {.name = (char[]){"two_tower.item_id"}, .dim = 8, .bound = 0.03f};
    float a[8], b[8];
    model_spec_init_row(&t, 1, 42, a);
    model_spec_init_row(&t, 1, 42, b);
    ck_assert_mem_eq(a, b, sizeof a);
    for (size_t i = 0; i < 8; i++) ck_assert(fabsf(a[i]) <= 0.03f);
    model_spec_init_row(&t, 1, 43, b);
    ck_assert_mem_ne(a, b, sizeof a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("model_spec");
    TCase *c = tcase_create("model_spec");
    tcase_add_test(c, the_hgnn_has_the_exported_names_and_shapes);
    tcase_add_test(c, shared_parameters_do_not_know_types);
    tcase_add_test(c, the_two_tower_widths_follow_the_configuration);
    tcase_add_test(c, tensors_are_sorted_and_fill_the_array);
    tcase_add_test(c, first_values_are_pure_and_bounded);
    tcase_add_test(c, a_user_without_input_starts_with_a_direction);
    tcase_add_test(c, a_skip_narrower_than_z_keeps_dot_products);
    tcase_add_test(c, rows_of_a_table_depend_on_their_key);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
