#include "worker/segments.h"

static evaluation_segment history_segment(uint64_t items)
{
    if (items == 0) return SEGMENT_HISTORY_0;
    if (items < 5) return SEGMENT_HISTORY_1_4;
    return items < 20 ? SEGMENT_HISTORY_5_19 : SEGMENT_HISTORY_20_PLUS;
}

bool segments_counts(const candidates *c, evaluation_segment s, uint32_t item)
{
    uint8_t tier = c->tier[item];
    if (s == SEGMENT_ITEM_UNTRAINED) return tier == 0;
    if (s == SEGMENT_ITEM_TAIL) return tier >= 3;
    if (s >= SEGMENT_ITEM_TIER_1 && s <= SEGMENT_ITEM_TIER_5)
        return tier == 1 + (s - SEGMENT_ITEM_TIER_1);
    return true;
}

uint32_t segments_of(const candidates *c, uint32_t type, const evaluation_type_users *u, uint32_t i)
{
    uint32_t user = u->user[i];
    const evaluation_input *in = c->in;
    bool warm = in->user_types[user] >> type & 1;
    uint32_t mask = 1u << SEGMENT_ALL | 1u << (warm ? SEGMENT_WARM : SEGMENT_COLD);
    mask |= 1u << history_segment(in->history.indptr[user + 1] - in->history.indptr[user]);
    for (uint64_t p = u->indptr[i]; p < u->indptr[i + 1]; p++) {
        for (int s = SEGMENT_ITEM_UNTRAINED; s < EVALUATION_SEGMENTS; s++) {
            if (segments_counts(c, (evaluation_segment)s, u->positive[p])) mask |= 1u << s;
        }
    }
    return mask;
}

size_t segments_value(double *value, uint32_t *kept, const candidates *c, evaluation_segment s,
                      const evaluation_type_users *u, const uint32_t *rank, uint32_t i)
{
    size_t n = 0;
    for (uint64_t p = u->indptr[i]; p < u->indptr[i + 1]; p++) {
        if (segments_counts(c, s, u->positive[p])) kept[n++] = rank[p];
    }
    evaluation_user_metrics(value, kept, n);
    return n;
}
