#include "ps/copy_getter.h"

#include "common/hash.h"
#include "common/mem.h"
#include "common/panic.h"
#include "common/plan.h"
#include "common/slot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOBODY = UINT32_MAX };

/* A piece that waits for the disk. */
typedef struct ready_piece {
    uint64_t offset;
    blob *body;
    part_piece_view view;
} ready_piece;

struct copy_getter {
    copy_getter_config config;
    copy_state state;
    bool being_made;
    shard_map map;
    part_id *part; /* owned, [n] */
    uint32_t n, at;
    saved_part *got; /* owned, [at] */
    /* the part that is being got */
    uint32_t from; /* NOBODY: nobody is asked */
    uint64_t asked_us, total, hash, asked, written;
    uint32_t open; /* requests on the way */
    ready_piece ready[COPY_WINDOW];
    uint32_t ready_n;
    uint64_t again_us; /* when somebody is asked again; 0: now */
    uint64_t since_us; /* this part is looked for */
    bool silent;       /* somebody of this round did not answer, or not yet */
    uint32_t no_n;
    uint16_t no[SERVERS_MAX]; /* who cannot give it, in this round */
    /* with the disk */
    shard_get job;
    bool writing, stale; /* stale: what it writes is not wanted any more */
    char why[CORE_TEXT_MAX];
};

copy_getter *copy_getter_new(const copy_getter_config *c)
{
    ASSERT(c->piece_bytes >= PART_HEADER_BYTES && c->piece_bytes <= PART_PIECE_BYTES);
    copy_getter *g = xcalloc(1, sizeof *g);
    g->config = *c;
    g->from = NOBODY;
    return g;
}

static void drop_ready(copy_getter *g)
{
    for (uint32_t i = 0; i < g->ready_n; i++) blob_unref(g->ready[i].body);
    g->ready_n = 0;
}

static void forget(copy_getter *g)
{
    drop_ready(g);
    free(g->part);
    free(g->got);
    g->part = NULL;
    g->got = NULL;
    g->n = g->at = 0;
}

void copy_getter_free(copy_getter *g)
{
    if (!g) return;
    forget(g);
    blob_unref(g->job.body);
    free(g);
}

/* ---- one server ---- */

static void drop_pieces(copy_getter *g, uint64_t now_us, core_actions *out)
{
    requests_cancel(g->config.requests, now_us, out, COPY_OWNER);
    drop_ready(g);
    g->stale = g->writing;
    g->open = 0;
    g->from = NOBODY;
}

static void ask(copy_getter *g, uint64_t now_us, core_actions *out)
{
    core_peer to = {WIRE_SERVER, g->from, 0};
    blob *body;
    wire_header h =
        part_piece_ask(&g->part[g->at], (part_piece){g->asked, g->config.piece_bytes}, &body);
    if (g->being_made) h.flags |= WIRE_MAKING;
    requests_open(g->config.requests, now_us, out, to, h, body, COPY_OWNER, g->asked);
    g->asked += g->config.piece_bytes;
    g->open++;
}

/* The first piece says how many there are. */
static void ask_more(copy_getter *g, uint64_t now_us, core_actions *out)
{
    while (g->asked < g->total && g->open + g->ready_n + g->writing < COPY_WINDOW)
        ask(g, now_us, out);
}

static void ask_server(copy_getter *g, uint32_t server, uint64_t now_us, core_actions *out)
{
    g->from = server;
    g->asked_us = now_us;
    g->total = g->hash = g->asked = g->written = 0;
    ask(g, now_us, out);
}

/* ---- whom ---- */

static bool has_said_no(const copy_getter *g, uint32_t server)
{
    for (uint32_t i = 0; i < g->no_n; i++) {
        if (g->no[i] == server) return true;
    }
    return false;
}

static bool may_ask(const copy_getter *g, uint32_t server)
{
    return server != g->config.server && server < SERVERS_MAX && !has_said_no(g, server) &&
           member_incarnation(g->config.member, WIRE_SERVER, server);
}

