/* Fuzzes catalog_read: the items, users and interactions of somebody, as three tables (a byte 1
 * ends each).  They are refused or become a catalogue in which every number names something. */
#include "common/mem.h"
#include "common/panic.h"
#include "sampler/catalog.h"
#include "testing_fuzz.h"

#include <stdlib.h>
#include <string.h>

static config *make_config(bool skip)
{
    config *c;
    const char *folder = testing_fuzz_folder();
    char *text = xprintf("data:\n"
                         "  items: {path: %s/items, attributes: [genre]}\n"
                         "  interactions: {path: %s/events}\n"
                         "  users: {path: %s/users}\n"
                         "  on_bad_row: %s\n",
                         folder, folder, folder, skip ? "skip" : "error");
    ASSERT(config_parse("fuzz", text, NULL, 0, &c) == ERR_OK);
    free(text);
    return c;
}

static void check(const catalog *d)
{
    for (uint32_t i = 0; i < d->items_n; i++) {
        ASSERT(d->item_type[i] < d->types_n);
        ASSERT(catalog_find_item(d, catalog_item_id(d, i)) == i);
        for (size_t k = 0; k < d->item_attributes_n; k++)
            ASSERT(d->item_attributes[k].index[i] <
                   string_pool_count(d->item_attributes[k].values));
    }
    ASSERT(d->user_events[d->users_n] == d->events_n);
    for (uint32_t u = 0; u < d->users_n; u++) {
        for (size_t k = 0; k < d->user_attributes_n; k++)
            ASSERT(d->user_attributes[k].index[u] <
                   string_pool_count(d->user_attributes[k].values));
        for (uint64_t e = d->user_events[u]; e < d->user_events[u + 1]; e++) {
            const catalog_event *x = &d->events[e];
            ASSERT(x->user == u && x->item < d->items_n && x->roles);
            ASSERT(x->kind < d->kinds_n || !d->kinds_n);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"items", "users", "events"};
    static config *c[2];
    testing_fuzz_input in = {data, size};
    bool skip = testing_fuzz_number(&in, 1) & 1;
    if (!c[skip]) c[skip] = make_config(skip);
    for (uint32_t i = 0; i < 3; i++) {
        const uint8_t *end = in.size ? memchr(in.data, 1, in.size) : NULL;
        size_t got, n = end ? (size_t)(end - in.data) : in.size;
        const uint8_t *table = testing_fuzz_bytes(&in, n, &got);
        testing_fuzz_file(names[i], table, got);
        (void)testing_fuzz_number(&in, 1);
    }
    catalog *d;
    if (catalog_read(c[skip], &d) == ERR_OK) {
        check(d);
        catalog_free(d);
    }
    return 0;
}
