/* Proves: every operation has a rule; nobody but the right role may ask for it, or serves it. */
#include "common/op_rules.h"

#include <check.h>

START_TEST(every_operation_has_a_rule)
{
    for (uint32_t op = 1; op < WIRE_OPS; op++) {
        uint32_t pairs = 0;
        for (uint32_t from = 0; from < WIRE_ROLES; from++)
            for (uint32_t to = 0; to < WIRE_ROLES; to++) pairs += op_allowed(op, from, to);
        ck_assert_msg(pairs > 0, "%s has no rule: nobody may ask for it", wire_op_name(op));
    }
}
END_TEST

START_TEST(a_worker_gives_no_orders)
{
    static const wire_op orders[] = {WIRE_STAGE, WIRE_COMMIT, WIRE_STOP, WIRE_LEAF, WIRE_PROGRESS};
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        for (uint32_t to = 0; to < WIRE_ROLES; to++)
            ck_assert(!op_allowed(orders[i], WIRE_WORKER, to));
    }
    ck_assert(!op_allowed(WIRE_PART, WIRE_WORKER, WIRE_SERVER));
    ck_assert(!op_allowed(WIRE_PART, WIRE_DRIVER, WIRE_SERVER));
    ck_assert(op_allowed(WIRE_PART, WIRE_SERVER, WIRE_SERVER));
    ck_assert(op_allowed(WIRE_COMMIT, WIRE_SCHEDULER, WIRE_SERVER));
    ck_assert(!op_allowed(WIRE_COMMIT, WIRE_DRIVER, WIRE_SERVER));
    ck_assert(!op_allowed(WIRE_PUSH, WIRE_SERVER, WIRE_SERVER));
    ck_assert(!op_allowed(WIRE_PUSH, WIRE_DRIVER, WIRE_SERVER));
    ck_assert(op_allowed(WIRE_PUSH, WIRE_WORKER, WIRE_SERVER));
}
END_TEST

START_TEST(workers_and_the_driver_serve_nobody)
{
    for (uint32_t op = 0; op < WIRE_OPS + 2; op++) {
        for (uint32_t from = 0; from < WIRE_ROLES + 2; from++) {
            ck_assert(!op_allowed(op, from, WIRE_WORKER));
            ck_assert(!op_allowed(op, from, WIRE_DRIVER));
            ck_assert(!op_allowed(op, from, WIRE_NONE));
            ck_assert(!op_allowed(op, from, WIRE_ROLES));
            ck_assert(!op_allowed(op, WIRE_NONE, from));
            ck_assert(!op_allowed(op, WIRE_ROLES, from));
        }
    }
    ck_assert(!op_allowed(0, WIRE_WORKER, WIRE_SCHEDULER));
    ck_assert(!op_allowed(WIRE_OPS, WIRE_WORKER, WIRE_SCHEDULER));
}
END_TEST

START_TEST(the_server_of_an_operation_is_known)
{
    ck_assert_uint_eq(op_server(WIRE_CONFIG), WIRE_SCHEDULER);
    ck_assert_uint_eq(op_server(WIRE_PULL), WIRE_SERVER);
    ck_assert_uint_eq(op_server(WIRE_BUILD), WIRE_SAMPLER);
    ck_assert_uint_eq(op_server(WIRE_STOP), WIRE_NONE);
    ck_assert_uint_eq(op_server(WIRE_OPS), WIRE_NONE);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("op_rules");
    TCase *c = tcase_create("op_rules");
    tcase_add_test(c, every_operation_has_a_rule);
    tcase_add_test(c, a_worker_gives_no_orders);
    tcase_add_test(c, workers_and_the_driver_serve_nobody);
    tcase_add_test(c, the_server_of_an_operation_is_known);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
