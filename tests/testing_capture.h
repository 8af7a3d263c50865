/* testing_capture.h - what a piece of code writes to stderr.  Threads: one at a time. */
#pragma once

void capture_begin(void);
/* The text since capture_begin, borrowed until the next one; at most 64 KiB of it. */
const char *capture_end(void);
