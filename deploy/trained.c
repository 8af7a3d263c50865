#include "deploy/trained.h"

#include "common/feature_row.h"
#include "common/mem.h"
#include "common/table_id.h"
#include "worker/evaluation_run.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void trained_fini(trained *t)
{
    free(t->z);
    free(t->item_vectors);
    free(t->user_vectors);
    free(t->no_z_item_vectors);
    free(t->no_z_user_vectors);
    free(t->item_id);
    free(t->hgnn);
    free(t->two_tower);
    *t = (trained){0};
}

static err_code rows(const trained_source *c, const job *j, uint32_t stage, uint32_t table,
                     const uint64_t *keys, size_t n, float **out)
{
    uint32_t dim = table_dim(j->config, table);
    *out = try_malloc(n * dim, sizeof **out);
    return *out ? c->rows(c->context, stage, table, dim, keys, n, *out) : ERR_NO_MEMORY;
}

static err_code dense(const trained_source *c, const model_spec *s, float **out)
{
    *out = try_malloc(s->values, sizeof **out);
    return *out ? c->dense(c->context, s->stage, *out, s->values) : ERR_NO_MEMORY;
}

static err_code read_ids(const trained_source *c, const job *j, const dataset *d, trained *t)
{
    if (!t->id_dim) return ERR_OK;
    err_code rc = rows(c, j, STAGE_TWO_TOWER, TABLE_ITEM_ID, d->item_key, d->items, &t->item_id);
    for (uint32_t i = 0; rc == ERR_OK && i < d->items; i++) {
        float *row = t->item_id + (size_t)i * t->id_dim;
        if (!feature_is_trained(d->train_positives[i])) memset(row, 0, t->id_dim * sizeof *row);
    }
    return rc;
}

static err_code read_towers(const trained_source *c, const job *j, const dataset *d,
                            const uint64_t *user_keys, trained *t)
{
    err_code rc =
        rows(c, j, STAGE_VECTORS, TABLE_ITEM_VECTORS, d->item_key, d->items, &t->item_vectors);
    if (rc == ERR_OK)
        rc = rows(c, j, STAGE_VECTORS, TABLE_USER_VECTORS, user_keys, d->users, &t->user_vectors);
    if (rc == ERR_OK) rc = read_ids(c, j, d, t);
    if (rc != ERR_OK || !j->two_tower_no_z || !c->no_z) return rc;
    rc = rows(c, j, STAGE_VECTORS, TABLE_NO_Z_ITEM_VECTORS, d->item_key, d->items,
              &t->no_z_item_vectors);
    if (rc == ERR_OK)
        rc = rows(c, j, STAGE_VECTORS, TABLE_NO_Z_USER_VECTORS, user_keys, d->users,
                  &t->no_z_user_vectors);
    return rc;
}

err_code trained_read(const trained_source *c, const job *j, const dataset *d, trained *t)
{
    *t = (trained){.z_dim = table_dim(j->config, TABLE_Z),
                   .vector_dim = table_dim(j->config, TABLE_ITEM_VECTORS),
                   .id_dim = j->config->two_tower.item_id};
    uint64_t *user_keys = try_malloc(d->users, sizeof *user_keys);
    if (!user_keys) return ERR_NO_MEMORY;
    for (uint32_t u = 0; u < d->users; u++) user_keys[u] = d->user_number[u];
    err_code rc = rows(c, j, STAGE_EMBED, TABLE_Z, d->item_key, d->items, &t->z);
    if (rc == ERR_OK) rc = read_towers(c, j, d, user_keys, t);
    if (rc == ERR_OK) rc = dense(c, j->hgnn, &t->hgnn);
    if (rc == ERR_OK) rc = dense(c, j->two_tower, &t->two_tower);
    free(user_keys);
    return rc;
}

err_code trained_evaluate(const trained *t, const job *j, const dataset *d, const progress *p,
                          evaluation_result **out)
{
    evaluation_run_vectors v = {
        .two_tower = {t->item_vectors, t->user_vectors, t->vector_dim},
        .two_tower_no_z = {t->no_z_item_vectors, t->no_z_user_vectors, t->vector_dim},
        .z = t->z,
        .z_dim = t->z_dim};
    uint32_t threads = j->config->prepare.threads;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (!threads) threads = cores > 1 ? (uint32_t)cores : 1;
    return evaluation_run(j->config, d, &j->manifest->types, &v, threads, p, out);
}
