/* mem.h - allocation.  x*: small control structures, abort when memory runs out.  try_*: anything
 * whose size comes from a config, a file or a peer; NULL when it cannot be had or n * size overflows.
 * All blocks are released with free().  Threads: any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

void *xmalloc(size_t bytes);
void *xcalloc(size_t n, size_t size);         /* zeroed */
void *xrealloc(void *p, size_t n, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xprintf(const char *format, ...) __attribute__((format(printf, 1, 2))); /* owned: free() */

void *try_malloc(size_t n, size_t size);
void *try_calloc(size_t n, size_t size);
void *try_realloc(void *p, size_t n, size_t size); /* on NULL the old block is untouched */
void *try_aligned(size_t n, size_t size);          /* 64-byte aligned, for arrays of kernels */

/* *out = a * b; false when it does not fit. */
bool size_mul(size_t a, size_t b, size_t *out);

/* Grows *p (capacity *cap items of `size` bytes) so that it holds at least `need` items: doubles.
 * Aborts when memory runs out. */
void grow(void *p, size_t *cap, size_t need, size_t size);
