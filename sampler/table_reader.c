#include "sampler/table_reader.h"

#include "common/hash.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { CHUNK_BYTES = 256 << 10, MESSAGE_BYTES = 1024, NAMES_SHOWN_BYTES = 400 };

typedef struct span {
    char *text; /* into the buffer, NUL-terminated */
    size_t len;
} span;

struct table_reader {
    char *path;
    gzFile file;
    bool csv, skip_bad_rows, allow_more, eof;
    /* Unpacked bytes: [pos, end) is not parsed yet; cap >= end + 1. */
    char *buf;
    size_t pos, end, cap;
    hash_stream *hash;
    uint64_t next_line; /* of buf[pos] */
    /* The current row. */
    span *fields;
    size_t fields_n, fields_cap;
    uint64_t line, rows;
    /* The header. */
    char **names;
    size_t names_n;
    uint64_t bad_rows;
    char *first_bad;
    char count_problem[96]; /* of the current row */
};

/* --- bytes --- */

static err_code open_file(const char *path, gzFile *out)
{
    errno = 0;
    *out = gzopen(path, "rb");
    if (*out) {
        (void)gzbuffer(*out, 128 << 10);
        return ERR_OK;
    }
    int code = errno;
    log_user_error("%s: %s", path, code ? strerror(code) : "no memory to open it");
    return code == ENOENT || code == ENOTDIR ? ERR_NOT_FOUND : ERR_IO;
}

/* Reads up to n bytes; 0 at the end.  A .gz that ends early is an error, not an end. */
static err_code read_bytes(gzFile file, const char *path, void *to, unsigned n, size_t *got)
{
    errno = 0;
    int r = gzread(file, to, n);
    int code;
    const char *what = gzerror(file, &code);
    if (r < 0 || (r == 0 && code != Z_OK && code != Z_STREAM_END)) {
        log_user_error("%s: %s", path, code == Z_ERRNO && errno ? strerror(errno) : what);
        return ERR_IO;
    }
    *got = (size_t)r;
    return ERR_OK;
}

static err_code fill(table_reader *r)
{
    if (r->pos) memmove(r->buf, r->buf + r->pos, r->end - r->pos);
    r->end -= r->pos;
    r->pos = 0;
    grow(&r->buf, &r->cap, r->end + CHUNK_BYTES + 1, 1);
    size_t got;
    err_code rc = read_bytes(r->file, r->path, r->buf + r->end, CHUNK_BYTES, &got);
    if (rc != ERR_OK) return rc;
    hash_stream_add(r->hash, r->buf + r->end, got);
    r->end += got;
    r->eof = got == 0;
    return ERR_OK;
}

/* --- bad rows --- */

static err_code bad_row(table_reader *r, size_t field, const char *what)
{
    r->bad_rows++;
    if (!r->skip_bad_rows) {
        log_user_error("%s:%llu:%zu: %s", r->path, (unsigned long long)r->line, field, what);
        return ERR_INVALID;
    }
    if (!r->first_bad) {
        r->first_bad = xprintf("%llu:%zu: %s", (unsigned long long)r->line, field, what);
    }
    return ERR_OK;
}

