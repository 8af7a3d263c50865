/* Proves that the protocol cores, run together under random faults, compute bit for bit what a
 * sequential loop computes, always finish, and that every rule of the protocol is needed: each one
 * switched off is caught.
 *
 *     test_simulation [SEEDS]                           that many seeds, each with its faults
 *     test_simulation --rules PART PARTS                the rules PART, PART + PARTS, ... (from 0)
 *     test_simulation --seed N [--trace] [--off RULE]   one seed; RULE: a core_rule_id */
#include "sim/sim_seeds.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef WEFT_ASAN
enum { SEEDS_DEFAULT = 200, MUTATION_SEEDS = 4000 };
#else
enum { SEEDS_DEFAULT = 500, MUTATION_SEEDS = 4000 };
#endif

static uint64_t seeds_wanted = SEEDS_DEFAULT;

START_TEST(every_seed_ends_with_the_oracles_bits)
{
    sim_seeds *seeds = sim_seeds_new();
    uint64_t events = 0, time_us = 0, worst = 0, rollbacks = 0, saves = 0, wipes = 0, told = 0;
    for (uint64_t seed = 1; seed <= seeds_wanted; seed++) {
        sim_result r;
        bool ok = sim_seeds_run(seeds, seed, 0, false, &r);
        ck_assert_msg(ok,
                      "seed %" PRIu64 ": %s (again: test_simulation --seed %" PRIu64 " --trace)",
                      seed, r.why, seed);
        events += r.events;
        time_us += r.time_us;
        worst = r.time_us > worst ? r.time_us : worst;
        rollbacks += r.rollbacks;
        saves += r.saves;
        wipes += r.wipes;
        told += r.told;
    }
    ck_assert_uint_gt(wipes, 0);
    ck_assert_uint_gt(told, 0);
    printf("%" PRIu64 " seeds, %" PRIu64 " events, %" PRIu64 " rollbacks, %" PRIu64
           " snapshots, %" PRIu64 " disks lost, mean %" PRIu64 " ms, worst %" PRIu64 " ms\n",
           seeds_wanted, events, rollbacks, saves, wipes, time_us / seeds_wanted / 1000,
           worst / 1000);
    sim_seeds_free(seeds);
}
END_TEST

START_TEST(a_calm_cluster_of_any_size_gives_the_same_bits)
{
    sim_oracle *oracle = sim_oracle_new(sim_ways[_i]);
    for (uint32_t n = 1; n <= 4; n++) {
        sim_options o = {.seed = n,
                         .calm = true,
                         .servers = n,
                         .samplers = 5 - n,
                         .workers = n,
                         .how = sim_ways[_i]};
        sim_result r = sim_run(&o, oracle);
        ck_assert_msg(r.ok, "%u servers: %s", n, r.why);
        ck_assert_msg(r.time_us < 30000000, "%" PRIu64 " ms", r.time_us / 1000);
    }
    sim_oracle_free(oracle);
}
END_TEST

START_TEST(a_seed_replays_the_same_history)
{
    sim_seeds *seeds = sim_seeds_new();
    sim_result a, b, c;
    ck_assert(sim_seeds_run(seeds, 5, 0, false, &a));
    ck_assert(sim_seeds_run(seeds, 5, 0, false, &b));
    ck_assert(sim_seeds_run(seeds, 6, 0, false, &c));
    ck_assert_uint_eq(a.digest, b.digest);
    ck_assert_uint_ne(a.digest, c.digest);
    sim_seeds_free(seeds);
}
END_TEST

START_TEST(a_server_that_never_comes_back_stalls_the_job_and_is_named)
{
    sim_oracle *oracle = sim_oracle_new(sim_ways[0]);
    sim_options o = {.seed = 3,
                     .calm = true,
                     .servers = 2,
                     .samplers = 1,
                     .workers = 2,
                     .kill_server_at_ms = 500};
    sim_result r = sim_run(&o, oracle);
    ck_assert_msg(r.ok, "%s", r.why);
    ck_assert_int_eq(r.exit_code, 1);
    ck_assert_msg(strstr(r.exit_why, "stalled") != NULL, "%s", r.exit_why);
    sim_oracle_free(oracle);
}
END_TEST

START_TEST(the_oracles_job_uses_every_rule_of_selection)
{
    sim_oracle *oracle = sim_oracle_new(sim_ways[0]);
    const core_metric *m;
    size_t n = sim_oracle_metrics(oracle, &m);
    bool impatient = false, voids = false;
    for (size_t i = 0; i < n; i++) {
        impatient = impatient || (m[i].stopped == STOPPED_PATIENCE && m[i].epoch < m[i].step);
        voids = voids || m[i].voids;
    }
    ck_assert(impatient); /* patience ran out, so that the best is not the last */
    ck_assert(voids);
    sim_oracle_free(oracle);
}
END_TEST

