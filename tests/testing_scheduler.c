#include "testing_scheduler.h"

#include "common/proto_alloc.h"
#include "proto/weft.pb-c.h"
#include "sim/sim_model.h"

#include <check.h>
#include <string.h>

static void step(testing_scheduler *t, core_event *e)
{
    uint64_t persisted = 0;
    core_actions_reset(&t->out);
    e->now_us = t->now_us;
    scheduler_step(t->core, e, &t->out);
    for (size_t i = 0; i < t->out.n; i++) {
        const core_action *a = &t->out.items[i];
        if (a->type == CORE_PERSIST) {
            persisted = a->persist.token;
            blob_unref(t->durable);
            t->durable = blob_ref(a->persist.bytes);
        }
        if (a->type != CORE_EXIT) continue;
        t->exit_code = a->exit.code;
        memcpy(t->exit_why, a->exit.why, sizeof t->exit_why);
    }
    if (!persisted) return;
    core_event result = {.type = CORE_RESULT};
    result.result.token = persisted;
    step(t, &result);
}

static void deliver(testing_scheduler *t, wire_header *h, blob *body)
{
    core_event e = {.type = CORE_MESSAGE};
    h->body_bytes = blob_size(body);
    e.message.route = 1;
    e.message.header = h;
    e.message.body = body;
    step(t, &e);
    blob_unref(body);
}

static wire_header from(testing_scheduler *t, wire_role role, uint32_t index, wire_op op)
{
    wire_header h = wire_request(op);
    h.role = (uint8_t)role;
    h.index = index;
    h.incarnation = role * 100 + index + 1;
    h.tag = ++t->tags;
    h.term = t->term;
    h.generation = 1;
    return h;
}

void testing_scheduler_start(testing_scheduler *t, uint64_t stall_timeout_us)
{
    scheduler_config c = {.incarnation = 1,
                          .job = "j",
                          .servers = 1,
                          .samplers = 1,
                          .workers = 2,
                          .virtual_shards = 8,
                          .max_void_slots = TESTING_VOIDS_MAX,
                          .numerics = "right",
                          .stall_timeout_us = stall_timeout_us};
    core_event e = {.type = CORE_START};
    *t = (testing_scheduler){.now_us = 1000000, .exit_code = -1, .term = 1, .config = c};
    core_actions_init(&t->out);
    ck_assert_int_eq(scheduler_new(&t->config, sim_plan(), SIM_PLAN_HASH, NULL, &t->core), ERR_OK);
    step(t, &e);
}

void testing_scheduler_restart(testing_scheduler *t)
{
    core_event e = {.type = CORE_START};
    blob *durable = blob_ref(t->durable);
    scheduler_durable d = {.state = blob_data(durable), .state_bytes = blob_size(durable)};
    scheduler_free(t->core);
    t->term++;
    ck_assert_int_eq(scheduler_new(&t->config, sim_plan(), SIM_PLAN_HASH, &d, &t->core), ERR_OK);
    step(t, &e);
    blob_unref(durable);
}

void testing_scheduler_fini(testing_scheduler *t)
{
    blob_unref(t->durable);
    scheduler_free(t->core);
    core_actions_fini(&t->out);
}

void testing_scheduler_hello(testing_scheduler *t, wire_role role, uint32_t index)
{
    Weft__Hello x = WEFT__HELLO__INIT;
    Weft__ServerState state = WEFT__SERVER_STATE__INIT;
    char numerics[] = "right";
    x.version = 1;
    x.plan_hash = SIM_PLAN_HASH;
    x.numerics = numerics;
    if (role == WIRE_SERVER) x.server = &state;
    wire_header h = from(t, role, index, WIRE_HELLO);
    deliver(t, &h, proto_pack(&x.base));
}

void testing_scheduler_command(testing_scheduler *t, scheduler_command command, uint32_t n)
{
    core_event e = {.type = CORE_RESULT};
    e.result.token = scheduler_command_token(command, n);
    step(t, &e);
}

void testing_scheduler_timer(testing_scheduler *t, uint64_t after_us)
{
    core_event e = {.type = CORE_TIMER};
    t->now_us += after_us;
    step(t, &e);
}

