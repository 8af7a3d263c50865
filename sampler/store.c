#include "sampler/store.h"

#include "common/f16.h"
#include "common/files.h"
#include "common/local_disk.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"
#include "sampler/store_check.h"
#include "sampler/store_format.h"
#include "sampler/store_verify.h"

#include <errno.h>
#include <inttypes.h>
#include <lmdb.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { CHECK_GOOD = 1, CHECK_BAD = 2 };

typedef struct block {
    const store_header *header; /* NULL: not there */
    const uint8_t *array[5];    /* as store_layout_of */
    _Atomic uint8_t check;      /* 0: not looked at yet */
} block;

/* The blocks of one (kind, sub) of a partition. */
typedef struct section {
    uint32_t first, rows; /* row range */
    block *blocks;        /* [ceil(rows / STORE_BLOCK_ROWS)]; NULL: no block (no edges) */
} section;

typedef struct part {
    char *path;
    MDB_env *env; /* NULL: not opened */
    MDB_txn *txn;
    section *section[STORE_KINDS]; /* [relations], [types], [types], [1], [1] */
} part;

struct store {
    manifest *m;
    verify_kind verify;
    part *parts;         /* [partitions] */
    _Atomic bool failed; /* a damaged block was met */
};

static err_code lmdb_fail(const part *p, const char *what, int code)
{
    log_user_error("%s: %s: %s", p->path, what, mdb_strerror(code));
    return code == MDB_INVALID || code == MDB_CORRUPTED || code == MDB_VERSION_MISMATCH
               ? ERR_CORRUPT
               : ERR_IO;
}

static uint32_t sections_of(const manifest *m, store_block_kind kind)
{
    switch (kind) {
    case STORE_ADJACENCY: return m->relations;
    case STORE_ITEM:
    case STORE_TEXT: return (uint32_t)m->types.n;
    default: return 1;
    }
}

static uint32_t blocks_of(const section *s)
{
    return (uint32_t)(((uint64_t)s->rows + STORE_BLOCK_ROWS - 1) / STORE_BLOCK_ROWS);
}

static void type_range(const manifest *m, uint32_t type, uint32_t partition, section *s)
{
    const uint32_t *base = &m->node_base[(size_t)type * m->partitions + partition];
    s->first = base[0];
    s->rows = base[1] - base[0];
}

/* Which rows a section has, and whether it has blocks at all. */
static void section_range(const manifest *m, store_block_kind kind, uint32_t sub,
                          uint32_t partition, section *s)
{
    bool blocks = true;

    switch (kind) {
    case STORE_ADJACENCY:
        type_range(m, m->relation[sub].destination, partition, s);
        blocks = m->relation[sub].partition_edges[partition] > 0;
        break;
    case STORE_ITEM: type_range(m, sub, partition, s); break;
    case STORE_TEXT:
        type_range(m, sub, partition, s);
        blocks = m->text_dim > 0;
        break;
    default:
        s->first = m->user_base[partition];
        s->rows = m->user_base[partition + 1] - s->first;
        break;
    }
    if (blocks && s->rows > 0) s->blocks = xcalloc(blocks_of(s), sizeof *s->blocks);
}

static void make_sections(const manifest *m, uint32_t partition, part *p)
{
    for (uint32_t kind = STORE_ADJACENCY; kind < STORE_KINDS; kind++) {
        uint32_t n = sections_of(m, (store_block_kind)kind);
        p->section[kind] = xcalloc((size_t)n + 1, sizeof *p->section[kind]);
        for (uint32_t sub = 0; sub < n; sub++) {
            section_range(m, (store_block_kind)kind, sub, partition, &p->section[kind][sub]);
        }
    }
}

static bool width_fits(const manifest *m, const store_header *h)
{
    switch (h->kind) {
    case STORE_ITEM: return h->width == m->item_attributes;
    case STORE_TEXT:
        return h->width == m->text_dim && h->extra == (m->storage == STORAGE_INT8 ? 1 : 0);
    case STORE_USER: return h->width == m->user_attributes && h->extra == m->user_vector_dim;
    default: return true;
    }
}

