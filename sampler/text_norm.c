#include "sampler/text_norm.h"

#include "common/mem.h"
#include "common/panic.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { FOLD = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT };

/* A copy in which each byte that starts no valid sequence is U+FFFD. */
static uint8_t *repaired(const uint8_t *text, size_t bytes)
{
    uint8_t *out = xmalloc(3 * bytes + 1);
    size_t n = 0;
    for (size_t i = 0; i < bytes;) {
        utf8proc_int32_t point;
        utf8proc_ssize_t step = utf8proc_iterate(text + i, (utf8proc_ssize_t)(bytes - i), &point);
        if (step <= 0) {
            memcpy(out + n, "\xEF\xBF\xBD", 3);
            n += 3;
            i++;
            continue;
        }
        memcpy(out + n, text + i, (size_t)step);
        n += (size_t)step;
        i += (size_t)step;
    }
    out[n] = 0;
    return out;
}

static uint8_t *mapped(const char *text, int options)
{
    const uint8_t *bytes = (const uint8_t *)text;
    utf8proc_uint8_t *out = NULL;
    utf8proc_ssize_t n =
        utf8proc_map(bytes, 0, &out, (utf8proc_option_t)(options | UTF8PROC_NULLTERM));
    if (n == UTF8PROC_ERROR_INVALIDUTF8) {
        uint8_t *valid = repaired(bytes, strlen(text));
        n = utf8proc_map(valid, 0, &out, (utf8proc_option_t)(options | UTF8PROC_NULLTERM));
        free(valid);
    }
    ASSERT(n >= 0 && out); /* only memory is left as a cause */
    return out;
}

char *text_norm_nfkc(const char *text)
{
    return (char *)mapped(text, FOLD);
}

int32_t *text_norm_folded(const char *text, size_t *n)
{
    uint8_t *folded = mapped(text, FOLD | UTF8PROC_CASEFOLD);
    size_t bytes = strlen((char *)folded);
    int32_t *points = xmalloc((bytes + 1) * sizeof *points);
    *n = 0;
    for (size_t i = 0; i < bytes;) {
        utf8proc_ssize_t step =
            utf8proc_iterate(folded + i, (utf8proc_ssize_t)(bytes - i), &points[*n]);
        ASSERT(step > 0);
        i += (size_t)step;
        (*n)++;
    }
    free(folded);
    return points;
}

bool text_norm_is_blank(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text > ' ' && *text != 127) return false;
    }
    return true;
}