/* Who should have it, then whoever is there; NOBODY: all have said no. */
static uint32_t next_server(const copy_getter *g)
{
    uint32_t vshard = g->part[g->at].shard, owner = g->map.server_of[vshard];
    if (g->being_made) return owner;
    if (may_ask(g, owner)) return owner;
    uint32_t second = g->map.servers > 1 ? plan_vshard_second(vshard, g->map.servers) : owner;
    if (may_ask(g, second)) return second;
    for (size_t i = 0; i < g->config.member->peers_n; i++) {
        core_peer p = g->config.member->peers[i].peer;
        if (p.role == WIRE_SERVER && may_ask(g, p.index)) return p.index;
    }
    return NOBODY;
}

static void fail(copy_getter *g, uint64_t now_us, core_actions *out)
{
    drop_pieces(g, now_us, out);
    g->state = COPY_FAILED;
}

/* Nobody can go on before all servers of the map are there: their word is waited for. */
static bool lacks_server(const copy_getter *g)
{
    for (uint32_t i = 0; i < g->map.servers; i++) {
        bool known = i == g->config.server || member_incarnation(g->config.member, WIRE_SERVER, i);
        if (!known) return true;
    }
    return false;
}

static void look(copy_getter *g, uint64_t now_us, core_actions *out)
{
    if (g->state != COPY_BUSY || g->from != NOBODY || g->writing || now_us < g->again_us) return;
    uint32_t server = next_server(g);
    if (server != NOBODY) {
        ask_server(g, server, now_us, out);
        return;
    }
    bool over = !g->silent && !lacks_server(g) && now_us - g->since_us >= COPY_PATIENCE_US;
    if (over) {
        if (!g->why[0])
            snprintf(g->why, sizeof g->why, "no server has part %u of %s version %u",
                     g->part[g->at].shard, stage_name(g->part[g->at].stage),
                     g->part[g->at].version);
        fail(g, now_us, out);
        return;
    }
    g->no_n = 0;
    g->silent = false;
    g->again_us = now_us + COPY_AGAIN_US;
}

/* This server will not do, or not now. */
static void give_up_server(copy_getter *g, uint64_t now_us, core_actions *out)
{
    if (g->being_made)
        g->again_us = now_us + COPY_AGAIN_US;
    else
        g->no[g->no_n++] = (uint16_t)g->from;
    drop_pieces(g, now_us, out);
    look(g, now_us, out);
}

/* ---- parts ---- */

static void next_part(copy_getter *g, uint64_t now_us, core_actions *out)
{
    g->from = NOBODY;
    g->no_n = 0;
    g->silent = false;
    g->again_us = 0;
    g->since_us = now_us;
    g->why[0] = 0;
    if (g->at == g->n)
        g->state = COPY_DONE;
    else
        look(g, now_us, out);
}

void copy_getter_stop(copy_getter *g, uint64_t now_us, core_actions *out)
{
    drop_pieces(g, now_us, out);
    forget(g);
    g->state = COPY_IDLE;
}

void copy_getter_start(copy_getter *g, part_id *part, uint32_t n, const shard_map *map,
                       bool being_made, uint64_t now_us, core_actions *out)
{
    copy_getter_stop(g, now_us, out);
    g->part = part;
    g->n = n;
    g->got = xcalloc(n + 1, sizeof *g->got);
    g->map = *map;
    g->being_made = being_made;
    g->state = COPY_BUSY;
    next_part(g, now_us, out);
}

copy_state copy_getter_state(const copy_getter *g)
{
    return g->state;
}

const char *copy_getter_why(const copy_getter *g)
{
    return g->why;
}

const saved_part *copy_getter_got(const copy_getter *g, uint32_t *n)
{
    *n = g->at;
    return g->got;
}

/* ---- answers ---- */

static void take_piece(copy_getter *g, uint64_t offset, blob *body, uint64_t now_us,
                       core_actions *out)
{
    part_piece want = {offset, g->config.piece_bytes};
    ready_piece r = {.offset = offset};
    blob *own = blob_aligned(body);
    bool good = part_piece_decode(own, want, &r.view) == ERR_OK;
    if (good && !g->total) {
        g->total = r.view.total;
        g->hash = r.view.hash;
    }
    if (!good || r.view.total != g->total || r.view.hash != g->hash) {
        blob_unref(own); /* made anew meanwhile, or nonsense */
        give_up_server(g, now_us, out);
        return;
    }
    ASSERT(g->ready_n < COPY_WINDOW);
    r.body = own;
    g->ready[g->ready_n++] = r;
    ask_more(g, now_us, out);
}

