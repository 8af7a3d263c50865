/* bytes.h - little-endian encoding into a growing buffer, and checked decoding.
 *
 * A reader never reads past its end: after the first short read `failed` is set, every later get
 * returns zero, and the caller checks once at the end.  Threads: one owner. */
#pragma once

#include "common/blob.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct bytes_writer {
    uint8_t *data; /* owned: bytes_writer_fini */
    size_t len, cap;
} bytes_writer;

void bytes_writer_init(bytes_writer *w);
void bytes_writer_fini(bytes_writer *w);
void bytes_put(bytes_writer *w, const void *data, size_t bytes);
void bytes_put_u8(bytes_writer *w, uint8_t v);
void bytes_put_u16(bytes_writer *w, uint16_t v);
void bytes_put_u32(bytes_writer *w, uint32_t v);
void bytes_put_u64(bytes_writer *w, uint64_t v);
void bytes_put_f32(bytes_writer *w, float v);
void bytes_put_f64(bytes_writer *w, double v);
void bytes_put_string(bytes_writer *w, const char *s); /* u32 length, bytes */
void bytes_align(bytes_writer *w, size_t to);          /* pads with zeros to a multiple of `to` */
/* The content as a blob; the writer is empty afterwards. */
blob *bytes_take_blob(bytes_writer *w);

typedef struct bytes_reader {
    const uint8_t *data;
    size_t len, pos;
    bool failed;
} bytes_reader;

void bytes_reader_init(bytes_reader *r, const void *data, size_t bytes);
uint8_t bytes_get_u8(bytes_reader *r);
uint16_t bytes_get_u16(bytes_reader *r);
uint32_t bytes_get_u32(bytes_reader *r);
uint64_t bytes_get_u64(bytes_reader *r);
float bytes_get_f32(bytes_reader *r);
double bytes_get_f64(bytes_reader *r);
/* `n` items of `size` bytes, borrowed until the data goes, or NULL (failed) if they are not there. */
const void *bytes_get(bytes_reader *r, size_t n, size_t size);
char *bytes_get_string(bytes_reader *r, size_t max); /* owned, NUL-terminated; NULL: failed */
void bytes_skip_align(bytes_reader *r, size_t to);
bool bytes_done(const bytes_reader *r); /* all read and nothing failed */
