#include "testing_gradient.h"

#include "common/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void gradient_fill(float *x, size_t n, uint64_t seed, float scale)
{
    for (size_t i = 0; i < n; i++) x[i] = scale * rng_normal(seed, i, 0);
}

static double loss_at(double (*loss)(void *), void *context, float *x, const float *saved,
                      const float *d, size_t n, float h)
{
    for (size_t i = 0; i < n; i++) x[i] = saved[i] + h * d[i];
    return loss(context);
}

static double relative(double numeric, double analytic, double floor)
{
    double scale = fmax(fmax(fabs(numeric), fabs(analytic)), floor);
    return fabs(numeric - analytic) / scale;
}

/* A kink (relu, max, hinge) between x and x + h or x - h spoils one side only: the best of the
 * central and the two one-sided differences counts. */
static double error_along(double (*loss)(void *), void *context, float *x, const float *saved,
                          const float *d, size_t n, float h, double analytic, double floor)
{
    double up = loss_at(loss, context, x, saved, d, n, h);
    double down = loss_at(loss, context, x, saved, d, n, -h);
    double here = loss_at(loss, context, x, saved, d, n, 0), step = (double)h;
    double error = relative((up - down) / (2 * step), analytic, floor);
    error = fmin(error, relative((up - here) / step, analytic, floor));
    return fmin(error, relative((here - down) / step, analytic, floor));
}

double gradient_error(double (*loss)(void *context), void *context, float *x, const float *grad,
                      size_t n, float h, size_t directions, double floor)
{
    float *saved = malloc((n + 1) * sizeof *saved), *d = malloc((n + 1) * sizeof *d);
    double worst = 0;
    memcpy(saved, x, n * sizeof *x);
    for (size_t k = 0; k < directions + (n <= 64 ? n : 0); k++) {
        double length = 0, analytic = 0;
        for (size_t i = 0; i < n; i++) {
            d[i] = k < directions ? rng_normal(1000 + k, i, 7) : (float)(k - directions == i);
            length += (double)d[i] * (double)d[i];
        }
        for (size_t i = 0; i < n; i++) {
            d[i] = (float)((double)d[i] / sqrt(length));
            analytic += (double)d[i] * (double)grad[i];
        }
        worst = fmax(worst, error_along(loss, context, x, saved, d, n, h, analytic, floor));
    }
    memcpy(x, saved, n * sizeof *x);
    free(saved);
    free(d);
    return worst;
}
