#include "deploy/outlook.h"

#include "common/dataset.h"
#include "common/files.h"
#include "common/mem.h"
#include "deploy/pair_sample.h"
#include "sampler/prepare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SAMPLE_ITEMS = 400 }; /* of each type: their neighbours are counted */

void outlook_free(outlook *o)
{
    if (!o) return;
    manifest_free(o->manifest);
    free(o);
}

void outlook_count_item(outlook_popularity *p, uint32_t users)
{
    uint32_t class = 0;
    while (class < OUTLOOK_CLASSES - 1 && users >> class) class ++;
    p->items[class] += 1;
    p->users[class] += users;
    p->users_all += users;
}

double outlook_distinct(const outlook_popularity *p, double draws, double uniform)
{
    double sum = 0;
    for (int k = 0; k < OUTLOOK_CLASSES; k++) {
        if (p->items[k] <= 0) continue;
        double mean = p->users_all > 0 ? draws * p->users[k] / p->items[k] / p->users_all : 0;
        sum += p->items[k] * (1 - (1 - (uniform < 1 ? uniform : 1)) * exp(-mean));
    }
    return sum;
}

static uint64_t file_bytes(const char *folder, const char *name)
{
    char *path = files_join(folder, name);
    struct stat st;
    uint64_t bytes = stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
    free(path);
    return bytes;
}

static void count_dataset(outlook *o, const config *c, const dataset *d)
{
    uint64_t warm = 0;
    for (uint32_t i = 0; i < d->items; i++) {
        outlook_count_item(&o->popularity[d->item_type[i]], d->train_users[i]);
        warm += d->train_positives[i] >= 2;
    }
    o->ease_items = warm < c->evaluate.ease_items ? warm : c->evaluate.ease_items;
    o->history = d->history.indptr[d->users];
    o->tested = d->test.indptr[d->users];
    o->pairs = d->positive.indptr[d->users] + d->valid.indptr[d->users] + o->tested;
}

typedef struct pair_counts {
    const dataset *data;
    double neighbours[CONFIG_TYPES_MAX];
    uint32_t sampled[CONFIG_TYPES_MAX];
} pair_counts;

static void count_neighbours(void *context, uint32_t item, const uint32_t *neighbour, size_t n,
                             const uint32_t *count)
{
    (void)neighbour, (void)count;
    pair_counts *p = context;
    p->neighbours[p->data->item_type[item]] += (double)n;
    p->sampled[p->data->item_type[item]]++;
}

/* Items that share a user with a positive event: as item_knn will see them. */
static err_code count_pairs(outlook *o, const config *c, const dataset *d)
{
    pair_counts p = {.data = d};
    uint32_t of_type[CONFIG_TYPES_MAX] = {0};
    graph_lists lists = {.users = d->users, .items = d->items};
    item_users users;
    size_t n = d->positive.indptr[d->users];
    lists.indptr = try_malloc((size_t)d->users + 1, sizeof *lists.indptr);
    lists.item = try_malloc(n + 1, sizeof *lists.item);
    err_code rc = lists.indptr && lists.item ? ERR_OK : ERR_NO_MEMORY;
    if (rc == ERR_OK) {
        memcpy(lists.indptr, d->positive.indptr, ((size_t)d->users + 1) * sizeof *lists.indptr);
        memcpy(lists.item, d->positive.item, n * sizeof *lists.item);
        rc = item_users_make(&lists, &users);
    }
    if (rc == ERR_OK) {
        for (uint32_t i = 0; i < d->items; i++) of_type[d->item_type[i]]++;
        pair_items items = {d->items, d->item_type, d->item_key, of_type};
        rc = pair_sample_run(items, &lists, &users, c->seed, SAMPLE_ITEMS, count_neighbours, &p);
        item_users_fini(&users);
    }
    for (uint32_t t = 0; t < d->types; t++)
        o->neighbours += p.neighbours[t] / (p.sampled[t] ? p.sampled[t] : 1) * of_type[t];
    graph_lists_fini(&lists);
    return rc;
}

/* From a store that is complete. */
static err_code read_store(const config *c, const char *folder, outlook **out)
{
    outlook *o = xcalloc(1, sizeof *o);
    dataset *d = NULL;
    o->prepared = true;
    err_code rc = manifest_load(folder, &o->manifest);
    if (rc == ERR_OK) rc = manifest_count_positives(folder, c, o->manifest);
    if (rc == ERR_OK) rc = dataset_open(folder, &d);
    if (rc == ERR_OK) rc = count_pairs(o, c, d);
    if (rc == ERR_OK) {
        count_dataset(o, c, d);
        o->dataset_bytes = file_bytes(folder, "dataset");
        for (uint32_t p = 0; p < o->manifest->partitions; p++)
            o->partition_bytes += o->manifest->partition_bytes[p];
        *out = o;
    } else {
        outlook_free(o);
    }
    dataset_close(d);
    return rc;
}

err_code outlook_make(const config *c, const progress *p, outlook **out)
{
    uint64_t hash;
    *out = NULL;
    err_code rc = config_check_inputs(c);
    if (rc == ERR_OK) rc = prepare_hash(c, &hash);
    if (rc != ERR_OK) return rc;
    char *folder = prepare_folder(c, hash), *marker = files_join(folder, "manifest.json");
    rc = files_exist(marker) ? read_store(c, folder, out) : outlook_read(c, p, out);
    free(marker);
    free(folder);
    return rc;
}
