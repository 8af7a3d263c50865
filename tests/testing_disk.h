/* testing_disk.h - a disk that fails: write, fsync, rename and close of this program.
 *
 * For a program linked with --wrap (tests/CMakeLists.txt names them).  Threads: one. */
#pragma once

typedef enum testing_disk_call {
    TESTING_DISK_NONE,
    TESTING_DISK_WRITE, /* most of what is asked is written first */
    TESTING_DISK_FSYNC,
    TESTING_DISK_RENAME,
    TESTING_DISK_CLOSE,
    TESTING_DISK_CALLS
} testing_disk_call;

/* Lets the n-th such call from now (0: the next) fail with this errno, once. */
void testing_disk_fail(testing_disk_call call, int n, int error);
/* Nothing fails any more.  Returns how often something did since testing_disk_fail. */
int testing_disk_heal(void);
/* Every call of the kind since the last testing_disk_fail or testing_disk_heal. */
int testing_disk_calls(testing_disk_call call);
