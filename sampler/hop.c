#include "sampler/hop.h"

#include "common/bytes.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"
#include "common/rng.h"
#include "sampler/draw.h"
#include "sampler/node_list.h"

#include <stdlib.h>
#include <string.h>

enum { REQUEST_MAGIC = 0x31524c57, REPLY_MAGIC = 0x32524c57 };

void hop_relations_init(hop_relations *r, const manifest *m)
{
    ASSERT(m->types.n <= CONFIG_TYPES_MAX);
    *r = (hop_relations){.into = xcalloc((size_t)m->relations + 1, sizeof *r->into)};
    uint32_t n = 0;
    for (uint32_t t = 0; t < m->types.n; t++) {
        r->base[t] = n;
        for (uint32_t i = 0; i < m->relations; i++) {
            if (m->relation[i].destination != t) continue;
            r->into[n++] = i;
            r->with_edges[t] += m->relation[i].edges > 0;
        }
        r->base[t + 1] = n;
    }
}

void hop_relations_fini(hop_relations *r)
{
    free(r->into);
    *r = (hop_relations){0};
}

/* The (type, partition) range of `node`: type * partitions + partition.  For ascending nodes
 * *cursor, 0 at first, saves the search. */
static uint32_t range_of(const manifest *m, uint32_t *cursor, uint32_t node)
{
    while (m->node_base[*cursor + 1] <= node) ++*cursor;
    return *cursor;
}

/* --- Requests ----------------------------------------------------------------------------------
 */

static void put_excludes(bytes_writer *w, const hop *h, uint32_t partition, const uint64_t *exclude,
                         size_t excludes, const manifest *m)
{
    uint64_t count = 0;
    size_t at = w->len;
    bytes_put_u64(w, 0);
    for (size_t i = 0; i < excludes; i++) {
        uint32_t node = (uint32_t)(exclude[i] >> 32);
        size_t unused;
        if (manifest_partition_of(m, node) != partition) continue;
        if (!node_list_find(h->node, h->n, node, &unused)) continue;
        bytes_put_u64(w, exclude[i]);
        count++;
    }
    memcpy(w->data + at, &count, sizeof count);
}

static void make_request(hop *h, uint32_t p, const uint64_t *exclude, size_t excludes,
                         const manifest *m)
{
    uint32_t n = h->part[p + 1] - h->part[p];
    if (!n) return;
    const uint32_t head[8] = {
        REQUEST_MAGIC, h->name.stage, h->name.epoch, h->name.step, h->name.slot, h->hop, p, n};
    bytes_writer w;
    bytes_writer_init(&w);
    bytes_put(&w, head, sizeof head);
    for (uint32_t i = h->part[p]; i < h->part[p + 1]; i++) bytes_put_u32(&w, h->node[h->order[i]]);
    bytes_align(&w, 8);
    put_excludes(&w, h, p, exclude, excludes, m);
    h->request[p] = bytes_take_blob(&w);
    h->open++;
}

/* Types, numbers of lists, and the nodes by partition. */
static void sort_nodes(hop *h, const manifest *m, const hop_relations *into)
{
    uint32_t *range = xcalloc((size_t)h->n + 1, sizeof *range), cursor = 0;
    for (uint32_t i = 0; i < h->n; i++) {
        range[i] = range_of(m, &cursor, h->node[i]);
        uint32_t type = range[i] / h->partitions;
        h->type[i] = (uint8_t)type;
        h->base[i + 1] = h->base[i] + into->base[type + 1] - into->base[type];
        h->part[range[i] % h->partitions + 1]++;
    }
    for (uint32_t p = 0; p < h->partitions; p++) h->part[p + 1] += h->part[p];
    uint32_t *next = xcalloc((size_t)h->partitions + 1, sizeof *next);
    memcpy(next, h->part, h->partitions * sizeof *next);
    for (uint32_t i = 0; i < h->n; i++) h->order[next[range[i] % h->partitions]++] = i;
    free(next);
    free(range);
}

