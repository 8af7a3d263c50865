/* Proves: which address each role binds, that none but loopback is bound unless it was allowed,
 * that names are no way around it, and how a process learns its index. */
#include "common/role.h"

#include "testing_files.h"
#include "testing_prepare.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static config *settings;

static void set_up(void)
{
    testing_enter_folder();
    settings = testing_prepare_config("");
}

static void tear_down(void)
{
    config_free(settings);
    testing_leave_folder();
}

static void set_text(char **field, const char *value)
{
    free(*field);
    *field = strdup(value);
}

static void expect_bind(uint32_t role, uint32_t index, const char *expected)
{
    char out[CORE_TEXT_MAX] = "";
    core_peer self = {role, index, 1};
    ck_assert_int_eq(role_bind_endpoint(settings, self, out), ERR_OK);
    ck_assert_str_eq(out, expected);
}

static void expect_refused(uint32_t role, const char *part)
{
    char out[CORE_TEXT_MAX];
    core_peer self = {role, 0, 1};
    testing_capture_start();
    err_code rc = role_bind_endpoint(settings, self, out);
    const char *text = testing_capture_end();
    ck_assert_int_eq(rc, ERR_INVALID);
    testing_expect_part(text, part);
}

START_TEST(one_machine_uses_sockets_in_the_run_folder)
{
    char out[CORE_TEXT_MAX];
    role_scheduler_endpoint(settings, out);
    ck_assert_str_eq(out, "ipc://scheduler.sock");
    expect_bind(WIRE_SCHEDULER, 0, "ipc://scheduler.sock");
    expect_bind(WIRE_SERVER, 0, "ipc://ps-0.sock");
    expect_bind(WIRE_SAMPLER, 12, "ipc://sampler-12.sock");
}
END_TEST

START_TEST(loopback_needs_no_leave)
{
    set_text(&settings->cluster.scheduler, "tcp://127.0.0.1:7000");
    expect_bind(WIRE_SCHEDULER, 0, "tcp://127.0.0.1:7000");
    expect_bind(WIRE_SERVER, 1, "tcp://127.0.0.1:*");
    set_text(&settings->cluster.scheduler, "tcp://localhost:7000");
    expect_bind(WIRE_SCHEDULER, 0, "tcp://127.0.0.1:7000");
    set_text(&settings->cluster.advertise, "127.0.0.5");
    expect_bind(WIRE_SAMPLER, 0, "tcp://127.0.0.5:*");
}
END_TEST

START_TEST(other_addresses_need_leave)
{
    set_text(&settings->cluster.scheduler, "tcp://10.1.2.3:7000");
    expect_refused(WIRE_SCHEDULER, "security.insecure");
    set_text(&settings->cluster.advertise, "10.1.2.4");
    expect_refused(WIRE_SERVER, "tcp://10.1.2.4:*");
    settings->security.insecure = true;
    expect_bind(WIRE_SCHEDULER, 0, "tcp://10.1.2.3:7000");
    expect_bind(WIRE_SERVER, 0, "tcp://10.1.2.4:*");
    settings->security.insecure = false;
    set_text(&settings->security.keys, "keys");
    expect_bind(WIRE_SCHEDULER, 0, "tcp://10.1.2.3:7000");
    expect_bind(WIRE_SERVER, 0, "tcp://10.1.2.4:*");
}
END_TEST

/* What begins with 127. or stands for every interface is not loopback. */
START_TEST(names_are_not_loopback)
{
    static const char *const names[] = {
        "127.example.com", "127.0.0.1.example.com", "0.0.0.0",   "*",
        "127.0.0.1 ",      "127.0.0.1x.org",        "128.0.0.1", "eth0"};
    set_text(&settings->cluster.scheduler, "tcp://127.0.0.1:7000");
    set_text(&settings->cluster.advertise, names[_i]);
    expect_refused(WIRE_SERVER, "not a loopback address");
}
END_TEST

/* Neither keys nor leave make sense of them: no permissions, no CURVE, or not understood. */
START_TEST(other_kinds_of_endpoints_are_refused)
{
    static const char *const endpoints[] = {
        "ipc://@name",      "ipc://*",         "ws://127.0.0.1:1",   "pgm://127.0.0.1;1.1.1.1:1",
        "tcp://[::1]:7000", "tcp://[::]:7000", "inproc://scheduler", "127.0.0.1:7000"};
    settings->security.insecure = true;
    set_text(&settings->security.keys, "keys");
    set_text(&settings->cluster.scheduler, endpoints[_i]);
    expect_refused(WIRE_SCHEDULER, "an endpoint is tcp://");
}
END_TEST

START_TEST(every_interface_needs_leave)
{
    static const char *const endpoints[] = {"tcp://0.0.0.0:7000", "tcp://*:7000",
                                            "tcp://eth0:7000"};
    set_text(&settings->cluster.scheduler, endpoints[_i]);
    expect_refused(WIRE_SCHEDULER, "security.keys (weft keygen)");
}
END_TEST

/* What stays on the machine needs no keys: they are not even opened. */
START_TEST(keys_are_opened_for_networks_only)
{
    keyring *k = NULL;
    set_text(&settings->security.keys, "no-such-folder");
    ck_assert_int_eq(role_open_keys(settings, WIRE_SERVER, &k), ERR_OK);
    ck_assert_ptr_null(k);
    set_text(&settings->cluster.scheduler, "tcp://127.0.0.1:7000");
    testing_capture_start();
    ck_assert_int_eq(role_open_keys(settings, WIRE_SERVER, &k), ERR_NOT_FOUND);
    testing_expect_part(testing_capture_end(), "no-such-folder/ps.key: cannot read");
}
END_TEST

