#include "sampler/graph_build.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"
#include "sampler/graph_runs.h"
#include "sampler/graph_select.h"
#include "sampler/spill.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNK_ITEMS = 128, /* destinations a thread takes at a time */
    WAVE_CHUNKS = 64,  /* chunks between two writes */
    GRAPH_THREADS_MAX = 64,
    STOP_USERS = 256 /* users between two looks at the stop flag */
};

typedef struct builder {
    const graph_input *in;
    const progress *progress;
    graph *g;
    uint64_t norm_max;
} builder;

static err_code edges_write(builder *b, const graph_edges *e)
{
    err_code rc = spill_put(b->g->file[0], e->source, e->n * sizeof *e->source);
    if (rc == ERR_OK) rc = spill_put(b->g->file[1], e->aggregation, e->n * sizeof *e->aggregation);
    if (rc == ERR_OK) rc = spill_put(b->g->file[2], e->norm, e->n * sizeof *e->norm);
    if (e->norm_max > b->norm_max) b->norm_max = e->norm_max;
    return rc;
}

/* First way: everything in memory, destination by destination. */

/* The users of each item. */
typedef struct item_users {
    uint64_t *indptr; /* [items + 1] */
    uint32_t *user;
} item_users;

typedef struct chunk {
    graph_edges edges;
    uint32_t n[CHUNK_ITEMS]; /* edges of each destination */
} chunk;

typedef struct wave {
    const graph_input *in;
    const item_users *users;
    chunk *chunks;       /* [WAVE_CHUNKS] */
    uint32_t first, end; /* destinations */
    atomic_uint next;    /* chunk to take */
} wave;

/* What a thread counts with. */
typedef struct counter {
    wave *wave;
    graph_selector *selector;
    uint32_t *count; /* [items] 0 between destinations */
    uint64_t *norm;  /* [items] */
    uint32_t *touched;
    size_t touched_n;
} counter;

static err_code item_users_make(const graph_input *in, item_users *out)
{
    uint64_t edges = in->indptr[in->users];

    *out = (item_users){.indptr = try_calloc((size_t)in->items + 2, sizeof *out->indptr),
                        .user = try_malloc(edges + 1, sizeof *out->user)};
    if (out->indptr == NULL || out->user == NULL) return ERR_NO_MEMORY;
    for (uint64_t e = 0; e < edges; e++) out->indptr[in->item[e] + 2]++;
    for (uint32_t i = 0; i < in->items; i++) out->indptr[i + 2] += out->indptr[i + 1];
    for (uint32_t u = 0; u < in->users; u++) {
        for (uint64_t e = in->indptr[u]; e < in->indptr[u + 1]; e++) {
            out->user[out->indptr[in->item[e] + 1]++] = u;
        }
    }
    return ERR_OK;
}

static void count_user(counter *c, uint32_t destination, uint32_t user)
{
    const graph_input *in = c->wave->in;
    const bool *allowed = in->allowed + in->item_type[destination];
    uint64_t n = in->indptr[user + 1] - in->indptr[user];

    if (n < 2) return;
    uint32_t norm = graph_user_norm(n);
    for (uint64_t e = in->indptr[user]; e < in->indptr[user + 1]; e++) {
        uint32_t source = in->item[e];
        if (!allowed[in->item_type[source] * in->types] || source == destination) continue;
        if (c->count[source]++ == 0) c->touched[c->touched_n++] = source;
        c->norm[source] += norm;
    }
}

static void count_destination(counter *c, uint32_t destination, graph_edges *out)
{
    const item_users *users = c->wave->users;

    c->touched_n = 0;
    for (uint64_t e = users->indptr[destination]; e < users->indptr[destination + 1]; e++) {
        count_user(c, destination, users->user[e]);
    }
    graph_select_begin(c->selector, destination);
    for (size_t i = 0; i < c->touched_n; i++) {
        uint32_t source = c->touched[i];
        graph_select_add(c->selector, source, c->count[source], c->norm[source]);
        c->count[source] = 0;
        c->norm[source] = 0;
    }
    graph_select_end(c->selector, out);
}

static void *wave_thread(void *arg)
{
    counter *c = arg;
    wave *w = c->wave;

    for (;;) {
        uint32_t k = atomic_fetch_add(&w->next, 1);
        uint64_t first = w->first + (uint64_t)k * CHUNK_ITEMS;
        if (k >= WAVE_CHUNKS || first >= w->end) return NULL;
        chunk *out = &w->chunks[k];
        for (uint32_t i = 0; i < CHUNK_ITEMS && first + i < w->end; i++) {
            size_t before = out->edges.n;
            count_destination(c, (uint32_t)first + i, &out->edges);
            out->n[i] = (uint32_t)(out->edges.n - before);
        }
    }
}