err_code table_reader_reject(table_reader *r, const table_column *column, const char *format, ...)
{
    char text[MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ASSERT(r->rows > 0);
    r->rows--;
    return bad_row(r, column && column->fields_n ? column->fields[0] + 1 : 1, text);
}

/* --- rows --- */

/* The end of the CSV row that starts at p: its LF, or NULL when it is not in [p, end). */
static char *csv_row_end(char *p, char *end)
{
    enum { FIELD_START, PLAIN, QUOTED, QUOTE_SEEN } state = FIELD_START;
    for (; p < end; p++) {
        if (*p == '"' && state == FIELD_START) {
            state = QUOTED;
        } else if (state == QUOTED) {
            if (*p == '"') state = QUOTE_SEEN;
        } else if (*p == '\n') {
            return p;
        } else if (*p == '"' && state == QUOTE_SEEN) {
            state = QUOTED;
        } else {
            state = *p == ',' ? FIELD_START : PLAIN;
        }
    }
    return NULL;
}

/* Finds the row that starts at pos: [pos, pos + *len), its line end not counted.  *more is false at
 * the end of the file. */
static err_code find_row(table_reader *r, size_t *len, size_t *next, bool *more)
{
    for (;;) {
        char *start = r->buf + r->pos, *end = r->buf + r->end;
        char *stop = NULL;
        if (r->end > r->pos) {
            stop = r->csv ? csv_row_end(start, end) : memchr(start, '\n', r->end - r->pos);
        }
        if (stop || (r->eof && r->end > r->pos)) {
            *len = (size_t)((stop ? stop : end) - start);
            *next = r->pos + *len + (stop ? 1 : 0);
            if (*len && start[*len - 1] == '\r') --*len;
            *more = true;
            return ERR_OK;
        }
        *more = false;
        if (r->eof) return ERR_OK;
        if (r->end - r->pos > TABLE_ROW_BYTES_MAX) {
            log_user_error("%s:%llu:1: the row is longer than %d bytes (an open quote?)", r->path,
                           (unsigned long long)r->next_line, TABLE_ROW_BYTES_MAX);
            return ERR_INVALID;
        }
        err_code rc = fill(r);
        if (rc != ERR_OK) return rc;
    }
}

static void add_field(table_reader *r, char *text, size_t len)
{
    grow(&r->fields, &r->fields_cap, r->fields_n + 1, sizeof *r->fields);
    r->fields[r->fields_n++] = (span){text, len};
    text[len] = '\0';
}

/* Undoes \t \r \n \\ in place; returns the new length. */
static size_t tsv_unescape(char *s, size_t len)
{
    if (!memchr(s, '\\', len)) return len;
    size_t out = 0;
    for (size_t i = 0; i < len; i++) {
        static const char from[] = "trn\\", to[] = "\t\r\n\\";
        const char *f = s[i] == '\\' && i + 1 < len && s[i + 1] ? strchr(from, s[i + 1]) : NULL;
        s[out++] = f ? to[f - from] : s[i];
        if (f) i++;
    }
    return out;
}

static void split_tsv(table_reader *r, char *row, size_t len)
{
    char *end = row + len;
    for (;;) {
        char *tab = memchr(row, '\t', (size_t)(end - row));
        char *stop = tab ? tab : end;
        add_field(r, row, tsv_unescape(row, (size_t)(stop - row)));
        if (!tab) return;
        row = tab + 1;
    }
}

/* Reads the quoted field after its opening quote, in place.  NULL: it has no end. */
static char *csv_quoted(char *p, const char *end, size_t *len)
{
    char *out = p, *start = p;
    for (; p < end; p++) {
        if (*p == '"') {
            if (p + 1 >= end || p[1] != '"') {
                *len = (size_t)(out - start);
                return p + 1;
            }
            p++;
        }
        *out++ = *p;
    }
    return NULL;
}

/* NULL, or what is wrong with the field after those that were added. */
static const char *split_csv(table_reader *r, char *row, size_t len)
{
    char *end = row + len;
    for (;;) {
        char *text = row, *stop;
        size_t n;
        if (row < end && *row == '"') {
            text = row + 1;
            stop = csv_quoted(text, end, &n);
            if (!stop) return "the quote is not closed";
            if (stop < end && *stop != ',') return "text after the closing quote";
        } else {
            char *comma = memchr(row, ',', (size_t)(end - row));
            stop = comma ? comma : end;
            n = (size_t)(stop - row);
            if (memchr(row, '"', n)) return "a quote inside a field that is not quoted";
        }
        bool last = stop == end;
        add_field(r, text, n);
        if (last) return NULL;
        row = stop + 1;
    }
}

static bool ascii(const unsigned char *s, size_t n)
{
    unsigned char any = 0, zero = 0;
    for (size_t i = 0; i < n; i++) {
        any |= s[i];
        zero |= (unsigned char)(s[i] == 0);
    }
    return any < 0x80 && !zero;
}

/* Bytes of the UTF-8 character at s (n left), 0 when it is none.  Overlong forms, surrogates and
 * what lies beyond U+10FFFF are none. */
static size_t utf8_length(const unsigned char *s, size_t n)
{
    if (s[0] < 0x80) return 1;
    size_t k = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2;
    if (s[0] < 0xC2 || s[0] > 0xF4 || k > n) return 0;
    for (size_t i = 1; i < k; i++) {
        if ((s[i] & 0xC0) != 0x80) return 0;
    }
    if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F)) return 0;
    if ((s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F)) return 0;
    return k;
}