/* Checks a header against the manifest and its place; files it under its section. */
static const char *file_block(const manifest *m, part *p, const MDB_val *v)
{
    const store_header *h = v->mv_data;
    uint8_t *bytes = v->mv_data;

    if (v->mv_size < sizeof *h || ((uintptr_t)v->mv_data & 7) != 0) return "short or misaligned";
    if (h->magic != STORE_MAGIC) return "wrong magic";
    if (h->version != STORE_VERSION) return "other format version";
    if (h->kind < STORE_ADJACENCY || h->kind >= STORE_KINDS) return "unknown kind";
    if (h->sub >= sections_of(m, (store_block_kind)h->kind)) return "unknown section";
    section *s = &p->section[h->kind][h->sub];
    if (s->blocks == NULL || h->first < s->first || h->first - s->first >= s->rows ||
        (h->first - s->first) % STORE_BLOCK_ROWS != 0) {
        return "rows of another place";
    }
    uint32_t left = s->rows - (h->first - s->first);
    if (h->rows != (left < STORE_BLOCK_ROWS ? left : STORE_BLOCK_ROWS)) return "wrong row count";
    if (!width_fits(m, h) || h->entries > STORE_PAYLOAD_MAX) return "wrong width";
    store_layout l = store_layout_of(h);
    if (l.end != h->payload_bytes || l.end > v->mv_size - sizeof *h) return "wrong size";
    block *b = &s->blocks[(h->first - s->first) / STORE_BLOCK_ROWS];
    b->header = h;
    for (size_t i = 0; i < 5; i++) b->array[i] = bytes + sizeof *h + l.at[i];
    return NULL;
}

