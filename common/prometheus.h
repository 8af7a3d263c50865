/* prometheus.h - Prometheus' text format, version 0.0.4.
 *
 * A family is announced once and its samples follow it.  Threads: one owner. */
#pragma once

#include "common/bytes.h"
#include "common/histogram.h"

#define PROMETHEUS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* type: "gauge", "counter", "histogram".  help is one line. */
void prometheus_family(bytes_writer *b, const char *name, const char *type, const char *help);
/* labels: `role="ps",index="1"`, values without quotes or backslashes; "": none.  A
 * value that is not finite is left out. */
void prometheus_sample(bytes_writer *b, const char *name, const char *labels, double v);
/* A family of one sample. */
void prometheus_single(bytes_writer *b, const char *name, const char *type, const char *help,
                       double v);
/* The buckets, sum and count of a histogram, of a family of that type. */
void prometheus_histogram(bytes_writer *b, const char *name, const char *labels,
                          const histogram *h);
