/* Fuzzes microbatch_decode: any bytes are refused or decode into something that encodes to a body
 * of the same size. */
#include "common/log.h"
#include "common/microbatch.h"
#include "common/panic.h"
#include "testing_plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static blob *encode_again(const microbatch *b)
{
    blob *body = NULL;
    err_code rc = ERR_OK;
    if (b->kind == MICROBATCH_GRAPH) {
        rc = microbatch_encode_graph(b->name, b->graph, b->chunks, &body);
    } else if (b->kind == MICROBATCH_TOWER) {
        rc = microbatch_encode_tower(b->name, b->tower, b->chunks, &body);
    } else {
        rc = microbatch_encode_items(b->name, b->first, b->count, &body);
    }
    ASSERT(rc == ERR_OK);
    return body;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static manifest *m;
    if (!m) {
        log_set_level(LOG_ERROR);
        m = testing_plan_manifest();
    }
    blob *body = blob_copy(data, size);
    microbatch *b;
    if (body && microbatch_decode(m, body, &b) == ERR_OK) {
        blob *again = encode_again(b);
        /* A body may hold a weights flag without an edge: the second is never larger. */
        ASSERT(blob_size(again) <= blob_size(body));
        blob_unref(again);
        microbatch_free(b);
    }
    blob_unref(body);
    return 0;
}
