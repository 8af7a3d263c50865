#include "common/cpu.h"

#include <stdatomic.h>

static atomic_bool pretend_scalar;

bool cpu_has_avx2(void)
{
    return !atomic_load_explicit(&pretend_scalar, memory_order_relaxed) &&
           __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("f16c");
}

void cpu_pretend_scalar(bool scalar)
{
    atomic_store(&pretend_scalar, scalar);
}
