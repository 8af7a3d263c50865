#include "common/microbatch.h"

#include "common/bytes.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAGIC = 0x31424d57 }; /* "WMB1" */

/* --- Encoding ----------------------------------------------------------------------------------
 */

static void put_array(bytes_writer *w, const void *data, uint64_t n, size_t size)
{
    bytes_align(w, 8);
    if (n) bytes_put(w, data, (size_t)n * size);
}

static void put_frame(bytes_writer *w, microbatch_kind kind, slot_name name, uint32_t chunks)
{
    bytes_writer_init(w);
    const uint32_t frame[8] = {MAGIC,     kind,      name.stage, name.epoch,
                               name.step, name.slot, chunks,     0};
    bytes_put(w, frame, sizeof frame);
}

static err_code finish(bytes_writer *w, blob **out)
{
    if (w->len > MICROBATCH_BYTES_MAX) {
        log_error("microbatch_too_large", "bytes=%zu max=%d", w->len, MICROBATCH_BYTES_MAX);
        bytes_writer_fini(w);
        return ERR_LIMIT;
    }
    *out = bytes_take_blob(w);
    return *out ? ERR_OK : ERR_NO_MEMORY;
}

static bool has_weights(const subgraph *g)
{
    for (uint32_t k = 1; k <= g->layers; k++) {
        for (uint32_t r = 0; r < g->relations; r++) {
            if (g->layer[k][r].weight) return true;
        }
    }
    return false;
}

static void put_graph(bytes_writer *w, const subgraph *g)
{
    bool weights = has_weights(g);
    const uint32_t head[8] = {g->layers, g->types,      g->relations,    g->pairs,
                              weights,   g->mask_words, g->mask != NULL, 0};
    put_array(w, head, 8, 4);
    for (uint32_t k = 0; k <= g->layers; k++) put_array(w, g->rows[k], g->types, 4);
    put_array(w, g->relation, g->relations, sizeof *g->relation);
    put_array(w, g->negatives, g->types, 4);
    for (uint32_t t = 0; t < g->types; t++) put_array(w, g->node[t], g->rows[0][t], 4);
    for (uint32_t k = 1; k <= g->layers; k++) {
        for (uint32_t r = 0; r < g->relations; r++) {
            const subgraph_adjacency *a = &g->layer[k][r];
            uint32_t rows = g->rows[k][g->relation[r].destination];
            put_array(w, a->indptr, (uint64_t)rows + 1, 8);
            put_array(w, a->index, a->indptr[rows], 4);
            if (weights) put_array(w, a->weight, a->indptr[rows], 2);
        }
    }
    put_array(w, g->pair, g->pairs, sizeof *g->pair);
    for (uint32_t t = 0; t < g->types; t++) put_array(w, g->negative[t], g->negatives[t], 4);
    if (g->mask) put_array(w, g->mask, (uint64_t)g->pairs * g->mask_words, 8);
}

err_code microbatch_encode_graph(slot_name name, const subgraph *chunk, uint32_t chunks, blob **out)
{
    bytes_writer w;
    put_frame(&w, MICROBATCH_GRAPH, name, chunks);
    for (uint32_t i = 0; i < chunks && w.len <= MICROBATCH_BYTES_MAX; i++) put_graph(&w, &chunk[i]);
    bytes_align(&w, 8);
    return finish(&w, out);
}

static void put_tower(bytes_writer *w, const microbatch_tower *t)
{
    const uint32_t head[8] = {t->rows,       t->nodes,     t->types, t->attributes,
                              t->vector_dim, t->negatives, 0,        0};
    put_array(w, head, 8, 4);
    put_array(w, t->user, t->rows, 4);
    put_array(w, t->node, t->nodes, 4);
    put_array(w, t->history_indptr, (uint64_t)t->rows + 1, 8);
    put_array(w, t->history, t->history_indptr[t->rows], 4);
    put_array(w, t->count, (uint64_t)t->rows * t->types, 4);
    put_array(w, t->attribute, (uint64_t)t->rows * t->attributes, 4);
    put_array(w, t->vector, (uint64_t)t->rows * t->vector_dim, 4);
    put_array(w, t->target_indptr, (uint64_t)t->rows + 1, 8);
    put_array(w, t->target, t->target_indptr[t->rows], 4);
    put_array(w, t->weight, t->rows, 4);
    put_array(w, t->negative, t->negatives, 4);
    put_array(w, t->seen_indptr, (uint64_t)t->rows + 1, 8);
    put_array(w, t->seen, t->seen_indptr[t->rows], 4);
}

