#include "deploy/top_items.h"

#include "common/hash.h"
#include "common/panic.h"

#include <string.h>

static float dot(const float *a, const float *b, uint32_t n)
{
    double sum = 0;
    for (uint32_t k = 0; k < n; k++) sum += (double)a[k] * (double)b[k];
    return (float)sum;
}

static uint64_t tie_of(const result_folder *r, uint32_t row)
{
    uint64_t key = stable_key(r->item_type[row], r->item_id[row]);
    return hash64(&key, sizeof key, r->config->seed);
}

static bool is_better(const top_items_entry *a, const top_items_entry *b)
{
    if (a->score != b->score) return a->score > b->score;
    return a->tie != b->tie ? a->tie < b->tie : a->row < b->row;
}

static bool is_candidate(const top_items_query *q, uint32_t row)
{
    if (q->skip && q->skip[row]) return false;
    return !q->type || strcmp(q->folder->item_type[row], q->type) == 0;
}

uint32_t top_items_find(const top_items_query *q, top_items_entry *out)
{
    uint32_t n = 0;
    ASSERT(q->k >= 1 && q->k <= TOP_ITEMS_MAX);
    for (uint32_t row = 0; row < q->folder->items; row++) {
        if (!is_candidate(q, row)) continue;
        top_items_entry e = {
            .row = row,
            .score = dot(q->vectors + (size_t)row * q->dim, q->query, q->dim - q->ignored)};
        if (n == q->k && e.score < out[n - 1].score) continue;
        e.tie = tie_of(q->folder, row);
        if (n == q->k && !is_better(&e, &out[n - 1])) continue;
        uint32_t at = n < q->k ? n++ : n - 1;
        for (; at > 0 && is_better(&e, &out[at - 1]); at--) out[at] = out[at - 1];
        out[at] = e;
    }
    return n;
}
