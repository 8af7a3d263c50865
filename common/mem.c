#include "common/mem.h"

#include "common/panic.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool size_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

void *try_malloc(size_t n, size_t size)
{
    size_t bytes;
    if (!size_mul(n, size, &bytes)) return NULL;
    return malloc(bytes ? bytes : 1);
}

void *try_calloc(size_t n, size_t size)
{
    return calloc(n ? n : 1, size ? size : 1);
}

void *try_realloc(void *p, size_t n, size_t size)
{
    size_t bytes;
    if (!size_mul(n, size, &bytes)) return NULL;
    return realloc(p, bytes ? bytes : 1);
}

void *try_aligned(size_t n, size_t size)
{
    size_t bytes;
    if (!size_mul(n, size, &bytes) || bytes > SIZE_MAX - 64) return NULL;
    return aligned_alloc(64, bytes ? (bytes + 63) / 64 * 64 : 64);
}

static void *must(void *p)
{
    if (!p) panic(__FILE__, __LINE__, "out of memory");
    return p;
}

void *xmalloc(size_t bytes)
{
    return must(try_malloc(bytes, 1));
}

void *xcalloc(size_t n, size_t size)
{
    return must(try_calloc(n, size));
}

void *xrealloc(void *p, size_t n, size_t size)
{
    return must(try_realloc(p, n, size));
}

char *xstrdup(const char *s)
{
    return xstrndup(s, strlen(s));
}

char *xstrndup(const char *s, size_t n)
{
    char *copy = xmalloc(n + 1);
    memcpy(copy, s, n);
    copy[n] = 0;
    return copy;
}

char *xprintf(const char *format, ...)
{
    va_list args;
    char *text = NULL;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    ASSERT(n >= 0);
    return text;
}

void grow(void *p, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap) return;
    size_t n = *cap ? *cap : 16;
    while (n < need) n *= 2;
    void *block;
    memcpy(&block, p, sizeof block);
    block = xrealloc(block, n, size);
    memcpy(p, &block, sizeof block);
    *cap = n;
}
