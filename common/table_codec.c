#include "common/table_codec.h"

#include "common/hash.h"
#include "common/panic.h"
#include "common/plan.h"

#include <string.h>

enum { HASH_BLOCK = 0x626c6f63 };

typedef struct section_head {
    uint32_t table, dim, n, reserved;
} section_head;

_Static_assert(sizeof(push_head) == 40, "the head of a push has no padding");
_Static_assert(sizeof(section_head) == 16, "the head of a section has no padding");

void shard_map_init(shard_map *m, uint32_t version, uint32_t shards, uint32_t servers)
{
    ASSERT(shards && shards <= SHARDS_MAX && servers && servers <= SERVERS_MAX);
    memset(m, 0, sizeof *m);
    m->version = version;
    m->shards = shards;
    m->servers = servers;
    for (uint32_t v = 0; v < shards; v++) m->server_of[v] = (uint16_t)plan_vshard_owner(v, servers);
}

uint64_t table_block_key(uint32_t stage, uint32_t block)
{
    uint32_t name[2] = {stage, block};
    return hash64(name, sizeof name, HASH_BLOCK);
}

uint32_t table_shard_of(const shard_map *m, uint64_t key)
{
    return plan_vshard(key, m->shards);
}

uint32_t table_server_of(const shard_map *m, uint64_t key)
{
    return m->server_of[table_shard_of(m, key)];
}

uint32_t table_blocks(size_t floats)
{
    return (uint32_t)((floats + DENSE_BLOCK_FLOATS - 1) / DENSE_BLOCK_FLOATS);
}

size_t table_block_floats(size_t floats, uint32_t block)
{
    size_t from = (size_t)block * DENSE_BLOCK_FLOATS;
    ASSERT(from < floats);
    return floats - from < DENSE_BLOCK_FLOATS ? floats - from : DENSE_BLOCK_FLOATS;
}

uint32_t table_block_server(const shard_map *m, uint32_t stage, uint32_t block)
{
    return table_server_of(m, table_block_key(stage, block));
}

size_t table_server_floats(const shard_map *m, uint32_t stage, size_t floats, uint32_t server)
{
    size_t n = 0;
    for (uint32_t b = 0; b < table_blocks(floats); b++) {
        if (table_block_server(m, stage, b) == server) n += table_block_floats(floats, b);
    }
    return n;
}

void table_gather(float *out, const shard_map *m, uint32_t stage, size_t floats, uint32_t server,
                  const float *flat)
{
    for (uint32_t b = 0; b < table_blocks(floats); b++) {
        if (table_block_server(m, stage, b) != server) continue;
        size_t n = table_block_floats(floats, b);
        memcpy(out, flat + (size_t)b * DENSE_BLOCK_FLOATS, n * sizeof *out);
        out += n;
    }
}

void table_scatter(float *flat, const shard_map *m, uint32_t stage, size_t floats, uint32_t server,
                   const float *blocks)
{
    for (uint32_t b = 0; b < table_blocks(floats); b++) {
        if (table_block_server(m, stage, b) != server) continue;
        size_t n = table_block_floats(floats, b);
        memcpy(flat + (size_t)b * DENSE_BLOCK_FLOATS, blocks, n * sizeof *flat);
        blocks += n;
    }
}

uint32_t partition_owner(uint32_t partition, uint32_t samplers)
{
    return plan_partition_owner(partition, samplers);
}

bool table_keys_ascend(const uint64_t *keys, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        if (keys[i - 1] >= keys[i]) return false;
    }
    return true;
}

size_t table_keys_of_server(const shard_map *m, uint32_t server, const uint64_t *keys, size_t n,
                            uint64_t *out_keys, uint32_t *out_positions)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (table_server_of(m, keys[i]) != server) continue;
        out_keys[k] = keys[i];
        out_positions[k++] = (uint32_t)i;
    }
    return k;
}

static size_t align8(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

/* How many of a section's keys go to `server`. */
static uint32_t section_keys(const push_section *x, const shard_map *m, uint32_t server)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < x->n; i++) n += table_server_of(m, x->keys[i]) == server;
    return n;
}

