/* forecast_print.h - a forecast for a person, and as JSON.  Threads: one owner. */
#pragma once

#include "deploy/forecast.h"

#include <stdio.h>

/* ERR_IO. */
MUST_USE err_code forecast_print(const job *j, const outlook *o, const calibration *speed,
                                 const forecast *f, bool json, FILE *out);
