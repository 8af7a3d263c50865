#include "ps/shard_copies.h"

#include "common/hash.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

/* A request of another server. */
typedef struct asked_piece {
    uint64_t route;
    wire_header header;
    part_id id;
    part_piece want;
} asked_piece;

struct shard_copies {
    core_peer self;
    copy_getter *getter;
    asked_piece *asked; /* owned, [asked_n], the oldest first */
    size_t asked_n, asked_cap;
    uint64_t serial; /* of the piece that is with the disk */
    bool giving, getting;
    asked_piece now; /* being given */
    shard_give give;
};

shard_copies *shard_copies_new(const copy_getter_config *config, uint64_t incarnation)
{
    shard_copies *c = xcalloc(1, sizeof *c);
    c->self = (core_peer){WIRE_SERVER, config->server, incarnation};
    c->getter = copy_getter_new(config);
    return c;
}

void shard_copies_free(shard_copies *c)
{
    if (!c) return;
    copy_getter_free(c->getter);
    blob_unref(c->give.answer);
    free(c->asked);
    free(c);
}

static void answer(const shard_copies *c, const asked_piece *a, wire_status status, blob *body,
                   core_actions *out)
{
    wire_header h = wire_answer(&a->header, status);
    h.role = (uint8_t)c->self.role;
    h.index = c->self.index;
    h.incarnation = c->self.incarnation;
    core_peer to = {a->header.role, a->header.index, a->header.incarnation};
    core_send(out, to, a->route, &h, body);
}

/* Gives the disk its next piece. */
static void go_on(shard_copies *c, core_actions *out)
{
    if (c->giving || c->getting) return;
    shard_get *get = copy_getter_take(c->getter);
    if (get) {
        c->getting = true;
        core_compute(out, SHARD_COPY_TOKEN | ++c->serial, SHARD_GET, get);
    } else if (c->asked_n) {
        c->now = c->asked[0];
        memmove(c->asked, c->asked + 1, --c->asked_n * sizeof *c->asked);
        c->give = (shard_give){.id = c->now.id, .want = c->now.want};
        c->giving = true;
        core_compute(out, SHARD_COPY_TOKEN | ++c->serial, SHARD_GIVE, &c->give);
    }
}

static bool is_repeat(asked_piece *a, const core_event *e)
{
    const wire_header *h = e->message.header;
    if (a->header.tag != h->tag || a->header.incarnation != h->incarnation) return false;
    a->route = e->message.route;
    return true;
}

void shard_copies_asked(shard_copies *c, const core_event *e, const part_id *id, part_piece want,
                        core_actions *out)
{
    asked_piece a = {e->message.route, *e->message.header, *id, want};
    if (c->giving && is_repeat(&c->now, e)) return;
    for (size_t i = 0; i < c->asked_n; i++) {
        if (is_repeat(&c->asked[i], e)) return;
    }
    if (c->asked_n == COPIES_ASKED_MAX) {
        answer(c, &a, WIRE_BEHIND, NULL, out);
        return;
    }
    grow(&c->asked, &c->asked_cap, c->asked_n + 1, sizeof *c->asked);
    c->asked[c->asked_n++] = a;
    go_on(c, out);
}

static void given(shard_copies *c, err_code status, core_actions *out)
{
    const char *why = c->give.why;
    c->giving = false;
    if (status == ERR_OK)
        answer(c, &c->now, WIRE_OK, c->give.answer, out);
    else if (status == ERR_NOT_FOUND)
        answer(c, &c->now, WIRE_NOT_FOUND, NULL, out);
    else
        answer(c, &c->now, WIRE_FAILED, blob_copy(why, strlen(why)), out);
    c->give.answer = NULL;
}

void shard_copies_result(shard_copies *c, const core_event *e, core_actions *out)
{
    if (e->result.token != (SHARD_COPY_TOKEN | c->serial)) return;
    if (c->getting) {
        c->getting = false;
        copy_getter_written(c->getter, e->result.status, e->now_us, out);
    } else if (c->giving) {
        given(c, e->result.status, out);
    }
    go_on(c, out);
}

void shard_copies_start(shard_copies *c, part_id *part, uint32_t n, const shard_map *map,
                        bool being_made, uint64_t now_us, core_actions *out)
{
    copy_getter_start(c->getter, part, n, map, being_made, now_us, out);
}

void shard_copies_stop(shard_copies *c, uint64_t now_us, core_actions *out)
{
    copy_getter_stop(c->getter, now_us, out);
}

const copy_getter *shard_copies_getter(const shard_copies *c)
{
    return c->getter;
}

void shard_copies_answer(shard_copies *c, const core_event *e, const request_match *m,
                         core_actions *out)
{
    copy_getter_answer(c->getter, e, m, out);
    go_on(c, out);
}

uint64_t shard_copies_timer(shard_copies *c, uint64_t now_us, core_actions *out)
{
    return copy_getter_timer(c->getter, now_us, out);
}

uint64_t shard_copies_digest(const shard_copies *c, uint64_t h)
{
    uint64_t x[3] = {c->asked_n, c->giving, c->getting};
    return copy_getter_digest(c->getter, hash64(x, sizeof x, h));
}