static err_code read_blocks(const manifest *m, part *p)
{
    MDB_dbi dbi;
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    err_code rc = ERR_OK;
    int code = mdb_dbi_open(p->txn, NULL, 0, &dbi);

    if (code == 0) code = mdb_cursor_open(p->txn, dbi, &cursor);
    if (code != 0) return lmdb_fail(p, "open", code);
    while (rc == ERR_OK && (code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        const char *wrong = file_block(m, p, &value);
        if (wrong == NULL) continue;
        log_user_error("%s: damaged block: %s", p->path, wrong);
        rc = strcmp(wrong, "other format version") == 0 ? ERR_MISMATCH : ERR_CORRUPT;
    }
    mdb_cursor_close(cursor);
    if (rc == ERR_OK && code != MDB_NOTFOUND) return lmdb_fail(p, "read", code);
    return rc;
}

/* No block is missing; edge counts meet the manifest's. */
static err_code check_complete(const manifest *m, uint32_t partition, const part *p)
{
    for (uint32_t kind = STORE_ADJACENCY; kind < STORE_KINDS; kind++) {
        for (uint32_t sub = 0; sub < sections_of(m, (store_block_kind)kind); sub++) {
            const section *s = &p->section[kind][sub];
            uint64_t edges = 0;
            for (uint32_t b = 0; s->blocks != NULL && b < blocks_of(s); b++) {
                const store_header *h = s->blocks[b].header;
                if (h == NULL || (kind == STORE_ADJACENCY && h->first_edge != edges)) {
                    log_user_error("%s: block %u/%u/%u is missing", p->path, kind, sub, b);
                    return ERR_CORRUPT;
                }
                edges += h->entries;
            }
            if (kind == STORE_ADJACENCY && edges != m->relation[sub].partition_edges[partition]) {
                log_user_error("%s: section %u/%u has %" PRIu64 " edges, not the manifest's",
                               p->path, kind, sub, edges);
                return ERR_CORRUPT;
            }
        }
    }
    return ERR_OK;
}

/* The file against the manifest, before LMDB looks at it: its size, or every byte. */
static err_code check_file(const store *s, uint32_t partition, const char *file)
{
    uint64_t want = s->m->partition_bytes[partition], bytes = 0, hash = 0;
    struct stat st;

    if (stat(file, &st) != 0) {
        log_user_error("%s: %s: partition %u is not here", file, strerror(errno), partition);
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    }
    if ((uint64_t)st.st_size != want) {
        log_user_error("%s: damaged: %" PRIu64 " bytes, the manifest says %" PRIu64, file,
                       (uint64_t)st.st_size, want);
        return ERR_CORRUPT;
    }
    if (s->verify != VERIFY_OPEN) return ERR_OK;
    err_code rc = store_verify_file(file, &bytes, &hash);
    if (rc == ERR_OK && (bytes != want || hash != s->m->partition_hash[partition])) {
        log_user_error("%s: damaged: checksum %016" PRIx64 ", the manifest says %016" PRIx64, file,
                       hash, s->m->partition_hash[partition]);
        rc = ERR_CORRUPT;
    }
    return rc;
}

static err_code open_env(part *p)
{
    int code = mdb_env_create(&p->env);

    if (code == 0) {
        code =
            mdb_env_open(p->env, p->path, MDB_RDONLY | MDB_NOLOCK | MDB_NORDAHEAD | MDB_NOTLS, 0);
    }
    if (code == 0) code = mdb_txn_begin(p->env, NULL, MDB_RDONLY, &p->txn);
    return code == 0 ? ERR_OK : lmdb_fail(p, "open", code);
}

static err_code open_part(store *s, const char *folder, uint32_t partition)
{
    part *p = &s->parts[partition];
    p->path = xprintf("%s/part-%u", folder, partition);
    char *file = files_join(p->path, "data.mdb");
    err_code rc = check_file(s, partition, file);

    if (rc == ERR_OK) rc = local_disk_check(p->path, "store.local");
    if (rc == ERR_OK) rc = open_env(p);
    make_sections(s->m, partition, p);
    if (rc == ERR_OK) rc = read_blocks(s->m, p);
    if (rc == ERR_OK) rc = check_complete(s->m, partition, p);
    free(file);
    return rc;
}

err_code store_open(const char *folder, const uint32_t *partition, uint32_t n, verify_kind verify,
                    store **out)
{
    store *s = xcalloc(1, sizeof *s);
    err_code rc = manifest_load(folder, &s->m);

    s->verify = verify;
    if (rc == ERR_OK) s->parts = xcalloc(s->m->partitions, sizeof *s->parts);
    for (uint32_t i = 0; rc == ERR_OK && i < (n == 0 ? s->m->partitions : n); i++) {
        uint32_t p = n == 0 ? i : partition[i];
        ASSERT(p < s->m->partitions);
        if (s->parts[p].env == NULL) rc = open_part(s, folder, p);
    }
    if (rc != ERR_OK) {
        store_close(s);
        s = NULL;
    }
    *out = s;
    return rc;
}

static void close_part(const manifest *m, part *p)
{
    for (uint32_t kind = STORE_ADJACENCY; kind < STORE_KINDS; kind++) {
        if (p->section[kind] == NULL) continue;
        for (uint32_t sub = 0; sub < sections_of(m, (store_block_kind)kind); sub++) {
            free(p->section[kind][sub].blocks);
        }
        free(p->section[kind]);
    }
    if (p->txn != NULL) mdb_txn_abort(p->txn);
    if (p->env != NULL) mdb_env_close(p->env);
    free(p->path);
}

void store_close(store *s)
{
    if (s == NULL) return;
    for (uint32_t p = 0; s->parts != NULL && p < s->m->partitions; p++) {
        close_part(s->m, &s->parts[p]);
    }
    free(s->parts);
    manifest_free(s->m);
    free(s);
}

const manifest *store_manifest(const store *s)
{
    return s->m;
}

bool store_has(const store *s, uint32_t partition)
{
    return partition < s->m->partitions && s->parts[partition].txn != NULL;
}

bool store_failed(const store *s)
{
    return atomic_load_explicit(&s->failed, memory_order_acquire);
}

/* What the pair weights of the relation's blocks sum up to at the end of this one. */
static uint64_t weight_end(const store *s, uint32_t partition, const section *t, const block *b)
{
    const store_header *h = b->header;
    if (h->kind != STORE_ADJACENCY) return 0;
    if (b + 1 < t->blocks + blocks_of(t)) return b[1].header->extra;
    return s->m->relation[h->sub].partition_pair_weight[partition];
}

/* A block is checked at most a few times, by whoever comes first; the outcome is the same. */
static bool check_block(const store *s, uint32_t partition, const section *t, block *b)
{
    const store_header *h = b->header;
    const char *wrong = NULL;

    if (s->verify == VERIFY_LAZY && store_hash(h, (const uint8_t *)h + sizeof *h) != h->hash)
        wrong = "wrong checksum";
    if (wrong == NULL) wrong = store_check_block(s->m, h, b->array, weight_end(s, partition, t, b));
    if (wrong == NULL) {
        atomic_store_explicit(&b->check, CHECK_GOOD, memory_order_release);
        return true;
    }
    if (atomic_exchange(&b->check, CHECK_BAD) != CHECK_BAD) {
        log_user_error("%s: damaged block: kind %u, section %u, rows from %u: %s",
                       s->parts[partition].path, h->kind, h->sub, h->first, wrong);
    }
    /* The store is logically constant: only this flag and `check` change. */
    atomic_store_explicit(&((store *)(uintptr_t)s)->failed, true, memory_order_release);
    return false;
}

static bool is_good(const store *s, uint32_t partition, const section *t, block *b)
{
    if (s->verify == VERIFY_OFF) return true;
    uint8_t check = atomic_load_explicit(&b->check, memory_order_acquire);
    return check == CHECK_GOOD || (check != CHECK_BAD && check_block(s, partition, t, b));
}

/* The block of a row, or NULL: none, or damaged.  *row becomes the row within it. */
static const block *find_block(const store *s, uint32_t partition, store_block_kind kind,
                               uint32_t sub, uint32_t *row)
{
    const part *p = &s->parts[partition];
    ASSERT(p->txn != NULL);
    const section *t = &p->section[kind][sub];

    ASSERT(*row >= t->first && *row - t->first < t->rows);
    if (t->blocks == NULL) return NULL;
    *row -= t->first;
    block *b = &t->blocks[*row / STORE_BLOCK_ROWS];
    *row %= STORE_BLOCK_ROWS;
    return is_good(s, partition, t, b) ? b : NULL;
}

static const uint32_t *u32s(const block *b, size_t i)
{
    return (const uint32_t *)(const void *)b->array[i];
}

static const uint64_t *u64s(const block *b, size_t i)
{
    return (const uint64_t *)(const void *)b->array[i];
}

store_list store_neighbours(const store *s, uint32_t relation, uint32_t node)
{
    uint32_t row = node;
    ASSERT(relation < s->m->relations);
    const block *b =
        find_block(s, manifest_partition_of(s->m, node), STORE_ADJACENCY, relation, &row);

    if (b == NULL) return (store_list){0};
    uint32_t begin = u32s(b, 1)[row];
    return (store_list){.n = u32s(b, 1)[row + 1] - begin,
                        .source = u32s(b, 2) + begin,
                        .pair = u32s(b, 3) + begin,
                        .aggregation = (const uint16_t *)(const void *)b->array[4] + begin,
                        .first_edge = b->header->first_edge + begin};
}

static uint64_t block_point(const section *t, uint32_t b, bool by_weight)
{
    const store_header *h = t->blocks[b].header;
    return by_weight ? h->extra : h->first_edge;
}

/* The last block that starts at or before `point`. */
static uint32_t find_start(const section *t, uint64_t point, bool by_weight)
{
    uint32_t low = 0, high = blocks_of(t);
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (block_point(t, middle, by_weight) <= point) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

static block *block_at(const store *s, uint32_t relation, uint32_t partition, uint64_t point,
                       bool by_weight)
{
    const part *p = &s->parts[partition];
    ASSERT(relation < s->m->relations && p->txn != NULL);
    const section *t = &p->section[STORE_ADJACENCY][relation];

    ASSERT(t->blocks != NULL);
    block *b = &t->blocks[find_start(t, point, by_weight)];
    return is_good(s, partition, t, b) ? b : NULL;
}

bool store_edge_at(const store *s, uint32_t relation, uint32_t partition, uint64_t index,
                   store_edge *out)
{
    ASSERT(index < s->m->relation[relation].partition_edges[partition]);
    const block *b = block_at(s, relation, partition, index, false);

    if (b == NULL) return false;
    uint32_t at = (uint32_t)(index - b->header->first_edge), low = 0, high = b->header->rows;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (u32s(b, 1)[middle] <= at) {
            low = middle;
        } else {
            high = middle;
        }
    }
    *out = (store_edge){index, b->header->first + low, u32s(b, 2)[at]};
    return true;
}

bool store_edge_at_weight(const store *s, uint32_t relation, uint32_t partition, uint64_t point,
                          store_edge *out)
{
    ASSERT(point < s->m->relation[relation].partition_pair_weight[partition]);
    const block *b = block_at(s, relation, partition, point, true);

    if (b == NULL) return false;
    uint32_t low = 0, high = b->header->rows;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (u64s(b, 0)[middle] <= point) {
            low = middle;
        } else {
            high = middle;
        }
    }
    uint64_t left = point - u64s(b, 0)[low];
    uint32_t at = u32s(b, 1)[low];
    while (left >= u32s(b, 3)[at]) left -= u32s(b, 3)[at++];
    *out = (store_edge){b->header->first_edge + at, b->header->first + low, u32s(b, 2)[at]};
    return true;
}

