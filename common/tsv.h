/* tsv.h - writing tab-separated values: no quoting; tab, CR, LF and backslash inside a value are
 * written \t \r \n \\.  Numbers are formatted by json_format_*.  Threads: one owner. */
#pragma once

#include "common/bytes.h"

#include <stddef.h>
#include <stdio.h>

/* Appends one escaped value, without a separator. */
void tsv_put(bytes_writer *w, const char *value, size_t bytes);
/* The same to a FILE; a failed write shows in ferror(). */
void tsv_write(FILE *file, const char *value, size_t bytes);
/* A value in a list whose separator is a comma: a comma inside it is written \x2c. */
void tsv_write_in_list(FILE *file, const char *value, size_t bytes);
/* A whole line of n values, tabs between them and a line feed after them. */
void tsv_write_line(FILE *file, const char *const *values, size_t n);
