#include "sampler/graph_runs.h"

#include "common/mem.h"
#include "common/panic.h"
#include "sampler/spill.h"

#include <stdlib.h>
#include <string.h>

enum {
    RUNS_MEMORY_MIN = 64 << 10,
    RUNS_READ_PAIRS_MIN = 16, /* pairs of a run read at a time */
    RUNS_READ_PAIRS_MAX = 4096,
    RADIX = 256
};

/* A pair of one user, before the first sort. */
typedef struct raw_pair {
    uint64_t key;
    uint64_t norm;
} raw_pair;

typedef struct run {
    uint64_t offset, end; /* bytes in the file, of what was not read yet */
} run;

/* A run while it is merged. */
typedef struct run_reader {
    run left;
    graph_runs_pair *pairs; /* [read_pairs] */
    size_t n, at;
} run_reader;

struct graph_runs {
    char *dir;
    raw_pair *raw, *swap; /* [raw_cap] */
    size_t raw_n, raw_cap;
    spill *file; /* holds `runs` */
    run *runs;
    size_t runs_n, runs_cap;
    size_t fan_in, read_pairs;
    run_reader *reader; /* heap by the next pair's key: [reader_n] */
    size_t reader_n;
    graph_runs_pair *read_block; /* [fan_in, read_pairs] */
};

err_code graph_runs_open(const char *dir, uint64_t memory, graph_runs **out)
{
    graph_runs *r = xcalloc(1, sizeof *r);
    err_code rc = ERR_NO_MEMORY;

    if (memory < RUNS_MEMORY_MIN) memory = RUNS_MEMORY_MIN;
    r->dir = xstrdup(dir);
    r->raw_cap = (size_t)(memory / (2 * sizeof(raw_pair)));
    r->read_pairs = (size_t)(memory / sizeof(graph_runs_pair) / 64);
    if (r->read_pairs < RUNS_READ_PAIRS_MIN) r->read_pairs = RUNS_READ_PAIRS_MIN;
    if (r->read_pairs > RUNS_READ_PAIRS_MAX) r->read_pairs = RUNS_READ_PAIRS_MAX;
    r->fan_in = (size_t)(memory / sizeof(graph_runs_pair)) / r->read_pairs;
    r->raw = try_malloc(r->raw_cap, sizeof *r->raw);
    r->swap = try_malloc(r->raw_cap, sizeof *r->swap);
    if (r->raw != NULL && r->swap != NULL) rc = spill_open(dir, &r->file);
    if (rc != ERR_OK) {
        graph_runs_close(r);
        r = NULL;
    }
    *out = r;
    return rc;
}

void graph_runs_close(graph_runs *r)
{
    if (r == NULL) return;
    spill_close(r->file);
    free(r->dir);
    free(r->raw);
    free(r->swap);
    free(r->runs);
    free(r->reader);
    free(r->read_block);
    free(r);
}

/* Sorts raw by key: one stable pass for every byte in which keys differ. */
static void sort_raw(graph_runs *r)
{
    uint64_t differ = 0;
    for (size_t i = 1; i < r->raw_n; i++) differ |= r->raw[i].key ^ r->raw[0].key;
    for (unsigned shift = 0; shift < 64; shift += 8) {
        size_t start[RADIX] = {0}, sum = 0;
        if (((differ >> shift) & 0xff) == 0) continue;
        for (size_t i = 0; i < r->raw_n; i++) start[(r->raw[i].key >> shift) & 0xff]++;
        for (size_t b = 0; b < RADIX; b++) {
            size_t n = start[b];
            start[b] = sum;
            sum += n;
        }
        for (size_t i = 0; i < r->raw_n; i++) {
            r->swap[start[(r->raw[i].key >> shift) & 0xff]++] = r->raw[i];
        }
        raw_pair *sorted = r->swap;
        r->swap = r->raw;
        r->raw = sorted;
    }
}

static void add_run(graph_runs *r, uint64_t offset)
{
    grow(&r->runs, &r->runs_cap, r->runs_n + 1, sizeof *r->runs);
    r->runs[r->runs_n++] = (run){offset, spill_bytes(r->file)};
}

/* Sorts what was added, sums equal keys and writes a run. */
static err_code write_run(graph_runs *r)
{
    uint64_t offset = spill_bytes(r->file);
    size_t i = 0;

    if (r->raw_n == 0) return ERR_OK;
    sort_raw(r);
    while (i < r->raw_n) {
        graph_runs_pair p = {.key = r->raw[i].key};
        for (; i < r->raw_n && r->raw[i].key == p.key; i++) {
            p.norm += r->raw[i].norm;
            p.count++;
        }
        err_code rc = spill_put(r->file, &p, sizeof p);
        if (rc != ERR_OK) return rc;
    }
    r->raw_n = 0;
    add_run(r, offset);
    return ERR_OK;
}

