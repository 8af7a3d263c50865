/* forecast_print.h - a forecast for a person, as JSON, and for an alert.  Threads: one owner. */
#pragma once

#include "deploy/forecast.h"

#include <stdio.h>

/* ERR_IO. */
MUST_USE err_code forecast_print(const job *j, const outlook *o, const calibration *speed,
                                 const forecast *f, bool json, FILE *out);
/* Prometheus rules that record the memory of each role of a job: what the alert
 * WeftMemoryOverPlan compares with (deploy/monitoring).  ERR_IO. */
MUST_USE err_code forecast_print_rules(const forecast *f, FILE *out);