static const char *text_problem(const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    if (ascii(s, n)) return NULL;
    for (size_t i = 0; i < n;) {
        if (!s[i]) return "a NUL byte";
        size_t k = utf8_length(s + i, n - i);
        if (!k) return "invalid UTF-8";
        i += k;
    }
    return NULL;
}

/* What is wrong with the current row, and in which field (from 1); NULL: nothing. */
static const char *row_problem(table_reader *r, size_t *field)
{
    for (size_t i = 0; i < r->fields_n; i++) {
        const char *what = text_problem(r->fields[i].text, r->fields[i].len);
        *field = i + 1;
        if (what) return what;
    }
    *field = r->fields_n < r->names_n ? r->fields_n + 1 : r->names_n + 1;
    if (!r->names_n) return NULL; /* the header itself */
    bool few = r->fields_n < r->names_n;
    if (!few && (r->allow_more || r->fields_n == r->names_n)) return NULL;
    snprintf(r->count_problem, sizeof r->count_problem, "too %s fields: %zu, the header has %zu",
             few ? "few" : "many", r->fields_n, r->names_n);
    return r->count_problem;
}

/* Reads one row of the file, good or bad: *what is NULL for a good one. */
static err_code read_row(table_reader *r, bool *more, const char **what, size_t *field)
{
    size_t len = 0, next = 0;
    err_code rc = find_row(r, &len, &next, more);
    if (rc != ERR_OK || !*more) return rc;
    char *row = r->buf + r->pos;
    r->line = r->next_line;
    for (char *p = row, *end = r->buf + next; (p = memchr(p, '\n', (size_t)(end - p))); p++) {
        r->next_line++;
        if (p + 1 == end) break;
    }
    r->pos = next;
    r->fields_n = 0;
    *what = NULL;
    if (r->csv) {
        *what = split_csv(r, row, len);
        *field = r->fields_n + 1;
    } else {
        split_tsv(r, row, len);
    }
    if (!*what) *what = row_problem(r, field);
    return ERR_OK;
}

static bool is_blank(const table_reader *r)
{
    return r->fields_n == 1 && r->fields[0].len == 0;
}

err_code table_reader_next(table_reader *r, bool *more)
{
    uint64_t blank_line = 0, blanks = 0;
    for (;;) {
        const char *what;
        size_t field;
        err_code rc = read_row(r, more, &what, &field);
        if (rc != ERR_OK || !*more) return rc;
        if (is_blank(r)) { /* an error only when a row follows */
            if (!blanks++) blank_line = r->line;
            continue;
        }
        if (blanks) {
            uint64_t line = r->line;
            r->line = blank_line;
            rc = bad_row(r, 1, "a blank line");
            r->line = line;
            r->bad_rows += blanks - 1;
            blanks = 0;
        }
        if (rc == ERR_OK && what) rc = bad_row(r, field, what);
        if (rc != ERR_OK) return rc;
        if (!what) break;
    }
    r->rows++;
    return ERR_OK;
}

/* --- open --- */

static bool ends_with(const char *s, size_t n, const char *tail)
{
    size_t k = strlen(tail);
    return n >= k && memcmp(s + n - k, tail, k) == 0;
}

