/* err.h - the codes a function returns when the world (a peer, a disk, an operator) fails it.
 *
 * One code per reaction of the caller, not one per cause.  The place that detects the cause logs it
 * once, naming file, line, key or peer, and returns the code; callers do not log it again. */
#pragma once

#define MUST_USE __attribute__((warn_unused_result))

typedef enum err_code {
    ERR_OK = 0,
    ERR_INVALID,   /* input, config or message is malformed: the operator must change it */
    ERR_MISMATCH,  /* well formed, but of another plan, version or numerics */
    ERR_NOT_FOUND, /* a file, key or row that was asked for does not exist */
    ERR_IO,        /* a system call failed */
    ERR_CORRUPT,   /* stored bytes do not match their checksum or format */
    ERR_LIMIT,     /* a named limit would be exceeded */
    ERR_NO_MEMORY, /* memory whose size comes from a config or a peer */
    ERR_CLOSED,    /* the peer or resource is gone */
    ERR_STOPPED,   /* a signal asked to stop */
} err_code;

/* The name of `code`, static: "ok", "invalid", ... */
const char *err_name(err_code code);

/* The exit code of a command that ends with `code`: 0, 2 for INVALID and MISMATCH, 1 otherwise. */
int err_exit(err_code code);
