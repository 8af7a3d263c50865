/* Fuzzes the blocks of a partition behind their checksums, which are made right here: a real file
 * with spoilt blocks is refused, or everything that the store offers can be read.  The file's pages
 * stay whole: LMDB trusts them, and `store.verify: open` is there for that. */
#include "common/mem.h"
#include "common/panic.h"
#include "common/slot.h"
#include "sampler/history.h"
#include "sampler/store.h"
#include "sampler/store_format.h"
#include "testing_fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARTITION = 2, BLOCKS_MAX = 64, PAGE_BYTES = 4096, PAGE_HEADER_BYTES = 16 };

typedef struct world {
    const char *folder;
    char *path; /* of the partition's file */
    uint8_t *file;
    size_t bytes;
    size_t at[BLOCKS_MAX], size[BLOCKS_MAX]; /* of the blocks in the file */
    uint32_t blocks;
} world;

static void find_blocks(world *w)
{
    store_header h;
    for (size_t at = PAGE_HEADER_BYTES; at + sizeof h <= w->bytes; at += PAGE_BYTES) {
        memcpy(&h, w->file + at, sizeof h);
        if (h.magic != STORE_MAGIC) continue;
        ASSERT(w->blocks < BLOCKS_MAX);
        w->size[w->blocks] = sizeof h + h.payload_bytes;
        w->at[w->blocks++] = at;
    }
    ASSERT(w->blocks > STORE_KINDS);
}

static world *open_world(void)
{
    enum { FILE_BYTES_MAX = 1 << 24 };
    world *w = xcalloc(1, sizeof *w);
    (void)testing_fuzz_prepared(&w->folder);
    w->path = xprintf("%s/part-%d/data.mdb", w->folder, PARTITION);
    FILE *f = fopen(w->path, "rb");
    ASSERT(f);
    w->file = xmalloc(FILE_BYTES_MAX);
    w->bytes = fread(w->file, 1, FILE_BYTES_MAX, f);
    fclose(f);
    find_blocks(w);
    return w;
}

static void write_at(const world *w, const uint8_t *data, size_t at, size_t bytes)
{
    FILE *f = fopen(w->path, "r+b");
    ASSERT(f && fseek(f, (long)at, SEEK_SET) == 0);
    ASSERT(fwrite(data, 1, bytes, f) == bytes && fclose(f) == 0);
}

/* Spoils one block in the file. */
static void spoil(const world *w, uint32_t block, testing_fuzz_input *in)
{
    size_t size;
    uint8_t *p = testing_fuzz_spoil(in, w->file + w->at[block], w->size[block], false, &size);
    store_header h;
    memcpy(&h, p, sizeof h);
    if (h.payload_bytes <= size - sizeof h) {
        h.hash = store_hash(&h, p + sizeof h);
        memcpy(p, &h, sizeof h);
    }
    write_at(w, p, w->at[block], size);
    free(p);
}

static uint64_t read_edges(const store *s, uint64_t sum)
{
    const manifest *m = store_manifest(s);
    store_edge e;
    for (uint32_t r = 0; r < m->relations; r++) {
        const manifest_relation *k = &m->relation[r];
        for (uint64_t i = 0; i < k->partition_edges[PARTITION]; i++)
            if (store_edge_at(s, r, PARTITION, i, &e)) sum += e.source + e.destination;
        uint64_t step = k->partition_pair_weight[PARTITION] / 50 + 1;
        for (uint64_t i = 0; i < k->partition_pair_weight[PARTITION]; i += step)
            if (store_edge_at_weight(s, r, PARTITION, i, &e)) sum += e.source + e.destination;
    }
    return sum;
}

static uint64_t read_items(const store *s, uint64_t sum)
{
    const manifest *m = store_manifest(s);
    float text[64];
    store_item item;
    ASSERT(m->text_dim <= 64);
    for (uint32_t v = 0; v < m->items; v++) {
        if (manifest_partition_of(m, v) != PARTITION) continue;
        for (uint32_t r = 0; r < m->relations; r++) {
            if (m->relation[r].destination != manifest_type_of(m, v)) continue;
            store_list l = store_neighbours(s, r, v);
            for (uint32_t i = 0; i < l.n; i++) sum += l.source[i] + l.pair[i] + l.aggregation[i];
        }
        if (!store_item_get(s, v, &item)) continue;
        for (uint32_t i = 0; i < m->item_attributes; i++)
            ASSERT(item.attribute[i] <= m->item_attribute[i].values.n);
        if (store_text(s, v, text)) sum += text[0] > 0;
    }
    return sum;
}

static void read_users(const store *s, const config *c)
{
    const manifest *m = store_manifest(s);
    history_rule rule;
    store_user user;
    node_list out = {0};
    history_rule_init(&rule, c, m);
    for (uint32_t u = m->user_base[PARTITION]; u < m->user_base[PARTITION + 1]; u++) {
        if (!store_user_get(s, u, &user)) continue;
        for (uint32_t i = 0; i < user.n; i++) ASSERT(user.node[i] < m->items);
        for (uint32_t i = 0; i < m->user_attributes; i++)
            ASSERT(user.attribute[i] <= m->user_attribute[i].values.n);
        history_at_end(&out, &rule, m, u, &user);
        history_seen(&out, &user, STORE_TEST);
        uint32_t n = history_positives(&rule, m, &user);
        for (uint32_t j = 0; j < n; j++)
            ASSERT(history_positive(&rule, m, STAGE_TWO_TOWER, 1, u, &user, j) < user.n);
    }
    node_list_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static world *w;
    const char *folder;
    store *s;
    uint32_t only[1] = {PARTITION};
    if (!w) w = open_world();
    testing_fuzz_input in = {data, size};
    uint32_t block = (uint32_t)testing_fuzz_number(&in, 1) % w->blocks;
    spoil(w, block, &in);
    if (store_open(w->folder, only, 1, VERIFY_LAZY, &s) == ERR_OK) {
        ASSERT(read_items(s, read_edges(s, 0)) != UINT64_MAX); /* Every byte was read. */
        read_users(s, testing_fuzz_prepared(&folder));
        store_close(s);
    }
    write_at(w, w->file + w->at[block], w->at[block], w->size[block]);
    return 0;
}
