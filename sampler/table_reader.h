/* table_reader.h - reads a table of text row by row: TSV or CSV (RFC 4180), plain or .gz, with a
 * header line.
 *
 * The name decides the form: .csv and .csv.gz are CSV, .tsv and .tsv.gz TSV; for any other name a
 * tab in the header line means TSV.  TSV has no quoting; \t \r \n and \\ inside a value are undone,
 * any other backslash stands for itself.  Lines end in LF or CRLF; a byte order mark and blank
 * lines at the end are passed over.
 *
 * A malformed row - wrong number of fields, a quote out of place, invalid UTF-8, NUL, or one that
 * the caller rejects - is printed as "file:line:field: what" and ends the reading with ERR_INVALID,
 * or, with skip_bad_rows, is counted and passed over.  `line` counts from 1 (the header), `field`
 * from 1. Threads: one owner. */
#pragma once

#include "common/config.h"

enum {
    TABLE_ROW_BYTES_MAX = 16 << 20, /* one row, also an endless quote */
    TABLE_COLUMNS_MAX = 4096,
    TABLE_ID_BYTES_MAX = 256
};

typedef struct table_reader table_reader;

/* Which fields make a value.  Plain data, filled by table_reader_map; owned: table_column_fini. */
typedef struct table_column {
    uint32_t *fields; /* [fields_n] field numbers from 0 */
    size_t fields_n;  /* 0: a constant, or not mapped */
    char *constant;   /* NULL: none */
    char *joined;     /* scratch of table_reader_value */
    size_t joined_cap;
} table_column;

/* Opens `path` and reads the header.  ERR_NOT_FOUND: no such file.  ERR_INVALID: no or a malformed
 * header.  ERR_IO.  *out is owned: table_reader_close. */
MUST_USE err_code table_reader_open(const char *path, bool skip_bad_rows, table_reader **out);
void table_reader_close(table_reader *r); /* accepts NULL */

size_t table_reader_columns(const table_reader *r);
const char *table_reader_name(const table_reader *r, size_t column); /* borrowed until close */
/* The column of that name; the number of columns when there is none.  *twice (may be NULL): the
 * name stands there more than once. */
size_t table_reader_find(const table_reader *r, const char *name, bool *twice);

/* Resolves a column value of the configuration against the header.  `key`
 * ("data.items.columns.text") names it in errors.  absent_ok: when the value is one header name
 * equal to the last part of `key` (the default) and the header lacks it, the column stays unmapped
 * instead of an error.  An unmapped value is an error unless absent_ok.  ERR_INVALID. */
MUST_USE err_code table_reader_map(const table_reader *r, const config_column *column,
                                   const char *key, bool absent_ok, table_column *out);
bool table_column_mapped(const table_column *c);
void table_column_fini(table_column *c);

/* From now on rows may have more fields than the header (key=value lists). */
void table_reader_allow_more(table_reader *r);

/* Reads the next good row; *more is false at the end.  ERR_INVALID (printed), ERR_IO (printed: also
 * a damaged .gz). */
MUST_USE err_code table_reader_next(table_reader *r, bool *more);

/* Of the current row, borrowed until the next call of table_reader_next: */
size_t table_reader_fields(const table_reader *r);
const char *table_reader_field(const table_reader *r, size_t field,
                               size_t *len); /* NUL-terminated */
/* The value of a mapped column: a field, fields joined by ". " (empty ones left out), or the
 * constant;
 * "" when it is not mapped.  Borrowed until the next value of the same column or the next row. */
const char *table_reader_value(const table_reader *r, table_column *c, size_t *len);
uint64_t table_reader_line(const table_reader *r); /* where it starts */
uint64_t table_reader_row(const table_reader *r); /* from 0, bad rows and blank lines not counted */

/* Rejects the current row because of `column` (NULL: the row as a whole): ERR_OK when bad rows are
 * skipped (counted; the caller goes on with the next one), else printed and ERR_INVALID. */
MUST_USE err_code table_reader_reject(table_reader *r, const table_column *column,
                                      const char *format, ...)
    __attribute__((format(printf, 3, 4)));

uint64_t table_reader_bad_rows(const table_reader *r);
/* "line:field: what" of the first skipped row; NULL: none.  Borrowed until close. */
const char *table_reader_first_bad(const table_reader *r);
/* XXH3 of the bytes read so far, unpacked: after the end, of the whole content, so that a file and
 * its .gz agree. */
uint64_t table_reader_hash(const table_reader *r);
/* The same of a whole file without parsing it.  ERR_NOT_FOUND, ERR_IO. */
MUST_USE err_code table_reader_hash_file(const char *path, uint64_t *out);
