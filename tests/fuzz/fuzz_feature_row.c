/* Fuzzes the decoders of FEATURES requests and replies, in both storages: the first byte chooses.
 */
#include "common/feature_row.h"
#include "common/log.h"
#include "common/panic.h"
#include "testing_plan.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode_reply(const manifest *m, const blob *body)
{
    feature_row_reply r;
    if (feature_row_decode_reply(m, body, &r) != ERR_OK) return;
    float text[8];
    for (uint32_t i = 0; i < r.nodes; i++) {
        feature_row_text(text, &r, i);
        ASSERT(isfinite(text[0]) || r.storage == STORAGE_INT8);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static manifest *m;
    if (!m) {
        log_set_level(LOG_ERROR);
        m = testing_plan_manifest();
    }
    if (!size) return 0;
    blob *body = blob_copy(data + 1, size - 1);
    feature_row_request q;
    if (data[0] % 3 == 2) {
        if (feature_row_decode_request(m, body, &q) == ERR_OK && q.nodes) {
            ASSERT(q.node[q.nodes - 1] < m->items);
        }
    } else {
        m->storage = data[0] % 3 ? STORAGE_INT8 : STORAGE_F16;
        decode_reply(m, body);
    }
    blob_unref(body);
    return 0;
}
