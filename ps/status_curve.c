#include "ps/status_curve.h"

void status_curve_restart(status_curve *c)
{
    c->n = c->skip = 0;
    c->stride = 1;
}

void status_curve_add(status_curve *c, const curve_point *p)
{
    if (c->skip++ % c->stride) return;
    if (c->n == STATUS_CURVE_MAX) {
        for (uint32_t i = 0; i < STATUS_CURVE_MAX / 2; i++) c->point[i] = c->point[2 * i];
        c->n = STATUS_CURVE_MAX / 2;
        c->stride *= 2;
    }
    c->point[c->n++] = *p;
}

void status_curve_cut(status_curve *c, uint32_t step)
{
    while (c->n && c->point[c->n - 1].step > step) c->n--;
}
