/* testing_files.h - a folder of its own for a test, and what a call printed to stderr. */
#pragma once

#include <stddef.h>

/* Makes a temporary folder and enters it; for setup and teardown of a checked fixture. */
void testing_enter_folder(void);
void testing_leave_folder(void);

void testing_put(const char *path, const void *data, size_t n);
void testing_put_text(const char *path, const char *text);
char *testing_get_text(const char *path,
                       size_t *n); /* owned: free; NUL-terminated; n may be NULL */

/* Between the two calls stderr is kept; the text is borrowed until the next end. */
void testing_capture_start(void);
const char *testing_capture_end(void);
/* Fails the test unless `text` holds `part`. */
void testing_expect_part(const char *text, const char *part);
