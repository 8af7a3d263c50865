/* Proves: the numerics id names its parts, and numerics_start executes a program again at most
 * once, with the core type that was asked for, keeping a preset one.  The test program is its own
 * subject. */
#include "common/numerics.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char self[4096];

/* What `numerics_start` with core type `core` makes of a process with `preset` (NULL: none). */
static void run(const char *preset, const char *core, char *out, size_t bytes)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        unsetenv("OPENBLAS_CORETYPE");
        if (preset) setenv("OPENBLAS_CORETYPE", preset, 1);
        execl(self, self, "child", core, (char *)NULL);
        _exit(9);
    }
    close(ends[1]);
    size_t n = 0;
    for (ssize_t got; (got = read(ends[0], out + n, bytes - 1 - n)) > 0;) n += (size_t)got;
    out[n] = '\0';
    close(ends[0]);
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

START_TEST(the_core_type_asked_for_is_used)
{
    char out[512];
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return;
    run(NULL, "HASWELL", out, sizeof out);
    ck_assert_ptr_nonnull(strstr(out, "/HASWELL glibc-"));
    ck_assert_ptr_nonnull(strstr(out, "openblas-0."));
    ck_assert_ptr_nonnull(strstr(out, " weft-"));
    run(NULL, "NEHALEM", out, sizeof out);
    ck_assert_ptr_nonnull(strstr(out, "/NEHALEM "));
}
END_TEST

/* SIGTERM to the process reaches a thread that has it unblocked: there must be none but ours. */
START_TEST(the_process_has_one_thread)
{
    char out[512];
    unsetenv("OPENBLAS_NUM_THREADS");
    run(NULL, "HASWELL", out, sizeof out);
    ck_assert_ptr_nonnull(strstr(out, "threads 1\n"));
    run("NEHALEM", "HASWELL", out, sizeof out);
    ck_assert_ptr_nonnull(strstr(out, "threads 1\n"));
}
END_TEST

START_TEST(a_preset_core_type_is_kept)
{
    char out[512];
    run("NEHALEM", "HASWELL", out, sizeof out);
    ck_assert_ptr_nonnull(strstr(out, "/NEHALEM "));
}
END_TEST

static int count_threads(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/task");
    for (const struct dirent *e; d && (e = readdir(d)) != NULL;) n += e->d_name[0] != '.';
    if (d) closedir(d);
    return n;
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "child")) {
        if (numerics_start(argv, argv[2]) != ERR_OK) return 1;
        printf("%s\nthreads %d\n", numerics_id(), count_threads());
        return 0;
    }
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0) return 1;
    Suite *s = suite_create("numerics");
    TCase *c = tcase_create("numerics");
    tcase_add_test(c, the_core_type_asked_for_is_used);
    tcase_add_test(c, the_process_has_one_thread);
    tcase_add_test(c, a_preset_core_type_is_kept);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
