/* Fuzzes push_decode, the bodies of PUSH, PUT and VOID: everything that a view offers can be read.
 */
#include "common/panic.h"
#include "common/table_codec.h"
#include "testing_fuzz.h"

#include <math.h>

static void read_all(const push_view *v)
{
    double sum = 0;
    for (uint64_t i = 0; i < v->head.dense_floats; i++) sum += (double)v->dense[i];
    for (uint32_t s = 0; s < v->head.sections; s++) {
        const push_section *p = &v->section[s];
        ASSERT(p->dim && table_keys_ascend(p->keys, p->n));
        for (size_t i = 0; i < (size_t)p->n * p->dim; i++) sum += (double)p->rows[i];
    }
    ASSERT(sum != 0.1234567890123); /* Every byte was read. */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    push_view v;
    blob *body = blob_copy(data, size);
    if (push_decode(body, &v) == ERR_OK) {
        ASSERT(isfinite(v.head.loss) && v.head.dense_floats * 4 <= size);
        read_all(&v);
    }
    blob_unref(body);
    return 0;
}