/* What the answer says is wrong. */
static void take_text(copy_getter *g, const blob *body)
{
    snprintf(g->why, sizeof g->why, "ps-%u: %.*s", g->from, (int)blob_size(body),
             blob_size(body) ? (const char *)blob_data(body) : "");
}

void copy_getter_answer(copy_getter *g, const core_event *e, const request_match *m,
                        core_actions *out)
{
    const wire_header *h = e->message.header;
    if (g->state != COPY_BUSY || m->to.index != g->from) return;
    g->open--;
    g->asked_us = e->now_us;
    if (h->status == WIRE_OK) {
        take_piece(g, m->part, e->message.body, e->now_us, out);
        return;
    }
    g->silent = g->silent || h->status == WIRE_BEHIND; /* it is busy */
    if (h->status == WIRE_FAILED) {
        take_text(g, e->message.body);
        if (g->being_made) {
            fail(g, e->now_us, out);
            return;
        }
    }
    give_up_server(g, e->now_us, out);
}

/* ---- the disk ---- */

static bool is_last_of_snapshot(const copy_getter *g)
{
    return g->at + 1 == g->n || !part_same_snapshot(&g->part[g->at], &g->part[g->at + 1]);
}

shard_get *copy_getter_take(copy_getter *g)
{
    if (g->writing || !g->ready_n) return NULL;
    ready_piece r = g->ready[0];
    memmove(g->ready, g->ready + 1, --g->ready_n * sizeof *g->ready);
    g->job = (shard_get){.id = g->part[g->at],
                         .offset = r.offset,
                         .body = r.body,
                         .piece = r.view,
                         .last = g->written + r.view.n == g->total,
                         .seals = is_last_of_snapshot(g)};
    g->writing = true;
    g->stale = false;
    return &g->job;
}

static void part_is_here(copy_getter *g, uint64_t now_us, core_actions *out)
{
    g->got[g->at] = (saved_part){g->part[g->at].shard, g->total, g->hash};
    g->at++;
    next_part(g, now_us, out);
}

void copy_getter_written(copy_getter *g, err_code status, uint64_t now_us, core_actions *out)
{
    size_t n = g->job.piece.n;
    bool last = g->job.last, wanted = !g->stale && g->state == COPY_BUSY;
    blob_unref(g->job.body);
    g->job.body = NULL;
    g->writing = g->stale = false;
    if (!wanted) {
        look(g, now_us, out);
        return;
    }
    if (status != ERR_OK) {
        if (status == ERR_CORRUPT)
            snprintf(g->why, sizeof g->why, "from ps-%u: %.200s", g->from, g->job.why);
        else
            memcpy(g->why, g->job.why, sizeof g->why);
        if (status == ERR_CORRUPT && !g->being_made)
            give_up_server(g, now_us, out);
        else
            fail(g, now_us, out); /* our disk; or what was just written is damaged */
        return;
    }
    g->written += n;
    g->asked_us = now_us; /* the disk may have been slow */
    if (last)
        part_is_here(g, now_us, out);
    else
        ask_more(g, now_us, out);
}

uint64_t copy_getter_timer(copy_getter *g, uint64_t now_us, core_actions *out)
{
    if (g->state != COPY_BUSY || g->writing) return UINT64_MAX;
    if (g->open && !g->being_made && now_us - g->asked_us >= COPY_SILENT_US) {
        g->silent = true;
        give_up_server(g, now_us, out);
    }
    look(g, now_us, out);
    if (g->state != COPY_BUSY) return UINT64_MAX;
    if (g->from == NOBODY) return g->again_us;
    return g->being_made || !g->open ? UINT64_MAX : g->asked_us + COPY_SILENT_US;
}

uint64_t copy_getter_digest(const copy_getter *g, uint64_t h)
{
    uint64_t x[6] = {g->state, g->at, g->from, g->asked, g->written, g->ready_n};
    return hash64(x, sizeof x, h);
}
