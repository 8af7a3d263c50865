#include "deploy/export_lists.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"
#include "sampler/history.h"

#include <stdlib.h>
#include <string.h>

void export_lists_fini(export_lists *l)
{
    free(l->indptr);
    free(l->item);
    *l = (export_lists){0};
}

static err_code lists_init(export_lists *l, const dataset *d, uint64_t entries_max)
{
    *l = (export_lists){.users = d->users};
    if (d->items > INT32_MAX) {
        log_user_error("%u items: an export holds at most %d", d->items, INT32_MAX);
        return ERR_LIMIT;
    }
    l->indptr = try_calloc((size_t)d->users + 1, sizeof *l->indptr);
    l->item = try_malloc(entries_max + 1, sizeof *l->item);
    if (l->indptr && l->item) return ERR_OK;
    export_lists_fini(l);
    return ERR_NO_MEMORY;
}

/* The union of two ascending lists without repeats; returns its length. */
static size_t merge(int32_t *out, const uint32_t *a, size_t a_n, const uint32_t *b, size_t b_n)
{
    size_t n = 0, i = 0, j = 0;
    while (i < a_n || j < b_n) {
        bool from_a = j == b_n || (i < a_n && a[i] <= b[j]);
        uint32_t item = from_a ? a[i] : b[j];
        i += i < a_n && a[i] == item;
        j += j < b_n && b[j] == item;
        out[n++] = (int32_t)item;
    }
    return n;
}

err_code export_lists_seen(const dataset *d, export_lists *out)
{
    const dataset_lists *a = &d->seen_train, *b = &d->seen_valid;
    err_code rc = lists_init(out, d, a->indptr[d->users] + b->indptr[d->users]);
    if (rc != ERR_OK) return rc;
    for (uint32_t u = 0; u < d->users; u++) {
        size_t n = merge(out->item + out->indptr[u], a->item + a->indptr[u],
                         a->indptr[u + 1] - a->indptr[u], b->item + b->indptr[u],
                         b->indptr[u + 1] - b->indptr[u]);
        out->indptr[u + 1] = out->indptr[u] + (int64_t)n;
    }
    return ERR_OK;
}

/* A user of the store with the events of its history alone. */
typedef struct history_events {
    uint32_t *node;
    uint8_t *role, *part;
} history_events;

static err_code events_init(history_events *e, const dataset *d)
{
    uint64_t longest = 0;
    for (uint32_t u = 0; u < d->users; u++) {
        uint64_t n = d->history.indptr[u + 1] - d->history.indptr[u];
        longest = n > longest ? n : longest;
    }
    e->node = try_malloc(longest + 1, sizeof *e->node);
    e->role = try_malloc(longest + 1, 1);
    e->part = try_malloc(longest + 1, 1);
    if (!e->node || !e->role || !e->part) return ERR_NO_MEMORY;
    memset(e->role, ROLE_HISTORY, longest + 1);
    memset(e->part, STORE_TRAIN, longest + 1);
    return ERR_OK;
}

static void events_fini(history_events *e)
{
    free(e->node);
    free(e->role);
    free(e->part);
}

static int compare_items(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

/* The dataset's history is in the store's order of events, so that history_at_end sees the same. */
static void add_history(export_lists *out, const job *j, const history_rule *rule, const dataset *d,
                        uint32_t row, history_events *e, node_list *nodes)
{
    const uint64_t begin = d->history.indptr[row], n = d->history.indptr[row + 1] - begin;
    int32_t *to = out->item + out->indptr[row];
    for (uint64_t i = 0; i < n; i++) e->node[i] = d->item_node[d->history.item[begin + i]];
    store_user user = {.n = (uint32_t)n,
                       .node = e->node,
                       .time = d->history_time + begin,
                       .role = e->role,
                       .part = e->part};
    history_at_end(nodes, rule, j->manifest, d->user_number[row], &user);
    for (size_t i = 0; i < nodes->n; i++) to[i] = (int32_t)d->node_item[nodes->node[i]];
    if (nodes->n) qsort(to, nodes->n, sizeof *to, compare_items);
    out->indptr[row + 1] = out->indptr[row] + (int64_t)nodes->n;
}

err_code export_lists_history(const job *j, const dataset *d, export_lists *out)
{
    history_events events = {0};
    node_list nodes = {0};
    history_rule rule;
    err_code rc = lists_init(out, d, d->history.indptr[d->users]);
    if (rc == ERR_OK) rc = events_init(&events, d);
    if (rc == ERR_OK) {
        history_rule_init(&rule, j->config, j->manifest);
        for (uint32_t u = 0; u < d->users; u++) add_history(out, j, &rule, d, u, &events, &nodes);
    } else {
        export_lists_fini(out);
    }
    events_fini(&events);
    node_list_fini(&nodes);
    return rc;
}
