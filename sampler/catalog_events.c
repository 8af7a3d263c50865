#include "sampler/catalog_load.h"

#include "common/log.h"
#include "common/mem.h"

#include <float.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { BELOW_MIN_WEIGHT = 1 }; /* catalog_event.pad while events are sorted */

/* Seconds beyond this (year 5138) are milliseconds. */
static const int64_t time_max = INT64_C(100000000000);

typedef struct events_reader {
    catalog_load *l;
    table_reader *r;
    const char *path;
    table_column user, item, time, weight, kind;
    size_t events_cap;
    uint64_t unknown_line; /* the first row with an unknown item */
    uint64_t timeless_line;
    uint64_t timeless;
} events_reader;

/* A row, checked. */
typedef struct event_row {
    const char *user, *item;
    size_t user_len, item_len;
    int64_t time;
    double weight;
    uint32_t kind;
    uint32_t roles;
    bool below;
} event_row;

static err_code map_columns(events_reader *s)
{
    const config *c = s->l->config;
    const struct {
        const config_column *column;
        const char *key;
        bool absent_ok;
        table_column *out;
    } maps[] = {
        {&c->data.interactions.user_id, "data.interactions.columns.user_id", false, &s->user},
        {&c->data.interactions.item_id, "data.interactions.columns.item_id", false, &s->item},
        {&c->data.interactions.timestamp, "data.interactions.columns.timestamp", true, &s->time},
        {&c->data.interactions.weight, "data.interactions.columns.weight", true, &s->weight},
        {&c->data.interactions.kind, "data.interactions.columns.kind", true, &s->kind},
    };
    err_code rc = ERR_OK;
    for (size_t i = 0; rc == ERR_OK && i < sizeof maps / sizeof *maps; i++) {
        rc = table_reader_map(s->r, maps[i].column, maps[i].key, maps[i].absent_ok, maps[i].out);
    }
    return rc;
}

/* NULL, or what is wrong.  Digits, and a fraction that is dropped; "" is 0. */
static const char *parse_time(const char *text, int64_t *out)
{
    *out = 0;
    for (; *text >= '0' && *text <= '9'; text++) {
        *out = *out * 10 + (*text - '0');
        if (*out > time_max) return "is not in unix seconds (milliseconds?)";
    }
    if (*text == '.') text += 1 + strspn(text + 1, "0123456789");
    return *text ? "is not a time in unix seconds" : NULL;
}

/* "" is 1. */
static const char *parse_weight(const char *text, double *out)
{
    *out = 1;
    if (!*text) return NULL;
    char *end;
    *out = strtod(text, &end);
    bool plain = text[strspn(text, "0123456789+-.eE")] == '\0';
    if (!plain || end == text || *end || *out > (double)FLT_MAX || *out < -(double)FLT_MAX) {
        return "is not a finite number";
    }
    return NULL;
}

static uint32_t find_kind(const catalog *d, const char *name)
{
    for (uint32_t i = 0; i < d->kinds_n; i++) {
        if (strcmp(d->kinds[i].name, name) == 0) return i;
    }
    return UINT32_MAX;
}

static err_code no_kind(const events_reader *s, const char *name)
{
    log_user_error("%s:%" PRIu64 ":%u: kind \"%s\" is not in data.kinds", s->path,
                   table_reader_line(s->r), s->kind.fields_n ? s->kind.fields[0] + 1 : 1, name);
    return ERR_INVALID;
}

/* Finds the row's kind; *ignored for one without roles.  The name is checked already. */
static err_code resolve_kind(events_reader *s, const char *name, uint32_t *kind, bool *ignored)
{
    const config *c = s->l->config;
    catalog *d = s->l->data;
    *ignored = false;
    *kind = find_kind(d, name);
    if (*kind != UINT32_MAX) return ERR_OK;
    if (c->data.kinds_n) {
        for (size_t i = 0; i < c->data.kinds_n; i++) {
            if (strcmp(c->data.kinds[i].name, name) == 0) *ignored = true;
        }
        return *ignored ? ERR_OK : no_kind(s, name);
    }
    if (d->kinds_n == CATALOG_KINDS_MAX) {
        log_user_error("%s:%" PRIu64 ": more than %d kinds (is the column right?)", s->path,
                       table_reader_line(s->r), CATALOG_KINDS_MAX);
        return ERR_INVALID;
    }
    *kind = d->kinds_n++;
    d->kinds[*kind] = (catalog_kind){.name = xstrdup(name), .roles = ROLE_ALL};
    return ERR_OK;
}

