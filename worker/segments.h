/* segments.h - which segments a user of a type belongs to, and her values in each.  Any thread. */
#pragma once

#include "worker/candidates.h"

/* Bit s: user i of u is in segment s. */
uint32_t segments_of(const candidates *c, uint32_t type, const evaluation_type_users *u,
                     uint32_t i);

/* Whether a positive counts in a segment (always in a segment of users). */
bool segments_counts(const candidates *c, evaluation_segment s, uint32_t item);

/* value [EVALUATION_METRICS] overwritten: of user i and the positives that count in s (at least
 * one). Returns how many these are.  kept: scratch for her positives. */
size_t segments_value(double *value, uint32_t *kept, const candidates *c, evaluation_segment s,
                      const evaluation_type_users *u, const uint32_t *rank, uint32_t i);
