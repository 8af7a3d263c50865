#include "sampler/store_write.h"

#include "common/files.h"
#include "common/hash.h"
#include "common/local_disk.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"
#include "sampler/store_format.h"
#include "sampler/store_verify.h"

#include <inttypes.h>
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>

enum {
    TRANSACTION_BYTES = 64 << 20, /* written between two commits */
    MAP_SLACK_BYTES = 16 << 20,
    PAGE_HEADER_BYTES = 16
};

typedef struct edge {
    uint32_t node;
    uint32_t pair;
    uint16_t aggregation;
} edge;

typedef struct writer {
    const store_source *s;
    uint32_t partition;
    char *path; /* of the environment */
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    uint64_t in_txn;  /* bytes */
    size_t value_min; /* so that LMDB gives every value pages of its own */
    uint8_t *block;   /* header and payload: [block_cap] */
    size_t block_cap;
    hash_stream *content, *foundation;
    edge *edges; /* of one destination: [edges_cap] */
    size_t edges_cap;
    store_written *out;
} writer;

static err_code lmdb_fail(const writer *w, const char *what, int code)
{
    log_user_error("%s: %s: %s", w->path, what, mdb_strerror(code));
    return ERR_IO;
}

static err_code begin(writer *w)
{
    int code = mdb_txn_begin(w->env, NULL, 0, &w->txn);
    if (code == 0) code = mdb_dbi_open(w->txn, NULL, 0, &w->dbi);
    return code == 0 ? ERR_OK : lmdb_fail(w, "begin", code);
}

static err_code commit(writer *w)
{
    int code = mdb_txn_commit(w->txn);
    w->txn = NULL;
    w->in_txn = 0;
    return code == 0 ? ERR_OK : lmdb_fail(w, "commit", code);
}

static const uint32_t *range_of(const store_source *s, uint32_t type, uint32_t partition)
{
    return &s->node_base[(size_t)type * s->partitions + partition];
}

/* More bytes than the partition needs. */
static uint64_t map_bytes(const writer *w)
{
    const store_source *s = w->s;
    uint64_t items = 0, edges = 0, events = 0, blocks = 0;
    uint64_t users = s->user_base[w->partition + 1] - s->user_base[w->partition];

    for (uint32_t t = 0; t < s->data->types_n; t++) {
        const uint32_t *range = range_of(s, t, w->partition);
        for (uint32_t node = range[0]; node < range[1]; node++) {
            uint32_t item = s->item_of[node];
            edges += s->graph->indptr[item + 1] - s->graph->indptr[item];
        }
        items += range[1] - range[0];
        blocks += (range[1] - range[0]) / STORE_BLOCK_ROWS + 1;
    }
    for (uint32_t u = s->user_base[w->partition]; u < s->user_base[w->partition + 1]; u++) {
        uint32_t user = s->user_of[u];
        events += s->data->user_events[user + 1] - s->data->user_events[user];
    }
    uint64_t item_row = 16 + 4 * s->data->item_attributes_n + 2 * (uint64_t)s->text->dim + 4 +
                        12 * (uint64_t)s->data->types_n;
    uint64_t user_row = 8 + 4 * (s->data->user_attributes_n + s->data->user_vector_d) + 4;
    blocks = blocks * (s->data->types_n + 2) + 2 * (users / STORE_BLOCK_ROWS + 1);
    uint64_t bytes = items * item_row + users * user_row + edges * 10 + events * 14;
    return bytes + bytes / 8 + blocks * 2 * (w->value_min + 256) + MAP_SLACK_BYTES;
}

static err_code open_env(writer *w)
{
    MDB_stat stat;
    int code = mdb_env_create(&w->env);

    if (code != 0) return lmdb_fail(w, "create", code);
    code = mdb_env_open(w->env, w->path, MDB_NOLOCK | MDB_NOSYNC, 0644);
    if (code == 0) code = mdb_env_stat(w->env, &stat);
    if (code != 0) return lmdb_fail(w, "open", code);
    w->value_min = stat.ms_psize - PAGE_HEADER_BYTES;
    code = mdb_env_set_mapsize(w->env, (map_bytes(w) + 0xffff) & ~(size_t)0xffff);
    return code == 0 ? begin(w) : lmdb_fail(w, "set map size", code);
}

