#include "common/cpu.h"

#include <cpuid.h>
#include <stdatomic.h>

static atomic_bool pretend_scalar;

/* clang 14 does not know "f16c" in __builtin_cpu_supports. */
static bool has_f16c(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

/* CPUID is slow, and trapped by hypervisors: once.  0: not asked yet, 1: no, 2: yes. */
static bool detect(void)
{
    static atomic_int answer;
    int known = atomic_load_explicit(&answer, memory_order_relaxed);
    if (known == 0) {
        bool all = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
        known = all ? 2 : 1;
        atomic_store_explicit(&answer, known, memory_order_relaxed);
    }
    return known == 2;
}

bool cpu_has_avx2(void)
{
    return !atomic_load_explicit(&pretend_scalar, memory_order_relaxed) && detect();
}

void cpu_pretend_scalar(bool scalar)
{
    atomic_store(&pretend_scalar, scalar);
}
