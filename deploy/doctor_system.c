/* Limits, CPU, numerics and clock (doctor.h). */
#include "common/clock.h"
#include "common/cpu.h"
#include "common/numerics.h"
#include "deploy/doctor.h"
#include "deploy/forecast.h"
#include "deploy/units_print.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/timex.h>
#include <unistd.h>

/* Descriptors of a process besides those per peer and partition. */
enum { FILES_BASE = 64, FILES_PEER = 2, FILES_PARTITION = 1 };
enum { YEAR_2024 = 1704067200, STACK_MIN = 1 << 20 };

static void check_limit(doctor *d, const char *name, __rlimit_resource_t which, double need,
                        const char *what)
{
    struct rlimit l;
    char have[UNITS_TEXT], want[UNITS_TEXT];
    if (getrlimit(which, &l) != 0) {
        doctor_add(d, name, DOCTOR_WARN, "getrlimit: %s", strerror(errno));
    } else if (l.rlim_cur == RLIM_INFINITY) {
        doctor_add(d, name, DOCTOR_OK, "unlimited");
    } else {
        bool ok = (double)l.rlim_cur >= need;
        doctor_add(d, name, ok ? DOCTOR_OK : DOCTOR_FAIL, "%s of %s, at least %s are needed%s",
                   units_bytes(have, (double)l.rlim_cur), what, units_bytes(want, need),
                   ok ? "" : ": raise it with ulimit, or LimitXXX= in a unit");
    }
}

/* The process with most of them: a server or sampler that everybody calls. */
static void check_files(doctor *d)
{
    const config *c = d->config;
    struct rlimit l;
    uint64_t partitions = c->graph.partitions / c->cluster.samplers + 1;
    uint64_t peers = (uint64_t)c->cluster.workers + c->cluster.samplers + c->cluster.servers;
    uint64_t need = FILES_BASE + FILES_PEER * peers + FILES_PARTITION * partitions;
    if (getrlimit(RLIMIT_NOFILE, &l) != 0) {
        doctor_add(d, "nofile", DOCTOR_WARN, "getrlimit: %s", strerror(errno));
        return;
    }
    bool ok = l.rlim_cur >= need;
    doctor_add(d, "nofile", ok ? DOCTOR_OK : DOCTOR_FAIL,
               "%llu open files, a process needs up to %llu%s", (unsigned long long)l.rlim_cur,
               (unsigned long long)need, ok ? "" : ": ulimit -n, or LimitNOFILE= in a unit");
}

static void check_processes(doctor *d)
{
    const config *c = d->config;
    struct rlimit l;
    uint64_t need = 8 + (uint64_t)c->cluster.workers * (5 + c->cluster.threads) +
                    4 * ((uint64_t)c->cluster.samplers + c->cluster.servers);
    if (getrlimit(RLIMIT_NPROC, &l) != 0 || geteuid() == 0) return; /* it does not hold for root */
    bool ok = l.rlim_cur >= need;
    doctor_add(d, "nproc", ok ? DOCTOR_OK : DOCTOR_FAIL, "%llu threads, the job has about %llu%s",
               (unsigned long long)l.rlim_cur, (unsigned long long)need,
               ok ? "" : ": ulimit -u, or TasksMax= in a unit");
}

/* Nothing is locked by us; a small limit only keeps libsodium from locking the secrets. */
static void check_memlock(doctor *d)
{
    struct rlimit l;
    char text[UNITS_TEXT];
    if (getrlimit(RLIMIT_MEMLOCK, &l) != 0) return;
    bool keys = *d->config->security.keys != 0;
    bool small = l.rlim_cur != RLIM_INFINITY && l.rlim_cur < 65536;
    doctor_add(d, "memlock", keys && small ? DOCTOR_WARN : DOCTOR_OK, "%s%s",
               l.rlim_cur == RLIM_INFINITY ? "unlimited" : units_bytes(text, (double)l.rlim_cur),
               keys && small ? ": secret keys may reach swap" : ", little is needed");
}

static void check_cpu(doctor *d)
{
    const config *c = d->config;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t wanted = (uint64_t)c->cluster.workers * c->cluster.threads;
    bool local = forecast_is_one_machine(c);
    bool over = local && cores > 0 && wanted > (uint64_t)cores;
    doctor_add(d, "cores", over ? DOCTOR_WARN : DOCTOR_OK, "%ld, workers compute on %llu threads%s",
               cores, (unsigned long long)wanted,
               over ? ": fewer cluster.workers or cluster.threads are as fast" : "");
    doctor_add(d, "cpu", cpu_has_avx2() ? DOCTOR_OK : DOCTOR_WARN, "%s",
               cpu_has_avx2()
                   ? "AVX2, FMA and F16C"
                   : "without AVX2: its results differ from other machines', and it is slow");
    bool same = strcasecmp(numerics_core(), c->train.core_type) == 0;
    doctor_add(d, "numerics", same ? DOCTOR_OK : DOCTOR_WARN, "%s%s%s", numerics_id(),
               same ? "" : "; train.core_type is ", same ? "" : c->train.core_type);
}

static void check_clock(doctor *d)
{
    struct timex t = {0};
    int state = adjtimex(&t);
    char now[21];
    uint64_t wall = clock_wall_s();
    clock_iso(wall, now);
    if (wall < YEAR_2024) {
        doctor_add(d, "clock", DOCTOR_WARN, "%s: logs and reports would carry it", now);
    } else if (state < 0 || t.status & STA_UNSYNC) {
        doctor_add(d, "clock", DOCTOR_WARN,
                   "%s, not synchronised (no NTP): logs of several machines will not line up; "
                   "training does not read it",
                   now);
    } else {
        doctor_add(d, "clock", DOCTOR_OK, "%s, synchronised within %ld ms", now, t.maxerror / 1000);
    }
}

void doctor_system(doctor *d)
{
    check_files(d);
    check_processes(d);
    check_memlock(d);
    check_limit(d, "stack", RLIMIT_STACK, STACK_MIN, "stack");
    check_limit(d, "file size", RLIMIT_FSIZE, 1e9, "file size");
    check_limit(d, "address", RLIMIT_AS, 16e9, "address space (LMDB maps files)");
    check_cpu(d);
    check_clock(d);
}