err_code microbatch_encode_tower(slot_name name, const microbatch_tower *chunk, uint32_t chunks,
                                 blob **out)
{
    bytes_writer w;
    put_frame(&w, MICROBATCH_TOWER, name, chunks);
    for (uint32_t i = 0; i < chunks && w.len <= MICROBATCH_BYTES_MAX; i++) put_tower(&w, &chunk[i]);
    bytes_align(&w, 8);
    return finish(&w, out);
}

err_code microbatch_encode_items(slot_name name, uint32_t first, uint32_t count, blob **out)
{
    bytes_writer w;
    put_frame(&w, MICROBATCH_ITEMS, name, 0);
    bytes_put_u32(&w, first);
    bytes_put_u32(&w, count);
    return finish(&w, out);
}

/* --- Decoding ----------------------------------------------------------------------------------
 */

/* `wrong` is the first thing that was, NULL so far; every check is a no-op after it. */
typedef struct decoder {
    bytes_reader r;
    const manifest *m;
    const char *wrong;
} decoder;

static bool require(decoder *d, bool ok, const char *what)
{
    if (!ok && !d->wrong) d->wrong = what;
    return !d->wrong;
}

static const void *get_array(decoder *d, uint64_t n, size_t size, const char *what)
{
    bytes_skip_align(&d->r, 8);
    const void *p = bytes_get(&d->r, (size_t)n, size);
    return require(d, p != NULL, what) ? p : NULL;
}

static void check_below(decoder *d, const uint32_t *x, uint64_t n, uint32_t limit, const char *what)
{
    for (uint64_t i = 0; !d->wrong && i < n; i++) require(d, x[i] < limit, what);
}

/* x[0..n-1] strictly ascending and in [begin, end). */
static void check_ascending(decoder *d, const uint32_t *x, uint32_t n, uint32_t begin, uint32_t end,
                            const char *what)
{
    for (uint32_t i = 0; !d->wrong && i < n; i++) {
        require(d, x[i] >= begin && x[i] < end && (!i || x[i] > x[i - 1]), what);
    }
}

/* A CSR row index; returns the number of entries, 0 if it is wrong. */
static uint64_t check_indptr(decoder *d, const uint64_t *indptr, uint32_t rows, const char *what)
{
    if (d->wrong) return 0;
    require(d, indptr[0] == 0 && indptr[rows] <= MICROBATCH_EDGES_MAX, what);
    for (uint32_t i = 0; !d->wrong && i < rows; i++) require(d, indptr[i] <= indptr[i + 1], what);
    return d->wrong ? 0 : indptr[rows];
}

typedef struct csr {
    const uint64_t *indptr;
    const uint32_t *index;
} csr;

static csr get_csr(decoder *d, uint32_t rows, uint32_t limit, const char *what)
{
    csr c = {get_array(d, (uint64_t)rows + 1, 8, what), NULL};
    uint64_t n = check_indptr(d, c.indptr, rows, what);
    c.index = get_array(d, n, 4, what);
    check_below(d, c.index, n, limit, what);
    return c;
}

