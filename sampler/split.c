#include "sampler/split.h"

#include "common/hash.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"
#include "sampler/table_reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DAY_SECONDS = 86400 };

/* What a cut has to work with: the events that no earlier cut took. */
typedef struct cutter {
    const config *config;
    const catalog *data;
    split *s;
    uint8_t part;    /* the part being cut */
    uint8_t *marked; /* [events_n] 1: a positive event chosen for `part` */
} cutter;

const char *split_part_name(int part)
{
    static const char *const names[] = {"train", "valid", "test"};
    ASSERT(part >= 0 && part < SPLIT_PARTS);
    return names[part];
}

const char *split_method_name(split_method method)
{
    static const char *const names[] = {"auto", "time", "last", "random", "file", "none"};
    ASSERT((unsigned)method < sizeof names / sizeof *names);
    return names[method];
}

static bool is_candidate(const cutter *k, uint64_t e)
{
    return k->s->part[e] == SPLIT_TRAIN && k->data->events[e].roles & ROLE_POSITIVE;
}

static uint32_t type_of(const catalog *d, uint32_t item)
{
    return d->item_type[item];
}

/* --- pairs --- */

typedef struct pair_event {
    uint32_t item;
    uint32_t offset; /* of the event among its user's */
} pair_event;

static int compare_pair_event(const void *a, const void *b)
{
    const pair_event *x = a, *y = b;
    if (x->item != y->item) return x->item < y->item ? -1 : 1;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

/* The events of user u sorted by item into *list; returns how many. */
static size_t sort_by_item(const catalog *d, uint32_t u, pair_event **list, size_t *cap)
{
    uint64_t from = d->user_events[u];
    size_t n = d->user_events[u + 1] - from;
    grow(list, cap, n + 1, sizeof **list);
    for (size_t i = 0; i < n; i++) {
        (*list)[i] = (pair_event){d->events[from + i].item, (uint32_t)i};
    }
    qsort(*list, n, sizeof **list, compare_pair_event);
    return n;
}

static size_t end_of_pair(const pair_event *list, size_t n, size_t i)
{
    size_t end = i;
    while (end < n && list[end].item == list[i].item) end++;
    return end;
}

/* Gives every pair with a marked event the part, with all its events that no earlier cut took. */
static void take_marked(cutter *k)
{
    pair_event *list = NULL;
    size_t cap = 0;
    for (uint32_t u = 0; u < k->data->users_n; u++) {
        uint64_t from = k->data->user_events[u];
        size_t n = sort_by_item(k->data, u, &list, &cap);
        for (size_t i = 0, end; i < n; i = end) {
            end = end_of_pair(list, n, i);
            bool any = false;
            for (size_t j = i; j < end; j++) any |= k->marked[from + list[j].offset] != 0;
            for (size_t j = i; any && j < end; j++) {
                uint8_t *part = &k->s->part[from + list[j].offset];
                if (*part == SPLIT_TRAIN) *part = k->part;
            }
        }
    }
    free(list);
    memset(k->marked, 0, k->data->events_n);
}

/* floor(fraction * n), not fooled by 0.29 * 100 being a little less than 29. */
static size_t share(const cutter *k, size_t n)
{
    return (size_t)(k->config->split.holdout_fraction * (double)n + 1e-9);
}

/* --- time --- */

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The smallest time from which on there are at most `most` of the n sorted times; at least the
 * latest of them. */
static int64_t cut_by_count(const int64_t *times, size_t n, size_t most)
{
    size_t at = n - (most ? most : 1);
    while (at < n && at > 0 && times[at] == times[at - 1]) at++; /* equal times stay together */
    if (at == n) {
        at = n - 1;
        while (at > 0 && times[at - 1] == times[n - 1]) at--;
    }
    return times[at];
}

/* The candidates' known times, sorted, owned. */
static int64_t *candidate_times(const cutter *k, size_t *n)
{
    int64_t *times = xcalloc(k->data->events_n + 1, sizeof *times);
    *n = 0;
    for (uint64_t e = 0; e < k->data->events_n; e++) {
        if (is_candidate(k, e) && k->data->events[e].time) times[(*n)++] = k->data->events[e].time;
    }
    qsort(times, *n, sizeof *times, compare_times);
    return times;
}

static err_code cut_time(cutter *k)
{
    const config *c = k->config;
    split *s = k->s;
    size_t n;
    int64_t *times = candidate_times(k, &n), cut = 0;
    bool test = k->part == SPLIT_TEST;
    if (n) {
        int64_t last = test ? times[n - 1] + 1 : s->test_from;
        cut = c->split.holdout_days ? last - (int64_t)c->split.holdout_days * DAY_SECONDS
                                    : cut_by_count(times, n, share(k, n));
    }
    bool nothing_before = !n || cut <= times[0];
    free(times);
    if (nothing_before) {
        log_user_error("split.method: time leaves no positive event before the %s part: choose "
                       "another method, a smaller split.holdout_%s",
                       split_part_name(k->part), c->split.holdout_days ? "days" : "fraction");
        return ERR_INVALID;
    }
    *(test ? &s->test_from : &s->valid_from) = cut;
    for (uint64_t e = 0; e < k->data->events_n; e++) {
        if (k->data->events[e].time >= cut) k->marked[e] = is_candidate(k, e);
    }
    take_marked(k);
    for (uint64_t e = 0; e < k->data->events_n; e++) { /* what happens later is not train either */
        bool later = k->data->events[e].time >= cut;
        if (later && s->part[e] == SPLIT_TRAIN) s->part[e] = k->part;
    }
    return ERR_OK;
}

/* --- last --- */

static bool is_later(const catalog *d, const catalog_event *a, const catalog_event *b)
{
    if (d->order == ORDER_TIME && a->time != b->time) return a->time > b->time;
    return a->row > b->row;
}

static err_code cut_last(cutter *k)
{
    const catalog *d = k->data;
    for (uint32_t u = 0; u < d->users_n; u++) {
        uint64_t best[CONFIG_TYPES_MAX], left = 0;
        for (uint32_t t = 0; t < CONFIG_TYPES_MAX; t++) best[t] = UINT64_MAX;
        for (uint64_t e = d->user_events[u]; e < d->user_events[u + 1]; e++) {
            left += k->s->part[e] == SPLIT_TRAIN;
            bool known = d->order != ORDER_TIME || d->events[e].time;
            if (!known || !is_candidate(k, e)) continue;
            uint32_t t = k->config->split.per_type ? type_of(d, d->events[e].item) : 0;
            bool later = best[t] == UINT64_MAX || is_later(d, &d->events[e], &d->events[best[t]]);
            if (later) best[t] = e;
        }
        if (left < k->config->split.min_events) continue;
        for (uint32_t t = 0; t < CONFIG_TYPES_MAX; t++) {
            if (best[t] != UINT64_MAX) k->marked[best[t]] = 1;
        }
    }
    take_marked(k);
    return ERR_OK;
}

/* --- random --- */

typedef struct draw {
    uint32_t group; /* the type, or 0 */
    uint64_t hash, key;
    uint64_t event; /* a positive one of the pair */
} draw;

static int compare_draws(const void *a, const void *b)
{
    const draw *x = a, *y = b;
    if (x->group != y->group) return x->group < y->group ? -1 : 1;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return (x->key > y->key) - (x->key < y->key);
}

/* A function of seed, user id and stable key only. */
static uint64_t draw_hash(const config *c, uint64_t user_hash, uint64_t item_key)
{
    uint64_t parts[2] = {user_hash, item_key};
    return hash64(parts, sizeof parts, c->seed);
}

/* The candidate pairs of user u, by group and then in drawn order; *pairs counts all her pairs that
 * are still in train. */
static size_t list_draws(const cutter *k, uint32_t u, pair_event **list, size_t *list_cap,
                         draw **draws, size_t *draws_cap, size_t *pairs)
{
    const catalog *d = k->data;
    uint64_t from = d->user_events[u];
    uint64_t user_hash = hash64_string(catalog_user_id(d, u), 0);
    size_t n = sort_by_item(d, u, list, list_cap), out = 0;
    *pairs = 0;
    for (size_t i = 0, end; i < n; i = end) {
        end = end_of_pair(*list, n, i);
        uint64_t event = UINT64_MAX;
        for (size_t j = i; j < end; j++) {
            uint64_t e = from + (*list)[j].offset;
            if (is_candidate(k, e)) event = e;
        }
        *pairs += k->s->part[from + (*list)[i].offset] == SPLIT_TRAIN;
        if (event == UINT64_MAX) continue;
        uint32_t item = (*list)[i].item;
        grow(draws, draws_cap, out + 1, sizeof **draws);
        (*draws)[out++] =
            (draw){k->config->split.per_type ? type_of(d, item) : 0,
                   draw_hash(k->config, user_hash, d->item_key[item]), d->item_key[item], event};
    }
    qsort(*draws, out, sizeof **draws, compare_draws);
    return out;
}

static err_code cut_random(cutter *k)
{
    pair_event *list = NULL;
    draw *draws = NULL;
    size_t list_cap = 0, draws_cap = 1;
    draws = xcalloc(1, sizeof *draws);
    for (uint32_t u = 0; u < k->data->users_n; u++) {
        size_t pairs;
        size_t n = list_draws(k, u, &list, &list_cap, &draws, &draws_cap, &pairs);
        for (size_t i = 0, end; i < n; i = end) {
            for (end = i; end < n && draws[end].group == draws[i].group;) end++;
            size_t want = share(k, end - i);
            if (!want) want = 1;
            for (size_t j = i; want && j < end && pairs > 1; j++, want--, pairs--) {
                k->marked[draws[j].event] = 1;
            }
        }
    }
    free(list);
    free(draws);
    take_marked(k);
    return ERR_OK;
}

/* --- file --- */

typedef struct file_row {
    uint32_t user, item;
    uint8_t part;
    uint64_t line;
} file_row;

static int compare_file_rows(const void *a, const void *b)
{
    const file_row *x = a, *y = b;
    if (x->user != y->user) return x->user < y->user ? -1 : 1;
    if (x->item != y->item) return x->item < y->item ? -1 : 1;
    return (x->line > y->line) - (x->line < y->line);
}

typedef struct split_file {
    const char *path;
    table_reader *r;
    table_column user, item, part;
    file_row *rows;
    size_t n, cap;
} split_file;

static err_code map_split(split_file *f, const char *name, table_column *out)
{
    char text[16];
    (void)snprintf(text, sizeof text, "%s", name);
    char *names[1] = {text};
    config_column column = {.names = {names, 1}};
    return table_reader_map(f->r, &column, "split.file", false, out);
}

static err_code open_split(split_file *f)
{
    err_code rc = table_reader_open(f->path, false, &f->r);
    if (rc == ERR_OK) rc = map_split(f, "user_id", &f->user);
    if (rc == ERR_OK) rc = map_split(f, "item_id", &f->item);
    if (rc == ERR_OK) rc = map_split(f, "part", &f->part);
    return rc;
}

static err_code read_split_row(split_file *f, const catalog *d)
{
    const char *user = table_reader_value(f->r, &f->user, NULL);
    const char *item = table_reader_value(f->r, &f->item, NULL);
    const char *part = table_reader_value(f->r, &f->part, NULL);
    file_row row = {.user = catalog_find_user(d, user),
                    .item = catalog_find_item(d, item),
                    .line = table_reader_line(f->r)};
    if (strcmp(part, "valid") == 0) {
        row.part = SPLIT_VALID;
    } else if (strcmp(part, "test") == 0) {
        row.part = SPLIT_TEST;
    } else {
        return table_reader_reject(f->r, &f->part, "part \"%.80s\" is not valid or test", part);
    }
    if (row.user == UINT32_MAX) {
        return table_reader_reject(f->r, &f->user, "no user \"%s\" in the data", user);
    }
    if (row.item == UINT32_MAX) {
        return table_reader_reject(f->r, &f->item, "no item \"%s\" in the data", item);
    }
    grow(&f->rows, &f->cap, f->n + 1, sizeof *f->rows);
    f->rows[f->n++] = row;
    return ERR_OK;
}

static err_code apply_row(const split_file *f, const catalog *d, split *s, const file_row *row)
{
    bool any = false;
    for (uint64_t e = d->user_events[row->user]; e < d->user_events[row->user + 1]; e++) {
        if (d->events[e].item != row->item) continue;
        s->part[e] = row->part;
        any = true;
    }
    if (any) return ERR_OK;
    log_user_error("%s:%" PRIu64 ": no event of user \"%s\" with item \"%s\" in the data", f->path,
                   row->line, catalog_user_id(d, row->user), catalog_item_id(d, row->item));
    return ERR_INVALID;
}

static err_code apply_file(split_file *f, const catalog *d, split *s)
{
    if (f->n) qsort(f->rows, f->n, sizeof *f->rows, compare_file_rows);
    for (size_t i = 0; i < f->n; i++) {
        const file_row *row = &f->rows[i];
        if (i && row[-1].user == row->user && row[-1].item == row->item) {
            log_user_error("%s:%" PRIu64 ": the pair is already in line %" PRIu64, f->path,
                           row->line, row[-1].line);
            return ERR_INVALID;
        }
        err_code rc = apply_row(f, d, s, row);
        if (rc != ERR_OK) return rc;
    }
    return ERR_OK;
}

static err_code cut_file(const config *c, const catalog *d, split *s)
{
    split_file f = {.path = c->split.file};
    if (!f.path || !*f.path) {
        log_user_error("split.file: split.method: file needs a path");
        return ERR_INVALID;
    }
    err_code rc = open_split(&f);
    for (bool more = true; rc == ERR_OK;) {
        rc = table_reader_next(f.r, &more);
        if (rc != ERR_OK || !more) break;
        rc = read_split_row(&f, d);
    }
    if (rc == ERR_OK) rc = apply_file(&f, d, s);
    table_column_fini(&f.user);
    table_column_fini(&f.item);
    table_column_fini(&f.part);
    table_reader_close(f.r);
    free(f.rows);
    return rc;
}

/* --- result --- */

static int compare_split_pairs(const void *a, const void *b, void *data)
{
    const split_pair *x = a, *y = b;
    const catalog *d = data;
    uint32_t tx = type_of(d, x->item), ty = type_of(d, y->item);
    if (x->user != y->user) return x->user < y->user ? -1 : 1;
    if (tx != ty) return tx < ty ? -1 : 1;
    if (x->part != y->part) return x->part < y->part ? -1 : 1;
    return (x->item > y->item) - (x->item < y->item);
}

/* Counts the pairs of a user and lists those that are outside train. */
static void list_pairs(const catalog *d, split *s, uint32_t u, const pair_event *list, size_t n,
                       size_t *cap)
{
    uint64_t from = d->user_events[u];
    for (size_t i = 0, end; i < n; i = end) {
        end = end_of_pair(list, n, i);
        bool positive[SPLIT_PARTS] = {false}, in[SPLIT_PARTS] = {false};
        for (size_t j = i; j < end; j++) {
            uint64_t e = from + list[j].offset;
            in[s->part[e]] = true;
            if (d->events[e].roles & ROLE_POSITIVE) positive[s->part[e]] = true;
        }
        for (int p = 0; p < SPLIT_PARTS; p++) s->positives[p] += positive[p];
        if (in[SPLIT_TRAIN]) continue;
        uint8_t part = in[SPLIT_VALID] && !positive[SPLIT_TEST] ? SPLIT_VALID : SPLIT_TEST;
        grow(&s->pairs, cap, s->pairs_n + 1, sizeof *s->pairs);
        s->pairs[s->pairs_n++] = (split_pair){u, list[i].item, part, positive[part]};
    }
}

static void summarize(catalog *d, split *s)
{
    pair_event *list = NULL;
    size_t list_cap = 0, pairs_cap = 0;
    for (uint64_t e = 0; e < d->events_n; e++) s->events[s->part[e]]++;
    for (uint32_t u = 0; u < d->users_n; u++) {
        size_t n = sort_by_item(d, u, &list, &list_cap);
        list_pairs(d, s, u, list, n, &pairs_cap);
    }
    free(list);
    if (s->pairs_n) qsort_r(s->pairs, s->pairs_n, sizeof *s->pairs, compare_split_pairs, d);
    for (int p = SPLIT_VALID; s->method != SPLIT_NONE && p < SPLIT_PARTS; p++) {
        if (!s->positives[p]) {
            catalog_warn(d, "split: the %s part has no positives (split.method %s)",
                         split_part_name(p), split_method_name(s->method));
        }
    }
}

static err_code resolve(const config *c, const catalog *d, split_method *method)
{
    *method = c->split.method;
    if (*method == SPLIT_AUTO) {
        *method = d->order == ORDER_TIME   ? SPLIT_TIME
                  : d->order == ORDER_FILE ? SPLIT_LAST
                                           : SPLIT_RANDOM;
    }
    if (c->split.holdout_days > 0 && *method != SPLIT_TIME) {
        log_user_error("split.holdout_days: needs split.method: time, and auto is %s here",
                       split_method_name(*method));
        return ERR_INVALID;
    }
    if (*method == SPLIT_TIME && d->order != ORDER_TIME) {
        log_user_error("split.method: time needs data.order: time");
        return ERR_INVALID;
    }
    if (*method == SPLIT_LAST && d->order == ORDER_NONE) {
        log_user_error("split.method: last needs an order (data.order: time or file): without one "
                       "the last row means nothing");
        return ERR_INVALID;
    }
    return ERR_OK;
}

static err_code cut(const config *c, const catalog *d, split *s)
{
    if (s->method == SPLIT_NONE) return ERR_OK;
    if (s->method == SPLIT_FILE) return cut_file(c, d, s);
    err_code (*method)(cutter *) = s->method == SPLIT_TIME   ? cut_time
                                   : s->method == SPLIT_LAST ? cut_last
                                                             : cut_random;
    cutter k = {.config = c, .data = d, .s = s, .marked = xcalloc(d->events_n, 1)};
    k.part = SPLIT_TEST;
    err_code rc = method(&k);
    k.part = SPLIT_VALID;
    if (rc == ERR_OK) rc = method(&k);
    free(k.marked);
    return rc;
}

err_code split_make(const config *c, catalog *data, split **out)
{
    split *s = xcalloc(1, sizeof *s);
    s->part = xcalloc(data->events_n, sizeof *s->part);
    err_code rc = resolve(c, data, &s->method);
    if (rc == ERR_OK) rc = cut(c, data, s);
    if (rc == ERR_OK) summarize(data, s);
    if (rc != ERR_OK) {
        split_free(s);
        s = NULL;
    }
    *out = s;
    return rc;
}

void split_free(split *s)
{
    if (!s) return;
    free(s->part);
    free(s->pairs);
    free(s);
}
