/* push_guard.h - whether what a worker pushed can be a gradient at all.  Pure. */
#pragma once

#include "common/table_codec.h"

enum { PUSH_WHY_MAX = 160 };

/* The most examples a slot may claim: the sum is divided by them. */
#define PUSH_EXAMPLES_MAX (UINT64_C(1) << 32)

/* The Euclidean norm of everything in the push; not finite if any of its values is not. */
double push_guard_norm(const push_view *v);

/* False: refused, why[PUSH_WHY_MAX] says what for.  A value that is not finite always is; a norm
 * above max_norm is, unless max_norm is 0 or the rows are put, not trained. */
bool push_guard_accepts(const push_view *v, bool is_put, double max_norm, char *why);