static void get_graph_head(decoder *d, subgraph *g, bool *weights, bool *masked)
{
    const uint32_t *head = get_array(d, 8, 4, "graph head");
    if (!head) return;
    g->layers = head[0];
    g->types = head[1];
    g->relations = head[2];
    g->pairs = head[3];
    *weights = head[4] != 0;
    g->mask_words = head[5];
    *masked = head[6] != 0;
    require(d, g->layers >= 1 && g->layers <= CONFIG_LAYERS_MAX, "layers");
    require(d, g->types == d->m->types.n && g->types <= CONFIG_TYPES_MAX, "types");
    require(d, g->relations == d->m->relations, "relations");
    require(d, g->pairs <= MICROBATCH_ROWS_MAX, "pairs");
    require(d, g->mask_words <= MICROBATCH_ROWS_MAX / 64, "mask words");
}

static void get_graph_sizes(decoder *d, subgraph *g)
{
    for (uint32_t k = 0; !d->wrong && k <= g->layers; k++) {
        const uint32_t *rows = get_array(d, g->types, 4, "rows");
        for (uint32_t t = 0; !d->wrong && t < g->types; t++) {
            g->rows[k][t] = rows[t];
            require(d, rows[t] <= (k ? g->rows[k - 1][t] : MICROBATCH_ROWS_MAX), "rows");
        }
    }
    g->relation = get_array(d, g->relations, sizeof *g->relation, "relations");
    for (uint32_t r = 0; !d->wrong && r < g->relations; r++) {
        const manifest_relation *known = &d->m->relation[r];
        require(d,
                g->relation[r].source == known->source &&
                    g->relation[r].destination == known->destination,
                "relations");
    }
    const uint32_t *negatives = get_array(d, g->types, 4, "negatives");
    for (uint32_t t = 0; !d->wrong && t < g->types; t++) {
        g->negatives[t] = negatives[t];
        require(d, negatives[t] <= g->rows[g->layers][t], "negatives");
    }
}

/* Seeds ascend, then what each hop adds does. */
static void get_graph_nodes(decoder *d, subgraph *g)
{
    for (uint32_t t = 0; !d->wrong && t < g->types; t++) {
        g->node[t] = get_array(d, g->rows[0][t], 4, "nodes");
        uint32_t from = 0;
        for (uint32_t k = g->layers + 1; !d->wrong && k-- > 0;) {
            check_ascending(d, g->node[t] + from, g->rows[k][t] - from,
                            manifest_type_begin(d->m, t), manifest_type_begin(d->m, t + 1),
                            "nodes");
            from = g->rows[k][t];
        }
    }
}

static void get_graph_edges(decoder *d, subgraph *g, subgraph_adjacency *layers, bool weights)
{
    for (uint32_t k = 1; !d->wrong && k <= g->layers; k++) {
        subgraph_adjacency *layer = layers + (size_t)(k - 1) * g->relations;
        g->layer[k] = layer;
        for (uint32_t r = 0; !d->wrong && r < g->relations; r++) {
            uint32_t rows = g->rows[k][g->relation[r].destination];
            csr c = get_csr(d, rows, g->rows[k - 1][g->relation[r].source], "adjacency");
            layer[r] = (subgraph_adjacency){c.indptr, c.index, NULL};
            if (d->wrong || !weights) continue;
            const uint16_t *w = get_array(d, c.indptr[rows], 2, "weights");
            for (uint64_t i = 0; !d->wrong && i < c.indptr[rows]; i++) {
                require(d, w[i] != 0, "weights");
            }
            layer[r].weight = w;
        }
    }
}

static void get_graph_pairs(decoder *d, subgraph *g, bool masked)
{
    if (d->wrong) return;
    const uint32_t *seeds = g->rows[g->layers];
    g->pair = get_array(d, g->pairs, sizeof *g->pair, "pairs");
    for (uint32_t i = 0; !d->wrong && i < g->pairs; i++) {
        const subgraph_pair *p = &g->pair[i];
        require(d,
                p->anchor_type < g->types && p->positive_type < g->types &&
                    p->anchor < seeds[p->anchor_type] && p->positive < seeds[p->positive_type],
                "pairs");
    }
    for (uint32_t t = 0; !d->wrong && t < g->types; t++) {
        g->negative[t] = get_array(d, g->negatives[t], 4, "negatives");
        check_below(d, g->negative[t], d->wrong ? 0 : g->negatives[t], seeds[t], "negatives");
        require(d, !masked || g->negatives[t] <= (uint64_t)g->mask_words * 64, "mask words");
    }
    if (masked && !d->wrong) {
        g->mask = get_array(d, (uint64_t)g->pairs * g->mask_words, 8, "mask");
    }
}