static void wave_run(wave *w, counter *counters, uint32_t threads)
{
    pthread_t id[GRAPH_THREADS_MAX];
    uint32_t started = 0;

    atomic_store(&w->next, 0);
    while (started + 1 < threads &&
           pthread_create(&id[started], NULL, wave_thread, &counters[started + 1]) == 0) {
        started++;
    }
    wave_thread(&counters[0]);
    for (uint32_t i = 0; i < started; i++) pthread_join(id[i], NULL);
}

static err_code wave_write(builder *b, wave *w)
{
    graph *g = b->g;

    for (uint32_t d = w->first; d < w->end; d++) {
        g->indptr[d + 1] =
            g->indptr[d] + w->chunks[(d - w->first) / CHUNK_ITEMS].n[(d - w->first) % CHUNK_ITEMS];
    }
    for (uint32_t k = 0; k < WAVE_CHUNKS; k++) {
        err_code rc = edges_write(b, &w->chunks[k].edges);
        if (rc != ERR_OK) return rc;
        w->chunks[k].edges.n = 0;
    }
    return ERR_OK;
}

static err_code counters_make(counter *counters, uint32_t threads, wave *w)
{
    size_t items = (size_t)w->in->items + 1;

    for (uint32_t i = 0; i < threads; i++) {
        counters[i] = (counter){.wave = w,
                                .selector = graph_selector_new(w->in),
                                .count = try_calloc(items, sizeof *counters[i].count),
                                .norm = try_calloc(items, sizeof *counters[i].norm),
                                .touched = try_malloc(items, sizeof *counters[i].touched)};
        if (counters[i].count == NULL || counters[i].norm == NULL || counters[i].touched == NULL) {
            return ERR_NO_MEMORY;
        }
    }
    return ERR_OK;
}

static err_code build_waves(builder *b, wave *w, counter *counters, uint32_t threads)
{
    const graph_input *in = b->in;
    uint64_t step = (uint64_t)CHUNK_ITEMS * WAVE_CHUNKS;

    for (uint64_t first = 0; first < in->items; first += step) {
        if (progress_stopped(b->progress)) return ERR_STOPPED;
        w->first = (uint32_t)first;
        w->end = (uint32_t)(first + step < in->items ? first + step : in->items);
        wave_run(w, counters, threads);
        err_code rc = wave_write(b, w);
        if (rc != ERR_OK) return rc;
        progress_report(b->progress, "graph", w->end, in->items);
    }
    return ERR_OK;
}

static err_code build_in_memory(builder *b, uint32_t threads)
{
    item_users users = {0};
    counter counters[GRAPH_THREADS_MAX] = {0};
    wave w = {.in = b->in, .users = &users, .chunks = xcalloc(WAVE_CHUNKS, sizeof *w.chunks)};
    err_code rc = item_users_make(b->in, &users);

    if (rc == ERR_OK) rc = counters_make(counters, threads, &w);
    if (rc == ERR_OK) rc = build_waves(b, &w, counters, threads);
    for (uint32_t i = 0; i < threads; i++) {
        graph_selector_free(counters[i].selector);
        free(counters[i].count);
        free(counters[i].norm);
        free(counters[i].touched);
    }
    for (uint32_t k = 0; k < WAVE_CHUNKS; k++) graph_edges_fini(&w.chunks[k].edges);
    free(w.chunks);
    free(users.indptr);
    free(users.user);
    return rc;
}

/* Second way: sorted runs on disk. */

static err_code add_user_pairs(const graph_input *in, graph_runs *runs, uint32_t user)
{
    const uint32_t *item = in->item + in->indptr[user];
    uint64_t n = in->indptr[user + 1] - in->indptr[user];

    if (n < 2) return ERR_OK;
    uint32_t norm = graph_user_norm(n);
    for (uint64_t d = 0; d < n; d++) {
        const bool *allowed = in->allowed + in->item_type[item[d]];
        for (uint64_t s = 0; s < n; s++) {
            if (s == d || !allowed[in->item_type[item[s]] * in->types]) continue;
            err_code rc = graph_runs_add(runs, item[d], item[s], norm);
            if (rc != ERR_OK) return rc;
        }
    }
    return ERR_OK;
}

static err_code add_all_pairs(builder *b, graph_runs *runs)
{
    for (uint32_t u = 0; u < b->in->users; u++) {
        if (u % STOP_USERS == 0) {
            if (progress_stopped(b->progress)) return ERR_STOPPED;
            progress_report(b->progress, "pairs", u, b->in->users);
        }
        err_code rc = add_user_pairs(b->in, runs, u);
        if (rc != ERR_OK) return rc;
    }
    return graph_runs_merge(runs, b->progress);
}

