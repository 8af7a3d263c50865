/* Fuzzes the readers of arrays from files: .npy and .safetensors (the first byte chooses).  Every
 * value that a reader offers can be read. */
#include "common/npy.h"
#include "common/panic.h"
#include "common/safetensors.h"
#include "testing_fuzz.h"

static volatile uint8_t sink;

static void read_bytes(const void *data, uint64_t bytes)
{
    uint8_t sum = 0;
    for (uint64_t i = 0; i < bytes; i++) sum ^= ((const uint8_t *)data)[i];
    sink = sum;
}

static void read_npy(const char *path)
{
    npy_array a;
    if (npy_read(path, &a) != ERR_OK) return;
    ASSERT(a.dims == 1 || a.dims == 2);
    ASSERT(a.values == a.shape[0] * a.shape[1]);
    ASSERT((uintptr_t)a.data % npy_type_bytes(a.type) == 0);
    read_bytes(a.data, a.values * npy_type_bytes(a.type));
    npy_fini(&a);
}

static void read_safetensors(const char *path)
{
    safetensors_file *f;
    if (safetensors_open(path, &f) != ERR_OK) return;
    for (size_t i = 0; i < safetensors_count(f); i++) {
        const safetensors_tensor *t = safetensors_at(f, i);
        ASSERT(safetensors_find(f, t->name) == t);
        size_t width = t->type == SAFETENSORS_F32 ? 4 : 2;
        uint64_t values = 1;
        for (size_t k = 0; k < t->dims; k++) values *= t->shape[k];
        ASSERT(values == t->values && (uintptr_t)t->data % width == 0);
        read_bytes(t->data, values * width);
    }
    const char *format = safetensors_metadata(f, "format");
    if (format) sink = (uint8_t)format[0];
    safetensors_close(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size) return 0;
    if (data[0] % 2) {
        read_safetensors(testing_fuzz_file("f.safetensors", data + 1, size - 1));
    } else {
        read_npy(testing_fuzz_file("f.npy", data + 1, size - 1));
    }
    return 0;
}
