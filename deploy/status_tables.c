#include "deploy/status_tables.h"

#include "deploy/status_view.h"

#include <string.h>

typedef struct column {
    const char *key, *title; /* of numbers, or (width 0) of text */
    int width;               /* texts: 0; they are as wide as the longest */
    double unit;             /* numbers are divided by it */
    int digits;
} column;

enum { COLUMNS_MAX = 11 };

static const column worker_columns[COLUMNS_MAX] = {{"id", "worker", 0, 0, 0},
                                                   {"state", "state", 0, 0, 0},
                                                   {"slot", "slot", 0, 0, 0},
                                                   {"examples_per_s", "examples/s", 10, 1, 0},
                                                   {"lease_age_s", "lease s", 7, 1, 1},
                                                   {"step_ms_p50", "p50 ms", 7, 1, 1},
                                                   {"step_ms_p99", "p99 ms", 7, 1, 1},
                                                   {"slots_done", "slots", 8, 1, 0},
                                                   {"last_seen_ms", "seen s", 6, 1e3, 1},
                                                   {"rss_bytes", "MB", 5, 1e6, 0}};
static const column server_columns[COLUMNS_MAX] = {{"id", "server", 0, 0, 0},
                                                   {"state", "state", 0, 0, 0},
                                                   {"rows", "rows", 9, 1, 0},
                                                   {"bytes", "MB held", 8, 1e6, 1},
                                                   {"pulls_per_s", "pulls/s", 8, 1, 0},
                                                   {"pushes_per_s", "pushes/s", 8, 1, 0},
                                                   {"apply_ms_p50", "p50 ms", 7, 1, 1},
                                                   {"apply_ms_p99", "p99 ms", 7, 1, 1},
                                                   {"last_checkpoint_step", "saved at", 8, 1, 0},
                                                   {"last_seen_ms", "seen s", 6, 1e3, 1},
                                                   {"rss_bytes", "MB", 5, 1e6, 0}};
static const column sampler_columns[COLUMNS_MAX] = {{"id", "sampler", 0, 0, 0},
                                                    {"state", "state", 0, 0, 0},
                                                    {"partitions", "partitions", 10, 1, 0},
                                                    {"batches", "batches", 9, 1, 0},
                                                    {"batches_per_s", "batches/s", 10, 1, 1},
                                                    {"queue", "queue", 6, 1, 0},
                                                    {"remote_share", "remote %", 9, 0.01, 0},
                                                    {"last_seen_ms", "seen s", 6, 1e3, 1},
                                                    {"rss_bytes", "MB", 5, 1e6, 0}};

static int text_width(const json_t *peers, const column *c)
{
    size_t i, width = strlen(c->title);
    json_t *peer;
    json_array_foreach(peers, i, peer)
    {
        size_t n = strlen(status_view_text(peer, c->key, ""));
        width = n > width ? n : width;
    }
    return (int)width;
}

static void print_cell(const json_t *peer, const column *c, int width, FILE *out)
{
    if (c->width == 0) {
        fprintf(out, "%-*s", width, status_view_text(peer, c->key, ""));
    } else {
        const json_t *list = json_object_get(peer, c->key);
        double v = json_is_array(list) ? (double)json_array_size(list)
                                       : status_view_number(peer, c->key, 0);
        v /= c->unit;
        fprintf(out, "%*.*f", c->width, c->digits, v);
    }
}

static void print_peers(const json_t *peers, const column *columns, FILE *out)
{
    int width[COLUMNS_MAX];
    json_t *peer;
    size_t i;
    if (json_array_size(peers) == 0) return;
    fputc('\n', out);
    for (size_t k = 0; k < COLUMNS_MAX && columns[k].key; k++) {
        const column *c = &columns[k];
        width[k] = c->width ? c->width : text_width(peers, c);
        if (k) fputs("  ", out);
        fprintf(out, c->width ? "%*s" : "%-*s", width[k], c->title);
    }
    fputc('\n', out);
    json_array_foreach(peers, i, peer)
    {
        for (size_t k = 0; k < COLUMNS_MAX && columns[k].key; k++) {
            if (k) fputs("  ", out);
            print_cell(peer, &columns[k], width[k], out);
        }
        fputc('\n', out);
    }
}

void status_tables_print(const json_t *status, FILE *out)
{
    print_peers(json_object_get(status, "workers"), worker_columns, out);
    print_peers(json_object_get(status, "servers"), server_columns, out);
    const json_t *samplers = json_object_get(status, "samplers");
    print_peers(samplers, sampler_columns, out);
    if (json_array_size(samplers) > 0)
        fputs("remote %: lookups of neighbours that other samplers had to answer\n", out);
}
