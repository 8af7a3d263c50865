/* process_http.h - the small status endpoint of a server, sampler or worker, for whoever supervises
 * it.
 *
 *     /healthz   200 while the thread that runs the core comes round, 503 when it has not for long;
 *                depends on no other process
 *     /readyz    200 when the process is of use to its job, else 503 and what it waits for
 *     /metrics   what the process uses, and how long requests take, Prometheus text
 *
 * Nothing here needs a token: it says nothing about the job.  Threads: one owner, which is to start
 * it with the signals blocked that it wants for itself. */
#pragma once

#include "common/core.h"
#include "common/op_meter.h"

typedef struct process_http process_http;

enum { PROCESS_HTTP_HANGS_MS = 120000 }; /* /healthz: this long without a turn */

/* Starts it at `bind` ("127.0.0.1:0") and logs the address; bind "": *out is NULL.  ERR_INVALID,
 * ERR_IO (printed).  *out owned: process_http_stop. */
MUST_USE err_code process_http_start(const char *bind, core_peer self, process_http **out);
void process_http_stop(process_http *p); /* accepts NULL, as all below */
/* Who this is, once that is known: a worker learns its index from the scheduler. */
void process_http_self(process_http *p, core_peer self);
/* What the core is asked and asks is told at /metrics, too; borrowed until process_http_stop. */
void process_http_meter(process_http *p, const op_meter *meter);
/* Not ready yet; `what` is said at /readyz.  A wait does not count as hanging. */
void process_http_waits(process_http *p, const char *what);
/* The core's thread comes round (every SHELL_IDLE_MS). */
void process_http_turn(process_http *p, bool ready, uint64_t refused);
