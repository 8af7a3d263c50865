#include "common/bytes.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "weft runs on little-endian machines");

void bytes_writer_init(bytes_writer *w)
{
    *w = (bytes_writer){0};
}

void bytes_writer_fini(bytes_writer *w)
{
    free(w->data);
    *w = (bytes_writer){0};
}

void bytes_put(bytes_writer *w, const void *data, size_t bytes)
{
    if (!bytes) return;
    grow(&w->data, &w->cap, w->len + bytes, 1);
    memcpy(w->data + w->len, data, bytes);
    w->len += bytes;
}

void bytes_put_u8(bytes_writer *w, uint8_t v)
{
    bytes_put(w, &v, sizeof v);
}

void bytes_put_u16(bytes_writer *w, uint16_t v)
{
    bytes_put(w, &v, sizeof v);
}

void bytes_put_u32(bytes_writer *w, uint32_t v)
{
    bytes_put(w, &v, sizeof v);
}

void bytes_put_u64(bytes_writer *w, uint64_t v)
{
    bytes_put(w, &v, sizeof v);
}

void bytes_put_f32(bytes_writer *w, float v)
{
    bytes_put(w, &v, sizeof v);
}

void bytes_put_f64(bytes_writer *w, double v)
{
    bytes_put(w, &v, sizeof v);
}

void bytes_put_string(bytes_writer *w, const char *s)
{
    size_t n = strlen(s);
    bytes_put_u32(w, (uint32_t)n);
    bytes_put(w, s, n);
}

void bytes_align(bytes_writer *w, size_t to)
{
    static const uint8_t zeros[64];
    size_t over = w->len % to;
    if (over) bytes_put(w, zeros, to - over);
}

blob *bytes_take_blob(bytes_writer *w)
{
    uint8_t *data = w->data ? w->data : xmalloc(1);
    blob *b = blob_wrap(data, w->len, free, data);
    *w = (bytes_writer){0};
    return b;
}

void bytes_reader_init(bytes_reader *r, const void *data, size_t bytes)
{
    *r = (bytes_reader){.data = data, .len = bytes};
}

const void *bytes_get(bytes_reader *r, size_t n, size_t size)
{
    size_t bytes;
    if (r->failed || !size_mul(n, size, &bytes) || bytes > r->len - r->pos) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *p = r->data + r->pos;
    r->pos += bytes;
    return p;
}

#define GETTER(name, type)                                                                         \
    type name(bytes_reader *r)                                                                     \
    {                                                                                              \
        type v = 0;                                                                                \
        const void *p = bytes_get(r, 1, sizeof v);                                                 \
        if (p) memcpy(&v, p, sizeof v);                                                            \
        return v;                                                                                  \
    }
GETTER(bytes_get_u8, uint8_t)
GETTER(bytes_get_u16, uint16_t)
GETTER(bytes_get_u32, uint32_t)
GETTER(bytes_get_u64, uint64_t)
GETTER(bytes_get_f32, float)
GETTER(bytes_get_f64, double)

char *bytes_get_string(bytes_reader *r, size_t max)
{
    size_t n = bytes_get_u32(r);
    if (n > max) r->failed = true;
    const char *s = bytes_get(r, n, 1);
    return s ? xstrndup(s, n) : NULL;
}

void bytes_skip_align(bytes_reader *r, size_t to)
{
    size_t over = r->pos % to;
    if (over) (void)bytes_get(r, to - over, 1);
}

bool bytes_done(const bytes_reader *r)
{
    return !r->failed && r->pos == r->len;
}
