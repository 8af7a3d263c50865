#include "testing_export.h"

#include "common/mem.h"
#include "deploy/export_lists.h"
#include "testing_files.h"
#include "testing_gradient.h"
#include "testing_prepare.h"
#include "worker/two_tower.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

enum { USERS = 60, ITEMS = 40, EVENTS = 900 };

static float *units(uint32_t n, uint32_t dim, uint64_t seed)
{
    float *x = xcalloc((size_t)n * dim, sizeof *x);
    gradient_fill(x, (size_t)n * dim, seed, 1.0f);
    for (uint32_t i = 0; i < n; i++) {
        double sum = 0;
        for (uint32_t k = 0; k < dim; k++) sum += (double)x[i * dim + k] * x[i * dim + k];
        for (uint32_t k = 0; k < dim; k++) x[i * dim + k] /= (float)sqrt(sum);
    }
    return x;
}

static float *initial(const model_spec *s, uint64_t seed)
{
    float *out = xcalloc(s->values, sizeof *out);
    for (size_t i = 0; i < s->tensors; i++) {
        model_spec_init(&s->tensor[i], seed, 0, s->tensor[i].n, out + s->tensor[i].offset);
    }
    return out;
}

/* All users at once, by the model itself. */
static void fill_users(testing_export *e)
{
    const dataset *d = e->data;
    const float *out;
    export_lists h;
    ck_assert_int_eq(export_lists_history(e->job, d, &h), ERR_OK);
    uint64_t n = (uint64_t)h.indptr[d->users];
    uint32_t *history = xcalloc(n + 1, sizeof *history), *type = xcalloc(d->items, sizeof *type);
    uint64_t *indptr = xcalloc((size_t)d->users + 1, sizeof *indptr);
    uint32_t *attribute =
        xcalloc((size_t)d->users * (e->job->manifest->user_attributes + 1), sizeof *attribute);
    for (uint64_t i = 0; i < n; i++) history[i] = (uint32_t)h.item[i];
    for (uint32_t u = 0; u <= d->users; u++) indptr[u] = (uint64_t)h.indptr[u];
    for (uint32_t i = 0; i < d->items; i++) type[i] = d->item_type[i];
    two_tower *m = two_tower_new(e->job->config, &e->job->facts, e->job->two_tower);
    two_tower_batch b = {.unique = d->items,
                         .node = d->item_node,
                         .type = type,
                         .z = e->z,
                         .text = d->text,
                         .id = e->item_id,
                         .users = d->users,
                         .history_indptr = indptr,
                         .history = history,
                         .user_attribute = attribute};
    ck_assert_int_eq(two_tower_users(m, e->two_tower, &b, &out), ERR_OK);
    size_t values = (size_t)d->users * e->job->two_tower->output_dim;
    e->user_vectors = xcalloc(values, sizeof *e->user_vectors);
    for (size_t i = 0; i < values; i++) e->user_vectors[i] = out[i];
    two_tower_free(m);
    export_lists_fini(&h);
    free(history);
    free(indptr);
    free(type);
    free(attribute);
}

void testing_export_init(testing_export *e, const char *extra, order_kind order)
{
    *e = (testing_export){0};
    testing_prepare_write(USERS, ITEMS, EVENTS, 3);
    config *c = testing_prepare_config(extra);
    c->data.order = order;
    e->store = testing_prepare_run(c);
    ck_assert_int_eq(job_load(c, e->store, &e->job), ERR_OK);
    ck_assert_int_eq(dataset_open(e->store, &e->data), ERR_OK);
    uint32_t items = e->data->items, ids = e->job->config->two_tower.item_id;
    e->z = units(items, e->job->hgnn->z_dim, 5);
    if (ids) e->item_id = units(items, ids, 6);
    e->hgnn = initial(e->job->hgnn, 7);
    e->two_tower = initial(e->job->two_tower, 8);
    e->item_vectors = units(items, e->job->two_tower->output_dim, 9);
    fill_users(e);
    e->in = (export_input){.job = e->job,
                           .data = e->data,
                           .item_vectors = e->item_vectors,
                           .user_vectors = e->user_vectors,
                           .z = e->z,
                           .hgnn = e->hgnn,
                           .two_tower = e->two_tower,
                           .item_id = e->item_id,
                           .metrics_path = "some-metrics",
                           .numerics = "numerics",
                           .z_id = export_z_id(e->job, e->hgnn)};
}

void testing_export_fini(testing_export *e)
{
    dataset_close(e->data);
    job_free(e->job);
    free(e->store);
    free(e->z);
    free(e->item_id);
    free(e->hgnn);
    free(e->two_tower);
    free(e->item_vectors);
    free(e->user_vectors);
}

void testing_export_write(const testing_export *e, const char *dir)
{
    out_dir *o;
    testing_put_text("some-metrics", "{\"kind\":\"stage\"}\n");
    ck_assert_int_eq(out_dir_open(dir, &o), ERR_OK);
    ck_assert_int_eq(export_write(&e->in, o), ERR_OK);
    char *run = out_dir_path(o, "run.json");
    testing_put_text(run, "{}\n");
    free(run);
    ck_assert_int_eq(out_dir_commit(o), ERR_OK);
    out_dir_close(o);
}
