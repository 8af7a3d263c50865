/* Proves: a server says since when its disk has been at one file, so that one that hangs is not fed
 * to the watchdog, and says nothing when its job is done. */
#include "ps/server_disk.h"

#include "common/clock.h"
#include "common/notify.h"
#include "ps/shard.h"
#include "ps/shard_disk.h"
#include "sim/sim_model.h"
#include "testing_files.h"

#include <check.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { SHARDS = 2, WAIT_US = 20000000, WATCHDOG_US = 200000 };

int __real_fsync(int fd);
int __wrap_fsync(int fd);

static _Atomic int arrived, permits; /* calls of fsync; how many of them may end */

int __wrap_fsync(int fd)
{
    int number = atomic_fetch_add(&arrived, 1);
    while (number >= atomic_load(&permits)) usleep(1000);
    return __real_fsync(fd);
}

static server_disk *disk;
static shard_save *save;
static notify_state state;
static char text[NOTIFY_TEXT_MAX];
static _Atomic int posted, code; /* results; the last one's code */

static void post(void *shell, uint64_t token, err_code status, const void *detail)
{
    (void)shell, (void)token, (void)detail;
    atomic_store(&code, (int)status);
    atomic_fetch_add(&posted, 1);
}

static void wait_for(_Atomic int *count, int n)
{
    uint64_t end = clock_now_us() + WAIT_US;
    while (atomic_load(count) < n && clock_now_us() < end) usleep(1000);
    ck_assert_int_ge(atomic_load(count), n);
}

/* A job that writes SHARDS files. */
static void set_up(void)
{
    testing_enter_folder();
    disk = server_disk_new("checkpoints");
    save = calloc(1, sizeof *save);
    save->id = (part_id){.plan_hash = SIM_PLAN_HASH,
                         .stage = STAGE_HGNN,
                         .generation = 1,
                         .version = 1,
                         .shards = SHARDS};
    shard_map_init(&save->map, 1, SHARDS, 1);
    save->tables = stage_tables_new(sim_shard_model(), &save->map, 0, STAGE_HGNN, NULL);
    state = (notify_state){.watchdog_us = WATCHDOG_US};
    atomic_store(&posted, 0);
    atomic_store(&arrived, 0);
    atomic_store(&permits, 0);
}

static void tear_down(void)
{
    server_disk_free(disk);
    shard_save_free(save);
    testing_leave_folder();
}

/* What the manager is told when the next feeding is due. */
static const char *message(void)
{
    notify_health h = {.ready = true, .busy_since_us = server_disk_busy_since_us(disk)};
    if (state.fed_us) usleep(WATCHDOG_US / 2);
    notify_next(&state, clock_now_us(), &h, text);
    return text;
}

/* Lets calls of fsync end until the next file was begun. */
static void go_to_next_file(void)
{
    uint64_t since_us = server_disk_busy_since_us(disk);
    for (int n = 1; server_disk_busy_since_us(disk) == since_us; n++) {
        atomic_store(&permits, n);
        wait_for(&arrived, n + 1);
    }
}

START_TEST(a_file_that_hangs_stops_the_feeding)
{
    ck_assert_str_eq(message(), "READY=1\nWATCHDOG=1");
    server_disk_start(disk, 1, SHARD_SAVE, save, post, NULL);
    wait_for(&arrived, 1);
    ck_assert_str_eq(message(), "WATCHDOG=1"); /* it was begun since */
    for (int i = 0; i < 4; i++) ck_assert_str_eq(message(), "");
    go_to_next_file();
    ck_assert_str_eq(message(), "WATCHDOG=1");
    ck_assert_str_eq(message(), "");
    atomic_store(&permits, INT_MAX);
    wait_for(&posted, 1);
    ck_assert_int_eq(atomic_load(&code), ERR_OK);
    ck_assert_str_eq(message(), "WATCHDOG=1");
}
END_TEST

START_TEST(who_is_done_is_not_busy)
{
    ck_assert_uint_eq(server_disk_busy_since_us(disk), 0);
    uint64_t now_us = clock_now_us();
    server_disk_start(disk, 1, SHARD_SAVE, save, post, NULL);
    ck_assert_uint_ge(server_disk_busy_since_us(disk), now_us);
    atomic_store(&permits, INT_MAX);
    wait_for(&posted, 1);
    ck_assert_uint_eq(server_disk_busy_since_us(disk), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("server_disk");
    TCase *c = tcase_create("server_disk");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, a_file_that_hangs_stops_the_feeding);
    tcase_add_test(c, who_is_done_is_not_busy);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
