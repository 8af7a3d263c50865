#include "ps/push_guard.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { LANES = 8 };

/* The square of a float fits a double: the sum is finite exactly if all values are. */
static double sum_of_squares(const float *x, size_t n)
{
    double lane[LANES] = {0}, total = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t k = 0; k < LANES; k++) lane[k] += (double)x[i + k] * (double)x[i + k];
    }
    for (; i < n; i++) total += (double)x[i] * (double)x[i];
    for (size_t k = 0; k < LANES; k++) total += lane[k];
    return total;
}

double push_guard_norm(const push_view *v)
{
    double total = sum_of_squares(v->dense, v->head.dense_floats);
    for (uint32_t i = 0; i < v->head.sections; i++) {
        const push_section *x = &v->section[i];
        total += sum_of_squares(x->rows, (size_t)x->n * x->dim);
    }
    return sqrt(total);
}

bool push_guard_accepts(const push_view *v, bool is_put, double max_norm, char *why)
{
    double norm = push_guard_norm(v);
    if (!isfinite(norm)) {
        snprintf(why, PUSH_WHY_MAX, "a value that is not finite");
        return false;
    }
    if (v->head.examples > PUSH_EXAMPLES_MAX) {
        snprintf(why, PUSH_WHY_MAX, "%" PRIu64 " examples in a slot", v->head.examples);
        return false;
    }
    if (is_put || max_norm <= 0 || norm <= max_norm) return true;
    snprintf(why, PUSH_WHY_MAX, "the gradient's norm is %.3g, above security.max_norm %.3g", norm,
             max_norm);
    return false;
}
