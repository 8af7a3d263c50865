/* Proves: names are told from numbers; a name gets its number from a thread of our own, keeps it
 * while it is one of the name's, and gets another when it has moved; who waits can stop waiting.
 */
#include "common/resolver.h"

#include "testing_files.h"

#include <check.h>
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static int threads_before;

static int threads(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/task");
    ck_assert_ptr_nonnull(d);
    for (const struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void *nothing(void *user)
{
    return user;
}

/* With a first thread come those of a sanitizer. */
static void setup(void)
{
    pthread_t thread;
    testing_enter_folder();
    ck_assert_int_eq(pthread_create(&thread, NULL, nothing, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    usleep(10000);
    threads_before = threads();
}

/* Lookups that nobody waits for end, too; what a thread holds while it ends is no leak. */
static void teardown(void)
{
    while (threads() > threads_before) usleep(10000);
    testing_leave_folder();
}

START_TEST(names_are_told_from_numbers)
{
    static const char *const named[] = {"tcp://localhost:1", "tcp://weft-scheduler.ns.svc:7700",
                                        "tcp://10.0.0.256:1", "tcp://a:*"};
    static const char *const others[] = {
        "tcp://127.0.0.1:1", "tcp://*:1", "ipc://a.sock", "tcp://[::1]:1",
        "tcp://7000",        "tcp://a:b", "tcp://a:1/x",  ""};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        ck_assert_msg(resolver_is_named(named[i]), "%s", named[i]);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        ck_assert_msg(!resolver_is_named(others[i]), "%s", others[i]);
}
END_TEST

START_TEST(a_number_stays_as_it_is)
{
    char number[CORE_TEXT_MAX];
    ck_assert_int_eq(resolver_wait("ipc://x.sock", 0, NULL, NULL, number), ERR_OK);
    ck_assert_str_eq(number, "ipc://x.sock");
}
END_TEST

START_TEST(a_name_gets_its_number)
{
    char number[CORE_TEXT_MAX];
    ck_assert_int_eq(resolver_wait("tcp://localhost:7700", 20000, NULL, NULL, number), ERR_OK);
    ck_assert_str_eq(number, "tcp://127.0.0.1:7700");
}
END_TEST

static err_code stop_at_third(void *context)
{
    int *calls = context;
    return ++*calls == 3 ? ERR_STOPPED : ERR_OK;
}

START_TEST(a_wait_ends_by_time_or_by_its_check)
{
    char number[CORE_TEXT_MAX];
    int calls = 0;
    const char *nobody = "tcp://no.such.name.invalid:1";
    ck_assert_int_eq(resolver_wait(nobody, 60, NULL, NULL, number), ERR_CLOSED);
    ck_assert_str_eq(number, "");
    ck_assert_int_eq(resolver_wait(nobody, 60000, stop_at_third, &calls, number), ERR_STOPPED);
    ck_assert_int_eq(calls, 3);
}
END_TEST

START_TEST(it_can_be_freed_while_it_asks)
{
    for (int i = 0; i < 50; i++) {
        resolver *r = resolver_new("tcp://no.such.name.invalid:1");
        resolver_ask(r);
        resolver_ask(r);
        resolver_free(r);
    }
    resolver_free(NULL);
}
END_TEST

/* /etc/hosts of this process is `text` from now on; false: not allowed here. */
static bool set_hosts(const char *text)
{
    static bool mounted;
    testing_put_text("hosts", text);
    if (mounted) return true;
    mounted = unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
              mount("hosts", "/etc/hosts", NULL, MS_BIND, NULL) == 0;
    if (!mounted) fprintf(stderr, "SKIPPED: no mount namespace can be made here\n");
    return mounted;
}

static void expect_number(resolver *r, const char *want)
{
    char number[CORE_TEXT_MAX];
    resolver_ask(r);
    for (int i = 0; i < 2000 && !resolver_take(r, number); i++) usleep(10000);
    ck_assert_str_eq(number, want);
    ck_assert(!resolver_take(r, number)); /* Told once. */
}

START_TEST(a_name_that_moved_gets_another_number)
{
    if (!set_hosts("127.0.0.5 weft-scheduler\n")) return;
    resolver *r = resolver_new("tcp://weft-scheduler:7700");
    expect_number(r, "tcp://127.0.0.5:7700");
    testing_put_text("hosts", "127.0.0.6 weft-scheduler\n127.0.0.5 weft-scheduler\n");
    expect_number(r, "tcp://127.0.0.5:7700"); /* Still one of them. */
    testing_put_text("hosts", "127.0.0.6 weft-scheduler\n");
    expect_number(r, "tcp://127.0.0.6:7700");
    testing_put_text("hosts", "127.0.0.1 localhost\n");
    expect_number(r, "");
    testing_put_text("hosts", "127.0.0.7 weft-scheduler\n127.0.0.6 weft-scheduler\n");
    expect_number(r, "tcp://127.0.0.6:7700"); /* A lookup that failed has not moved it. */
    resolver_free(r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("resolver");
    TCase *c = tcase_create("resolver");
    tcase_set_timeout(c, 120); /* a name server that does not answer is waited for */
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, names_are_told_from_numbers);
    tcase_add_test(c, a_number_stays_as_it_is);
    tcase_add_test(c, a_name_gets_its_number);
    tcase_add_test(c, a_wait_ends_by_time_or_by_its_check);
    tcase_add_test(c, it_can_be_freed_while_it_asks);
    tcase_add_test(c, a_name_that_moved_gets_another_number);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
