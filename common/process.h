/* process.h - what this process is and uses: identity, memory.  Threads: any. */
#pragma once

#include <stdint.h>

uint64_t process_incarnation(void); /* random, never 0: names one life of a process */
uint64_t process_rss_bytes(void);   /* resident now */
uint64_t process_peak_rss_bytes(void);
double process_cpu_seconds(void); /* user and system, so far */