START_TEST(a_named_scheduler_binds_numbers)
{
    set_text(&settings->cluster.scheduler, "tcp://scheduler.weft.svc:7000");
    expect_refused(WIRE_SCHEDULER, "tcp://*:7000");
    settings->security.insecure = true;
    expect_bind(WIRE_SCHEDULER, 0, "tcp://*:7000");
    set_text(&settings->cluster.advertise, "10.0.0.9");
    expect_bind(WIRE_SCHEDULER, 0, "tcp://10.0.0.9:7000");
}
END_TEST

START_TEST(a_port_is_that_of_servers_and_samplers)
{
    settings->security.insecure = true;
    settings->cluster.port = 7702;
    set_text(&settings->cluster.scheduler, "tcp://127.0.0.1:7700");
    expect_bind(WIRE_SERVER, 0, "tcp://127.0.0.1:7702");
    set_text(&settings->cluster.advertise, "10.0.0.9");
    expect_bind(WIRE_SAMPLER, 1, "tcp://10.0.0.9:7702");
    expect_bind(WIRE_SCHEDULER, 0, "tcp://127.0.0.1:7700");
}
END_TEST

START_TEST(a_scheduler_that_has_no_address_is_an_error)
{
    settings->security.insecure = true;
    set_text(&settings->cluster.scheduler, "tcp://no.such.name.invalid:7000");
    expect_refused(WIRE_SERVER, "cannot be resolved");
    set_text(&settings->cluster.scheduler, "tcp://7000");
    expect_refused(WIRE_SERVER, "cannot be resolved");
}
END_TEST

START_TEST(the_run_folder_is_private)
{
    struct stat st;
    char here[4096];
    ck_assert_int_eq(role_enter_run_dir(settings), ERR_OK);
    ck_assert_ptr_nonnull(getcwd(here, sizeof here));
    testing_expect_part(here, "/work/run");
    ck_assert_int_eq(stat(".", &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0700);
}
END_TEST

START_TEST(a_file_in_place_of_the_run_folder_is_an_error)
{
    testing_put_text("work", "a file");
    testing_capture_start();
    err_code rc = role_enter_run_dir(settings);
    testing_expect_part(testing_capture_end(), "work");
    ck_assert_int_eq(rc, ERR_IO);
}
END_TEST

/* ---- The index: role_begin ends at once, for want of a configuration ---- */

static uint32_t begin(uint32_t role, char *index, bool *good)
{
    char *argv[] = {(char *)"weft-x", (char *)"--index", index, NULL};
    role_start r;
    int code = -1;
    testing_capture_start();
    bool goes_on = role_begin(role, index ? 3 : 1, argv, &r, &code);
    const char *text = testing_capture_end();
    ck_assert(!goes_on);
    ck_assert_int_eq(code, 2);
    *good = strstr(text, "--index") == NULL;
    uint32_t found = r.self.index;
    role_finish(&r);
    return found;
}

START_TEST(an_index_is_a_number)
{
    static const char *const bad[] = {
        "", "x", "1x", "-1", "4294967296", "1.5", "99999999999999999999"};
    bool good;
    ck_assert_uint_eq(begin(WIRE_SAMPLER, (char *)"17", &good), 17);
    ck_assert(good);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        begin(WIRE_SAMPLER, (char *)(uintptr_t)bad[i], &good);
        ck_assert_msg(!good, "\"%s\"", bad[i]);
    }
}
END_TEST

START_TEST(without_an_index_a_worker_takes_what_is_free)
{
    bool good;
    ck_assert_uint_eq(begin(WIRE_SERVER, NULL, &good), 0);
    ck_assert(good);
    uint32_t index = begin(WIRE_WORKER, NULL, &good);
    ck_assert(good && index == (uint32_t)WIRE_ANY_INDEX); /* the scheduler suggests one */
}
END_TEST

START_TEST(auto_is_the_rank_that_slurm_gives)
{
    bool good;
    setenv("SLURM_PROCID", "7", 1);
    ck_assert_uint_eq(begin(WIRE_SERVER, (char *)"auto", &good), 7);
    ck_assert(good);
    setenv("SLURM_PROCID", "many", 1);
    begin(WIRE_SERVER, (char *)"auto", &good);
    ck_assert(!good);
    setenv("SLURM_PROCID", "", 1);
    begin(WIRE_SERVER, (char *)"auto", &good);
    ck_assert(!good);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("role");
    TCase *c = tcase_create("all");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, one_machine_uses_sockets_in_the_run_folder);
    tcase_add_test(c, loopback_needs_no_leave);
    tcase_add_test(c, other_addresses_need_leave);
    tcase_add_loop_test(c, names_are_not_loopback, 0, 8);
    tcase_add_loop_test(c, other_kinds_of_endpoints_are_refused, 0, 8);
    tcase_add_loop_test(c, every_interface_needs_leave, 0, 3);
    tcase_add_test(c, keys_are_opened_for_networks_only);
    tcase_add_test(c, a_named_scheduler_binds_numbers);
    tcase_add_test(c, a_port_is_that_of_servers_and_samplers);
    tcase_add_test(c, a_scheduler_that_has_no_address_is_an_error);
    tcase_add_test(c, the_run_folder_is_private);
    tcase_add_test(c, a_file_in_place_of_the_run_folder_is_an_error);
    tcase_add_test(c, an_index_is_a_number);
    tcase_add_test(c, without_an_index_a_worker_takes_what_is_free);
    tcase_add_test(c, auto_is_the_rank_that_slurm_gives);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
