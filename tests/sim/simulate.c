/* Runs simulated clusters with faults under many seeds, on every core, and stops at the first that
 * goes wrong.
 *
 *     simulate FIRST LAST [RULE]     e.g.  simulate 1 1000000
 *
 * RULE: the number of a rule (core.h) that is switched off, which is to go wrong.  Says every ten
 * seconds how far it is.  A seed that failed is run again, with every message, by
 * test_simulation --seed N --trace. */
#include "sim/sim_seeds.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCESSES_MAX = 256, LOOK_US = 100000, SAY_EVERY = 100 };

/* What a process has done so far; it alone writes, and what is read meanwhile is only shown. */
typedef struct share {
    volatile uint64_t done, events, rollbacks, saves, dropped, faults;
    volatile uint64_t seed; /* that is running */
    uint64_t failed;        /* seed */
    char why[512];
} share;

static bool run_seed(const sim_seeds *seeds, uint64_t seed, uint64_t off, share *x)
{
    sim_result r;
    x->seed = seed;
    bool ok = sim_seeds_run(seeds, seed, off, false, &r);
    x->done++;
    x->events += r.events;
    x->rollbacks += r.rollbacks;
    x->saves += r.saves;
    x->dropped += r.dropped;
    x->faults += r.faults;
    if (ok) return true;
    x->failed = seed;
    memcpy(x->why, r.why, sizeof x->why);
    return false;
}

static pid_t start(share *x, uint64_t first, uint64_t last, uint64_t step, uint64_t off)
{
    pid_t parent = getpid(), pid = fork();
    if (pid) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    sim_seeds *seeds = sim_seeds_new();
    bool ok = true;
    for (uint64_t seed = first; ok && seed <= last; seed += step)
        ok = run_seed(seeds, seed, off, x);
    sim_seeds_free(seeds);
    _exit(ok ? 0 : 1);
}

static share sum(const share *x, uint32_t n)
{
    share all = {0};
    for (uint32_t i = 0; i < n; i++) {
        all.done += x[i].done;
        all.events += x[i].events;
        all.rollbacks += x[i].rollbacks;
        all.saves += x[i].saves;
        all.dropped += x[i].dropped;
        all.faults += x[i].faults;
    }
    return all;
}

/* Waits for all; the first that does not end with 0 ends the others, too. */
static bool wait_for(pid_t *pid, const share *x, uint32_t n, uint64_t seeds)
{
    bool ok = true;
    uint32_t left = n, looks = 0;
    while (left) {
        int status;
        for (uint32_t i = 0; i < n; i++) {
            if (pid[i] <= 0 || waitpid(pid[i], &status, WNOHANG) != pid[i]) continue;
            pid[i] = 0;
            left--;
            if (status) ok = false;
            if (status && !x[i].failed)
                fprintf(stderr, "seed %" PRIu64 ": it ended with status %#x\n", x[i].seed,
                        (unsigned)status);
        }
        for (uint32_t i = 0; !ok && i < n; i++) {
            if (pid[i] > 0) kill(pid[i], SIGKILL);
        }
        if (++looks % SAY_EVERY == 0)
            fprintf(stderr, "%" PRIu64 " of %" PRIu64 " seeds\n", sum(x, n).done, seeds);
        usleep(LOOK_US);
    }
    return ok;
}

int main(int argc, char **argv)
{
    bool good = argc == 3 || argc == 4;
    uint64_t first = good ? strtoull(argv[1], NULL, 10) : 0;
    uint64_t last = good ? strtoull(argv[2], NULL, 10) : 0;
    uint64_t off = argc == 4 ? UINT64_C(1) << (strtoull(argv[3], NULL, 10) & 63) : 0;
    if (!first || last < first) {
        fprintf(stderr, "usage: simulate FIRST LAST [RULE]\n");
        return 2;
    }
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t n = cores < 1 ? 1 : cores > PROCESSES_MAX ? PROCESSES_MAX : (uint32_t)cores;
    share *x = mmap(NULL, n * sizeof *x, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (x == MAP_FAILED) {
        perror("simulate");
        return 1;
    }
    pid_t pid[PROCESSES_MAX];
    for (uint32_t i = 0; i < n; i++) {
        pid[i] = start(&x[i], first + i, last, n, off);
        if (pid[i] < 0) {
            perror("simulate");
            return 1;
        }
    }
    bool ok = wait_for(pid, x, n, last - first + 1);
    share all = sum(x, n);
    printf("%" PRIu64 " seeds, %" PRIu64 " events, %" PRIu64 " faults, %" PRIu64
           " messages lost, %" PRIu64 " rollbacks, %" PRIu64 " snapshots\n",
           all.done, all.events, all.faults, all.dropped, all.rollbacks, all.saves);
    for (uint32_t i = 0; i < n; i++) {
        if (x[i].failed)
            printf("seed %" PRIu64 ": %s (again: test_simulation --seed %" PRIu64 " --trace)\n",
                   x[i].failed, x[i].why, x[i].failed);
    }
    return ok ? 0 : 1;
}