/* IN_BSP: without delay. */
enum { IN_BSP, IN_DELAY, ON_ARRIVAL };

typedef struct mutation {
    core_rule_id rule;
    const char *name;
    uint32_t where; /* the ways that are searched */
} mutation;

static const mutation mutations[] = {
    {CORE_RULE_COMMIT, "applied on sight", IN_BSP},
    {CORE_RULE_VERSION, "unversioned pulls of rows", IN_BSP},
    {CORE_RULE_GONE, "a past version is answered", IN_DELAY},
    {CORE_RULE_GENERATION, "generation unchecked", IN_BSP},
    {CORE_RULE_RESTAMP, "generation stamped again", IN_BSP},
    {CORE_RULE_SLOT_ORDER, "sums in the order of arrival", IN_BSP},
    {CORE_RULE_DEDUPE, "repeats are added", IN_BSP},
    {CORE_RULE_LEARN, "a restarted scheduler does not learn", IN_BSP},
    {CORE_RULE_HIGHEST, "commits up to the lowest version", IN_BSP},
    {CORE_RULE_CREDIT, "leases ahead count", IN_BSP},
    {CORE_RULE_INCARNATION, "orders of older terms are obeyed", IN_BSP},
    {CORE_RULE_VOID, "void slots are not pushed", IN_BSP},
    {CORE_RULE_EVERY_SERVER, "empty pushes are not sent", IN_BSP},
    {CORE_RULE_ALL_ACKS, "DONE before every acknowledgement", IN_BSP},
    {CORE_RULE_ALL_SLOTS, "COMMIT before every DONE", IN_BSP},
    {CORE_RULE_ALL_SERVERS, "the next step before every server", IN_BSP},
    {CORE_RULE_SECOND_HOLDER, "no second holder", IN_BSP},
    {CORE_RULE_VALID_BARRIER, "no barrier at a validation", IN_BSP},
    {CORE_RULE_SCORE_ORDER, "scores in the order of arrival", IN_BSP},
    {CORE_RULE_RESEND, "nothing is sent again", IN_BSP},
    {CORE_RULE_DURABLE, "a generation announced before it is durable", IN_BSP},
    {CORE_RULE_EXAMPLES, "not divided by the examples", IN_BSP},
    {CORE_RULE_READ_ONLY_PULL, "a pull creates rows", IN_BSP},
    {CORE_RULE_BEST, "the last version instead of the best", IN_BSP},
    {CORE_RULE_ALL_PARTS, "a checkpoint before every server has its parts", IN_BSP},
    {CORE_RULE_ALL_READY, "going on before every server has gone back", IN_BSP},
    {CORE_RULE_PART_GENERATION, "parts of an earlier generation count", IN_BSP},
    {CORE_RULE_TAKEN, "COMMIT before every server has taken the snapshot", IN_BSP},
    {CORE_RULE_ROLLBACK, "only the server that died goes back", IN_BSP},
    {CORE_RULE_KEEP, "files that a checkpoint needs are removed", IN_BSP},
    {CORE_RULE_REOPEN, "a slot is DONE because a worker says so", IN_BSP},
    {CORE_RULE_PROGRESS, "a lease lives as long as it is listed", IN_BSP},
    {CORE_RULE_PARK, "pulls ahead are answered from the version before", IN_BSP},
    {CORE_RULE_COMPLETE, "micro-batches without what is missing", IN_BSP},
    {CORE_RULE_FIRST_DONE, "every DONE of a slot counts", IN_BSP},
    {CORE_RULE_LEARN_ALL, "a slot was DONE if one server holds it", IN_BSP},
    {CORE_RULE_STAGE_END, "the next stage before the record of the last", IN_BSP},
    {CORE_RULE_WRITTEN, "parts are reported while they are written", IN_BSP},
    {CORE_RULE_NEW_GENERATION, "going back within a generation", IN_BSP},
    {CORE_RULE_ROLLING, "going back before that is durable", IN_BSP},
    {CORE_RULE_PASS_OVER, "a damaged checkpoint is tried again", IN_BSP},
    {CORE_RULE_CUT, "metrics are kept when going back", IN_BSP},
    {CORE_RULE_COPIES, "a checkpoint before every copy is there", IN_BSP},
    {CORE_RULE_LEAVERS, "servers leave with the only copy of a part", IN_BSP},
    {CORE_RULE_LAST_METRIC, "a record without the last metric", IN_BSP},
    {CORE_RULE_PAST, "one version too few is kept", IN_DELAY},
    {CORE_RULE_PAST_ROWS, "rows of a past version are the newest ones", IN_DELAY},
    {CORE_RULE_PAST_SAVED, "a snapshot without the past versions", IN_DELAY},
    {CORE_RULE_EXACT_DELAY, "the newest version instead of t - k", IN_DELAY},
    {CORE_RULE_BOUND, "no bound on staleness", ON_ARRIVAL},
    {CORE_RULE_OWN_COUNT, "a slot applied with the wrong weight", ON_ARRIVAL},
    {CORE_RULE_APPLIED_SAVED, "a snapshot without the applied slots", ON_ARRIVAL},
    {CORE_RULE_APPLIED_SHARD, "a slot of one virtual shard counts for all", ON_ARRIVAL},
    {CORE_RULE_DEDUPE, "on arrival: repeats are applied", ON_ARRIVAL},
    {CORE_RULE_GENERATION, "on arrival: generation unchecked", ON_ARRIVAL},
    {CORE_RULE_RESTAMP, "on arrival: generation stamped again", ON_ARRIVAL},
    {CORE_RULE_VALID_BARRIER, "on arrival: no barrier at a validation", ON_ARRIVAL},
    {CORE_RULE_TAKEN, "on arrival: COMMIT before every snapshot", ON_ARRIVAL},
    {CORE_RULE_RECOVERED, "lost terms and generations are given again", IN_BSP},
};

