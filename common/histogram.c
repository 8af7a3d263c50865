#include "common/histogram.h"

const double histogram_bound[HISTOGRAM_BOUNDS] = {
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
    0.25,   0.5,     1,      2.5,   5,      10,    30,   60,    300};

void histogram_add(histogram *h, uint64_t us)
{
    uint32_t b = 0;
    while (b < HISTOGRAM_BOUNDS && (double)us > histogram_bound[b] * 1e6) b++;
    h->count[b]++;
    h->n++;
    h->sum_us += us;
}