/* Room for header and payload, zeroed, and the payload's layout. */
static err_code block_begin(writer *w, store_header *h, store_layout *l)
{
    *l = store_layout_of(h);
    h->magic = STORE_MAGIC;
    h->version = STORE_VERSION;
    h->payload_bytes = l->end;
    if (l->end > STORE_PAYLOAD_MAX) {
        log_user_error("partition %u: %u rows need more than 2 GiB: set graph.max_degree or raise "
                       "graph.partitions",
                       w->partition, h->rows);
        return ERR_LIMIT;
    }
    size_t need = sizeof *h + (size_t)l->end;
    if (need < w->value_min) need = w->value_min;
    if (need > w->block_cap) {
        free(w->block);
        w->block_cap = 0;
        w->block = try_aligned(need, 1);
        if (w->block == NULL) return ERR_NO_MEMORY;
        w->block_cap = need;
    }
    memset(w->block, 0, need);
    return ERR_OK;
}

/* Writes the block; part of the foundation or not. */
static err_code block_end(writer *w, store_header *h, uint32_t number, bool foundation)
{
    uint8_t key[STORE_KEY_BYTES];
    size_t bytes = sizeof *h + (size_t)h->payload_bytes;

    if (bytes < w->value_min) bytes = w->value_min;
    h->hash = store_hash(h, w->block + sizeof *h);
    memcpy(w->block, h, sizeof *h);
    store_key(key, h->kind, h->sub, number);
    hash_stream_add(w->content, key, sizeof key);
    hash_stream_add(w->content, &h->hash, sizeof h->hash);
    if (foundation) {
        hash_stream_add(w->foundation, key, sizeof key);
        hash_stream_add(w->foundation, &h->hash, sizeof h->hash);
    }
    MDB_val k = {sizeof key, key}, v = {bytes, w->block};
    int code = mdb_put(w->txn, w->dbi, &k, &v, MDB_APPEND);
    if (code != 0) return lmdb_fail(w, "write", code);
    w->in_txn += bytes;
    if (w->in_txn < TRANSACTION_BYTES) return ERR_OK;
    err_code rc = commit(w);
    return rc == ERR_OK ? begin(w) : rc;
}

static void *array_of(const writer *w, uint64_t offset)
{
    return w->block + sizeof(store_header) + offset;
}

static int edge_compare(const void *a, const void *b)
{
    uint32_t x = ((const edge *)a)->node, y = ((const edge *)b)->node;
    return x < y ? -1 : x > y;
}

/* The edges of an item whose source has `type`: a stretch of the graph's list. */
static void edge_range(const store_source *s, uint32_t item, uint32_t type, uint64_t range[2])
{
    const graph *g = s->graph;
    uint64_t e = g->indptr[item], end = g->indptr[item + 1];

    while (e < end && s->data->item_type[g->source[e]] < type) e++;
    range[0] = e;
    while (e < end && s->data->item_type[g->source[e]] == type) e++;
    range[1] = e;
}

/* The edges of `item` by a source type, sorted by node, into w->edges. */
static size_t take_edges(writer *w, uint32_t item, uint32_t type)
{
    const graph *g = w->s->graph;
    uint64_t range[2];

    edge_range(w->s, item, type, range);
    size_t n = (size_t)(range[1] - range[0]);
    grow(&w->edges, &w->edges_cap, n, sizeof *w->edges);
    for (size_t i = 0; i < n; i++) {
        uint64_t e = range[0] + i;
        w->edges[i] =
            (edge){w->s->node_of[g->source[e]], graph_pair_weight(g, e), g->aggregation[e]};
    }
    if (n > 1) qsort(w->edges, n, sizeof *w->edges, edge_compare);
    return n;
}

static void fill_adjacency(writer *w, const store_header *h, const store_layout *l, uint32_t type,
                           uint64_t *pair_sum)
{
    uint64_t *pair_before = array_of(w, l->at[0]);
    uint32_t *before = array_of(w, l->at[1]), *source = array_of(w, l->at[2]);
    uint32_t *pair = array_of(w, l->at[3]), at = 0;
    uint16_t *aggregation = array_of(w, l->at[4]);

    pair_before[0] = *pair_sum;
    for (uint32_t row = 0; row < h->rows; row++) {
        size_t n = take_edges(w, w->s->item_of[h->first + row], type);
        for (size_t i = 0; i < n; i++, at++) {
            source[at] = w->edges[i].node;
            pair[at] = w->edges[i].pair;
            aggregation[at] = w->edges[i].aggregation;
            *pair_sum += pair[at];
        }
        before[row + 1] = at;
        pair_before[row + 1] = *pair_sum;
    }
    ASSERT(at == h->entries);
}

static uint64_t count_edges(const store_source *s, uint32_t first, uint32_t rows, uint32_t type)
{
    uint64_t n = 0, range[2];
    for (uint32_t node = first; node < first + rows; node++) {
        edge_range(s, s->item_of[node], type, range);
        n += range[1] - range[0];
    }
    return n;
}