err_code hop_init(hop *h, slot_name name, uint32_t number, uint32_t *node, uint32_t n,
                  const uint64_t *exclude, size_t excludes, const manifest *m,
                  const hop_relations *into)
{
    if (n > HOP_NODES_MAX) {
        log_error("hop_too_large", "nodes=%u max=%d", n, HOP_NODES_MAX);
        return ERR_LIMIT;
    }
    *h = (hop){.name = name, .hop = number, .n = n, .node = node, .partitions = m->partitions};
    h->base = xcalloc((size_t)n + 1, sizeof *h->base);
    h->type = xcalloc((size_t)n + 1, sizeof *h->type);
    h->order = xcalloc((size_t)n + 1, sizeof *h->order);
    h->part = xcalloc((size_t)h->partitions + 1, sizeof *h->part);
    sort_nodes(h, m, into);
    h->list = xcalloc(h->base[n] + 1, sizeof *h->list);
    h->request = xcalloc(h->partitions, sizeof *h->request);
    h->reply = xcalloc(h->partitions, sizeof *h->reply);
    for (uint32_t p = 0; p < h->partitions; p++) make_request(h, p, exclude, excludes, m);
    return ERR_OK;
}

void hop_fini(hop *h)
{
    for (uint32_t p = 0; p < h->partitions; p++) {
        blob_unref(h->request[p]);
        blob_unref(h->reply[p]);
    }
    free(h->request);
    free(h->reply);
    free(h->node);
    free(h->base);
    free(h->type);
    free(h->order);
    free(h->part);
    free(h->list);
    *h = (hop){0};
}

const hop_list *hop_find(const hop *h, uint32_t node)
{
    size_t at;
    return node_list_find(h->node, h->n, node, &at) ? h->list + h->base[at] : NULL;
}

/* --- Replies -----------------------------------------------------------------------------------
 */

typedef struct reply_view {
    uint32_t lists;
    uint64_t edges;
    const uint32_t *count, *source;
    const uint16_t *weight;
} reply_view;

static bool get_reply(const blob *b, reply_view *v)
{
    bytes_reader r;
    bytes_reader_init(&r, blob_data(b), blob_size(b));
    uint32_t magic = bytes_get_u32(&r);
    v->lists = bytes_get_u32(&r);
    v->edges = bytes_get_u64(&r);
    v->count = bytes_get(&r, v->lists, 4);
    v->source = bytes_get(&r, (size_t)v->edges, 4);
    v->weight = bytes_get(&r, (size_t)v->edges, 2);
    return bytes_done(&r) && magic == REPLY_MAGIC;
}

static bool good_list(const manifest *m, uint32_t relation, const hop_list *l)
{
    uint32_t t = m->relation[relation].source;
    uint32_t begin = manifest_type_begin(m, t), end = manifest_type_begin(m, t + 1);
    for (uint32_t i = 0; i < l->n; i++) {
        if (l->source[i] < begin || l->source[i] >= end || l->weight[i] == 0) return false;
        if (i && l->source[i] <= l->source[i - 1]) return false;
    }
    return true;
}

/* Points the lists of the partition's nodes into the reply. */
static bool read_reply(hop *h, uint32_t partition, const blob *b, const manifest *m,
                       const hop_relations *into)
{
    reply_view v;
    if (!get_reply(b, &v)) return false;
    uint32_t at = 0;
    uint64_t edge = 0;
    for (uint32_t o = h->part[partition]; o < h->part[partition + 1]; o++) {
        uint32_t i = h->order[o];
        const uint32_t *relation = into->into + into->base[h->type[i]];
        for (size_t j = h->base[i]; j < h->base[i + 1]; j++, at++) {
            if (at >= v.lists || v.count[at] > v.edges - edge) return false;
            h->list[j] = (hop_list){v.count[at], v.source + edge, v.weight + edge};
            if (!good_list(m, relation[j - h->base[i]], &h->list[j])) return false;
            edge += v.count[at];
        }
    }
    return at == v.lists && edge == v.edges;
}

err_code hop_take(hop *h, uint32_t partition, blob *reply, const manifest *m,
                  const hop_relations *into)
{
    if (partition >= h->partitions || !h->request[partition]) return ERR_OK;
    blob *b = blob_aligned(reply);
    if (reply && !b) return ERR_NO_MEMORY;
    if (!read_reply(h, partition, b, m, into)) {
        char name[64];
        slot_format(h->name, name);
        log_warn("leaf_reply_invalid", "slot=%s hop=%u partition=%u bytes=%zu", name, h->hop,
                 partition, blob_size(b));
        blob_unref(b);
        return ERR_INVALID;
    }
    blob_unref(h->request[partition]);
    h->request[partition] = NULL;
    h->reply[partition] = b;
    h->open--;
    return ERR_OK;
}

