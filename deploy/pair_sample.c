#include "deploy/pair_sample.h"

#include "common/hash.h"
#include "common/mem.h"

#include <stdlib.h>

err_code item_users_make(const graph_lists *l, item_users *out)
{
    size_t n = l->indptr[l->users];
    *out = (item_users){.indptr = try_calloc((size_t)l->items + 2, sizeof *out->indptr),
                        .user = try_malloc(n + 1, sizeof *out->user)};
    if (!out->indptr || !out->user) {
        item_users_fini(out);
        return ERR_NO_MEMORY;
    }
    uint64_t *at = out->indptr + 1; /* one place ahead: filling moves it to where it belongs */
    for (uint64_t i = 0; i < n; i++) at[l->item[i] + 1]++;
    for (uint32_t i = 0; i < l->items; i++) at[i + 1] += at[i];
    for (uint32_t u = 0; u < l->users; u++) {
        for (uint64_t i = l->indptr[u]; i < l->indptr[u + 1]; i++) out->user[at[l->item[i]]++] = u;
    }
    return ERR_OK;
}

void item_users_fini(item_users *u)
{
    free(u->indptr);
    free(u->user);
    *u = (item_users){0};
}

static void visit_item(const graph_lists *l, const item_users *u, uint32_t item, uint32_t *count,
                       uint32_t *neighbour, pair_sample_visit *visit, void *context)
{
    size_t n = 0;
    for (uint64_t k = u->indptr[item]; k < u->indptr[item + 1]; k++) {
        uint32_t user = u->user[k];
        for (uint64_t i = l->indptr[user]; i < l->indptr[user + 1]; i++) {
            if (l->item[i] == item) continue;
            if (!count[l->item[i]]++) neighbour[n++] = l->item[i];
        }
    }
    visit(context, item, neighbour, n, count);
    for (size_t i = 0; i < n; i++) count[neighbour[i]] = 0;
}

err_code pair_sample_run(pair_items items, const graph_lists *l, const item_users *u, uint64_t seed,
                         uint32_t most, pair_sample_visit *visit, void *context)
{
    uint32_t *count = try_calloc((size_t)items.items + 1, sizeof *count);
    uint32_t *neighbour = try_malloc((size_t)items.items + 1, sizeof *neighbour);
    bool ok = count && neighbour;
    for (uint32_t i = 0; ok && i < items.items; i++) {
        double share = (double)most / (items.count[items.type[i]] + 1.0);
        uint32_t draw = (uint32_t)(hash64(&items.key[i], sizeof items.key[i], seed) >> 32);
        if (share < 1 && draw > share * 4294967295.0) continue;
        visit_item(l, u, i, count, neighbour, visit, context);
    }
    free(count);
    free(neighbour);
    return ok ? ERR_OK : ERR_NO_MEMORY;
}
