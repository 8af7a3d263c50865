#include "common/json.h"

#include "common/panic.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { JSON_IN_OBJECT = 1, JSON_NOT_EMPTY = 2 };

static void put(json_writer *w, const char *text, size_t bytes)
{
    if (w->bytes) {
        bytes_put(w->bytes, text, bytes);
    } else if (fwrite(text, 1, bytes, w->file) != bytes) {
        w->failed = true;
    }
}

static void put_text(json_writer *w, const char *text)
{
    put(w, text, strlen(text));
}

static void put_indent(json_writer *w)
{
    if (w->style != JSON_STYLE_PRETTY) return;
    put_text(w, "\n");
    for (uint32_t i = 1; i < w->depth; i++) put_text(w, "  ");
}

/* What stands before the next key or array element. */
static void separate(json_writer *w)
{
    uint8_t *level = &w->level[w->depth - 1];
    if (*level & JSON_NOT_EMPTY) put_text(w, w->style == JSON_STYLE_SPACED ? ", " : ",");
    *level |= JSON_NOT_EMPTY;
    put_indent(w);
}

static void before_value(json_writer *w)
{
    ASSERT(w->depth > 0);
    uint8_t *level = &w->level[w->depth - 1];
    if (w->depth == 1) { /* the document: one value */
        ASSERT(!(*level & JSON_NOT_EMPTY));
        *level |= JSON_NOT_EMPTY;
    } else if (*level & JSON_IN_OBJECT) {
        ASSERT(w->after_key);
        w->after_key = false;
    } else {
        separate(w);
    }
}

static void init(json_writer *w, json_style style)
{
    *w = (json_writer){.style = style, .depth = 1};
}

void json_init_bytes(json_writer *w, bytes_writer *out, json_style style)
{
    init(w, style);
    w->bytes = out;
}

void json_init_file(json_writer *w, FILE *out, json_style style)
{
    init(w, style);
    w->file = out;
}

err_code json_finish(json_writer *w)
{
    ASSERT(w->depth == 1 && (w->level[0] & JSON_NOT_EMPTY));
    return w->failed ? ERR_IO : ERR_OK;
}

err_code json_finish_line(json_writer *w)
{
    put_text(w, "\n");
    return json_finish(w);
}

void json_newline(json_writer *w)
{
    ASSERT(w->depth == 1 && (w->level[0] & JSON_NOT_EMPTY));
    put_text(w, "\n");
    w->level[0] = 0;
}

static void begin(json_writer *w, const char *bracket, uint8_t level)
{
    before_value(w);
    ASSERT(w->depth < JSON_DEPTH_MAX);
    w->level[w->depth++] = level;
    put_text(w, bracket);
}

static void end(json_writer *w, const char *bracket, uint8_t level)
{
    ASSERT(w->depth > 1 && !w->after_key);
    uint8_t was = w->level[--w->depth];
    ASSERT((was & JSON_IN_OBJECT) == level);
    if (was & JSON_NOT_EMPTY) put_indent(w);
    put_text(w, bracket);
}

void json_object_begin(json_writer *w)
{
    begin(w, "{", JSON_IN_OBJECT);
}

void json_object_end(json_writer *w)
{
    end(w, "}", JSON_IN_OBJECT);
}

void json_array_begin(json_writer *w)
{
    begin(w, "[", 0);
}

void json_array_end(json_writer *w)
{
    end(w, "]", 0);
}

/* The length of the well-formed UTF-8 sequence at s, or 0.  No overlong forms, no surrogates. */
static size_t utf8_length(const unsigned char *s, size_t left)
{
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (n == 0 || n > left || s[0] > 0xf4) return 0;
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
    }
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f)) return 0;
    if ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f)) return 0;
    return n;
}

static void put_escape(json_writer *w, unsigned char c)
{
    static const char named[] = "\"\\\b\f\n\r\t";
    static const char letters[] = "\"\\bfnrt";
    const char *at = c ? strchr(named, c) : NULL;
    char text[8];
    if (at) {
        snprintf(text, sizeof text, "\\%c", letters[at - named]);
    } else {
        snprintf(text, sizeof text, "\\u%04x", c);
    }
    put_text(w, text);
}