/* --- Answering ---------------------------------------------------------------------------------
 */

typedef struct request_view {
    slot_name name;
    uint32_t hop, partition, nodes;
    const uint32_t *node;
    uint64_t excludes;
    const uint64_t *exclude;
} request_view;

static const char *get_request(const config *c, const manifest *m, const blob *b, request_view *v)
{
    bytes_reader r;
    bytes_reader_init(&r, blob_data(b), blob_size(b));
    uint32_t magic = bytes_get_u32(&r);
    v->name.stage = bytes_get_u32(&r);
    v->name.epoch = bytes_get_u32(&r);
    v->name.step = bytes_get_u32(&r);
    v->name.slot = bytes_get_u32(&r);
    v->hop = bytes_get_u32(&r);
    v->partition = bytes_get_u32(&r);
    v->nodes = bytes_get_u32(&r);
    v->node = bytes_get(&r, v->nodes, 4);
    bytes_skip_align(&r, 8);
    v->excludes = bytes_get_u64(&r);
    v->exclude = bytes_get(&r, (size_t)v->excludes, 8);
    if (!bytes_done(&r) || magic != REQUEST_MAGIC) return "length";
    if (v->hop < 1 || v->hop > c->hgnn.layers) return "hop";
    if (v->partition >= m->partitions) return "partition";
    for (uint32_t i = 0, cursor = 0; i < v->nodes; i++) {
        if (v->node[i] >= m->items || (i && v->node[i] <= v->node[i - 1])) return "nodes";
        if (range_of(m, &cursor, v->node[i]) % m->partitions != v->partition) return "nodes";
    }
    for (uint64_t i = 1; i < v->excludes; i++) {
        if (v->exclude[i] <= v->exclude[i - 1]) return "excluded edges";
    }
    return NULL;
}

typedef struct answer {
    const config *c;
    const manifest *m;
    const hop_relations *into;
    const store *s;
    const request_view *v;
    bool training;
    uint64_t draw_key, drop_key;
    draw_scratch scratch;
    uint32_t *ranks;
    size_t ranks_cap;
    uint32_t *count, *source;
    uint16_t *weight;
    size_t counts, edges, count_cap, source_cap, weight_cap;
} answer;

static uint32_t fanout(const answer *a, uint32_t type)
{
    const config *c = a->c;
    if (!a->training && c->hgnn.aggregator != AGG_MAX_POOL) return UINT32_MAX;
    uint32_t at = a->v->hop - 1;
    ASSERT(c->hgnn.fanout_n > 0);
    uint32_t k = c->hgnn.fanout[at < c->hgnn.fanout_n ? at : c->hgnn.fanout_n - 1];
    uint32_t total = c->hgnn.fanout_total, relations = a->into->with_edges[type];
    if (total && relations) {
        uint32_t share = total / relations > 1 ? total / relations : 1;
        if (share < k) k = share;
    }
    return k < HOP_FANOUT_MAX ? k : HOP_FANOUT_MAX;
}

static void answer_list(answer *a, uint32_t relation, uint32_t node, const draw_rule *rule)
{
    store_list l = store_neighbours(a->s, relation, node);
    uint32_t most = rule->k < l.n ? rule->k : l.n;
    grow(&a->ranks, &a->ranks_cap, (size_t)most + 1, sizeof *a->ranks);
    uint32_t first = ((a->v->hop - 1) * a->m->relations + relation) * HOP_FANOUT_MAX;
    uint32_t n = draw_neighbours(a->ranks, rule, a->draw_key, node, first, l.source, l.aggregation,
                                 l.n, &a->scratch);
    grow(&a->source, &a->source_cap, a->edges + n, sizeof *a->source);
    grow(&a->weight, &a->weight_cap, a->edges + n, sizeof *a->weight);
    for (uint32_t i = 0; i < n; i++) {
        a->source[a->edges + i] = l.source[a->ranks[i]];
        a->weight[a->edges + i] = l.aggregation[a->ranks[i]];
    }
    a->edges += n;
    a->count[a->counts++] = n;
}

