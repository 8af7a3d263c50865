#include "common/tsv.h"

#include <string.h>

/* The letter after the backslash, or 0. */
static char escape_letter(char c)
{
    return (char)(c == '\t' ? 't' : c == '\n' ? 'n' : c == '\r' ? 'r' : c == '\\' ? '\\' : 0);
}

/* The number of bytes at the start that stand for themselves. */
static size_t plain_prefix(const char *s, size_t bytes)
{
    size_t n = 0;
    while (n < bytes && !escape_letter(s[n])) n++;
    return n;
}

void tsv_put(bytes_writer *w, const char *value, size_t bytes)
{
    while (bytes > 0) {
        size_t n = plain_prefix(value, bytes);
        bytes_put(w, value, n);
        if (n < bytes) {
            char pair[2] = {'\\', escape_letter(value[n++])};
            bytes_put(w, pair, sizeof pair);
        }
        value += n;
        bytes -= n;
    }
}

void tsv_write(FILE *file, const char *value, size_t bytes)
{
    while (bytes > 0) {
        size_t n = plain_prefix(value, bytes);
        fwrite(value, 1, n, file);
        if (n < bytes) {
            putc('\\', file);
            putc(escape_letter(value[n++]), file);
        }
        value += n;
        bytes -= n;
    }
}

void tsv_write_in_list(FILE *file, const char *value, size_t bytes)
{
    for (const char *comma; (comma = memchr(value, ',', bytes)) != NULL;) {
        size_t n = (size_t)(comma - value);
        tsv_write(file, value, n);
        fputs("\\x2c", file);
        value += n + 1;
        bytes -= n + 1;
    }
    tsv_write(file, value, bytes);
}

void tsv_write_line(FILE *file, const char *const *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i > 0) putc('\t', file);
        tsv_write(file, values[i], strlen(values[i]));
    }
    putc('\n', file);
}
