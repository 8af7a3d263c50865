/* Fuzzes what a scheduler reads of its earlier life: a real state, spoilt, is refused or is one to
 * go on from. */
#include "common/mem.h"
#include "common/panic.h"
#include "ps/scheduler.h"
#include "sim/sim_model.h"
#include "testing_fuzz.h"

#include <stdlib.h>

enum { TIMERS = 10, TIMER_US = 1000000 };

static err_code new_scheduler(const scheduler_durable *d, scheduler **out)
{
    scheduler_config c = {.job = "fuzz",
                          .incarnation = 11,
                          .servers = 2,
                          .samplers = 1,
                          .virtual_shards = 16,
                          .numerics = "sim",
                          .numerics_strict = true,
                          .max_void_slots = 3};
    return scheduler_new(&c, sim_plan(), SIM_PLAN_HASH, d, out);
}

/* One step at `us`; the last state it wanted to be durable replaces *state (NULL: not wanted). */
static void step(scheduler *s, core_event_type type, uint64_t us, blob **state)
{
    core_event e = {.type = type, .now_us = us};
    core_actions out;
    core_actions_init(&out);
    scheduler_step(s, &e, &out);
    for (size_t i = 0; state && i < out.n; i++) {
        if (out.items[i].type != CORE_PERSIST) continue;
        blob_unref(*state);
        *state = blob_ref(out.items[i].persist.bytes);
    }
    core_actions_fini(&out);
}

static blob *first_state(void)
{
    scheduler *s;
    blob *state = NULL;
    scheduler_durable none = {0};
    ASSERT(new_scheduler(&none, &s) == ERR_OK);
    step(s, CORE_START, TIMER_US, &state);
    ASSERT(state);
    scheduler_free(s);
    return state;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static blob *good;
    if (!good) good = first_state();
    testing_fuzz_input in = {data, size};
    size_t n;
    scheduler *s;
    uint8_t *p = testing_fuzz_spoil(&in, blob_data(good), blob_size(good), true, &n);
    scheduler_durable d = {.state = p, .state_bytes = n};
    if (new_scheduler(&d, &s) == ERR_OK) {
        step(s, CORE_START, TIMER_US, NULL);
        for (uint64_t i = 2; i < TIMERS; i++) step(s, CORE_TIMER, i * TIMER_US, NULL);
        scheduler_free(s);
    }
    free(p);
    return 0;
}