static void answer_node(answer *a, uint32_t node, uint32_t type)
{
    const uint32_t *into = a->into->into + a->into->base[type];
    uint32_t relations = a->into->base[type + 1] - a->into->base[type];
    grow(&a->count, &a->count_cap, a->counts + relations, sizeof *a->count);
    bool dropped = a->training && a->c->hgnn.neighbour_drop > 0 &&
                   rng_unit_f64(a->drop_key, node, 0) < a->c->hgnn.neighbour_drop;
    if (dropped) {
        memset(a->count + a->counts, 0, relations * sizeof *a->count);
        a->counts += relations;
        return;
    }
    draw_rule rule = {fanout(a, type), a->c->hgnn.neighbours_by_weight, a->v->exclude,
                      (size_t)a->v->excludes};
    for (uint32_t i = 0; i < relations; i++) answer_list(a, into[i], node, &rule);
}

static blob *encode_reply(const answer *a)
{
    bytes_writer w;
    bytes_writer_init(&w);
    bytes_put_u32(&w, REPLY_MAGIC);
    bytes_put_u32(&w, (uint32_t)a->counts);
    bytes_put_u64(&w, a->edges);
    bytes_put(&w, a->count, a->counts * sizeof *a->count);
    bytes_put(&w, a->source, a->edges * sizeof *a->source);
    bytes_put(&w, a->weight, a->edges * sizeof *a->weight);
    return bytes_take_blob(&w);
}

/* The bytes of the reply so far, without its head. */
static size_t reply_bytes(const answer *a)
{
    return a->counts * sizeof *a->count + a->edges * (sizeof *a->source + sizeof *a->weight);
}

static void set_keys(answer *a)
{
    slot_name name = a->v->name;
    a->training = name.stage == STAGE_HGNN;
    if (!a->training) {
        uint32_t layer = (uint32_t)a->c->hgnn.layers - a->v->hop + 1;
        name = (slot_name){STAGE_EMBED, layer, layer, 0};
    }
    a->draw_key = rng_slot_key(a->c->seed, name, USE_NEIGHBOURS);
    a->drop_key = rng_slot_key(a->c->seed, name, USE_DROP);
}

static err_code answer_request(const config *c, const manifest *m, const hop_relations *into,
                               const store *s, slot_name name, const blob *request, size_t max,
                               blob **out)
{
    request_view v;
    const char *wrong = get_request(c, m, request, &v);
    if (!wrong && !slot_equal(v.name, name)) wrong = "slot";
    if (wrong) {
        log_warn("leaf_request_invalid", "what=\"%s\" bytes=%zu", wrong, blob_size(request));
        return ERR_INVALID;
    }
    if (!store_has(s, v.partition)) return ERR_MISMATCH;
    answer a = {.c = c, .m = m, .into = into, .s = s, .v = &v};
    set_keys(&a);
    bool fits = true;
    for (uint32_t i = 0, cursor = 0; i < v.nodes && fits; i++) {
        answer_node(&a, v.node[i], range_of(m, &cursor, v.node[i]) / m->partitions);
        fits = reply_bytes(&a) <= max;
    }
    *out = fits ? encode_reply(&a) : NULL;
    draw_scratch_fini(&a.scratch);
    free(a.ranks);
    free(a.count);
    free(a.source);
    free(a.weight);
    if (!*out) return fits ? ERR_NO_MEMORY : ERR_LIMIT;
    if (!store_failed(s)) return ERR_OK;
    blob_unref(*out);
    *out = NULL;
    return ERR_CORRUPT;
}

err_code hop_answer(const config *c, const manifest *m, const hop_relations *into, const store *s,
                    slot_name name, const blob *request, size_t max, blob **out)
{
    blob *copy = NULL;
    if ((uintptr_t)blob_data(request) % 8) {
        copy = blob_copy(blob_data(request), blob_size(request));
        if (!copy) return ERR_NO_MEMORY;
    }
    err_code rc = answer_request(c, m, into, s, name, copy ? copy : request, max, out);
    blob_unref(copy);
    return rc;
}
