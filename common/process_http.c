#include "common/process_http.h"

#include "common/bytes.h"
#include "common/clock.h"
#include "common/http_server.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/process_metrics.h"
#include "common/prometheus.h"
#include "common/version.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { METRICS_US = 1000000, STATUS_UNAVAILABLE = 503 };
static const char text_plain[] = "text/plain; charset=utf-8";

struct process_http {
    http_server *http;
    core_peer self;
    const op_meter *meter; /* NULL: none yet */
    uint64_t metrics_us;   /* when they were made */
};

static void publish_metrics(process_http *p, bool ready, uint64_t refused)
{
    static const char is_ready[] = "weft_process_ready",
                      turned_away[] = "weft_process_refused_messages_total";
    char role[96];
    bytes_writer b;
    bytes_writer_init(&b);
    snprintf(role, sizeof role, "role=\"%s\",index=\"%" PRIu32 "\"", wire_role_name(p->self.role),
             p->self.index);
    prometheus_family(&b, "weft_process_info", "gauge", "Version of this process.");
    prometheus_sample(&b, "weft_process_info", "version=\"" WEFT_VERSION "\"", 1);
    prometheus_family(&b, is_ready, "gauge", "Whether this process is of use to its job.");
    prometheus_sample(&b, is_ready, role, ready);
    prometheus_family(&b, turned_away, "counter", "Messages that this process turned away.");
    prometheus_sample(&b, turned_away, role, (double)refused);
    if (p->meter) op_meter_write(p->meter, &b);
    process_metrics_write(&b);
    bytes_put_u8(&b, 0);
    http_publish(p->http, "/metrics", PROMETHEUS_CONTENT_TYPE, (const char *)b.data);
    bytes_writer_fini(&b);
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

void process_http_self(process_http *p, core_peer self)
{
    if (!p) return;
    p->self = self;
    publish_metrics(p, false, 0);
}

void process_http_meter(process_http *p, const op_meter *meter)
{
    if (p) p->meter = meter;
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
