/* Fuzzes dataset_open behind its checksums, which are made right here: everything a dataset offers
 * can be read and every row in it is one. */
#include "common/dataset.h"
#include "common/dataset_format.h"
#include "common/hash.h"
#include "common/mem.h"
#include "common/panic.h"
#include "testing_fuzz.h"

#include <stdlib.h>
#include <string.h>

static void seal(uint8_t *data, size_t size)
{
    dataset_header *h = (void *)data;
    dataset_entry *table = (void *)(data + sizeof *h);
    size_t bytes = DATASET_SECTIONS * sizeof *table;
    if (size < sizeof *h + bytes) return;
    h->magic = DATASET_MAGIC;
    h->version = DATASET_VERSION;
    h->sections = DATASET_SECTIONS;
    h->file_bytes = size;
    for (uint32_t i = 0; i < DATASET_SECTIONS; i++) {
        dataset_entry *e = &table[i];
        if (e->offset <= size && e->bytes <= size - e->offset)
            e->hash = hash64(data + e->offset, e->bytes, 0);
    }
    h->table_hash = 0;
    h->table_hash = hash64(table, bytes, hash64(h, sizeof *h, 0));
}

static void check_lists(const dataset *d, const dataset_lists *l)
{
    for (uint64_t i = 0; i < l->indptr[d->users]; i++) ASSERT(l->item[i] < d->items);
}

static void check(const dataset *d)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < d->items; i++) {
        bytes += strlen(dataset_item_id(d, i)) + strlen(dataset_item_text(d, i));
        ASSERT(d->item_type[i] < d->types);
        ASSERT(d->item_node[i] < d->items && d->node_item[i] < d->items);
        if (d->text_dim) bytes += dataset_text(d, i)[d->text_dim - 1];
    }
    for (uint32_t u = 0; u < d->users; u++) {
        bytes += strlen(dataset_user_id(d, u));
        ASSERT(d->user_number[u] < d->users && d->user_row[u] < d->users);
    }
    check_lists(d, &d->seen_train);
    check_lists(d, &d->seen_valid);
    check_lists(d, &d->history);
    check_lists(d, &d->positive);
    check_lists(d, &d->valid);
    check_lists(d, &d->test);
    for (uint64_t i = 0; i < d->split_lines; i++)
        ASSERT(d->split[i].user < d->users && d->split[i].item < d->items);
    ASSERT(bytes != SIZE_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dataset *d;
    uint8_t *copy = xmalloc(size + 1);
    memcpy(copy, data, size);
    seal(copy, size);
    testing_fuzz_file("dataset", copy, size);
    if (dataset_open(testing_fuzz_folder(), &d) == ERR_OK) {
        check(d);
        dataset_close(d);
    }
    free(copy);
    return 0;
}
