/* Slots that are DONE and were never pushed to every server: a worker said what was not so.  A
 * server that lacks one refuses the COMMIT; its next HELLO lists what it holds, and what is missing
 * there is leased again.  A COMMIT may still be on its way to a server that can obey it: until the
 * round is committed everywhere nothing is saved; and if one server is past it, only a checkpoint
 * has the tables that the slot must be computed on.  The step's metric stays, as that COMMIT must
 * not overtake it: its loss is what workers said. */
#include "ps/scheduler_state.h"

#include <stdio.h>
#include <stdlib.h>

void scheduler_reopen_refused(scheduler *s, member_state *p, const wire_header *answer)
{
    if (!core_rule(s->config.mutations, CORE_RULE_REOPEN)) return;
    bool there = answer->generation == s->generation && answer->version == s->cur.version;
    if (s->phase == PHASE_COMMITTING && answer->status == WIRE_BEHIND && there) p->lacks = true;
}

static bool is_held(const Weft__ServerState *x, uint32_t version, uint32_t slot)
{
    for (size_t i = 0; i < x->n_held; i++) {
        if (x->held[i]->slot == slot && x->held[i]->round == version) return true;
    }
    return false;
}

static void reopen(slot_state *x, open_round *r)
{
    free(x->sums);
    x->done = x->is_void = false;
    x->by = (core_peer){0};
    x->sums = NULL;
    x->sums_n = 0;
    x->leases = 0;
    r->done--;
}

/* Opens the slots that are not held; how many.  *first: the first of them, and who reported it. */
static uint32_t reopen_missing(scheduler *s, const Weft__ServerState *x, uint32_t *first,
                               core_peer *by)
{
    uint32_t n = 0;
    for (uint32_t j = 0; j < s->cur.plan.slots; j++) {
        slot_state *slot = &s->cur.slot[j];
        if (!slot->done || is_held(x, s->cur.version, j)) continue;
        if (!n++) {
            *first = j;
            *by = slot->by;
        }
        reopen(slot, &s->cur);
    }
    return n;
}

static bool any_ahead(const scheduler *s)
{
    for (uint32_t i = 0; i < s->config.servers; i++) {
        if (s->server[i].version > s->cur.version) return true;
    }
    return false;
}

void scheduler_reopen_listed(scheduler *s, member_state *p, const Weft__ServerState *x,
                             uint64_t now_us, core_actions *out)
{
    bool there = x->generation == s->generation && x->version == s->cur.version && !x->loading;
    if (!p->lacks || s->phase != PHASE_COMMITTING || !there) return;
    char name[64];
    core_peer by = {0};
    uint32_t first = 0, n = reopen_missing(s, x, &first, &by);
    p->lacks = false;
    if (!n) return;
    const plan_round *r = &s->cur.plan;
    slot_format((slot_name){r->stage, r->epoch, r->step, first}, name);
    scheduler_note(s, now_us, out, "false_done", by, "ps-%u does not hold slot %s%s", p->id.index,
                   name, n > 1 ? " and others" : "");
    requests_cancel(s->requests, now_us, out, OWNER_COMMIT);
    s->cur.ordered = true;
    s->cur.opened_us = now_us;
    s->phase = PHASE_RUNNING;
}

void scheduler_reopen_advance(scheduler *s, uint64_t now_us, core_actions *out)
{
    if (s->phase != PHASE_RUNNING || !s->cur.ordered || s->cur.done == s->cur.plan.slots) return;
    if (any_ahead(s))
        scheduler_rollback(s, now_us, out, "a server has committed version %u, others cannot",
                           s->cur.version);
}
