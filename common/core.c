#include "common/core.h"

#include "common/mem.h"
#include "common/panic.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void core_actions_init(core_actions *a)
{
    *a = (core_actions){0};
}

void core_actions_reset(core_actions *a)
{
    for (size_t i = 0; i < a->n; i++) {
        core_action *x = &a->items[i];
        if (x->type == CORE_SEND) blob_unref(x->send.body);
        if (x->type == CORE_PERSIST) blob_unref(x->persist.bytes);
        if (x->type == CORE_METRIC) free(x->metric);
    }
    a->n = 0;
}

void core_actions_fini(core_actions *a)
{
    core_actions_reset(a);
    free(a->items);
    *a = (core_actions){0};
}

static core_action *add(core_actions *a, core_action_type type)
{
    grow(&a->items, &a->cap, a->n + 1, sizeof *a->items);
    core_action *x = &a->items[a->n++];
    x->type = type;
    return x;
}

void core_send(core_actions *a, core_peer to, uint64_t route, const wire_header *h, blob *body)
{
    core_action *x = add(a, CORE_SEND);
    x->send.to = to;
    x->send.route = route;
    x->send.header = *h;
    x->send.header.body_bytes = blob_size(body);
    x->send.body = body;
}

void core_event_line(core_actions *a, const char *name, core_peer who, const char *format, ...)
{
    core_action *x = add(a, CORE_EVENT);
    x->event.name = name;
    x->event.who = who;
    va_list args;
    va_start(args, format);
    vsnprintf(x->event.why, sizeof x->event.why, format, args);
    va_end(args);
}

void core_exit(core_actions *a, int code, const char *format, ...)
{
    core_action *x = add(a, CORE_EXIT);
    x->exit.code = code;
    va_list args;
    va_start(args, format);
    vsnprintf(x->exit.why, sizeof x->exit.why, format, args);
    va_end(args);
}

void core_peer_at(core_actions *a, core_peer peer, const char *address)
{
    core_action *x = add(a, CORE_PEER);
    x->peer.peer = peer;
    snprintf(x->peer.address, sizeof x->peer.address, "%s", address);
}

void core_persist(core_actions *a, uint64_t token, blob *bytes)
{
    core_action *x = add(a, CORE_PERSIST);
    x->persist.token = token;
    x->persist.bytes = bytes;
}

void core_compute(core_actions *a, uint64_t token, uint32_t kind, const void *detail)
{
    core_action *x = add(a, CORE_COMPUTE);
    x->compute.token = token;
    x->compute.kind = kind;
    x->compute.detail = detail;
}

void core_metric_line(core_actions *a, const core_metric *m)
{
    core_action *x = add(a, CORE_METRIC);
    x->metric = xmalloc(sizeof *m);
    memcpy(x->metric, m, sizeof *m);
}
