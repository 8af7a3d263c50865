/* cpu.h - what this CPU can do.  Threads: any. */
#pragma once

#include <stdbool.h>

/* AVX2, FMA and F16C: what files named *_avx2.c need.  The answer is made once; cpu_pretend_scalar
 * turns it off for tests that compare both variants. */
bool cpu_has_avx2(void);
void cpu_pretend_scalar(bool scalar);