bool testing_scheduler_answer(testing_scheduler *t, wire_op op, wire_status status,
                              uint32_t version)
{
    for (size_t i = 0; i < t->out.n; i++) {
        const core_action *a = &t->out.items[i];
        if (a->type != CORE_SEND || a->send.header.op != op) continue;
        wire_header h = wire_answer(&a->send.header, status);
        h.role = WIRE_SERVER;
        h.incarnation = WIRE_SERVER * 100 + 1;
        h.generation = 1;
        h.version = version;
        deliver(t, &h, NULL);
        return true;
    }
    return false;
}

void testing_scheduler_staged(testing_scheduler *t)
{
    ck_assert_msg(testing_scheduler_answer(t, WIRE_STAGE, WIRE_OK, 0), "no STAGE was ordered");
}

void testing_scheduler_holds(testing_scheduler *t, uint32_t version, const uint32_t *slot, size_t n)
{
    Weft__Hello x = WEFT__HELLO__INIT;
    Weft__ServerState state = WEFT__SERVER_STATE__INIT;
    Weft__HeldSlot held[8], *list[8];
    char numerics[] = "right";
    for (size_t i = 0; i < n; i++) {
        weft__held_slot__init(&held[i]);
        held[i].slot = slot[i];
        list[i] = &held[i];
    }
    state.generation = 1;
    state.stage = STAGE_HGNN;
    state.version = version;
    state.held = list;
    state.n_held = n;
    x.version = 1;
    x.plan_hash = SIM_PLAN_HASH;
    x.numerics = numerics;
    x.server = &state;
    wire_header h = from(t, WIRE_SERVER, 0, WIRE_HELLO);
    deliver(t, &h, proto_pack(&x.base));
}

static int granted(const testing_scheduler *t, bool *leave)
{
    for (size_t i = 0; i < t->out.n; i++) {
        const core_action *a = &t->out.items[i];
        if (a->type != CORE_SEND || a->send.header.op != WIRE_WORK) continue;
        Weft__Grants *g =
            weft__grants__unpack(NULL, blob_size(a->send.body), blob_data(a->send.body));
        int n = (int)g->n_grant;
        if (leave) *leave = g->leave;
        weft__grants__free_unpacked(g, NULL);
        return n;
    }
    return -1;
}

int testing_scheduler_work(testing_scheduler *t, uint32_t worker, testing_work w, bool *leave)
{
    Weft__Work x = WEFT__WORK__INIT;
    Weft__Lease held = WEFT__LEASE__INIT, *list[1] = {&held};
    x.version = 1;
    x.sequence = w.sequence;
    x.wanted = w.leaving ? 0 : 2;
    x.leaving = w.leaving;
    held.stage = w.held.stage;
    held.epoch = w.held.epoch;
    held.step = w.held.step;
    held.slot = w.held.slot;
    held.generation = 1;
    held.state = w.state;
    held.progress = w.progress;
    x.held = list;
    x.n_held = w.held.stage ? 1 : 0;
    wire_header h = from(t, WIRE_WORKER, worker, WIRE_WORK);
    h.budget_ms = w.leaving ? 0 : 1000;
    deliver(t, &h, proto_pack(&x.base));
    return granted(t, leave);
}

void testing_scheduler_done(testing_scheduler *t, uint32_t worker, slot_name name)
{
    testing_scheduler_done_loss(t, worker, name, 8);
}

static void say_done(testing_scheduler *t, uint32_t worker, slot_name name, Weft__Done x)
{
    x.version = 1;
    wire_header h = from(t, WIRE_WORKER, worker, WIRE_DONE);
    wire_set_slot(&h, name);
    deliver(t, &h, proto_pack(&x.base));
}

void testing_scheduler_done_loss(testing_scheduler *t, uint32_t worker, slot_name name, double loss)
{
    Weft__Done x = WEFT__DONE__INIT;
    x.examples = 4;
    x.loss = loss;
    say_done(t, worker, name, x);
}

void testing_scheduler_done_void(testing_scheduler *t, uint32_t worker, slot_name name)
{
    Weft__Done x = WEFT__DONE__INIT;
    x.is_void = true;
    say_done(t, worker, name, x);
}
