#include "common/op_meter.h"

#include "common/hash.h"
#include "common/histogram.h"
#include "common/mem.h"
#include "common/prometheus.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct op_counts {
    histogram served, asked; /* answered by us; by others */
    uint64_t not_ok, resends, bytes_in, bytes_out;
} op_counts;

/* A request without an answer: whose (0: ours), its tag, and since when; since_us 0: none. */
typedef struct open_request {
    uint64_t route, tag, since_us;
} open_request;

struct op_meter {
    op_counts op[WIRE_OPS];
    open_request open[OP_METER_OPEN];
};

op_meter *op_meter_new(void)
{
    return xcalloc(1, sizeof(op_meter));
}

void op_meter_free(op_meter *m)
{
    free(m);
}

static open_request *place_of(op_meter *m, uint64_t route, uint64_t tag)
{
    uint64_t key[2] = {route, tag};
    return &m->open[hash64(key, sizeof key, 0) % OP_METER_OPEN];
}

/* Returns false if it is open already: it was sent again. */
static bool open_add(op_meter *m, uint64_t route, uint64_t tag, uint64_t now_us)
{
    open_request *x = place_of(m, route, tag);
    if (x->since_us && x->route == route && x->tag == tag) return false;
    *x = (open_request){route, tag, now_us};
    return true;
}

static void open_end(op_meter *m, uint64_t route, uint64_t tag, uint64_t now_us, histogram *h)
{
    open_request *x = place_of(m, route, tag);
    if (!x->since_us || x->route != route || x->tag != tag) return;
    histogram_add(h, now_us - x->since_us);
    x->since_us = 0;
}

void op_meter_event(op_meter *m, const core_event *e)
{
    if (e->type != CORE_MESSAGE || e->message.header->op >= WIRE_OPS) return;
    const wire_header *h = e->message.header;
    op_counts *x = &m->op[h->op];
    x->bytes_in += WIRE_HEADER_BYTES + h->body_bytes;
    if (wire_is_answer(h)) {
        open_end(m, 0, h->tag, e->now_us, &x->asked);
    } else {
        open_add(m, e->message.route, h->tag, e->now_us);
    }
}

void op_meter_actions(op_meter *m, const core_actions *a, uint64_t now_us)
{
    for (size_t i = 0; i < a->n; i++) {
        if (a->items[i].type != CORE_SEND) continue;
        const wire_header *h = &a->items[i].send.header;
        if (h->op >= WIRE_OPS) continue;
        op_counts *x = &m->op[h->op];
        x->bytes_out += WIRE_HEADER_BYTES + h->body_bytes;
        if (wire_is_answer(h)) {
            x->not_ok += h->status != WIRE_OK;
            open_end(m, a->items[i].send.route, h->tag, now_us, &x->served);
        } else if (!open_add(m, 0, h->tag, now_us)) {
            x->resends++;
        }
    }
}

uint64_t op_meter_served(const op_meter *m, wire_op op)
{
    return m->op[op].served.n;
}

uint64_t op_meter_asked(const op_meter *m, wire_op op)
{
    return m->op[op].asked.n;
}

/* ---- As text ---- */

static void label_of(uint32_t op, char label[64])
{
    snprintf(label, 64, "op=\"%s\"", wire_op_name(op));
}

static void write_histograms(const op_meter *m, bytes_writer *b, const char *name, const char *help,
                             bool served)
{
    char label[64];
    bool first = true;
    for (uint32_t op = 1; op < WIRE_OPS; op++) {
        const histogram *h = served ? &m->op[op].served : &m->op[op].asked;
        if (!h->n) continue;
        if (first) prometheus_family(b, name, "histogram", help);
        first = false;
        label_of(op, label);
        prometheus_histogram(b, name, label, h);
    }
}

static void write_bytes(const op_meter *m, bytes_writer *b)
{
    static const char name[] = "weft_message_bytes_total";
    char label[96];
    prometheus_family(b, name, "counter", "Bytes of messages, with their headers.");
    for (uint32_t op = 1; op < WIRE_OPS; op++) {
        const op_counts *x = &m->op[op];
        if (!x->bytes_in && !x->bytes_out) continue;
        snprintf(label, sizeof label, "op=\"%s\",phase=\"received\"", wire_op_name(op));
        prometheus_sample(b, name, label, (double)x->bytes_in);
        snprintf(label, sizeof label, "op=\"%s\",phase=\"sent\"", wire_op_name(op));
        prometheus_sample(b, name, label, (double)x->bytes_out);
    }
}

static void write_counts(const op_meter *m, bytes_writer *b, const char *name, const char *help,
                         bool resends)
{
    char label[64];
    prometheus_family(b, name, "counter", help);
    for (uint32_t op = 1; op < WIRE_OPS; op++) {
        const op_counts *x = &m->op[op];
        if (!x->bytes_in && !x->bytes_out) continue;
        label_of(op, label);
        prometheus_sample(b, name, label, (double)(resends ? x->resends : x->not_ok));
    }
}

void op_meter_write(const op_meter *m, bytes_writer *b)
{
    write_histograms(m, b, "weft_request_served_seconds",
                     "Requests of others, until this process answered.", true);
    write_histograms(m, b, "weft_request_asked_seconds",
                     "Requests of this process, until they were answered.", false);
    write_counts(m, b, "weft_requests_not_ok_total", "Requests answered with anything but OK.",
                 false);
    write_counts(m, b, "weft_request_resends_total", "Requests sent again.", true);
    write_bytes(m, b);
}