static err_code decode_graph(decoder *d, microbatch *b)
{
    b->graph = try_calloc(b->chunks, sizeof *b->graph);
    if (!b->graph) return ERR_NO_MEMORY;
    for (uint32_t i = 0; !d->wrong && i < b->chunks; i++) {
        subgraph *g = &b->graph[i];
        bool weights = false, masked = false;
        get_graph_head(d, g, &weights, &masked);
        if (d->wrong) break;
        subgraph_adjacency *layers =
            try_calloc((size_t)g->layers * g->relations + 1, sizeof *layers);
        if (!layers) return ERR_NO_MEMORY;
        g->block = layers;
        get_graph_sizes(d, g);
        get_graph_nodes(d, g);
        get_graph_edges(d, g, layers, weights);
        get_graph_pairs(d, g, masked);
    }
    return ERR_OK;
}

static bool get_tower_head(decoder *d, microbatch_tower *t)
{
    const uint32_t *head = get_array(d, 8, 4, "tower head");
    if (!head) return false;
    t->rows = head[0];
    t->nodes = head[1];
    t->types = head[2];
    t->attributes = head[3];
    t->vector_dim = head[4];
    t->negatives = head[5];
    require(d, t->rows <= MICROBATCH_ROWS_MAX && t->nodes <= MICROBATCH_ROWS_MAX, "rows");
    require(d, t->types == d->m->types.n, "types");
    require(d, t->attributes == d->m->user_attributes, "attributes");
    require(d, t->vector_dim == d->m->user_vector_dim, "vector width");
    return require(d, t->negatives <= t->nodes, "negatives");
}

static const float *get_floats(decoder *d, uint64_t n, const char *what)
{
    const float *x = get_array(d, n, 4, what);
    for (uint64_t i = 0; !d->wrong && i < n; i++) require(d, isfinite(x[i]), what);
    return x;
}

static void get_attributes(decoder *d, microbatch_tower *t)
{
    t->attribute = get_array(d, (uint64_t)t->rows * t->attributes, 4, "attributes");
    for (uint32_t i = 0; !d->wrong && i < t->rows; i++) {
        for (uint32_t a = 0; a < t->attributes; a++) {
            uint32_t v = t->attribute[(size_t)i * t->attributes + a];
            require(d, v <= d->m->user_attribute[a].values.n, "attributes");
        }
    }
}

static void get_tower(decoder *d, microbatch_tower *t)
{
    if (!get_tower_head(d, t)) return;
    t->user = get_array(d, t->rows, 4, "users");
    check_below(d, t->user, d->wrong ? 0 : t->rows, d->m->users, "users");
    t->node = get_array(d, t->nodes, 4, "nodes");
    if (!d->wrong) check_ascending(d, t->node, t->nodes, 0, d->m->items, "nodes");
    csr history = get_csr(d, t->rows, t->nodes, "history");
    t->history_indptr = history.indptr;
    t->history = history.index;
    t->count = get_array(d, (uint64_t)t->rows * t->types, 4, "counts");
    get_attributes(d, t);
    t->vector = get_floats(d, (uint64_t)t->rows * t->vector_dim, "vectors");
    csr target = get_csr(d, t->rows, t->nodes, "targets");
    t->target_indptr = target.indptr;
    t->target = target.index;
    t->weight = get_floats(d, t->rows, "row weights");
    t->negative = get_array(d, t->negatives, 4, "negatives");
    check_below(d, t->negative, d->wrong ? 0 : t->negatives, t->nodes, "negatives");
    csr seen = get_csr(d, t->rows, t->nodes, "seen");
    t->seen_indptr = seen.indptr;
    t->seen = seen.index;
    if (!t->attributes) t->attribute = NULL;
    if (!t->vector_dim) t->vector = NULL;
}