static void take_kinds(events_reader *s)
{
    const config *c = s->l->config;
    catalog *d = s->l->data;
    size_t n = c->data.kinds_n > CATALOG_KINDS_MAX ? c->data.kinds_n : CATALOG_KINDS_MAX;
    d->kinds = xcalloc(n, sizeof *d->kinds);
    for (size_t i = 0; i < c->data.kinds_n; i++) {
        const config_kind *k = &c->data.kinds[i];
        if (!k->roles) continue;
        d->kinds[d->kinds_n++] = (catalog_kind){.name = xstrdup(k->name),
                                                .roles = k->roles,
                                                .has_min_weight = k->has_min_weight,
                                                .min_weight = k->min_weight};
    }
}

/* Checks the row's form.  *name is its kind. NULL, or what is wrong with *column. */
static const char *parse_row(events_reader *s, event_row *e, const char **name,
                             table_column **column)
{
    const char *problem;
    size_t n;
    *column = &s->user;
    e->user = table_reader_value(s->r, &s->user, &e->user_len);
    if ((problem = catalog_id_problem(e->user, e->user_len))) return problem;
    *column = &s->item;
    e->item = table_reader_value(s->r, &s->item, &e->item_len);
    if ((problem = catalog_id_problem(e->item, e->item_len))) return problem;
    *column = &s->time;
    if ((problem = parse_time(table_reader_value(s->r, &s->time, NULL), &e->time))) return problem;
    *column = &s->weight;
    problem = parse_weight(table_reader_value(s->r, &s->weight, NULL), &e->weight);
    if (problem) return problem;
    *column = &s->kind;
    *name = table_reader_value(s->r, &s->kind, &n);
    if (!n) {
        *name = "event";
        n = 5;
    }
    return catalog_name_ok(*name, n) ? NULL : "is not a name ([A-Za-z0-9_-]{1,64})";
}

static const char *column_name(const events_reader *s, const table_column *column)
{
    if (column == &s->user) return "user_id";
    if (column == &s->item) return "item_id";
    if (column == &s->time) return "timestamp";
    return column == &s->weight ? "weight" : "kind";
}

static err_code append(events_reader *s, const event_row *e, uint32_t item)
{
    catalog *d = s->l->data;
    uint32_t user = string_pool_intern(d->user_ids, e->user, e->user_len, NULL);
    if (user == STRING_POOL_NONE) {
        log_user_error("%s: more than 2^32 - 2 users", s->path);
        return ERR_LIMIT;
    }
    if (d->events_n == s->events_cap) {
        size_t cap = s->events_cap ? s->events_cap + s->events_cap / 2 : 4096;
        catalog_event *more = try_realloc(d->events, cap, sizeof *more);
        if (!more) {
            log_user_error("%s: no memory for %zu events", s->path, cap);
            return ERR_NO_MEMORY;
        }
        d->events = more;
        s->events_cap = cap;
    }
    d->events[d->events_n++] = (catalog_event){.time = e->time,
                                               .row = table_reader_row(s->r),
                                               .user = user,
                                               .item = item,
                                               .weight = (float)e->weight,
                                               .kind = (uint16_t)e->kind,
                                               .roles = (uint8_t)e->roles,
                                               .pad = e->below ? BELOW_MIN_WEIGHT : 0};
    if (!e->time && !s->timeless++) s->timeless_line = table_reader_line(s->r);
    return ERR_OK;
}

static void miss_item(events_reader *s, const event_row *e)
{
    catalog *d = s->l->data;
    if (string_pool_find(s->l->other_ids, e->item, e->item_len) != STRING_POOL_NONE) {
        d->other_types++;
    } else if (!d->unknown_items++) {
        s->unknown_line = table_reader_line(s->r);
    }
}

