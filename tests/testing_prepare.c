#include "testing_prepare.h"

#include "common/mem.h"
#include "common/panic.h"
#include "common/rng.h"
#include "sampler/prepare.h"
#include "testing_files.h"

#include <stdio.h>
#include <stdlib.h>

static uint32_t draw(uint64_t seed, uint64_t node, uint32_t use, uint32_t n)
{
    return (uint32_t)rng_below(seed, node, use, n);
}

static void write_items(uint32_t items)
{
    FILE *f = fopen("items.tsv", "w");
    ASSERT(f);
    fprintf(f, "item_id\titem_type\ttext\tgenre\n");
    for (uint32_t i = 0; i < items; i++) {
        const char *type = i < 2 ? "rare" : i % 3 == 0 ? "book" : "movie";
        fprintf(f, "i%u\t%s\tstory number %u of %s\tg%u\n", i, type, i, type, i % 5);
    }
    fclose(f);
}

/* Small numbers are popular: products of two draws. */
static void write_events(uint32_t users, uint32_t items, uint32_t events, uint64_t seed)
{
    FILE *f = fopen("interactions.tsv", "w");
    ASSERT(f);
    fprintf(f, "user_id\titem_id\ttimestamp\tkind\n");
    for (uint32_t e = 0; e < events; e++) {
        uint32_t user = draw(seed, e, 0, draw(seed, e, 1, users) + 1);
        uint32_t item = draw(seed, e, 2, draw(seed, e, 3, items) + 1);
        fprintf(f, "u%u\ti%u\t%u\t%s\n", user, item, 1000000 + draw(seed, e, 4, 100 * 86400),
                draw(seed, e, 5, 4) == 0 ? "preview" : "listen");
    }
    fclose(f);
}

static void write_users(uint32_t users)
{
    FILE *f = fopen("users.tsv", "w");
    ASSERT(f);
    fprintf(f, "user_id\tattributes\n");
    for (uint32_t u = 0; u < users; u += 2) fprintf(f, "u%u\tcountry=c%u\n", u, u % 3);
    fclose(f);
}

void testing_prepare_write(uint32_t users, uint32_t items, uint32_t events, uint64_t seed)
{
    write_items(items);
    write_events(users, items, events, seed);
    write_users(users);
}

config *testing_prepare_config(const char *extra)
{
    config *c;
    char *text = xprintf("work_dir: work\n"
                         "data:\n"
                         "  items: {path: items.tsv, attributes: [genre]}\n"
                         "  interactions: {path: interactions.tsv}\n"
                         "  users: {path: users.tsv}\n"
                         "  kinds: {listen: {roles: [graph, history, positive, seen]}, "
                         "preview: {roles: [history]}}\n"
                         "features: {encoder: hash, ngram_dim: 16}\n"
                         "%s",
                         extra);
    const char *const sets[] = {"graph.partitions=4"};
    ASSERT(config_parse("test.yaml", text, sets, 1, &c) == ERR_OK);
    free(text);
    return c;
}

char *testing_prepare_run(const config *c)
{
    char *folder;
    ASSERT(prepare_run(c, NULL, &folder, NULL) == ERR_OK);
    return folder;
}
