#include "deploy/item_table.h"

#include <inttypes.h>
#include <string.h>
#include <utf8proc.h>

enum { ID_COLUMNS = 32, TYPE_COLUMNS = 16, TEXT_COLUMNS = 60 };

/* The character at s: its bytes and columns.  What is no text counts as a space. */
static size_t character(const char *s, size_t *columns, bool *shown)
{
    utf8proc_int32_t c;
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s, -1, &c);
    *shown = n > 0 && c >= 0x20 && c != 0x7f && !(c >= 0x80 && c < 0xa0);
    *columns = *shown ? (size_t)utf8proc_charwidth(c) : 1;
    return n > 0 ? (size_t)n : 1;
}

/* Columns of s, up to `most`. */
static size_t width_of(const char *s, size_t most)
{
    size_t sum = 0, columns;
    bool shown;
    for (size_t n; *s && sum < most; s += n) {
        n = character(s, &columns, &shown);
        sum += columns;
    }
    return sum < most ? sum : most;
}

/* s, cut to `width` columns; returns how many were written. */
static size_t put_cut(const char *s, size_t width, FILE *out)
{
    size_t sum = 0, columns;
    bool shown;
    for (size_t n; *s; s += n, sum += columns) {
        n = character(s, &columns, &shown);
        bool last = s[n] == '\0';
        if (sum + columns > width || (!last && sum + columns == width && width > 1)) {
            fputs("…", out);
            return sum + 1;
        }
        if (shown) {
            fwrite(s, 1, n, out);
        } else {
            fputc(' ', out);
        }
    }
    return sum;
}

static void put_padded(const char *s, size_t width, FILE *out)
{
    for (size_t n = put_cut(s, width, out); n < width; n++) fputc(' ', out);
    fputs("  ", out);
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

void item_table_print(const result_folder *r, const top_items_entry *entry, uint32_t n, FILE *out)
{
    size_t id = strlen("item"), type = strlen("type");
    for (uint32_t i = 0; i < n; i++) {
        id = larger(id, width_of(r->item_id[entry[i].row], ID_COLUMNS));
        type = larger(type, width_of(r->item_type[entry[i].row], TYPE_COLUMNS));
    }
    fputs("rank  ", out);
    put_padded("item", id, out);
    put_padded("type", type, out);
    fputs("  score  text\n", out);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t row = entry[i].row;
        fprintf(out, "%4" PRIu32 "  ", i + 1);
        put_padded(r->item_id[row], id, out);
        put_padded(r->item_type[row], type, out);
        fprintf(out, "%7.4f  ", (double)entry[i].score);
        put_cut(r->item_text[row], TEXT_COLUMNS, out);
        fputc('\n', out);
    }
}

void item_table_json(json_writer *w, const result_folder *r, const top_items_entry *entry,
                     uint32_t n)
{
    json_key(w, "items");
    json_array_begin(w);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t row = entry[i].row;
        json_object_begin(w);
        json_field_u64(w, "rank", i + 1);
        json_field_string(w, "item_id", r->item_id[row]);
        json_field_string(w, "item_type", r->item_type[row]);
        json_field_string(w, "text", r->item_text[row]);
        json_field_number9(w, "score", (double)entry[i].score);
        json_object_end(w);
    }
    json_array_end(w);
}