static err_code read_event(events_reader *s)
{
    catalog *d = s->l->data;
    event_row e = {0};
    const char *name;
    table_column *column;
    const char *problem = parse_row(s, &e, &name, &column);
    if (problem) {
        return table_reader_reject(s->r, column, "%s \"%.80s\" %s", column_name(s, column),
                                   table_reader_value(s->r, column, NULL), problem);
    }
    bool ignored;
    err_code rc = resolve_kind(s, name, &e.kind, &ignored);
    if (rc != ERR_OK) return rc;
    d->rows++;
    if (ignored) {
        d->ignored_kinds++;
        return ERR_OK;
    }
    uint32_t item = string_pool_find(d->item_ids, e.item, e.item_len);
    if (item == STRING_POOL_NONE) {
        miss_item(s, &e);
        return ERR_OK;
    }
    const catalog_kind *kind = &d->kinds[e.kind];
    e.below = kind->has_min_weight && e.weight < kind->min_weight;
    e.roles = e.below ? kind->roles & ROLE_SEEN : kind->roles;
    if (!e.roles) {
        d->light_rows++;
        return ERR_OK;
    }
    return append(s, &e, item);
}

/* --- after the file is read --- */

static err_code resolve_order(events_reader *s)
{
    const config *c = s->l->config;
    catalog *d = s->l->data;
    d->order = c->data.order;
    if (d->order == ORDER_TIME && s->timeless == d->events_n) {
        log_user_error("data.order: time, but no row of %s has a time", s->path);
        return ERR_INVALID;
    }
    if (d->order != ORDER_UNSET) return ERR_OK;
    d->order = s->timeless ? ORDER_NONE : ORDER_TIME;
    if (!s->timeless) return ERR_OK;
    if (c->data.from_data_dir) {
        catalog_warn(d,
                     "interactions: %" PRIu64 " of %" PRIu64
                     " events have no time: data.order none is used",
                     s->timeless, d->events_n);
        return ERR_OK;
    }
    log_user_error("%s:%" PRIu64 ": %" PRIu64 " of %" PRIu64 " events have no time: "
                   "set data.order to time, file or none",
                   s->path, s->timeless_line, s->timeless, d->events_n);
    return ERR_INVALID;
}

/* Puts the events of each user together, in place. */
static void group_by_user(catalog *d)
{
    d->users_n = string_pool_count(d->user_ids);
    d->user_events = xcalloc((size_t)d->users_n + 2, sizeof *d->user_events);
    for (uint64_t i = 0; i < d->events_n; i++) d->user_events[d->events[i].user + 1]++;
    for (uint32_t u = 0; u < d->users_n; u++) d->user_events[u + 1] += d->user_events[u];
    uint64_t *next = xcalloc((size_t)d->users_n + 1, sizeof *next);
    memcpy(next, d->user_events, d->users_n * sizeof *next);
    for (uint32_t u = 0; u < d->users_n; u++) {
        while (next[u] < d->user_events[u + 1]) {
            catalog_event e = d->events[next[u]];
            while (e.user != u) {
                catalog_event *to = &d->events[next[e.user]++], moved = *to;
                *to = e;
                e = moved;
            }
            d->events[next[u]++] = e;
        }
    }
    free(next);
}

#define COMPARE(x, y)                                                                              \
    if ((x) != (y)) return (x) < (y) ? -1 : 1

static int compare_age(const catalog_event *x, const catalog_event *y, order_kind order)
{
    if (order != ORDER_FILE) {
        COMPARE(x->time == 0, y->time == 0); /* unknown is not early */
        COMPARE(x->time, y->time);
    }
    COMPARE(x->row, y->row);
    return 0;
}

/* Same (item, kind) together, the one to keep first. */
static int compare_same(const void *a, const void *b, void *data)
{
    const catalog_event *x = a, *y = b;
    COMPARE(x->item, y->item);
    COMPARE(x->kind, y->kind);
    COMPARE(x->pad, y->pad);
    return compare_age(x, y, ((const catalog *)data)->order);
}

static int compare_final(const void *a, const void *b, void *data)
{
    const catalog_event *x = a, *y = b;
    const catalog *d = data;
    if (d->order == ORDER_NONE) {
        COMPARE(d->item_key[x->item], d->item_key[y->item]);
        COMPARE(x->kind, y->kind);
        return 0;
    }
    return compare_age(x, y, d->order);
}