static uint32_t way_for(const mutation *m, uint64_t seed)
{
    if (m->where == IN_BSP) return 0;
    return m->where == IN_DELAY ? 1 + (uint32_t)(seed % 3)
                                : SIM_FIRST_ON_ARRIVAL + (uint32_t)(seed % 4);
}

static int rules_part, rules_parts; /* what is tried here of all rules; 0: none */

START_TEST(each_rule_switched_off_is_caught)
{
    if (_i % rules_parts != rules_part) return;
    sim_seeds *seeds = sim_seeds_new();
    const mutation *m = &mutations[_i];
    sim_result r;
    uint64_t seed = 1;
    uint64_t off = UINT64_C(1) << m->rule;
    while (seed <= MUTATION_SEEDS &&
           sim_seeds_run_in(seeds, way_for(m, seed), seed, off, false, &r))
        seed++;
    ck_assert_msg(seed <= MUTATION_SEEDS, "%s: not caught within %d seeds", m->name,
                  MUTATION_SEEDS);
    printf("%-45s seed %3" PRIu64 ": %s\n", m->name, seed, r.why);
    sim_seeds_free(seeds);
}
END_TEST

static Suite *rules_suite(void)
{
    Suite *s = suite_create("rules");
    TCase *t = tcase_create("rules");
    tcase_set_timeout(t, 3600);
    tcase_add_loop_test(t, each_rule_switched_off_is_caught, 0,
                        (int)(sizeof mutations / sizeof *mutations));
    suite_add_tcase(s, t);
    return s;
}

static Suite *suite(void)
{
    Suite *s = suite_create("simulation");
    TCase *t = tcase_create("seeds");
    tcase_set_timeout(t, 3600);
    tcase_add_loop_test(t, a_calm_cluster_of_any_size_gives_the_same_bits, 0, SIM_WAYS);
    tcase_add_test(t, the_oracles_job_uses_every_rule_of_selection);
    tcase_add_test(t, a_seed_replays_the_same_history);
    tcase_add_test(t, a_server_that_never_comes_back_stalls_the_job_and_is_named);
    tcase_add_test(t, every_seed_ends_with_the_oracles_bits);
    suite_add_tcase(s, t);
    return s;
}

static int one_seed(uint32_t way, uint64_t seed, uint64_t off, bool trace)
{
    sim_seeds *seeds = sim_seeds_new();
    sim_result r;
    bool ok = sim_seeds_run_in(seeds, way, seed, off, trace, &r);
    printf("seed %" PRIu64 ": %s, %" PRIu64 " events, %" PRIu64 " ms\n", seed, ok ? "ok" : r.why,
           r.events, r.time_us / 1000);
    sim_seeds_free(seeds);
    return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *wanted = getenv("WEFT_SIM_SEEDS");
    if (wanted) seeds_wanted = strtoull(wanted, NULL, 10);
    uint64_t seed = 0;
    uint64_t off = 0;
    uint32_t way = SIM_WAYS;
    bool trace = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0)
            trace = true;
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            seed = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--way") == 0 && i + 1 < argc)
            way = (uint32_t)strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--off") == 0 && i + 1 < argc)
            off = UINT64_C(1) << strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--rules") == 0 && i + 2 < argc) {
            rules_part = (int)strtol(argv[++i], NULL, 10);
            rules_parts = (int)strtol(argv[++i], NULL, 10);
        } else
            seeds_wanted = strtoull(argv[i], NULL, 10);
    }
    if (!seeds_wanted) seeds_wanted = SEEDS_DEFAULT;
    if (seed) return one_seed(way < SIM_WAYS ? way : sim_seeds_way(seed), seed, off, trace);
    SRunner *runner = srunner_create(rules_parts > 0 ? rules_suite() : suite());
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
