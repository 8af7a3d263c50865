#include "common/process_http.h"

#include "common/bytes.h"
#include "common/clock.h"
#include "common/http_server.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/process.h"
#include "common/version.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { METRICS_US = 1000000, TEXT_MAX = 2048, STATUS_UNAVAILABLE = 503 };
static const char text_plain[] = "text/plain; charset=utf-8";

struct process_http {
    http_server *http;
    core_peer self;
    uint64_t metrics_us; /* when they were made */
};

static uint32_t open_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    uint32_t n = 0;
    while (dir && readdir(dir)) n++;
    if (dir) closedir(dir);
    return n > 3 ? n - 3 : 0; /* less ".", ".." and the folder itself */
}

static void publish_metrics(process_http *p, bool ready, uint64_t refused)
{
    char text[TEXT_MAX], role[96];
    snprintf(role, sizeof role, "{role=\"%s\",index=\"%" PRIu32 "\"}", wire_role_name(p->self.role),
             p->self.index);
    snprintf(text, sizeof text,
             "# HELP process_cpu_seconds_total Processor time used by this process.\n"
             "# TYPE process_cpu_seconds_total counter\n"
             "process_cpu_seconds_total %.2f\n"
             "# HELP process_resident_memory_bytes Memory resident now.\n"
             "# TYPE process_resident_memory_bytes gauge\n"
             "process_resident_memory_bytes %" PRIu64 "\n"
             "# HELP process_open_fds Open file descriptors.\n"
             "# TYPE process_open_fds gauge\n"
             "process_open_fds %" PRIu32 "\n"
             "# HELP weft_process_ready Whether this process is of use to its job.\n"
             "# TYPE weft_process_ready gauge\n"
             "weft_process_ready%s %d\n"
             "# HELP weft_process_refused_messages_total Messages that this process turned away.\n"
             "# TYPE weft_process_refused_messages_total counter\n"
             "weft_process_refused_messages_total%s %" PRIu64 "\n",
             process_cpu_seconds(), process_rss_bytes(), open_files(), role, ready, role, refused);
    http_publish(p->http, "/metrics", "text/plain; version=0.0.4; charset=utf-8", text);
    p->metrics_us = clock_now_us();
}

err_code process_http_start(const char *bind, core_peer self, process_http **out)
{
    char url[64];
    http_options o = {.bind = bind, .health_only = true};
    *out = NULL;
    if (!bind[0]) return ERR_OK;
    process_http *p = xcalloc(1, sizeof *p);
    p->self = self;
    err_code rc = http_start(&o, &p->http, url);
    if (rc != ERR_OK) {
        free(p);
        return rc;
    }
    log_info("status_endpoint", "url=%s", url);
    process_http_waits(p, "starting");
    publish_metrics(p, false, 0);
    *out = p;
    return ERR_OK;
}

void process_http_stop(process_http *p)
{
    if (!p) return;
    http_stop(p->http);
    free(p);
}

void process_http_waits(process_http *p, const char *what)
{
    if (!p) return;
    char *text = xprintf("%s\n", what);
    http_publish(p->http, "/healthz", text_plain, "ok\n");
    http_publish_status(p->http, "/readyz", text_plain, text, STATUS_UNAVAILABLE, 0);
    free(text);
}

void process_http_turn(process_http *p, bool ready, uint64_t refused)
{
    if (!p) return;
    http_publish_status(p->http, "/healthz", text_plain, "ok\n", 200, PROCESS_HTTP_HANGS_MS);
    if (ready)
        http_publish_status(p->http, "/readyz", text_plain, "ready\n", 200, PROCESS_HTTP_HANGS_MS);
    else
        http_publish_status(p->http, "/readyz", text_plain, "not in use by the job yet\n",
                            STATUS_UNAVAILABLE, 0);
    if (clock_now_us() - p->metrics_us >= METRICS_US) publish_metrics(p, ready, refused);
}