static bool detect_csv(const table_reader *r)
{
    size_t n = strlen(r->path);
    if (ends_with(r->path, n, ".gz")) n -= 3;
    if (ends_with(r->path, n, ".csv")) return true;
    if (ends_with(r->path, n, ".tsv")) return false;
    const char *line_end = memchr(r->buf, '\n', r->end);
    size_t len = line_end ? (size_t)(line_end - r->buf) : r->end;
    return !memchr(r->buf, '\t', len);
}

static err_code read_header(table_reader *r)
{
    err_code rc = fill(r);
    if (rc != ERR_OK) return rc;
    if (r->end >= 3 && memcmp(r->buf, "\xEF\xBB\xBF", 3) == 0) r->pos = 3;
    r->csv = detect_csv(r);
    bool more;
    const char *what = NULL;
    size_t field = 1;
    rc = read_row(r, &more, &what, &field);
    if (rc != ERR_OK) return rc;
    if (!more || is_blank(r)) {
        r->line = 1;
        what = "no header line";
        field = 1;
    } else if (r->fields_n > TABLE_COLUMNS_MAX) {
        what = "too many columns";
    }
    if (what) {
        r->skip_bad_rows = false;
        return bad_row(r, field, what);
    }
    r->names = xcalloc(r->fields_n, sizeof *r->names);
    for (size_t i = 0; i < r->fields_n; i++) {
        r->names[i] = xstrndup(r->fields[i].text, r->fields[i].len);
    }
    r->names_n = r->fields_n;
    return ERR_OK;
}

err_code table_reader_open(const char *path, bool skip_bad_rows, table_reader **out)
{
    table_reader *r = xcalloc(1, sizeof *r);
    r->path = xstrdup(path);
    r->skip_bad_rows = skip_bad_rows;
    r->next_line = 1;
    r->hash = hash_stream_new(0);
    err_code rc = open_file(path, &r->file);
    if (rc == ERR_OK) rc = read_header(r);
    if (rc != ERR_OK) {
        table_reader_close(r);
        r = NULL;
    }
    *out = r;
    return rc;
}

void table_reader_close(table_reader *r)
{
    if (!r) return;
    if (r->file) (void)gzclose_r(r->file);
    for (size_t i = 0; i < r->names_n; i++) free(r->names[i]);
    free(r->names);
    free(r->fields);
    free(r->buf);
    free(r->path);
    free(r->first_bad);
    hash_stream_free(r->hash);
    free(r);
}

/* --- columns --- */

size_t table_reader_columns(const table_reader *r)
{
    return r->names_n;
}

const char *table_reader_name(const table_reader *r, size_t column)
{
    ASSERT(column < r->names_n);
    return r->names[column];
}

size_t table_reader_find(const table_reader *r, const char *name, bool *twice)
{
    size_t found = r->names_n;
    if (twice) *twice = false;
    for (size_t i = 0; i < r->names_n; i++) {
        if (strcmp(r->names[i], name) != 0) continue;
        if (found < r->names_n) {
            if (twice) *twice = true;
            break;
        }
        found = i;
    }
    return found;
}

/* Says what the header has instead. */
static void say_no_column(const table_reader *r, const char *name, const char *key)
{
    char list[NAMES_SHOWN_BYTES] = "";
    size_t len = 0, shown = 0;
    if (r->names_n == 1 && strpbrk(r->names[0], r->csv ? "\t;|" : ",;|")) {
        log_user_error(
            "%s:1: no column \"%s\" (%s); the header is one column, `%.60s`: columns are "
            "separated by %s",
            r->path, name, key, r->names[0],
            r->csv ? "commas in a .csv" : "tabs in a .tsv, by commas in a .csv");
        return;
    }
    for (; shown < r->names_n; shown++) {
        size_t more = strlen(r->names[shown]) + 2;
        if (len + more >= sizeof list) break;
        len += (size_t)snprintf(list + len, sizeof list - len, "%s%s", shown ? ", " : "",
                                r->names[shown]);
    }
    log_user_error("%s:1: no column \"%s\" (%s); the header has %s%s", r->path, name, key, list,
                   shown < r->names_n ? ", ..." : "");
}

