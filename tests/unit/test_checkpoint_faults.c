/* Proves: while write, fsync, open and rename of a whole process fail at random (libfiu's fiu-run),
 * every failure is returned and a snapshot that has a manifest is whole.  Skipped (77) without
 * fiu-run, and under sanitizers, which want to be loaded first. */
#include "ps/checkpoint_manifest.h"
#include "testing_files.h"
#include "testing_part.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 60, SHARDS = 4, SKIPPED = 77, NO_PROGRAM = 127 };

static const char dir[] = "checkpoints";
static char why[CHECKPOINT_WHY_MAX];

static err_code save(uint32_t version)
{
    checkpoint_manifest_part part[SHARDS];
    part_id id = testing_part_id(version, 0, SHARDS);
    checkpoint_id snapshot = checkpoint_files_id(&id);
    err_code rc = ERR_OK;
    for (; id.shard < SHARDS && rc == ERR_OK; id.shard++) {
        blob *b = testing_part(&id);
        rc = checkpoint_files_write(dir, &id, b, why);
        part[id.shard] = (checkpoint_manifest_part){id.shard, blob_size(b), part_hash(b)};
        blob_unref(b);
    }
    if (rc == ERR_OK) rc = checkpoint_files_seal(dir, &snapshot, why);
    if (rc != ERR_OK) return rc;
    return checkpoint_manifest_write(dir, testing_checkpoint_manifest(version, SHARDS, part), why);
}

/* The process whose disk fails: its exit status is the number of snapshots it believes in. */
static int inject(void)
{
    int complete = 0;
    for (uint32_t version = 0; version < ROUNDS; version++) {
        err_code rc = save(version);
        if ((rc == ERR_OK) != (why[0] == '\0')) return 255;
        complete += rc == ERR_OK;
    }
    return complete;
}

static int run_injected(const char *program)
{
    pid_t child = fork();
    if (child == 0) {
        execlp("fiu-run", "fiu-run", "-x", "-f", "", "-c",
               "enable_random name=posix/io/rw/write,probability=0.02", "-c",
               "enable_random name=posix/io/rw/write/reduce,probability=0.3", "-c",
               "enable_random name=posix/io/sync/fsync,probability=0.02,failinfo=5", "-c",
               "enable_random name=posix/io/oc/open,probability=0.01", "-c",
               "enable_random name=posix/io/dir/rename,probability=0.02", program, "inject", NULL);
        _exit(NO_PROGRAM);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status), "it died of signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

static char program[4096];

START_TEST(a_snapshot_with_a_manifest_is_whole_whatever_failed)
{
    checkpoint_listed *list;
    size_t n;
    int believed = run_injected(program), complete = 0;
    ck_assert_int_gt(believed, 0);
    ck_assert_int_lt(believed, ROUNDS);
    ck_assert_int_eq(checkpoint_manifest_list(dir, &list, &n, why), ERR_OK);
    for (size_t i = 0; i < n; i++) {
        const checkpoint_manifest *m = &list[i].manifest;
        if (list[i].rc == ERR_NOT_FOUND) continue;
        ck_assert_msg(list[i].rc == ERR_OK, "%s", list[i].why);
        complete++;
        for (uint32_t p = 0; p < SHARDS; p++) {
            part_id id = checkpoint_manifest_part_id(m, p);
            blob *b;
            ck_assert_msg(checkpoint_files_read(dir, &id, &m->part[p].hash, &b, NULL, why) ==
                              ERR_OK,
                          "%s", why);
            blob_unref(b);
        }
    }
    /* A manifest may be there though the fsync of a folder failed behind it. */
    ck_assert_int_ge(complete, believed);
    checkpoint_manifest_list_free(list, n);
}
END_TEST

static bool can_inject(void)
{
#if defined(WEFT_ASAN) || defined(__SANITIZE_THREAD__)
    printf("skipped: a sanitizer cannot be preloaded behind libfiu\n");
    return false;
#else
    pid_t child = fork();
    if (child == 0) {
        execlp("fiu-run", "fiu-run", "-x", "-f", "", "true", NULL);
        _exit(NO_PROGRAM);
    }
    int status;
    bool can = waitpid(child, &status, 0) == child && status == 0;
    if (!can) printf("skipped: no fiu-run (Debian: fiu-utils)\n");
    return can;
#endif
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "inject") == 0) return inject();
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n < 0 || !can_inject()) return SKIPPED;
    Suite *s = suite_create("checkpoint_faults");
    TCase *c = tcase_create("checkpoint_faults");
    tcase_add_checked_fixture(c, testing_enter_folder, testing_leave_folder);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, a_snapshot_with_a_manifest_is_whole_whatever_failed);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
