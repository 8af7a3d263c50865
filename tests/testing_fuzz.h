/* testing_fuzz.h - what fuzz targets share: bytes as a file, bytes cut into pieces.
 *
 * Targets are linked so that log lines and messages to a person go nowhere (tests/CMakeLists.txt).
 */
#pragma once

#include "common/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Writes a file of this name into a folder that goes with the process.  Borrowed until the next
 * call. */
const char *testing_fuzz_file(const char *name, const uint8_t *data, size_t size);
/* That folder; static. */
const char *testing_fuzz_folder(void);

/* Takes pieces off the front of the input. */
typedef struct testing_fuzz_input {
    const uint8_t *data;
    size_t size;
} testing_fuzz_input;

/* Little-endian; 0 when nothing is left. */
uint64_t testing_fuzz_number(testing_fuzz_input *in, size_t bytes);
/* At most `bytes`; *got says how many. */
const uint8_t *testing_fuzz_bytes(testing_fuzz_input *in, size_t bytes, size_t *got);
/* The whole rest as a NUL-terminated string, owned: free. */
char *testing_fuzz_text(testing_fuzz_input *in);

/* Spoils a copy of good bytes as the whole rest of the input says: numbers and bytes of it changed,
 * cut, continued, or other bytes altogether (these three only if `may_resize`).  Owned: free. */
uint8_t *testing_fuzz_spoil(testing_fuzz_input *in, const uint8_t *good, size_t size,
                            bool may_resize, size_t *out_size);

/* Writes a small data set into that folder and prepares it: 60 items of three types, 40 users, four
 * partitions.  Static. */
const config *testing_fuzz_prepared(const char **store_folder);
