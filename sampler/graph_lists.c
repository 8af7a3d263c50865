#include "sampler/graph_lists.h"

#include "common/hash.h"
#include "common/keyed_sort.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"

#include <stdlib.h>
#include <string.h>

enum { SECONDS_A_DAY = 86400 };

/* An item of the user at hand. */
typedef struct candidate {
    uint64_t rank; /* smaller stays first */
    uint64_t key;  /* stable key, against equal ranks */
    uint32_t item;
    uint32_t type;
} candidate;

typedef struct lists_maker {
    const config *c;
    const catalog *data;
    const split *parts;
    graph_lists *lists;
    int64_t from;        /* oldest time that counts */
    uint32_t *last_user; /* [items] user + 1 that had the item last */
    candidate *found;
    size_t found_n, found_cap;
} lists_maker;

int64_t graph_lists_as_of(const catalog *data, const split *parts)
{
    int64_t newest = 0;
    for (uint64_t e = 0; e < data->events_n; e++) {
        if (parts->part[e] == SPLIT_TRAIN && data->events[e].time > newest) {
            newest = data->events[e].time;
        }
    }
    return newest;
}

static bool counts(const lists_maker *m, uint64_t event)
{
    const catalog_event *e = &m->data->events[event];
    return m->parts->part[event] == SPLIT_TRAIN && (e->roles & ROLE_GRAPH) != 0 &&
           (e->time == 0 || e->time >= m->from);
}

/* The user's distinct items in the order of their first event. */
static void find_items(lists_maker *m, uint32_t user)
{
    m->found_n = 0;
    for (uint64_t e = m->data->user_events[user]; e < m->data->user_events[user + 1]; e++) {
        uint32_t item = m->data->events[e].item;
        if (!counts(m, e) || m->last_user[item] == user + 1) continue;
        m->last_user[item] = user + 1;
        m->lists->train_users[item]++;
        grow(&m->found, &m->found_cap, m->found_n + 1, sizeof *m->found);
        m->found[m->found_n++] = (candidate){
            .key = m->data->item_key[item], .item = item, .type = m->data->item_type[item]};
    }
}

static int candidate_compare(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->type != y->type) return x->type < y->type ? -1 : 1;
    if (x->rank != y->rank) return x->rank < y->rank ? -1 : 1;
    return x->key < y->key ? -1 : x->key > y->key;
}

/* How many of each type stay: largest remainder, ties to the first type. */
static void type_quotas(const uint32_t *have, uint32_t types, uint32_t all, uint32_t max,
                        uint32_t *quota)
{
    uint64_t rest[CONFIG_TYPES_MAX];
    uint32_t given = 0;

    for (uint32_t t = 0; t < types; t++) {
        quota[t] = (uint32_t)((uint64_t)max * have[t] / all);
        rest[t] = (uint64_t)max * have[t] % all;
        given += quota[t];
    }
    for (; given < max; given++) {
        uint32_t best = 0;
        for (uint32_t t = 1; t < types; t++) {
            if (rest[t] > rest[best]) best = t;
        }
        quota[best]++;
        rest[best] = 0;
    }
}

/* Without an order: by hash, each type in proportion. */
static void cut_by_hash(lists_maker *m, uint32_t user, uint32_t max)
{
    uint32_t have[CONFIG_TYPES_MAX] = {0}, quota[CONFIG_TYPES_MAX], taken[CONFIG_TYPES_MAX] = {0};
    uint64_t seed = hash64_string(catalog_user_id(m->data, user), m->c->seed);
    size_t kept = 0;

    for (size_t i = 0; i < m->found_n; i++) {
        have[m->found[i].type]++;
        m->found[i].rank = hash64(&m->found[i].key, sizeof m->found[i].key, seed);
    }
    type_quotas(have, m->data->types_n, (uint32_t)m->found_n, max, quota);
    qsort(m->found, m->found_n, sizeof *m->found, candidate_compare);
    for (size_t i = 0; i < m->found_n; i++) {
        if (taken[m->found[i].type]++ < quota[m->found[i].type]) m->found[kept++] = m->found[i];
    }
    m->found_n = kept;
}

static void cut(lists_maker *m, uint32_t user)
{
    uint32_t max = m->c->graph.max_items_per_user;
    if (max == 0 || m->found_n <= max) return;
    m->lists->cut += m->found_n - max;
    if (m->data->order == ORDER_NONE) {
        cut_by_hash(m, user, max);
        return;
    }
    /* Events are in order: the last found are the most recent. */
    memmove(m->found, m->found + (m->found_n - max), max * sizeof *m->found);
    m->found_n = max;
}

static void add_user(lists_maker *m, uint32_t user)
{
    graph_lists *l = m->lists;
    uint64_t at = l->indptr[user];

    find_items(m, user);
    cut(m, user);
    for (size_t i = 0; i < m->found_n; i++) l->item[at + i] = m->found[i].item;
    if (m->found_n > 0) qsort(l->item + at, m->found_n, sizeof *l->item, compare_u32);
    l->indptr[user + 1] = at + m->found_n;
}

err_code graph_lists_make(const config *c, const catalog *data, const split *parts,
                          graph_lists *out)
{
    lists_maker m = {.c = c, .data = data, .parts = parts, .lists = out, .from = INT64_MIN};
    err_code rc = ERR_NO_MEMORY;

    *out = (graph_lists){.users = data->users_n, .items = data->items_n};
    out->indptr = try_calloc((size_t)data->users_n + 1, sizeof *out->indptr);
    out->item = try_malloc(data->events_n + 1, sizeof *out->item);
    out->train_users = try_calloc((size_t)data->items_n + 1, sizeof *out->train_users);
    m.last_user = try_calloc((size_t)data->items_n + 1, sizeof *m.last_user);
    if (out->indptr == NULL || out->item == NULL || out->train_users == NULL || m.last_user == NULL)
        goto done;
    if (c->graph.window_days > 0) {
        int64_t as_of = graph_lists_as_of(data, parts);
        if (as_of == 0) {
            log_user_error("graph.window_days: no event of train has a time");
            rc = ERR_INVALID;
            goto done;
        }
        m.from = as_of - (int64_t)c->graph.window_days * SECONDS_A_DAY;
    }
    for (uint32_t user = 0; user < data->users_n; user++) add_user(&m, user);
    rc = ERR_OK;
done:
    free(m.last_user);
    free(m.found);
    if (rc != ERR_OK) graph_lists_fini(out);
    return rc;
}

void graph_lists_fini(graph_lists *l)
{
    free(l->indptr);
    free(l->item);
    free(l->train_users);
    *l = (graph_lists){0};
}
