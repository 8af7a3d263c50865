/* process_metrics.h - what every process says of itself as Prometheus text: processor time, memory,
 * descriptors, under the names that dashboards know.  Threads: any. */
#pragma once

#include "common/bytes.h"

void process_metrics_write(bytes_writer *b);
