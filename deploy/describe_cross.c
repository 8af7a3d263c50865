/* Whether types help each other (describe.h): items of one type by cosine from a user's items of
 * the others, against what is popular.  If the first is not better, training the types together has
 * little to give to this one. */
#include "common/hash.h"
#include "common/mem.h"
#include "deploy/describe.h"
#include "deploy/pair_sample.h"

#include <math.h>
#include <stdlib.h>

enum { USERS_MOST = 600, ITEM_USERS_MOST = 400, CUT = 10 };

typedef struct cross {
    const catalog *data;
    const graph_lists *lists;
    item_users users;
    double *score;     /* [items] zero but for touched[] */
    uint32_t *touched; /* [touched_n] */
    size_t touched_n;
    uint8_t *held; /* [items] the user in hand has it in train */
} cross;

/* Adds cosine(h, i) for every item i of `type` that shares users with h.  Of an item with many
 * users an even part is looked at. */
static void add_scores(cross *x, uint32_t h, uint32_t type)
{
    const catalog *c = x->data;
    uint64_t begin = x->users.indptr[h], n = x->users.indptr[h + 1] - begin;
    uint64_t stride = n / ITEM_USERS_MOST + 1;
    for (uint64_t k = 0; k < n; k += stride) {
        uint32_t user = x->users.user[begin + k];
        for (uint64_t i = x->lists->indptr[user]; i < x->lists->indptr[user + 1]; i++) {
            uint32_t item = x->lists->item[i];
            if (c->item_type[item] != type) continue;
            double n_h = (double)n, n_i = x->lists->train_users[item];
            if (x->score[item] == 0) x->touched[x->touched_n++] = item;
            x->score[item] += (double)stride / sqrt(n_h * n_i);
        }
    }
}

/* How many items of `type` that she does not have yet come before `target` by value[]. */
static uint32_t rank_of(const cross *x, uint32_t type, uint32_t target, bool popularity)
{
    const catalog *c = x->data;
    double mine = popularity ? x->lists->train_users[target] : x->score[target];
    uint32_t before = 0;
    for (uint32_t i = 0; i < c->items_n; i++) {
        if (c->item_type[i] != type || i == target || x->held[i]) continue;
        double value = popularity ? x->lists->train_users[i] : x->score[i];
        before += value > mine || (value == mine && c->item_key[i] < c->item_key[target]);
    }
    return before;
}

static void forget(cross *x, uint32_t user)
{
    const catalog *c = x->data;
    for (size_t i = 0; i < x->touched_n; i++) x->score[x->touched[i]] = 0;
    x->touched_n = 0;
    for (uint64_t e = c->user_events[user]; e < c->user_events[user + 1]; e++)
        x->held[c->events[e].item] = 0;
}

/* The pairs first .. end - 1 are a user's validation pairs of a type; 1 if she has items of others.
 */
static bool score_user(cross *x, const describe *d, uint64_t first, uint64_t end, double hits[2])
{
    const catalog *c = x->data;
    uint32_t user = d->parts->pairs[first].user, type = c->item_type[d->parts->pairs[first].item];
    bool others = false;
    for (uint64_t i = x->lists->indptr[user]; i < x->lists->indptr[user + 1]; i++) {
        uint32_t item = x->lists->item[i];
        if (c->item_type[item] == type) continue;
        others = true;
        add_scores(x, item, type);
    }
    for (uint64_t e = c->user_events[user]; e < c->user_events[user + 1]; e++)
        if (d->parts->part[e] == SPLIT_TRAIN) x->held[c->events[e].item] = 1;
    bool hit[2] = {false, false};
    for (uint64_t i = first; others && i < end; i++) {
        uint32_t target = d->parts->pairs[i].item;
        hit[0] = hit[0] || rank_of(x, type, target, false) < CUT;
        hit[1] = hit[1] || rank_of(x, type, target, true) < CUT;
    }
    hits[0] += hit[0];
    hits[1] += hit[1];
    forget(x, user);
    return others;
}

static bool is_drawn(const describe *d, uint32_t user, uint32_t type, uint64_t seed)
{
    uint64_t words[2] = {user, seed};
    double share = USERS_MOST / ((double)d->type[type].valid_users + 1);
    double draw = (double)(hash64(words, sizeof words, 0) >> 11) / 9007199254740992.0;
    return draw < share;
}

static void score_all(cross *x, describe *d, uint64_t seed)
{
    const split *s = d->parts;
    double hits[CONFIG_TYPES_MAX][2] = {{0}};
    for (uint64_t i = 0; i < s->pairs_n;) {
        uint32_t user = s->pairs[i].user, t = d->data->item_type[s->pairs[i].item];
        uint64_t from = i;
        uint8_t part = s->pairs[i].part;
        while (i < s->pairs_n && s->pairs[i].user == user && s->pairs[i].part == part &&
               d->data->item_type[s->pairs[i].item] == t) {
            i++;
        }
        if (part != SPLIT_VALID || !is_drawn(d, user, t, seed)) continue;
        d->type[t].cross_users += score_user(x, d, from, i, hits[t]);
    }
    for (uint32_t t = 0; t < d->data->types_n; t++) {
        double n = d->type[t].cross_users ? d->type[t].cross_users : 1;
        d->type[t].cross_hr = hits[t][0] / n;
        d->type[t].popularity_hr = hits[t][1] / n;
    }
}

err_code describe_cross(describe *d, const graph_lists *l, uint64_t seed)
{
    size_t items = (size_t)d->data->items_n + 1;
    cross x = {.data = d->data,
               .lists = l,
               .score = try_calloc(items, sizeof *x.score),
               .touched = try_malloc(items, sizeof *x.touched),
               .held = try_calloc(items, 1)};
    bool ok = x.score && x.touched && x.held;
    err_code rc = ok ? item_users_make(l, &x.users) : ERR_NO_MEMORY;
    if (rc == ERR_OK && d->data->types_n > 1) score_all(&x, d, seed);
    item_users_fini(&x.users);
    free(x.score);
    free(x.touched);
    free(x.held);
    return rc;
}
