#include "common/prometheus.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

enum { LINE_MAX_BYTES = 1024 };

static void line(bytes_writer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void line(bytes_writer *b, const char *format, ...)
{
    char text[LINE_MAX_BYTES];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    bytes_put(b, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

void prometheus_family(bytes_writer *b, const char *name, const char *type, const char *help)
{
    line(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Whole numbers in full: a counter of bytes must not lose its last digits. */
static void value(bytes_writer *b, double v)
{
    line(b, v == floor(v) && fabs(v) < 0x1p53 ? " %.0f\n" : " %.12g\n", v);
}

void prometheus_sample(bytes_writer *b, const char *name, const char *labels, double v)
{
    if (!isfinite(v)) return;
    line(b, *labels ? "%s{%s}" : "%s%s", name, labels);
    value(b, v);
}

void prometheus_single(bytes_writer *b, const char *name, const char *type, const char *help,
                       double v)
{
    if (!isfinite(v)) return;
    prometheus_family(b, name, type, help);
    prometheus_sample(b, name, "", v);
}

void prometheus_histogram(bytes_writer *b, const char *name, const char *labels, const histogram *h)
{
    const char *comma = *labels ? "," : "";
    uint64_t below = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
        below += h->count[i];
        line(b, "%s_bucket{%s%sle=\"%g\"} %" PRIu64 "\n", name, labels, comma, histogram_bound[i],
             below);
    }
    line(b, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, comma, h->n);
    line(b, *labels ? "%s_sum{%s} %.9g\n" : "%s_sum%s %.9g\n", name, labels,
         (double)h->sum_us / 1e6);
    line(b, *labels ? "%s_count{%s} %" PRIu64 "\n" : "%s_count%s %" PRIu64 "\n", name, labels,
         h->n);
}
