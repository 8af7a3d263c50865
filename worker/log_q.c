#include "worker/log_q.h"

#include "common/vmath.h"

float log_q_of(const log_q_input *in, uint32_t type, uint32_t train)
{
    double positives = 0, total = 0, slots = 0;
    for (uint32_t k = 0; k < in->types; k++) {
        if (!in->all && k != type) continue;
        positives += in->positives[k];
        total += (double)in->train[k];
        slots += (double)in->positives[k] + in->uniform[k];
    }
    double share = train / (total > 0 ? total : 1);
    double drawn = in->catalogue[type] ? (double)in->uniform[type] / in->catalogue[type] : 0;
    double q = positives * share + drawn;
    return (float)vmath_log(q > 0 ? q / slots : 1e-12);
}