err_code graph_runs_add(graph_runs *r, uint32_t destination, uint32_t source, uint32_t norm)
{
    r->raw[r->raw_n++] = (raw_pair){(uint64_t)destination << 32 | source, norm};
    return r->raw_n == r->raw_cap ? write_run(r) : ERR_OK;
}

static uint64_t reader_key(const run_reader *r)
{
    return r->pairs[r->at].key;
}

static void reader_sift(graph_runs *r, size_t i)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= r->reader_n) return;
        if (child + 1 < r->reader_n &&
            reader_key(&r->reader[child + 1]) < reader_key(&r->reader[child])) {
            child++;
        }
        if (reader_key(&r->reader[child]) >= reader_key(&r->reader[i])) return;
        run_reader swap = r->reader[i];
        r->reader[i] = r->reader[child];
        r->reader[child] = swap;
        i = child;
    }
}

/* Reads the next pairs of a run; n = 0 at its end. */
static err_code reader_fill(graph_runs *r, run_reader *reader)
{
    uint64_t bytes = reader->left.end - reader->left.offset;
    uint64_t max = r->read_pairs * sizeof *reader->pairs;

    if (bytes > max) bytes = max;
    err_code rc = spill_read(r->file, reader->left.offset, reader->pairs, (size_t)bytes);
    reader->left.offset += bytes;
    reader->n = (size_t)bytes / sizeof *reader->pairs;
    reader->at = 0;
    return rc;
}

/* Starts to merge the first n runs. */
static err_code merge_begin(graph_runs *r, size_t n)
{
    r->reader_n = n;
    for (size_t i = 0; i < n; i++) {
        r->reader[i] = (run_reader){.left = r->runs[i], .pairs = r->read_block + i * r->read_pairs};
        err_code rc = reader_fill(r, &r->reader[i]);
        if (rc != ERR_OK) return rc;
    }
    for (size_t i = n / 2; i-- > 0;) reader_sift(r, i);
    return ERR_OK;
}

/* Takes the root's pair. */
static err_code merge_take(graph_runs *r, graph_runs_pair *pair)
{
    run_reader *root = &r->reader[0];

    *pair = root->pairs[root->at++];
    if (root->at == root->n) {
        err_code rc = reader_fill(r, root);
        if (rc != ERR_OK) return rc;
        if (root->n == 0) r->reader[0] = r->reader[--r->reader_n];
    }
    reader_sift(r, 0);
    return ERR_OK;
}

err_code graph_runs_next(graph_runs *r, graph_runs_pair *pair, bool *more)
{
    *more = r->reader_n > 0;
    if (!*more) return ERR_OK;
    err_code rc = merge_take(r, pair);
    while (rc == ERR_OK && r->reader_n > 0 && reader_key(&r->reader[0]) == pair->key) {
        graph_runs_pair other;
        rc = merge_take(r, &other);
        pair->norm += other.norm;
        pair->count += other.count;
    }
    return rc;
}

/* Merges the first fan_in runs into one, in the same file, and puts it last. */
static err_code merge_some(graph_runs *r)
{
    uint64_t offset = spill_bytes(r->file);
    graph_runs_pair pair;
    bool more = true;
    err_code rc = merge_begin(r, r->fan_in);

    while (rc == ERR_OK && more) {
        rc = graph_runs_next(r, &pair, &more);
        if (rc == ERR_OK && more) rc = spill_put(r->file, &pair, sizeof pair);
    }
    if (rc != ERR_OK) return rc;
    r->runs_n -= r->fan_in;
    memmove(r->runs, r->runs + r->fan_in, r->runs_n * sizeof *r->runs);
    add_run(r, offset);
    return spill_flush(r->file);
}

err_code graph_runs_merge(graph_runs *r, const progress *p)
{
    err_code rc = write_run(r);

    free(r->raw);
    free(r->swap);
    r->raw = r->swap = NULL;
    r->reader = try_calloc(r->fan_in, sizeof *r->reader);
    r->read_block = try_malloc(r->fan_in, r->read_pairs * sizeof *r->read_block);
    if (r->reader == NULL || r->read_block == NULL) return ERR_NO_MEMORY;
    if (rc == ERR_OK) rc = spill_flush(r->file);
    while (rc == ERR_OK && r->runs_n > r->fan_in) {
        rc = progress_stopped(p) ? ERR_STOPPED : merge_some(r);
    }
    return rc == ERR_OK ? merge_begin(r, r->runs_n) : rc;
}
