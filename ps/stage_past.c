#include "ps/stage_past.h"

#include "common/hash.h"

#include <string.h>

static uint32_t past_max(const stage_tables *t)
{
    uint32_t k = staleness_past(t->model->staleness);
    return k && !core_rule(t->mutations, CORE_RULE_PAST) ? k - 1 : k;
}

static void past_fini(stage_past *p)
{
    blob_unref(p->dense);
    for (uint32_t i = 0; i < SHARD_TABLES_MAX; i++) row_store_free(p->rows[i]);
    *p = (stage_past){0};
}

void stage_past_begin(stage_tables *t)
{
    if (!staleness_past(t->model->staleness)) return;
    stage_past *p = &t->past[t->past_n++];
    *p = (stage_past){.since = t->since, .dense = blob_ref(t->dense)};
    for (uint32_t i = 0; i < t->tables; i++) {
        if (!t->spec[i].is_put) p->rows[i] = row_store_new(t->spec[i].dim, 0);
    }
}

void stage_past_keep_row(stage_tables *t, uint32_t i, uint64_t key, const float *row)
{
    if (!t->past_n) return;
    row_store *rows = t->past[t->past_n - 1].rows[i];
    memcpy(row_store_add(rows, key), row, t->spec[i].dim * sizeof *row);
}

void stage_past_end(stage_tables *t, uint32_t version)
{
    t->since = version;
    while (t->past_n > past_max(t)) {
        past_fini(&t->past[0]);
        t->past_n--;
        memmove(&t->past[0], &t->past[1], t->past_n * sizeof t->past[0]);
        t->past[t->past_n] = (stage_past){0};
    }
}

void stage_past_clear(stage_tables *t)
{
    for (uint32_t k = 0; k < t->past_n; k++) past_fini(&t->past[k]);
    t->past_n = 0;
}

void stage_past_copy(stage_tables *to, const stage_tables *from)
{
    memset(to->past, 0, sizeof to->past);
    to->past_n = core_rule(from->mutations, CORE_RULE_PAST_SAVED) ? from->past_n : 0;
    for (uint32_t k = 0; k < to->past_n; k++) {
        const stage_past *p = &from->past[k];
        to->past[k] = (stage_past){.since = p->since, .dense = blob_ref(p->dense)};
        for (uint32_t i = 0; i < from->tables; i++)
            to->past[k].rows[i] = p->rows[i] ? row_store_copy(p->rows[i]) : NULL;
    }
}

uint32_t stage_past_at(const stage_tables *t, uint32_t version)
{
    if (version >= t->since) return t->past_n;
    uint32_t at = UINT32_MAX;
    for (uint32_t k = 0; k < t->past_n && t->past[k].since <= version; k++) at = k;
    return at;
}

const float *stage_past_row(const stage_tables *t, uint32_t i, uint32_t at, uint64_t key)
{
    if (!core_rule(t->mutations, CORE_RULE_PAST_ROWS)) return NULL;
    for (uint32_t k = at; k < t->past_n; k++) {
        const float *row = row_store_find(t->past[k].rows[i], key);
        if (row) return row;
    }
    return NULL;
}

uint64_t stage_past_bytes(const stage_tables *t)
{
    uint64_t n = 0;
    for (uint32_t k = 0; k < t->past_n; k++) {
        n += blob_size(t->past[k].dense);
        for (uint32_t i = 0; i < t->tables; i++) {
            if (t->past[k].rows[i]) n += row_store_bytes(t->past[k].rows[i]);
        }
    }
    return n;
}

uint64_t stage_past_digest(const stage_tables *t, uint64_t seed)
{
    uint64_t h = seed;
    for (uint32_t k = 0; k < t->past_n; k++) {
        uint64_t since = t->past[k].since;
        h = hash64(&since, sizeof since, h);
        h = hash64(blob_data(t->past[k].dense), blob_size(t->past[k].dense), h);
        for (uint32_t i = 0; i < t->tables; i++) {
            uint64_t d = t->past[k].rows[i] ? row_store_digest(t->past[k].rows[i]) : 1;
            h = hash64(&d, sizeof d, h);
        }
    }
    return h;
}
