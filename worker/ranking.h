/* ranking.h - exact ranks and top lists of one row of scores.
 *
 * score [n], tie [n] distinct.  A candidate is better if its score is higher, or equal and its tie
 * lower. -infinity marks what is not a candidate.  No NaN.  Pure; threads: any. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* 1 + the number of candidates better than candidate c. */
uint32_t ranking_rank(const float *score, const uint32_t *tie, size_t n, size_t c);

/* list [k] overwritten: the best candidates, best first; returns how many there are (at most k). */
size_t ranking_top(uint32_t *list, const float *score, const uint32_t *tie, size_t n, size_t k);
