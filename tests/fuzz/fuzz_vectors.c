/* Fuzzes precomputed text vectors: an array with its ids in a file or in its metadata.  The first
 * byte chooses, the next two say where the ids begin. */
#include "common/mem.h"
#include "common/panic.h"
#include "sampler/vector_file.h"
#include "testing_fuzz.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    testing_fuzz_input in = {data, size};
    uint64_t choice = testing_fuzz_number(&in, 1);
    size_t got;
    uint64_t bytes = testing_fuzz_number(&in, 2);
    const uint8_t *array = testing_fuzz_bytes(&in, bytes, &got);
    vector_file *f;
    char *ids = xstrdup(testing_fuzz_file("ids", in.data, in.size));
    const char *path = testing_fuzz_file(choice & 1 ? "v.npy" : "v.safetensors", array, got);
    if (vector_file_open(path, choice & 2 ? ids : NULL, &f) == ERR_OK) {
        bool found;
        float *row = xcalloc(vector_file_dim(f), sizeof *row);
        err_code rc = vector_file_get(f, "a", row, &found);
        ASSERT(rc == ERR_OK || (rc == ERR_INVALID && found));
        free(row);
        vector_file_close(f);
    }
    free(ids);
    return 0;
}