static err_code decode_tower(decoder *d, microbatch *b)
{
    b->tower = try_calloc(b->chunks, sizeof *b->tower);
    if (!b->tower) return ERR_NO_MEMORY;
    for (uint32_t i = 0; !d->wrong && i < b->chunks; i++) get_tower(d, &b->tower[i]);
    return ERR_OK;
}

static err_code decode_items(decoder *d, microbatch *b)
{
    b->first = bytes_get_u32(&d->r);
    b->count = bytes_get_u32(&d->r);
    require(d, b->first <= d->m->items && b->count <= d->m->items - b->first, "items");
    return ERR_OK;
}

static err_code decode_kind(decoder *d, microbatch *b, uint32_t magic, uint32_t kind)
{
    require(d, magic == MAGIC, "magic");
    if (d->wrong) return ERR_OK;
    if (kind == MICROBATCH_ITEMS) return decode_items(d, b);
    /* Every chunk has a head of 32 bytes: a count that the body cannot hold allocates nothing. */
    require(d, b->chunks >= 1 && b->chunks <= MICROBATCH_CHUNKS_MAX, "chunks");
    require(d, b->chunks <= d->r.len / 32, "chunks");
    if (d->wrong) return ERR_OK;
    if (kind == MICROBATCH_GRAPH) return decode_graph(d, b);
    if (kind == MICROBATCH_TOWER) return decode_tower(d, b);
    require(d, false, "kind");
    return ERR_OK;
}

static err_code decode(const manifest *m, microbatch *b)
{
    decoder d = {.m = m};
    bytes_reader_init(&d.r, blob_data(b->body), blob_size(b->body));
    uint32_t magic = bytes_get_u32(&d.r), kind = bytes_get_u32(&d.r);
    b->kind = kind == MICROBATCH_GRAPH   ? MICROBATCH_GRAPH
              : kind == MICROBATCH_TOWER ? MICROBATCH_TOWER
                                         : MICROBATCH_ITEMS;
    b->name.stage = bytes_get_u32(&d.r);
    b->name.epoch = bytes_get_u32(&d.r);
    b->name.step = bytes_get_u32(&d.r);
    b->name.slot = bytes_get_u32(&d.r);
    b->chunks = bytes_get_u32(&d.r);
    (void)bytes_get_u32(&d.r);
    require(&d, !d.r.failed, "frame");
    err_code rc = d.wrong ? ERR_OK : decode_kind(&d, b, magic, kind);
    if (rc != ERR_OK) return rc;
    bytes_skip_align(&d.r, 8);
    require(&d, bytes_done(&d.r), "length");
    if (!d.wrong) return ERR_OK;
    char name[64];
    slot_format(b->name, name);
    log_warn("microbatch_invalid", "slot=%s what=\"%s\" at=%zu bytes=%zu", name, d.wrong, d.r.pos,
             d.r.len);
    return ERR_INVALID;
}

err_code microbatch_decode(const manifest *m, blob *body, microbatch **out)
{
    if (blob_size(body) > MICROBATCH_BYTES_MAX) {
        log_warn("microbatch_too_large", "bytes=%zu max=%d", blob_size(body), MICROBATCH_BYTES_MAX);
        return ERR_LIMIT;
    }
    microbatch *b = xcalloc(1, sizeof *b);
    b->body = blob_aligned(body);
    err_code rc = body && !b->body ? ERR_NO_MEMORY : decode(m, b);
    if (rc != ERR_OK) {
        microbatch_free(b);
        return rc;
    }
    *out = b;
    return ERR_OK;
}

void microbatch_free(microbatch *b)
{
    if (!b) return;
    for (uint32_t i = 0; b->graph && i < b->chunks; i++) free(b->graph[i].block);
    free(b->graph);
    free(b->tower);
    blob_unref(b->body);
    free(b);
}
