#include "worker/candidates.h"

#include "common/hash.h"
#include "common/mem.h"
#include "common/panic.h"

#include <stdlib.h>
#include <string.h>

typedef struct tie_key {
    uint64_t hash;
    uint32_t item;
} tie_key;

static int tie_compare(const void *pa, const void *pb)
{
    const tie_key *a = pa, *b = pb;
    if (a->hash != b->hash) return a->hash < b->hash ? -1 : 1;
    return a->item < b->item ? -1 : a->item > b->item;
}

static err_code fill_ties(candidates *c)
{
    const evaluation_input *in = c->in;
    tie_key *keys = try_malloc(in->items, sizeof *keys);
    if (!keys && in->items > 0) return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < in->items; i++) {
        keys[i] = (tie_key){hash64(&in->item_key[i], sizeof in->item_key[i], in->seed), i};
    }
    qsort(keys, in->items, sizeof *keys, tie_compare);
    for (uint32_t n = 0; n < in->items; n++) c->tie[keys[n].item] = n;
    free(keys);
    for (uint32_t n = 0; n < in->items; n++) c->ties[n] = c->tie[c->item[n]];
    return ERR_OK;
}

static void fill_items(candidates *c)
{
    const evaluation_input *in = c->in;
    memset(c->begin, 0, (in->types + 1) * sizeof *c->begin);
    for (uint32_t i = 0; i < in->items; i++) {
        ASSERT(in->item_type[i] < in->types);
        c->place[i] = c->begin[in->item_type[i] + 1]++;
    }
    for (uint32_t t = 0; t < in->types; t++) c->begin[t + 1] += c->begin[t];
    for (uint32_t i = 0; i < in->items; i++) c->item[c->begin[in->item_type[i]] + c->place[i]] = i;
}

/* Most trained first; ties by hash. */
static int mass_compare(const void *pa, const void *pb, void *context)
{
    const candidates *c = context;
    uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;
    uint32_t na = c->in->train_count[a], nb = c->in->train_count[b];
    if (na != nb) return na > nb ? -1 : 1;
    return c->tie[a] < c->tie[b] ? -1 : c->tie[a] > c->tie[b];
}

static uint8_t tier_after(uint64_t before, uint64_t total)
{
    if (before >= total) return CANDIDATES_TIERS; /* trained, but never a positive */
    return (uint8_t)(1 + CANDIDATES_TIERS * before / total);
}

/* An item's tier is the fifth of the type's train mass that the more popular items reach before it.
 */
static void fill_tiers_of_type(candidates *c, uint32_t type, uint32_t *order)
{
    uint32_t n = candidates_count(c, type);
    memcpy(order, c->item + c->begin[type], n * sizeof *order);
    qsort_r(order, n, sizeof *order, mass_compare, c);
    uint64_t total = 0, before = 0;
    for (uint32_t i = 0; i < n; i++) total += c->in->train_count[order[i]];
    for (uint32_t i = 0; i < n; i++) {
        bool trained = c->in->train_any[order[i]] > 0;
        c->tier[order[i]] = trained ? tier_after(before, total) : 0;
        c->untrained[type] += !trained;
        before += c->in->train_count[order[i]];
    }
}

static err_code fill_tiers(candidates *c)
{
    uint32_t *order = try_malloc(c->in->items, sizeof *order);
    if (!order && c->in->items > 0) return ERR_NO_MEMORY;
    for (uint32_t t = 0; t < c->in->types; t++) fill_tiers_of_type(c, t, order);
    free(order);
    return ERR_OK;
}

err_code candidates_init(candidates *c, const evaluation_input *in)
{
    size_t n = (size_t)in->items + 1;
    *c = (candidates){.in = in,
                      .begin = try_calloc((size_t)in->types + 1, sizeof *c->begin),
                      .item = try_calloc(n, sizeof *c->item),
                      .place = try_calloc(n, sizeof *c->place),
                      .tie = try_calloc(n, sizeof *c->tie),
                      .ties = try_calloc(n, sizeof *c->ties),
                      .tier = try_calloc(n, sizeof *c->tier),
                      .untrained = try_calloc((size_t)in->types + 1, sizeof *c->untrained)};
    err_code rc = ERR_NO_MEMORY;
    if (!c->begin || !c->item || !c->place || !c->tie || !c->ties || !c->tier || !c->untrained)
        goto done;
    fill_items(c);
    rc = fill_ties(c);
    if (rc == ERR_OK) rc = fill_tiers(c);
done:
    if (rc != ERR_OK) candidates_fini(c);
    return rc;
}

void candidates_fini(candidates *c)
{
    free(c->begin);
    free(c->item);
    free(c->place);
    free(c->tie);
    free(c->ties);
    free(c->tier);
    free(c->untrained);
    *c = (candidates){0};
}

static uint64_t count_of_type(const candidates *c, uint32_t type, const evaluation_lists *lists,
                              uint32_t user)
{
    uint64_t n = 0;
    for (uint64_t p = lists->indptr[user]; p < lists->indptr[user + 1]; p++) {
        n += c->in->item_type[lists->item[p]] == type;
    }
    return n;
}

static void users_add(evaluation_type_users *u, const candidates *c, uint32_t type,
                      const evaluation_lists *lists, uint32_t user)
{
    uint64_t at = u->indptr[u->users];
    for (uint64_t p = lists->indptr[user]; p < lists->indptr[user + 1]; p++) {
        if (c->in->item_type[lists->item[p]] == type) u->positive[at++] = lists->item[p];
    }
    if (at == u->indptr[u->users]) return;
    u->user[u->users++] = user;
    u->indptr[u->users] = at;
}

err_code candidates_users_init(evaluation_type_users *u, const candidates *c, uint32_t type,
                               const evaluation_lists *lists)
{
    *u = (evaluation_type_users){0};
    size_t users = 0, positives = 0;
    for (uint32_t user = 0; user < c->in->users; user++) {
        uint64_t n = count_of_type(c, type, lists, user);
        users += n > 0;
        positives += n;
    }
    u->user = try_calloc(users + 1, sizeof *u->user);
    u->indptr = try_calloc(users + 1, sizeof *u->indptr);
    u->positive = try_calloc(positives + 1, sizeof *u->positive);
    if (!u->user || !u->indptr || !u->positive) {
        candidates_users_fini(u);
        return ERR_NO_MEMORY;
    }
    for (uint32_t user = 0; user < c->in->users; user++) users_add(u, c, type, lists, user);
    ASSERT(u->users == users);
    return ERR_OK;
}

void candidates_users_fini(evaluation_type_users *u)
{
    free(u->user);
    free(u->indptr);
    free(u->positive);
    for (int m = 0; m < EVALUATION_MODELS; m++) free(u->rank[m]);
    free(u->list_items);
    free(u->list_scores);
    free(u->list_len);
    *u = (evaluation_type_users){0};
}
