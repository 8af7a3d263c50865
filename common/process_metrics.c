#include "common/process_metrics.h"

#include "common/process.h"
#include "common/prometheus.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static double open_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    double n = -1; /* the one that reads */
    if (!d) return (double)NAN;
    for (const struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* Ticks since the boot are the 20th number after the name, which may hold anything but its end. */
static double start_seconds(void)
{
    char text[1024] = "", line[128];
    unsigned long long ticks = 0, boot = 0;
    FILE *f = fopen("/proc/self/stat", "re");
    if (!f) return (double)NAN;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    const char *at = strrchr(text, ')');
    for (int i = 0; at && i < 20; i++) at = strchr(at + 1, ' ');
    if (!at || sscanf(at, "%llu", &ticks) != 1) return (double)NAN;
    f = fopen("/proc/stat", "re");
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "btime %llu", &boot) == 1) break;
    }
    if (f) fclose(f);
    return boot ? (double)boot + (double)ticks / (double)sysconf(_SC_CLK_TCK) : (double)NAN;
}

void process_metrics_write(bytes_writer *b)
{
    struct rlimit fds = {0};
    getrlimit(RLIMIT_NOFILE, &fds);
    prometheus_single(b, "process_cpu_seconds_total", "counter", "Processor time used.",
                      process_cpu_seconds());
    prometheus_single(b, "process_resident_memory_bytes", "gauge", "Resident memory.",
                      (double)process_rss_bytes());
    prometheus_single(b, "process_start_time_seconds", "gauge", "When the process started.",
                      start_seconds());
    prometheus_single(b, "process_open_fds", "gauge", "Open descriptors.", open_fds());
    prometheus_single(b, "process_max_fds", "gauge", "Most descriptors that may be open.",
                      (double)fds.rlim_cur);
}