static void put_quoted(json_writer *w, const char *s, size_t bytes)
{
    const unsigned char *u = (const unsigned char *)s;
    put_text(w, "\"");
    for (size_t i = 0, start = 0; start < bytes;) {
        size_t n = 1;
        while (i < bytes && u[i] >= 0x20 && u[i] != '"' && u[i] != '\\' && u[i] != 0x7f &&
               (n = utf8_length(u + i, bytes - i)) > 0) {
            i += n;
        }
        put(w, s + start, i - start);
        if (i < bytes) {
            if (u[i] < 0x80) {
                put_escape(w, u[i]);
            } else {
                put_text(w, "\xef\xbf\xbd");
            }
            i++;
        }
        start = i;
    }
    put_text(w, "\"");
}

void json_key(json_writer *w, const char *key)
{
    ASSERT(w->depth > 1 && (w->level[w->depth - 1] & JSON_IN_OBJECT) && !w->after_key);
    separate(w);
    put_quoted(w, key, strlen(key));
    put_text(w, w->style == JSON_STYLE_COMPACT ? ":" : ": ");
    w->after_key = true;
}

void json_str(json_writer *w, const char *s)
{
    if (s) {
        json_str_n(w, s, strlen(s));
    } else {
        json_nil(w);
    }
}

void json_str_n(json_writer *w, const char *s, size_t bytes)
{
    before_value(w);
    put_quoted(w, s, bytes);
}

void json_u64(json_writer *w, uint64_t v)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, v);
    json_raw(w, text);
}

void json_i64(json_writer *w, int64_t v)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, v);
    json_raw(w, text);
}

/* snprintf writes the locale's decimal point, which may be any text: it becomes ".". */
static const char *format_number(char *text, const char *format, int digits, double v)
{
    ASSERT(isfinite(v));
    char raw[JSON_NUMBER_MAX];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(raw, sizeof raw, format, digits, v);
#pragma GCC diagnostic pop
    size_t n = 0;
    for (const char *s = raw; *s; s++) {
        if (strchr("0123456789+-e", *s)) {
            text[n++] = *s;
        } else if (n == 0 || text[n - 1] != '.') {
            text[n++] = '.';
        }
    }
    text[n] = 0;
    return text;
}

const char *json_format_metric(char *text, double v)
{
    format_number(text, "%.*f", 6, v);
    if (strcmp(text, "-0.000000") == 0) memmove(text, text + 1, strlen(text));
    return text;
}

const char *json_format_number9(char *text, double v)
{
    return format_number(text, "%.*g", 9, v == 0 ? 0 : v);
}

const char *json_format_shortest(char *text, double v, bool is_float)
{
    int most = is_float ? 9 : 17;
    for (int digits = 1; digits <= most; digits++) {
        char raw[64];
        snprintf(raw, sizeof raw, "%.*g", digits, v);
        bool same = is_float ? strtof(raw, NULL) == (float)v : strtod(raw, NULL) == v;
        if (same || digits == most) return format_number(text, "%.*g", digits, v == 0 ? 0 : v);
    }
    UNREACHABLE();
}

void json_metric(json_writer *w, double v)
{
    char text[JSON_NUMBER_MAX];
    json_raw(w, json_format_metric(text, v));
}

void json_number9(json_writer *w, double v)
{
    char text[JSON_NUMBER_MAX];
    json_raw(w, json_format_number9(text, v));
}

void json_number17(json_writer *w, double v)
{
    char text[JSON_NUMBER_MAX];
    json_raw(w, format_number(text, "%.*g", 17, v == 0 ? 0 : v));
}

void json_shortest(json_writer *w, double v, bool is_float)
{
    char text[JSON_NUMBER_MAX];
    json_raw(w, json_format_shortest(text, v, is_float));
}

void json_hex64(json_writer *w, uint64_t v)
{
    char text[20];
    snprintf(text, sizeof text, "\"%016" PRIx64 "\"", v);
    json_raw(w, text);
}

void json_bool(json_writer *w, bool v)
{
    json_raw(w, v ? "true" : "false");
}

void json_nil(json_writer *w)
{
    json_raw(w, "null");
}

void json_raw(json_writer *w, const char *text)
{
    before_value(w);
    put_text(w, text);
}

void json_field_string(json_writer *w, const char *key, const char *s)
{
    json_key(w, key);
    json_str(w, s);
}

void json_field_u64(json_writer *w, const char *key, uint64_t v)
{
    json_key(w, key);
    json_u64(w, v);
}

void json_field_metric(json_writer *w, const char *key, double v)
{
    json_key(w, key);
    json_metric(w, v);
}

void json_field_number9(json_writer *w, const char *key, double v)
{
    json_key(w, key);
    json_number9(w, v);
}

void json_field_bool(json_writer *w, const char *key, bool v)
{
    json_key(w, key);
    json_bool(w, v);
}
