#include "common/process.h"

#include "common/panic.h"

#include <stdio.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

uint64_t process_incarnation(void)
{
    uint64_t v = 0;
    while (!v) {
        ssize_t n = getrandom(&v, sizeof v, 0);
        ASSERT(n == sizeof v);
    }
    return v;
}

uint64_t process_rss_bytes(void)
{
    unsigned long total = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f) return 0;
    if (fscanf(f, "%lu %lu", &total, &resident) != 2) resident = 0;
    fclose(f);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t process_peak_rss_bytes(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)usage.ru_maxrss * 1024u;
}

double process_cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}