static bool get_text(const store *s, uint32_t type, uint32_t partition, uint32_t node,
                     store_item *out)
{
    size_t d = s->m->text_dim;

    if (d == 0) return true;
    const block *b = find_block(s, partition, STORE_TEXT, type, &node);
    if (b == NULL) return false;
    if (s->m->storage == STORAGE_INT8) {
        memcpy(&out->scale, b->array[0] + node * sizeof out->scale, sizeof out->scale);
        out->text_int8 = (const int8_t *)b->array[1] + node * d;
    } else {
        out->text_f16 = (const uint16_t *)(const void *)b->array[1] + node * d;
    }
    return true;
}

bool store_item_get(const store *s, uint32_t node, store_item *out)
{
    uint32_t type = manifest_type_of(s->m, node), partition = manifest_partition_of(s->m, node);
    uint32_t row = node;
    const block *b = find_block(s, partition, STORE_ITEM, type, &row);

    *out = (store_item){.scale = 1.0F};
    if (b == NULL) return false;
    out->key = u64s(b, 0)[row];
    out->train_users = u32s(b, 1)[row];
    out->positives = u32s(b, 2)[row];
    out->attribute = u32s(b, 3) + (size_t)row * s->m->item_attributes;
    return get_text(s, type, partition, node, out);
}