/* Keeps one of each (item, kind) among the n events of a user at `from`; returns how many. */
static uint64_t dedupe(catalog *d, catalog_event *from, uint64_t n, catalog_event *to)
{
    if (n) qsort_r(from, n, sizeof *from, compare_same, d);
    uint64_t kept = 0;
    for (uint64_t i = 0; i < n; i++) {
        catalog_event e = from[i];
        bool same_item = kept && to[kept - 1].item == e.item;
        if (same_item && to[kept - 1].kind == e.kind) continue;
        d->pairs += !same_item;
        e.pad = 0;
        to[kept++] = e;
    }
    if (kept) qsort_r(to, kept, sizeof *to, compare_final, d);
    return kept;
}

static void sort_events(catalog *d)
{
    uint64_t kept = 0, start = 0;
    for (uint32_t u = 0; u < d->users_n; u++) {
        uint64_t end = d->user_events[u + 1];
        d->user_events[u] = kept;
        kept += dedupe(d, d->events + start, end - start, d->events + kept);
        start = end;
    }
    d->user_events[d->users_n] = kept;
    d->duplicates = d->events_n - kept;
    d->events_n = kept;
    catalog_event *less = try_realloc(d->events, kept, sizeof *less);
    if (less) d->events = less;
}

static void count_events(catalog *d)
{
    for (uint64_t i = 0; i < d->events_n; i++) {
        const catalog_event *e = &d->events[i];
        d->kinds[e->kind].events++;
        d->missing_times += e->time == 0;
        if (!e->time) continue;
        if (!d->time_min || e->time < d->time_min) d->time_min = e->time;
        if (e->time > d->time_max) d->time_max = e->time;
    }
}

static void finish(events_reader *s)
{
    catalog *d = s->l->data;
    bool *used = xcalloc(table_reader_columns(s->r), sizeof *used);
    catalog_load_mark(used, &s->user);
    catalog_load_mark(used, &s->item);
    catalog_load_mark(used, &s->time);
    catalog_load_mark(used, &s->weight);
    catalog_load_mark(used, &s->kind);
    catalog_load_note(s->l, s->r, "interactions", s->path, used);
    free(used);
    s->l->hash_interactions = table_reader_hash(s->r);
    if (d->unknown_items) {
        catalog_warn(d,
                     "interactions: %" PRIu64 " rows name items that are not in the items file "
                     "(the first: line %" PRIu64 ")",
                     d->unknown_items, s->unknown_line);
    }
    for (uint32_t k = 0; k < d->kinds_n; k++) {
        if (!d->kinds[k].events) catalog_warn(d, "kind %s: no events", d->kinds[k].name);
    }
}

static err_code finish_events(events_reader *s)
{
    catalog *d = s->l->data;
    if (!d->rows) {
        log_user_error("%s: no interactions", s->path);
        return ERR_INVALID;
    }
    if (!d->events_n) {
        log_user_error("%s: none of %" PRIu64 " rows is an event of an item in %s", s->path,
                       d->rows, s->l->config->data.items.path);
        return ERR_INVALID;
    }
    err_code rc = resolve_order(s);
    if (rc != ERR_OK) return rc;
    group_by_user(d);
    sort_events(d);
    count_events(d);
    finish(s);
    return ERR_OK;
}

err_code catalog_load_events(catalog_load *l)
{
    events_reader s = {.l = l, .path = l->config->data.interactions.path};
    take_kinds(&s);
    err_code rc = table_reader_open(s.path, l->config->data.skip_bad_rows, &s.r);
    if (rc == ERR_OK) rc = map_columns(&s);
    for (bool more = true; rc == ERR_OK;) {
        rc = table_reader_next(s.r, &more);
        if (rc != ERR_OK || !more) break;
        rc = read_event(&s);
    }
    if (rc == ERR_OK) rc = finish_events(&s);
    table_column_fini(&s.user);
    table_column_fini(&s.item);
    table_column_fini(&s.time);
    table_column_fini(&s.weight);
    table_column_fini(&s.kind);
    table_reader_close(s.r);
    return rc;
}