/* Ends destination d: selects, writes. */
static err_code end_destination(builder *b, graph_selector *selector, graph_edges *edges,
                                uint32_t d)
{
    edges->n = 0;
    graph_select_end(selector, edges);
    b->g->indptr[d + 1] = b->g->indptr[d] + edges->n;
    return edges_write(b, edges);
}

static err_code merge_destinations(builder *b, graph_runs *runs, graph_selector *selector,
                                   graph_edges *edges)
{
    graph_runs_pair pair;
    bool more;
    uint32_t d = 0;
    err_code rc = graph_runs_next(runs, &pair, &more);

    for (; rc == ERR_OK && d < b->in->items; d++) {
        graph_select_begin(selector, d);
        while (rc == ERR_OK && more && pair.key >> 32 == d) {
            graph_select_add(selector, (uint32_t)pair.key, (uint32_t)pair.count, pair.norm);
            rc = graph_runs_next(runs, &pair, &more);
        }
        if (rc == ERR_OK) rc = end_destination(b, selector, edges, d);
        if (rc == ERR_OK && d % CHUNK_ITEMS == 0) {
            if (progress_stopped(b->progress)) rc = ERR_STOPPED;
            progress_report(b->progress, "graph", d, b->in->items);
        }
    }
    return rc;
}

static err_code build_on_disk(builder *b)
{
    graph_runs *runs = NULL;
    graph_edges edges = {0};
    graph_selector *selector = graph_selector_new(b->in);
    err_code rc = graph_runs_open(b->in->temp_dir, b->in->memory, &runs);

    if (rc == ERR_OK) rc = add_all_pairs(b, runs);
    if (rc == ERR_OK) rc = merge_destinations(b, runs, selector, &edges);
    graph_edges_fini(&edges);
    graph_selector_free(selector);
    graph_runs_close(runs);
    return rc;
}

/* What build_in_memory needs, with this many threads. */
static uint64_t memory_needed(const graph_input *in, uint32_t threads)
{
    uint64_t lists = in->indptr[in->users] * 2 * sizeof(uint32_t) +
                     ((uint64_t)in->items + in->users) * sizeof(uint64_t);
    return lists + (uint64_t)threads * in->items * (2 * sizeof(uint32_t) + sizeof(uint64_t));
}

static err_code build(builder *b)
{
    uint32_t threads = b->in->threads;

    if (threads > GRAPH_THREADS_MAX) threads = GRAPH_THREADS_MAX;
    progress_report(b->progress, "graph", 0, b->in->items);
    while (threads > 1 && memory_needed(b->in, threads) > b->in->memory) threads--;
    if (memory_needed(b->in, threads) <= b->in->memory) return build_in_memory(b, threads);
    log_info("graph_on_disk", "memory=%llu needed=%llu", (unsigned long long)b->in->memory,
             (unsigned long long)memory_needed(b->in, threads));
    return build_on_disk(b);
}

static err_code map_edges(builder *b)
{
    graph *g = b->g;
    const void *source, *aggregation, *norm;
    err_code rc = spill_map(g->file[0], &source);

    if (rc == ERR_OK) rc = spill_map(g->file[1], &aggregation);
    if (rc == ERR_OK) rc = spill_map(g->file[2], &norm);
    if (rc != ERR_OK) return rc;
    g->source = source;
    g->aggregation = aggregation;
    g->norm = norm;
    g->edges = g->indptr[g->items];
    while (b->norm_max >> g->norm_shift > UINT32_MAX) g->norm_shift++;
    return ERR_OK;
}

err_code graph_build(const graph_input *in, const progress *p, graph **out)
{
    graph *g = xcalloc(1, sizeof *g);
    builder b = {.in = in, .progress = p, .g = g};
    err_code rc;

    ASSERT(in->threads >= 1);
    g->items = in->items;
    g->indptr = try_calloc((size_t)in->items + 1, sizeof *g->indptr);
    rc = g->indptr == NULL ? ERR_NO_MEMORY : ERR_OK;
    for (size_t i = 0; rc == ERR_OK && i < 3; i++) rc = spill_open(in->temp_dir, &g->file[i]);
    if (rc == ERR_OK) rc = build(&b);
    if (rc == ERR_OK) rc = map_edges(&b);
    if (rc != ERR_OK) {
        graph_free(g);
        g = NULL;
    }
    *out = g;
    return rc;
}

void graph_free(graph *g)
{
    if (g == NULL) return;
    for (size_t i = 0; i < 3; i++) spill_close(g->file[i]);
    free(g->indptr);
    free(g);
}
