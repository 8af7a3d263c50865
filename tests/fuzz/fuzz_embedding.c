/* Fuzzes answers of /v1/embeddings: the first byte is the number of texts, the second the width. */
#include "common/mem.h"
#include "common/panic.h"
#include "sampler/embedding_answer.h"
#include "testing_fuzz.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    testing_fuzz_input in = {data, size};
    size_t n = 1 + (size_t)testing_fuzz_number(&in, 1) % 8;
    uint32_t dim = (uint32_t)testing_fuzz_number(&in, 1) % 8, asked = dim;
    char why[EMBEDDING_WHY_MAX] = "";
    if (dim == 0) n = 1;
    float *out = xcalloc(n * (dim ? dim : EMBEDDING_DIM_MAX), sizeof *out);
    const char *body = (const char *)in.data;
    err_code rc = embedding_answer_decode(body, in.size, n, &dim, out, why);
    ASSERT(rc == ERR_OK || (memchr(why, 0, sizeof why) && *why && dim == asked));
    for (size_t i = 0; rc == ERR_OK && i < n * dim; i++) ASSERT(isfinite(out[i]));
    embedding_answer_error(body, in.size, why);
    for (size_t i = 0; why[i]; i++) ASSERT((unsigned char)why[i] >= ' ' && why[i] != '"');
    free(out);
    return 0;
}