bool store_text(const store *s, uint32_t node, float *out)
{
    store_item item = {.scale = 1.0F};
    uint32_t type = manifest_type_of(s->m, node), partition = manifest_partition_of(s->m, node);

    if (!get_text(s, type, partition, node, &item)) return false;
    if (item.text_f16 != NULL) f16_decode(out, item.text_f16, s->m->text_dim);
    for (uint32_t i = 0; item.text_int8 != NULL && i < s->m->text_dim; i++) {
        out[i] = (float)item.text_int8[i] * item.scale;
    }
    return true;
}

bool store_user_get(const store *s, uint32_t user, store_user *out)
{
    uint32_t partition = manifest_user_partition(s->m, user), row = user, event_row = user;
    const block *b = find_block(s, partition, STORE_USER, 0, &row);
    const block *e = find_block(s, partition, STORE_EVENTS, 0, &event_row);

    *out = (store_user){0};
    if (b == NULL || e == NULL) return false;
    out->key = u64s(b, 0)[row];
    out->attribute = u32s(b, 1) + (size_t)row * s->m->user_attributes;
    out->vector = (const float *)(const void *)b->array[2] + (size_t)row * s->m->user_vector_dim;
    uint32_t begin = u32s(e, 0)[event_row];
    out->n = u32s(e, 0)[event_row + 1] - begin;
    out->time = (const int64_t *)(const void *)e->array[1] + begin;
    out->node = u32s(e, 2) + begin;
    out->role = e->array[3] + begin;
    out->part = e->array[4] + begin;
    return true;
}
