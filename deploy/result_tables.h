/* result_tables.h - reads a table of an exported folder: header, then `row` and further columns.
 * Threads: any. */
#pragma once

#include "common/err.h"

#include <stddef.h>
#include <stdint.h>

enum { RESULT_TABLES_COLUMNS_MAX = 4 };

/* The file `path` with exactly these columns, of which the first is the row's number.  column[k]
 * [rows] (k from 0 for the second column) points into *text; both owned (free), on error NULL.
 * ERR_NOT_FOUND, ERR_IO, ERR_NO_MEMORY, ERR_INVALID (printed with the line). */
MUST_USE err_code result_tables_read(const char *path, const char *const *names, size_t columns,
                                     char **text, uint32_t *rows, const char ***column);
