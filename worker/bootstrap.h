/* bootstrap.h - percentile intervals over users: 95 %, from resamples that every model shares.
 * Pure; threads: any. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* means [k, resamples] overwritten: the means of the k columns of value [n, k] over n rows drawn
 * with repeats; draws are a function of (key, resample, draw).  count [n]: scratch.  n >= 1. */
void bootstrap_means(double *means, uint32_t *count, const double *value, size_t n, size_t k,
                     size_t resamples, uint64_t key);

/* The values at places [24] and [974] of 1,000 sorted means (other numbers alike); sorts `means`.
 * resamples >= 1. */
void bootstrap_interval(double *lo, double *hi, double *means, size_t resamples);