/* Writes the section's part for `server` at `at`; returns the end. */
static uint8_t *section_encode(uint8_t *at, const push_section *x, const shard_map *m,
                               uint32_t server, uint32_t n)
{
    section_head head = {.table = x->table, .dim = x->dim, .n = n};
    memcpy(at, &head, sizeof head);
    uint8_t *keys = at + sizeof head, *rows = keys + (size_t)n * 8;
    size_t row = (size_t)x->dim * sizeof(float), k = 0;
    for (uint32_t i = 0; i < x->n; i++) {
        if (table_server_of(m, x->keys[i]) != server) continue;
        memcpy(keys + 8 * k, &x->keys[i], 8);
        memcpy(rows + row * k, x->rows + (size_t)i * x->dim, row);
        k++;
    }
    return at + sizeof head + (size_t)n * 8 + align8(row * n);
}

blob *push_encode(const push_result *r, const shard_map *m, uint32_t server)
{
    uint32_t count[PUSH_SECTIONS_MAX] = {0};
    uint32_t sections = r->is_void ? 0 : r->sections;
    ASSERT(sections <= PUSH_SECTIONS_MAX);
    bool dense = r->dense && !r->is_void;
    size_t floats = dense ? table_server_floats(m, r->stage, r->dense_floats, server) : 0;
    size_t bytes = sizeof(push_head) + align8(floats * sizeof(float));
    for (uint32_t i = 0; i < sections; i++) {
        count[i] = section_keys(&r->section[i], m, server);
        bytes += sizeof(section_head) + (size_t)count[i] * 8 +
                 align8((size_t)count[i] * r->section[i].dim * sizeof(float));
    }
    blob *b = blob_new(bytes);
    if (!b) return NULL;
    uint8_t *at = blob_writable(b);
    memset(at, 0, bytes);
    push_head head = {.magic = PUSH_MAGIC,
                      .sections = sections,
                      .examples = r->is_void ? 0 : r->examples,
                      .loss = r->is_void ? 0 : r->loss,
                      .dense_floats = floats,
                      .is_void = r->is_void};
    memcpy(at, &head, sizeof head);
    at += sizeof head;
    if (floats) table_gather((float *)(void *)at, m, r->stage, r->dense_floats, server, r->dense);
    at += align8(floats * sizeof(float));
    for (uint32_t i = 0; i < sections; i++)
        at = section_encode(at, &r->section[i], m, server, count[i]);
    ASSERT(at == blob_data(b) + bytes);
    return b;
}

static err_code section_decode(bytes_reader *r, push_section *x)
{
    const section_head *head = bytes_get(r, 1, sizeof *head);
    if (!head || head->reserved || !head->table) return ERR_INVALID;
    if (!head->dim || head->dim > TABLE_DIM_MAX || head->n > TABLE_ROWS_MAX) return ERR_LIMIT;
    *x = (push_section){.table = head->table, .dim = head->dim, .n = head->n};
    x->keys = bytes_get(r, x->n, 8);
    x->rows = bytes_get(r, (size_t)x->n * x->dim, sizeof(float));
    bytes_skip_align(r, 8);
    if (r->failed || !table_keys_ascend(x->keys, x->n)) return ERR_INVALID;
    return ERR_OK;
}

static bool table_seen(const push_view *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (v->section[i].table == v->section[n].table) return true;
    }
    return false;
}

err_code push_decode(const blob *body, push_view *out)
{
    bytes_reader r;
    bytes_reader_init(&r, blob_data(body), blob_size(body));
    ASSERT((uintptr_t)blob_data(body) % 8 == 0);
    const push_head *head = bytes_get(&r, 1, sizeof *head);
    if (!head || head->magic != PUSH_MAGIC || head->is_void > 1 || head->reserved)
        return ERR_INVALID;
    if (!__builtin_isfinite(head->loss)) return ERR_INVALID;
    out->head = *head;
    if (head->sections > PUSH_SECTIONS_MAX || head->dense_floats > TABLE_FLOATS_MAX)
        return ERR_LIMIT;
    if (head->is_void && (head->sections || head->dense_floats || head->examples))
        return ERR_INVALID;
    out->dense = bytes_get(&r, (size_t)head->dense_floats, sizeof(float));
    bytes_skip_align(&r, 8);
    for (uint32_t i = 0; i < head->sections && !r.failed; i++) {
        err_code rc = section_decode(&r, &out->section[i]);
        if (rc != ERR_OK) return rc;
        if (table_seen(out, i)) return ERR_INVALID;
    }
    return bytes_done(&r) ? ERR_OK : ERR_INVALID;
}