static bool is_default(const config_column *column, const char *key)
{
    const char *dot = strrchr(key, '.');
    return column->names.n == 1 && strcmp(column->names.items[0], dot ? dot + 1 : key) == 0;
}

err_code table_reader_map(const table_reader *r, const config_column *column, const char *key,
                          bool absent_ok, table_column *out)
{
    *out = (table_column){0};
    if (column->constant) {
        out->constant = xstrdup(column->constant);
        return ERR_OK;
    }
    if (!column->names.n && !absent_ok) {
        log_user_error("%s: a column must be named", key);
        return ERR_INVALID;
    }
    out->fields = xcalloc(column->names.n + 1, sizeof *out->fields);
    for (size_t i = 0; i < column->names.n; i++) {
        const char *name = column->names.items[i];
        bool twice;
        size_t at = table_reader_find(r, name, &twice);
        bool absent = at == r->names_n;
        if (absent && absent_ok && is_default(column, key)) break;
        if (absent) say_no_column(r, name, key);
        if (twice) log_user_error("%s:1: more than one column \"%s\" (%s)", r->path, name, key);
        if (absent || twice) {
            table_column_fini(out);
            return ERR_INVALID;
        }
        out->fields[out->fields_n++] = (uint32_t)at;
    }
    return ERR_OK;
}

bool table_column_mapped(const table_column *c)
{
    return c->fields_n > 0 || c->constant;
}

void table_column_fini(table_column *c)
{
    free(c->fields);
    free(c->constant);
    free(c->joined);
    *c = (table_column){0};
}

void table_reader_allow_more(table_reader *r)
{
    r->allow_more = true;
}

size_t table_reader_fields(const table_reader *r)
{
    return r->fields_n;
}

const char *table_reader_field(const table_reader *r, size_t field, size_t *len)
{
    ASSERT(field < r->fields_n);
    if (len) *len = r->fields[field].len;
    return r->fields[field].text;
}

static const char *join(const table_reader *r, table_column *c, size_t *len)
{
    size_t n = 0;
    for (size_t i = 0; i < c->fields_n; i++) {
        const span *f = &r->fields[c->fields[i]];
        if (!f->len) continue;
        grow(&c->joined, &c->joined_cap, n + f->len + 3, 1);
        if (n) {
            memcpy(c->joined + n, ". ", 2);
            n += 2;
        }
        memcpy(c->joined + n, f->text, f->len);
        n += f->len;
    }
    *len = n;
    if (!n) return "";
    c->joined[n] = '\0';
    return c->joined;
}

const char *table_reader_value(const table_reader *r, table_column *c, size_t *len)
{
    size_t unused;
    if (!len) len = &unused;
    if (c->fields_n == 1) return table_reader_field(r, c->fields[0], len);
    if (c->fields_n > 1) return join(r, c, len);
    *len = c->constant ? strlen(c->constant) : 0;
    return c->constant ? c->constant : "";
}

uint64_t table_reader_line(const table_reader *r)
{
    return r->line;
}

uint64_t table_reader_row(const table_reader *r)
{
    ASSERT(r->rows > 0);
    return r->rows - 1;
}

uint64_t table_reader_bad_rows(const table_reader *r)
{
    return r->bad_rows;
}

const char *table_reader_first_bad(const table_reader *r)
{
    return r->first_bad;
}

uint64_t table_reader_hash(const table_reader *r)
{
    return hash_stream_digest(r->hash);
}

err_code table_reader_hash_file(const char *path, uint64_t *out)
{
    gzFile file;
    err_code rc = open_file(path, &file);
    if (rc != ERR_OK) return rc;
    hash_stream *hash = hash_stream_new(0);
    char *buf = xmalloc(CHUNK_BYTES);
    for (size_t got = 1; got && rc == ERR_OK;) {
        rc = read_bytes(file, path, buf, CHUNK_BYTES, &got);
        if (rc == ERR_OK) hash_stream_add(hash, buf, got);
    }
    *out = hash_stream_digest(hash);
    free(buf);
    hash_stream_free(hash);
    (void)gzclose_r(file);
    return rc;
}
