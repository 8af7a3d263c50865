#include "deploy/describe.h"

#include "common/mem.h"
#include "deploy/pair_sample.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLE_ITEMS = 400, VALID_USERS_MIN = 50 };

static void warn(describe *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void warn(describe *d, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    d->warnings.items = xrealloc(d->warnings.items, d->warnings.n + 1, sizeof *d->warnings.items);
    d->warnings.items[d->warnings.n++] = xstrdup(text);
}

void describe_free(describe *d)
{
    if (!d) return;
    for (size_t i = 0; i < d->warnings.n; i++) free(d->warnings.items[i]);
    free(d->warnings.items);
    free(d->relation);
    split_free(d->parts);
    catalog_free(d->data);
    free(d);
}

/* ---- Users ---- */

/* Which types a user has in train. */
static void count_user(describe *d, uint32_t user)
{
    const catalog *c = d->data;
    bool has[CONFIG_TYPES_MAX] = {0};
    for (uint64_t e = c->user_events[user]; e < c->user_events[user + 1]; e++) {
        uint32_t t = c->item_type[c->events[e].item];
        d->type[t].events++;
        has[t] = has[t] || d->parts->part[e] == SPLIT_TRAIN;
    }
    for (uint32_t t = 0; t < c->types_n; t++) {
        d->type[t].train_users += has[t];
        for (uint32_t other = 0; has[t] && other < c->types_n; other++)
            d->type[t].also[other] += has[other];
    }
}

/* Pairs are by user, so that a new user of a type is one that differs from the last. */
static void count_held_out(describe *d)
{
    const split *s = d->parts;
    uint32_t last_user[CONFIG_TYPES_MAX];
    memset(last_user, 0xff, sizeof last_user);
    for (uint64_t i = 0; i < s->pairs_n; i++) {
        const split_pair *p = &s->pairs[i];
        uint32_t t = d->data->item_type[p->item];
        if (!p->positive) continue;
        d->type[t].test += p->part == SPLIT_TEST;
        if (p->part != SPLIT_VALID) continue;
        d->type[t].valid++;
        d->type[t].valid_users += last_user[t] != p->user;
        last_user[t] = p->user;
    }
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static err_code count_events(describe *d)
{
    const catalog *c = d->data;
    uint32_t *n = try_calloc((size_t)c->users_n + 1, sizeof *n);
    if (!n) return ERR_NO_MEMORY;
    for (uint32_t u = 0; u < c->users_n; u++) {
        count_user(d, u);
        n[u] = (uint32_t)(c->user_events[u + 1] - c->user_events[u]);
    }
    qsort(n, c->users_n, sizeof *n, compare_u32);
    static const uint32_t per_mille[4] = {500, 900, 990, 1000};
    for (int i = 0; i < 4 && c->users_n; i++) {
        uint64_t at = (uint64_t)c->users_n * per_mille[i] / 1000;
        d->user_events[i] = n[at < c->users_n ? at : c->users_n - 1];
    }
    free(n);
    return ERR_OK;
}

static bool has_tie(const catalog *c, uint32_t user, uint64_t e)
{
    bool before = e > c->user_events[user] && c->events[e - 1].time == c->events[e].time;
    bool after = e + 1 < c->user_events[user + 1] && c->events[e + 1].time == c->events[e].time;
    return before || after;
}

/* Events of a user are in the order of time only where the order is time. */
static void count_ties(describe *d)
{
    const catalog *c = d->data;
    uint64_t timed = 0, tied = 0, users = 0, last = 0;
    if (c->order != ORDER_TIME) return;
    for (uint32_t u = 0; u < c->users_n; u++) {
        uint64_t end = c->user_events[u + 1];
        for (uint64_t e = c->user_events[u]; e < end; e++) {
            if (!c->events[e].time) continue;
            timed++;
            tied += has_tie(c, u, e);
        }
        if (end == c->user_events[u] || !c->events[end - 1].time) continue;
        users++;
        last += has_tie(c, u, end - 1);
    }
    d->tied = timed ? (double)tied / (double)timed : 0;
    d->tied_last = users ? (double)last / (double)users : 0;
}

/* ---- Edges ---- */

typedef struct edge_counts {
    const catalog *data;
    const config *config;
    double sampled[CONFIG_TYPES_MAX];
    double (*sum)[5];   /* [destination * types + source] all, kept, with 1, 2, more users */
    double users, once; /* user pairs; of them with nobody else's edge */
} edge_counts;

static void count_neighbours(void *context, uint32_t item, const uint32_t *neighbour, size_t n,
                             const uint32_t *count)
{
    edge_counts *x = context;
    const catalog *c = x->data;
    const config *f = x->config;
    uint32_t to = c->item_type[item], kept[CONFIG_TYPES_MAX] = {0};
    x->sampled[to] += 1;
    for (size_t i = 0; i < n; i++) {
        uint32_t users = count[neighbour[i]], from = c->item_type[neighbour[i]];
        double *sum = x->sum[to * c->types_n + from];
        sum[0] += 1;
        sum[users == 1 ? 2 : users == 2 ? 3 : 4] += 1;
        kept[from] += users >= f->graph.min_users;
        x->users += users;
        x->once += users == 1;
    }
    for (uint32_t t = 0; t < c->types_n; t++)
        x->sum[to * c->types_n + t][1] +=
            kept[t] < f->graph.max_degree ? kept[t] : f->graph.max_degree;
}

static bool is_allowed(const config *f, const catalog *c, uint32_t source, uint32_t destination)
{
    if (f->graph.relations_all) return true;
    for (size_t i = 0; i < f->graph.relations_n; i++) {
        if (strcmp(f->graph.relations[i].source, c->types[source]) == 0 &&
            strcmp(f->graph.relations[i].destination, c->types[destination]) == 0) {
            return true;
        }
    }
    return false;
}

static void fill_relations(describe *d, const edge_counts *x)
{
    uint32_t types = d->data->types_n;
    d->relation = xcalloc((size_t)types * types + 1, sizeof *d->relation);
    for (uint32_t s = 0; s < types; s++) {
        for (uint32_t t = 0; t < types; t++) {
            if (!is_allowed(x->config, d->data, s, t)) continue;
            const double *sum = x->sum[t * types + s];
            double items = x->sampled[t] > 0 ? x->sampled[t] : 1, all = sum[0] > 0 ? sum[0] : 1;
            d->relation[d->relations++] = (describe_relation){.source = s,
                                                              .destination = t,
                                                              .neighbours = sum[0] / items,
                                                              .kept = sum[1] / items,
                                                              .users_1 = sum[2] / all,
                                                              .users_2 = sum[3] / all,
                                                              .more = sum[4] / all};
        }
    }
    d->alone = x->users > 0 ? x->once / x->users : 0;
}

static err_code count_edges(describe *d, const config *c, const graph_lists *l)
{
    uint32_t types = d->data->types_n;
    edge_counts x = {.data = d->data, .config = c};
    item_users users;
    err_code rc = item_users_make(l, &users);
    if (rc != ERR_OK) return rc;
    x.sum = xcalloc((size_t)types * types + 1, sizeof *x.sum);
    rc = pair_sample_run(pair_items_of(d->data), l, &users, c->seed, SAMPLE_ITEMS, count_neighbours,
                         &x);
    if (rc == ERR_OK) fill_relations(d, &x);
    for (uint32_t i = 0; i < d->data->items_n; i++)
        d->type[d->data->item_type[i]].untouched += l->train_users[i] == 0;
    free(x.sum);
    item_users_fini(&users);
    return rc;
}

/* ---- Warnings ---- */

static void warn_types(describe *d)
{
    const catalog *c = d->data;
    for (uint32_t t = 0; t < c->types_n; t++) {
        const describe_type *x = &d->type[t];
        const char *name = c->types[t];
        if (x->events == 0) {
            warn(d, "%s: nobody has any of its items: only their texts can be learned", name);
        } else if (x->valid_users < VALID_USERS_MIN) {
            warn(d,
                 "%s: %llu users to validate on, less than %d: what is chosen on valid is chance",
                 name, (unsigned long long)x->valid_users, VALID_USERS_MIN);
        }
        if (x->events > 0 && x->untouched * 2 > c->type_items[t]) {
            warn(d, "%s: %.0f %% of the items have no event in train", name,
                 100.0 * (double)x->untouched / c->type_items[t]);
        }
    }
}

static void warn_data(describe *d)
{
    const catalog *c = d->data;
    for (size_t i = 0; i < c->warnings.n; i++) warn(d, "%s", c->warnings.items[i]);
    if (c->rows && c->unknown_items * 10 > c->rows) {
        warn(d, "%.0f %% of the interactions name items that are not in the catalogue",
             100.0 * (double)c->unknown_items / (double)c->rows);
    }
    if (c->items_n && c->empty_texts * 10 > c->items_n) {
        warn(d, "%.0f %% of the items have no text", 100.0 * (double)c->empty_texts / c->items_n);
    }
    if (c->events_n && c->missing_times && c->order != ORDER_TIME) {
        warn(d,
             "%.0f %% of the events have no time: histories are in no order, and the split is by "
             "chance or by row",
             100.0 * (double)c->missing_times / (double)c->events_n);
    }
    if (d->tied_last > 0.3) {
        warn(
            d,
            "the last event of %.0f %% of the users shares its time with another: which is last is "
            "the order of rows",
            100 * d->tied_last);
    }
    if (d->alone > 0.7) {
        warn(d,
             "%.0f %% of the edges that lead to a training target are there because of that user "
             "alone: training sees them, recommending does not",
             100 * d->alone);
    }
    if (d->list_cut) {
        warn(d, "graph.max_items_per_user leaves out %llu items of long lists",
             (unsigned long long)d->list_cut);
    }
    warn_types(d);
}

err_code describe_make(const config *c, const progress *p, describe **out)
{
    describe *d = xcalloc(1, sizeof *d);
    graph_lists lists = {0};
    d->any_kind = c->data.kinds_n == 0;
    progress_report(p, "read", 0, 1);
    err_code rc = config_check_inputs(c);
    if (rc == ERR_OK) rc = catalog_read(c, &d->data);
    if (rc == ERR_OK) rc = split_make(c, d->data, &d->parts);
    if (rc == ERR_OK) rc = graph_lists_make(c, d->data, d->parts, &lists);
    progress_report(p, "read", 1, 1);
    if (rc == ERR_OK) rc = count_events(d);
    if (rc == ERR_OK) {
        d->list_cut = lists.cut;
        count_held_out(d);
        count_ties(d);
        rc = count_edges(d, c, &lists);
    }
    progress_report(p, "count", 1, 2);
    if (rc == ERR_OK) rc = describe_cross(d, &lists, c->seed);
    progress_report(p, "count", 2, 2);
    if (rc == ERR_OK) warn_data(d);
    graph_lists_fini(&lists);
    if (rc != ERR_OK) {
        describe_free(d);
        d = NULL;
    }
    *out = d;
    return rc;
}