/* A relation without edges in this partition has no blocks. */
static err_code write_relation(writer *w, uint32_t r)
{
    uint32_t type = w->s->relation[r][0];
    const uint32_t *range = range_of(w->s, w->s->relation[r][1], w->partition);
    uint64_t edges = count_edges(w->s, range[0], range[1] - range[0], type), done = 0, pairs = 0;

    for (uint32_t b = 0, node = range[0]; edges > 0 && node < range[1]; b++) {
        store_layout l;
        uint32_t left = range[1] - node;
        store_header h = {
            .kind = STORE_ADJACENCY, .sub = r, .first = node, .first_edge = done, .extra = pairs};
        h.rows = left < STORE_BLOCK_ROWS ? left : STORE_BLOCK_ROWS;
        h.entries = count_edges(w->s, node, h.rows, type);
        err_code rc = block_begin(w, &h, &l);
        if (rc != ERR_OK) return rc;
        fill_adjacency(w, &h, &l, type, &pairs);
        rc = block_end(w, &h, b, true);
        if (rc != ERR_OK) return rc;
        node += h.rows;
        done += h.entries;
    }
    w->out->edges[r] = edges;
    w->out->pair_weight[r] = pairs;
    return ERR_OK;
}

static void fill_items(writer *w, const store_header *h, const store_layout *l)
{
    const store_source *s = w->s;
    uint64_t *key = array_of(w, l->at[0]);
    uint32_t *users = array_of(w, l->at[1]), *positives = array_of(w, l->at[2]);
    uint32_t *attribute = array_of(w, l->at[3]);

    for (uint32_t row = 0; row < h->rows; row++) {
        uint32_t item = s->item_of[h->first + row];
        key[row] = s->data->item_key[item];
        users[row] = s->train_users[item];
        positives[row] = s->train_positives[item];
        for (uint32_t a = 0; a < h->width; a++) {
            attribute[(size_t)row * h->width + a] = s->data->item_attributes[a].index[item];
        }
    }
    hash_stream_add(w->foundation, key, h->rows * sizeof *key);
}

static void fill_text(writer *w, const store_header *h, const store_layout *l)
{
    const features *f = w->s->text;
    float *scale = array_of(w, l->at[0]);
    uint8_t *rows = array_of(w, l->at[1]);
    size_t row_bytes = (size_t)h->width * (h->extra == 1 ? sizeof *f->int8 : sizeof *f->f16);

    for (uint32_t row = 0; row < h->rows; row++) {
        size_t item = w->s->item_of[h->first + row];
        if (h->extra == 1) {
            memcpy(rows + row * row_bytes, f->int8 + item * f->dim, row_bytes);
            scale[row] = store_power_of_two(f->exponent[item]);
        } else {
            memcpy(rows + row * row_bytes, f->f16 + item * f->dim, row_bytes);
        }
    }
}

/* Items or texts of one type. */
static err_code write_item_blocks(writer *w, store_block_kind kind, uint32_t type)
{
    const uint32_t *range = range_of(w->s, type, w->partition);

    for (uint32_t b = 0, node = range[0]; node < range[1]; b++) {
        store_layout l;
        uint32_t left = range[1] - node;
        store_header h = {.kind = (uint16_t)kind, .sub = type, .first = node};
        h.rows = left < STORE_BLOCK_ROWS ? left : STORE_BLOCK_ROWS;
        h.width = kind == STORE_ITEM ? (uint32_t)w->s->data->item_attributes_n : w->s->text->dim;
        h.extra = kind == STORE_TEXT && w->s->text->storage == STORAGE_INT8 ? 1 : 0;
        err_code rc = block_begin(w, &h, &l);
        if (rc != ERR_OK) return rc;
        if (kind == STORE_ITEM) {
            fill_items(w, &h, &l);
        } else {
            fill_text(w, &h, &l);
        }
        rc = block_end(w, &h, b, kind == STORE_TEXT);
        if (rc != ERR_OK) return rc;
        node += h.rows;
    }
    return ERR_OK;
}

static void fill_users(writer *w, const store_header *h, const store_layout *l)
{
    const store_source *s = w->s;
    uint64_t *key = array_of(w, l->at[0]);
    uint32_t *attribute = array_of(w, l->at[1]);
    float *vector = array_of(w, l->at[2]);

    for (uint32_t row = 0; row < h->rows; row++) {
        uint32_t user = s->user_of[h->first + row];
        key[row] = s->user_key[user];
        for (uint32_t a = 0; a < h->width; a++) {
            attribute[(size_t)row * h->width + a] = s->data->user_attributes[a].index[user];
        }
        if (h->extra > 0) {
            memcpy(vector + row * h->extra, s->data->user_vectors + user * h->extra,
                   h->extra * sizeof *vector);
        }
    }
}

