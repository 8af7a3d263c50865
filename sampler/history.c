#include "sampler/history.h"

#include "common/mem.h"
#include "common/panic.h"
#include "common/rng.h"
#include "sampler/draw.h"

#include <stdlib.h>
#include <string.h>

enum { SECONDS_A_DAY = 86400 };

static uint64_t type_set(const string_list *names, const manifest *m)
{
    uint64_t set = 0;
    for (size_t t = 0; t < m->types.n; t++) {
        bool listed = names->n == 0;
        for (size_t i = 0; i < names->n; i++) {
            listed = listed || strcmp(names->items[i], m->types.items[t]) == 0;
        }
        if (listed) set |= UINT64_C(1) << t;
    }
    return set;
}

void history_rule_init(history_rule *r, const config *c, const manifest *m)
{
    ASSERT(m->types.n <= CONFIG_TYPES_MAX);
    *r = (history_rule){
        .history_types = type_set(&c->history.types, m),
        .target_types = type_set(&c->two_tower.targets, m),
        .max_items = c->history.max_items ? c->history.max_items : UINT32_MAX,
        .window_s = (int64_t)c->history.window_days * SECONDS_A_DAY,
        .order = m->order,
        .as_of = m->as_of,
        .positives_max =
            c->two_tower.positives_per_user ? c->two_tower.positives_per_user : UINT32_MAX,
        .seed = c->seed,
    };
}

static bool of_types(const manifest *m, uint64_t types, uint32_t node)
{
    return types >> manifest_type_of(m, node) & 1;
}

static bool is_history(const history_rule *r, const manifest *m, const store_user *u, uint32_t i)
{
    return u->part[i] == STORE_TRAIN && u->role[i] & ROLE_HISTORY &&
           of_types(m, r->history_types, u->node[i]);
}

/* The last max_items of out, which is in the order of events. */
static void keep_last(node_list *out, uint32_t max_items)
{
    if (out->n <= max_items) return;
    memmove(out->node, out->node + (out->n - max_items), max_items * sizeof *out->node);
    out->n = max_items;
}

/* max_items of out at random; `row` tells the rows of a user apart. */
static void keep_drawn(node_list *out, const history_rule *r, uint32_t user, uint64_t row)
{
    if (out->n <= r->max_items) return;
    uint32_t *ranks = xcalloc(r->max_items, sizeof *ranks);
    draw_scratch s;
    draw_scratch_init(&s);
    uint64_t key = rng_key(r->seed, 0, 0, row, 0, USE_HISTORY);
    uint32_t n = draw_uniform(ranks, key, user, 0, (uint32_t)out->n, r->max_items, &s);
    for (uint32_t i = 0; i < n; i++) out->node[i] = out->node[ranks[i]];
    out->n = n;
    draw_scratch_fini(&s);
    free(ranks);
}

void history_at_end(node_list *out, const history_rule *r, const manifest *m, uint32_t user,
                    const store_user *u)
{
    out->n = 0;
    bool timed = r->order == ORDER_TIME;
    int64_t begin = timed && r->window_s ? r->as_of - r->window_s : INT64_MIN;
    for (uint32_t i = 0; i < u->n; i++) {
        if (!is_history(r, m, u, i)) continue;
        if (timed && (u->time[i] == 0 || u->time[i] < begin)) continue;
        node_list_add(out, u->node[i]);
    }
    if (r->order == ORDER_NONE) {
        keep_drawn(out, r, user, 0);
    } else {
        keep_last(out, r->max_items);
    }
    node_list_sort(out);
}

void history_before(node_list *out, const history_rule *r, const manifest *m, uint32_t user,
                    const store_user *u, uint32_t event)
{
    ASSERT(event < u->n);
    out->n = 0;
    int64_t now = u->time[event];
    order_kind order = r->order == ORDER_TIME && now == 0 ? ORDER_NONE : r->order;
    int64_t begin = r->window_s ? now - r->window_s : INT64_MIN;
    for (uint32_t i = 0; i < u->n; i++) {
        if (u->node[i] == u->node[event] || !is_history(r, m, u, i)) continue;
        if (order == ORDER_FILE && i >= event) break;
        if (order == ORDER_TIME && (u->time[i] == 0 || u->time[i] >= now || u->time[i] < begin)) {
            continue;
        }
        node_list_add(out, u->node[i]);
    }
    if (order == ORDER_NONE) {
        keep_drawn(out, r, user, (uint64_t)event + 1);
    } else {
        keep_last(out, r->max_items);
    }
    node_list_sort(out);
}

static bool is_positive(const manifest *m, uint64_t types, const store_user *u, uint32_t i,
                        uint32_t part)
{
    return u->part[i] == part && u->role[i] & ROLE_POSITIVE && of_types(m, types, u->node[i]);
}

static uint32_t count_positives(const history_rule *r, const manifest *m, const store_user *u)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < u->n; i++) n += is_positive(m, r->target_types, u, i, STORE_TRAIN);
    return n;
}

uint32_t history_positives(const history_rule *r, const manifest *m, const store_user *u)
{
    uint32_t n = count_positives(r, m, u);
    return n < r->positives_max ? n : r->positives_max;
}

uint32_t history_positive(const history_rule *r, const manifest *m, uint32_t stage, uint32_t epoch,
                          uint32_t user, const store_user *u, uint32_t j)
{
    uint32_t n = count_positives(r, m, u);
    ASSERT(j < n);
    uint64_t key = rng_key(r->seed, stage, epoch, user, 0, USE_POSITIVES);
    uint64_t wanted = rng_permute(key, n, j);
    for (uint32_t i = 0; i < u->n; i++) {
        if (is_positive(m, r->target_types, u, i, STORE_TRAIN) && wanted-- == 0) return i;
    }
    UNREACHABLE();
}

void history_targets(node_list *out, uint64_t types, const manifest *m, const store_user *u,
                     uint32_t part)
{
    out->n = 0;
    for (uint32_t i = 0; i < u->n; i++) {
        if (is_positive(m, types, u, i, part)) node_list_add(out, u->node[i]);
    }
    node_list_sort(out);
}

void history_seen(node_list *out, const store_user *u, uint32_t through)
{
    out->n = 0;
    for (uint32_t i = 0; i < u->n; i++) {
        if (u->part[i] <= through && u->role[i] & ROLE_SEEN) node_list_add(out, u->node[i]);
    }
    node_list_unique(out);
}
