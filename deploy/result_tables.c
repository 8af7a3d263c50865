#include "deploy/result_tables.h"

#include "common/files.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t file_bytes_max = (size_t)1 << 40;

/* The inverse of tsv_put, in place. */
static void unescape(char *s)
{
    char *to = s;
    for (; *s; s++) {
        if (*s != '\\' || !s[1]) {
            *to++ = *s;
            continue;
        }
        s++;
        *to++ = (char)(*s == 't' ? '\t' : *s == 'n' ? '\n' : *s == 'r' ? '\r' : *s);
    }
    *to = '\0';
}

/* Cuts `line` at its tabs; false: not `columns` fields. */
static bool split(char *line, char **field, size_t columns)
{
    size_t n = 0;
    for (char *rest = line, *f; (f = strsep(&rest, "\t")) != NULL; n++) {
        if (n == columns) return false;
        field[n] = f;
    }
    return n == columns;
}

static err_code bad_line(const char *path, uint64_t line, const char *why)
{
    log_user_error("%s:%" PRIu64 ": %s", path, line, why);
    return ERR_INVALID;
}

static err_code check_header(const char *path, char *line, const char *const *names, size_t columns)
{
    char *field[RESULT_TABLES_COLUMNS_MAX];
    bool good = line && split(line, field, columns);
    for (size_t k = 0; good && k < columns; k++) good = strcmp(field[k], names[k]) == 0;
    return good ? ERR_OK : bad_line(path, 1, "not the columns of this file");
}

static bool is_number(const char *text, uint32_t wanted)
{
    char digits[16];
    snprintf(digits, sizeof digits, "%" PRIu32, wanted);
    return strcmp(text, digits) == 0;
}

static err_code read_rows(const char *path, char *rest, size_t columns, uint32_t rows,
                          const char ***column)
{
    char *field[RESULT_TABLES_COLUMNS_MAX];
    for (uint32_t i = 0; i < rows; i++) {
        char *line = strsep(&rest, "\n");
        uint64_t number = (uint64_t)i + 2;
        if (!split(line, field, columns)) return bad_line(path, number, "wrong number of columns");
        if (!is_number(field[0], i)) return bad_line(path, number, "rows do not count from 0");
        for (size_t k = 1; k < columns; k++) {
            unescape(field[k]);
            column[k - 1][i] = field[k];
        }
    }
    return ERR_OK;
}

static uint64_t count_lines(const char *text)
{
    uint64_t n = 0;
    for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++) n++;
    return n;
}

static err_code allocate(size_t columns, uint64_t rows, const char ***column)
{
    for (size_t k = 0; k + 1 < columns; k++) {
        column[k] = try_calloc(rows + 1, sizeof *column[k]);
        if (!column[k]) return ERR_NO_MEMORY;
    }
    return ERR_OK;
}

err_code result_tables_read(const char *path, const char *const *names, size_t columns, char **text,
                            uint32_t *rows, const char ***column)
{
    size_t bytes;
    ASSERT(columns >= 2 && columns <= RESULT_TABLES_COLUMNS_MAX);
    for (size_t k = 0; k + 1 < columns; k++) column[k] = NULL;
    *text = NULL;
    err_code rc = files_read(path, file_bytes_max, text, &bytes);
    if (rc != ERR_OK) return rc;
    uint64_t lines = count_lines(*text);
    char *rest = *text, *header = lines ? strsep(&rest, "\n") : NULL;
    rc = check_header(path, header, names, columns);
    if (rc == ERR_OK && lines > UINT32_MAX) rc = bad_line(path, lines, "too many lines");
    if (rc == ERR_OK) rc = allocate(columns, lines, column);
    *rows = lines ? (uint32_t)(lines - 1) : 0;
    if (rc == ERR_OK) rc = read_rows(path, rest, columns, *rows, column);
    if (rc == ERR_OK) return ERR_OK;
    for (size_t k = 0; k + 1 < columns; k++) {
        free(column[k]);
        column[k] = NULL;
    }
    free(*text);
    *text = NULL;
    return rc;
}