static void fill_events(writer *w, const store_header *h, const store_layout *l)
{
    const catalog *c = w->s->data;
    uint32_t *before = array_of(w, l->at[0]), *node = array_of(w, l->at[2]), at = 0;
    int64_t *time = array_of(w, l->at[1]);
    uint8_t *role = array_of(w, l->at[3]), *part = array_of(w, l->at[4]);

    for (uint32_t row = 0; row < h->rows; row++) {
        uint32_t user = w->s->user_of[h->first + row];
        for (uint64_t e = c->user_events[user]; e < c->user_events[user + 1]; e++, at++) {
            time[at] = c->events[e].time;
            node[at] = w->s->node_of[c->events[e].item];
            role[at] = w->s->role[e];
            part[at] = w->s->parts->part[e];
        }
        before[row + 1] = at;
    }
}

static uint64_t count_events(const store_source *s, uint32_t first, uint32_t rows)
{
    uint64_t n = 0;
    for (uint32_t u = first; u < first + rows; u++) {
        n += s->data->user_events[s->user_of[u] + 1] - s->data->user_events[s->user_of[u]];
    }
    return n;
}

static err_code write_user_blocks(writer *w, store_block_kind kind)
{
    const uint32_t *range = &w->s->user_base[w->partition];

    for (uint32_t b = 0, user = range[0]; user < range[1]; b++) {
        store_layout l;
        uint32_t left = range[1] - user;
        store_header h = {.kind = (uint16_t)kind, .first = user};
        h.rows = left < STORE_BLOCK_ROWS ? left : STORE_BLOCK_ROWS;
        if (kind == STORE_USER) {
            h.width = (uint32_t)w->s->data->user_attributes_n;
            h.extra = w->s->data->user_vector_d;
        } else {
            h.entries = count_events(w->s, user, h.rows);
        }
        err_code rc = block_begin(w, &h, &l);
        if (rc != ERR_OK) return rc;
        if (kind == STORE_USER) {
            fill_users(w, &h, &l);
        } else {
            fill_events(w, &h, &l);
        }
        rc = block_end(w, &h, b, false);
        if (rc != ERR_OK) return rc;
        user += h.rows;
    }
    return ERR_OK;
}

static err_code write_blocks(writer *w)
{
    err_code rc = ERR_OK;
    uint32_t types = w->s->data->types_n;

    for (uint32_t r = 0; rc == ERR_OK && r < w->s->relations; r++) rc = write_relation(w, r);
    for (uint32_t t = 0; rc == ERR_OK && t < types; t++) rc = write_item_blocks(w, STORE_ITEM, t);
    for (uint32_t t = 0; rc == ERR_OK && t < types && w->s->text->dim > 0; t++) {
        rc = write_item_blocks(w, STORE_TEXT, t);
    }
    if (rc == ERR_OK) rc = write_user_blocks(w, STORE_USER);
    if (rc == ERR_OK) rc = write_user_blocks(w, STORE_EVENTS);
    return rc;
}

static err_code finish(writer *w)
{
    err_code rc = commit(w);
    if (rc != ERR_OK) return rc;
    int code = mdb_env_sync(w->env, 1);
    if (code != 0) return lmdb_fail(w, "sync", code);
    mdb_env_close(w->env);
    w->env = NULL;
    w->out->content = hash_stream_digest(w->content);
    w->out->foundation = hash_stream_digest(w->foundation);
    char *file = files_join(w->path, "data.mdb");
    rc = store_verify_file(file, &w->out->bytes, &w->out->file_hash);
    free(file);
    return rc == ERR_OK ? files_sync(w->path) : rc;
}

err_code store_write_partition(const store_source *s, uint32_t partition, const char *folder,
                               store_written *out)
{
    writer w = {.s = s, .partition = partition, .out = out};

    w.path = xprintf("%s/part-%u", folder, partition);
    w.content = hash_stream_new(0);
    w.foundation = hash_stream_new(0);
    err_code rc = files_make_dirs(w.path);
    if (rc == ERR_OK) rc = local_disk_check(w.path, "work_dir");
    if (rc == ERR_OK) rc = open_env(&w);
    if (rc == ERR_OK) rc = write_blocks(&w);
    if (rc == ERR_OK) rc = finish(&w);
    if (w.txn != NULL) mdb_txn_abort(w.txn);
    if (w.env != NULL) mdb_env_close(w.env);
    hash_stream_free(w.content);
    hash_stream_free(w.foundation);
    free(w.block);
    free(w.edges);
    free(w.path);
    return rc;
}
