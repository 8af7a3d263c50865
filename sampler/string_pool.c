#include "sampler/string_pool.h"

#include "common/hash.h"
#include "common/mem.h"
#include "common/panic.h"

#include <stdlib.h>
#include <string.h>

struct string_pool {
    char *data; /* strings back to back, each with its NUL */
    size_t data_len, data_cap;
    uint64_t *start; /* [count] */
    size_t start_cap;
    uint32_t count;
    uint32_t *slots; /* string number + 1; 0: free.  A power of two, at most half full */
    size_t slots_n;
};

string_pool *string_pool_new(void)
{
    return xcalloc(1, sizeof(string_pool));
}

void string_pool_free(string_pool *p)
{
    if (!p) return;
    free(p->data);
    free(p->start);
    free(p->slots);
    free(p);
}

uint32_t string_pool_count(const string_pool *p)
{
    return p->count;
}

const char *string_pool_get(const string_pool *p, uint32_t i)
{
    ASSERT(i < p->count);
    return p->data + p->start[i];
}

size_t string_pool_length(const string_pool *p, uint32_t i)
{
    ASSERT(i < p->count);
    size_t end = i + 1 < p->count ? p->start[i + 1] : p->data_len;
    return end - p->start[i] - 1;
}

/* The slot that holds the string, or the free one where it belongs. */
static size_t find_slot(const string_pool *p, const char *s, size_t n)
{
    size_t mask = p->slots_n - 1;
    size_t at = hash64(s, n, 0) & mask;
    while (p->slots[at]) {
        uint32_t i = p->slots[at] - 1;
        if (string_pool_length(p, i) == n && memcmp(p->data + p->start[i], s, n) == 0) break;
        at = (at + 1) & mask;
    }
    return at;
}

static void rehash(string_pool *p)
{
    free(p->slots);
    p->slots_n = p->slots_n ? p->slots_n * 2 : 64;
    p->slots = xcalloc(p->slots_n, sizeof *p->slots);
    for (uint32_t i = 0; i < p->count; i++) {
        size_t at = find_slot(p, string_pool_get(p, i), string_pool_length(p, i));
        p->slots[at] = i + 1;
    }
}

uint32_t string_pool_find(const string_pool *p, const char *s, size_t n)
{
    if (!p->slots_n) return STRING_POOL_NONE;
    uint32_t held = p->slots[find_slot(p, s, n)];
    return held ? held - 1 : STRING_POOL_NONE;
}

uint32_t string_pool_append(string_pool *p, const char *s, size_t n)
{
    if (p->count == STRING_POOL_NONE) return STRING_POOL_NONE;
    grow(&p->data, &p->data_cap, p->data_len + n + 1, 1);
    grow(&p->start, &p->start_cap, (size_t)p->count + 1, sizeof *p->start);
    if (n) memcpy(p->data + p->data_len, s, n);
    p->data[p->data_len + n] = '\0';
    p->start[p->count] = p->data_len;
    p->data_len += n + 1;
    return p->count++;
}

uint32_t string_pool_intern(string_pool *p, const char *s, size_t n, bool *added)
{
    if (((size_t)p->count + 1) * 2 > p->slots_n) rehash(p);
    size_t at = find_slot(p, s, n);
    if (added) *added = !p->slots[at];
    if (p->slots[at]) return p->slots[at] - 1;
    uint32_t i = string_pool_append(p, s, n);
    if (i != STRING_POOL_NONE) p->slots[at] = i + 1;
    return i;
}
