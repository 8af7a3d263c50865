/* json.h - a streaming JSON writer into a bytes_writer or a FILE.
 *
 * Commas, nesting and escapes are the writer's business; a wrong order of calls (a value where a
 * key belongs, an end without its begin) is our bug and aborts, and so does a number that is not
 * finite. The text never depends on the locale.  Threads: one owner. */
#pragma once

#include "common/bytes.h"
#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { JSON_DEPTH_MAX = 32 };

typedef enum json_style {
    JSON_STYLE_COMPACT, /* {"a":1,"b":[2,3]} */
    JSON_STYLE_SPACED,  /* {"a": 1, "b": [2, 3]} on one line */
    JSON_STYLE_PRETTY,  /* a line per value, indent 2 */
} json_style;

typedef struct json_writer {
    bytes_writer *bytes; /* one of these two, borrowed until json_finish */
    FILE *file;
    json_style style;
    uint32_t depth;
    bool failed;                   /* a write to `file` failed */
    bool after_key;                /* the next call writes the value of a key */
    uint8_t level[JSON_DEPTH_MAX]; /* JSON_IN_* bits of json.c */
} json_writer;

void json_init_bytes(json_writer *w, bytes_writer *out, json_style style);
void json_init_file(json_writer *w, FILE *out, json_style style);
/* Everything that was begun must be ended.  ERR_IO: a write to the FILE failed (it is not flushed
 * here). */
MUST_USE err_code json_finish(json_writer *w);
/* The same, and ends the line. */
MUST_USE err_code json_finish_line(json_writer *w);
/* Forgets that anything was written, for one more value in the same stream (a line of a .jsonl). */
void json_newline(json_writer *w);

void json_object_begin(json_writer *w);
void json_object_end(json_writer *w);
void json_array_begin(json_writer *w);
void json_array_end(json_writer *w);

void json_key(json_writer *w, const char *key);
/* Invalid UTF-8 becomes U+FFFD.  NULL: null. */
void json_str(json_writer *w, const char *s);
void json_str_n(json_writer *w, const char *s, size_t bytes);
void json_u64(json_writer *w, uint64_t v);
void json_i64(json_writer *w, int64_t v);
void json_metric(json_writer *w, double v);   /* %.6f, never -0.000000 */
void json_number9(json_writer *w, double v);  /* %.9g: losses, learning rates, scores */
void json_number17(json_writer *w, double v); /* %.17g: comes back to the same double */
void json_shortest(json_writer *w, double v, bool is_float); /* fewest digits that come back */
void json_hex64(json_writer *w, uint64_t v);                 /* "16 hex digits" */
void json_bool(json_writer *w, bool v);
void json_nil(json_writer *w);
/* `text` is a complete JSON value and is written as it is. */
void json_raw(json_writer *w, const char *text);

/* Key and value in one call. */
void json_field_string(json_writer *w, const char *key, const char *s);
void json_field_u64(json_writer *w, const char *key, uint64_t v);
void json_field_metric(json_writer *w, const char *key, double v);
void json_field_number9(json_writer *w, const char *key, double v);
void json_field_bool(json_writer *w, const char *key, bool v);

/* The numbers alone, for TSV.  `text` holds JSON_NUMBER_MAX bytes. */
enum { JSON_NUMBER_MAX = 344 };
const char *json_format_metric(char *text, double v);
const char *json_format_number9(char *text, double v);
const char *json_format_shortest(char *text, double v, bool is_float);
