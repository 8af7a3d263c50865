/* string_pool.h - distinct strings numbered 0, 1, 2, ... in order of first appearance, back to back
 * in one block, with a hash index over them.
 *
 * About 20 bytes a string besides its text.  Threads: one owner; find and get from any thread once
 * nothing is added any more. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STRING_POOL_NONE UINT32_MAX

typedef struct string_pool string_pool;

string_pool *string_pool_new(void);    /* owned: string_pool_free */
void string_pool_free(string_pool *p); /* accepts NULL */

uint32_t string_pool_count(const string_pool *p);
/* The string numbered i, NUL-terminated; borrowed until the next add or free. */
const char *string_pool_get(const string_pool *p, uint32_t i);
size_t string_pool_length(const string_pool *p, uint32_t i); /* bytes, without the NUL */
/* The number of a string, or STRING_POOL_NONE. */
uint32_t string_pool_find(const string_pool *p, const char *s, size_t n);
/* Finds it or adds it; *added (may be NULL) says which. STRING_POOL_NONE: 2^32 - 1 strings are in
 * it. */
uint32_t string_pool_intern(string_pool *p, const char *s, size_t n, bool *added);
/* Appends without looking for an equal one: for texts, which may repeat.  A pool is filled by
 * intern or by append, never by both. */
uint32_t string_pool_append(string_pool *p, const char *s, size_t n);
