#include "ps/scheduler_commands.h"

#include "ps/scheduler_state.h"

/* token: the highest bit, the command, its number. */
#define COMMAND_BIT (UINT64_C(1) << 63)

uint64_t scheduler_command_token(scheduler_command command, uint32_t n)
{
    return COMMAND_BIT | (uint64_t)command << 32 | n;
}

/* It gets no more slots; its next WORK is answered with leave.  One of those that `weft train`
 * starts is not wanted again: a worker that joined by itself has a free index, and never was. */
static void drain(scheduler *s, uint32_t index, uint64_t now_us, core_actions *out)
{
    member_state *w = index < s->workers ? &s->worker[index] : NULL;
    core_peer id = {WIRE_WORKER, index, 0};
    if (!w || !w->id.incarnation || w->lost) {
        scheduler_note(s, now_us, out, "drain", id, "there is no such worker");
        return;
    }
    if (w->draining) return;
    w->draining = s->wants_durable = true;
    s->drained[s->drains++ % DRAINED_MAX] = w->id.incarnation;
    if (index < WIRE_FREE_INDEX_FIRST && s->workers_wanted) s->workers_wanted--;
    scheduler_note(s, now_us, out, "drain", w->id, "asked for");
}

bool scheduler_commands_drains(const scheduler *s, uint64_t incarnation)
{
    for (uint32_t i = 0; i < DRAINED_MAX; i++) {
        if (incarnation && s->drained[i] == incarnation) return true;
    }
    return false;
}

bool scheduler_commands_take(scheduler *s, const core_event *e, core_actions *out)
{
    uint64_t token = e->result.token;
    core_peer self = {WIRE_SCHEDULER, 0, s->config.incarnation};
    uint32_t n = (uint32_t)token;
    if (!(token & COMMAND_BIT)) return false;
    switch ((scheduler_command)((token & ~COMMAND_BIT) >> 32)) {
    case COMMAND_CHECKPOINT:
        scheduler_want_checkpoint(s);
        scheduler_note(s, e->now_us, out, "checkpoint", self, "asked for");
        break;
    case COMMAND_SCALE_WORKERS:
        s->workers_wanted = n;
        s->wants_durable = true;
        scheduler_note(s, e->now_us, out, "scale", self, "%u workers", n);
        break;
    case COMMAND_SCALE_SERVERS:
        scheduler_want_servers(s, n);
        scheduler_note(s, e->now_us, out, "scale", self, "%u servers", n);
        break;
    case COMMAND_DRAIN: drain(s, n, e->now_us, out); break;
    case COMMAND_STOP: scheduler_stop(s, e->now_us, out, "weft stop"); break;
    }
    return true;
}
