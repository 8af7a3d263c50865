#include "common/wire.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the wire is little-endian, as we are");

static const char *const op_names[WIRE_OPS] = {
    "none",   "hello",    "work",     "done",     "progress", "config", "build",
    "leaf",   "features", "pull",     "push",     "put",      "void",   "stage",
    "commit", "stop",     "snapshot", "rollback", "part",
};
static const char *const role_names[WIRE_ROLES] = {"none",    "scheduler", "ps",
                                                   "sampler", "worker",    "driver"};
static const char *const status_names[WIRE_STATUSES] = {
    "ok", "gone", "behind", "generation", "map", "incarnation", "refused", "not_found", "failed",
};

wire_header wire_request(wire_op op)
{
    wire_header h = {.magic = WIRE_MAGIC, .protocol = WIRE_PROTOCOL, .op = (uint8_t)op};
    return h;
}

wire_header wire_answer(const wire_header *request, wire_status status)
{
    wire_header h = *request;
    h.magic = WIRE_MAGIC;
    h.protocol = WIRE_PROTOCOL;
    h.status = (uint8_t)status;
    h.flags |= WIRE_ANSWER;
    h.budget_ms = 0;
    h.target = request->incarnation;
    h.body_bytes = h.body_hash = 0;
    return h;
}

void wire_encode(const wire_header *h, uint8_t out[WIRE_HEADER_BYTES])
{
    memcpy(out, h, WIRE_HEADER_BYTES);
}

/* The most bytes a body of this op may have, in this direction. */
static uint64_t body_max(const wire_header *h)
{
    bool answer = h->flags & WIRE_ANSWER;
    switch (h->op) {
    case WIRE_HELLO:
    case WIRE_WORK:
    case WIRE_DONE:
    case WIRE_PROGRESS:
    case WIRE_STAGE:
    case WIRE_COMMIT:
    case WIRE_SNAPSHOT:
    case WIRE_ROLLBACK:
    case WIRE_PART:
    case WIRE_STOP: return WIRE_CONTROL_MAX;
    case WIRE_CONFIG: return answer ? WIRE_REQUEST_MAX : WIRE_CONTROL_MAX;
    case WIRE_BUILD: return answer ? WIRE_BODY_MAX : WIRE_CONTROL_MAX; /* kept while it is built */
    case WIRE_PUSH:
    case WIRE_PUT:
    case WIRE_VOID: return answer ? WIRE_CONTROL_MAX : WIRE_BODY_MAX;
    default: return answer ? WIRE_BODY_MAX : WIRE_REQUEST_MAX;
    }
}

err_code wire_check(const wire_header *h, size_t body)
{
    if (h->magic != WIRE_MAGIC) return ERR_INVALID;
    if (h->protocol != WIRE_PROTOCOL) return ERR_MISMATCH;
    if (!h->op || h->op >= WIRE_OPS || !h->role || h->role >= WIRE_ROLES) return ERR_INVALID;
    if (h->status >= WIRE_STATUSES || h->stage >= STAGE_COUNT) return ERR_INVALID;
    if (h->body_bytes != body) return ERR_INVALID;
    return body > body_max(h) ? ERR_LIMIT : ERR_OK;
}

err_code wire_decode(const void *frame, size_t bytes, size_t body, wire_header *h)
{
    memset(h, 0, sizeof *h);
    if (bytes != WIRE_HEADER_BYTES) return ERR_INVALID;
    memcpy(h, frame, sizeof *h);
    return wire_check(h, body);
}

slot_name wire_slot(const wire_header *h)
{
    return (slot_name){h->stage, h->epoch, h->step, h->slot};
}

void wire_set_slot(wire_header *h, slot_name s)
{
    h->stage = (uint8_t)s.stage;
    h->epoch = s.epoch;
    h->step = s.step;
    h->slot = s.slot;
}

bool wire_is_answer(const wire_header *h)
{
    return h->flags & WIRE_ANSWER;
}

const char *wire_op_name(uint32_t op)
{
    return op < WIRE_OPS ? op_names[op] : "unknown";
}

const char *wire_role_name(uint32_t role)
{
    return role < WIRE_ROLES ? role_names[role] : "unknown";
}

const char *wire_status_name(uint32_t status)
{
    return status < WIRE_STATUSES ? status_names[status] : "unknown";
}
