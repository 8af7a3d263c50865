#include "common/npy.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADER_ALIGN = 64, HEADER_MAX = 65536, MAGIC_BYTES = 6 };

static const char magic[] = "\x93NUMPY";
static const char *const type_names[] = {"<f4", "<f2", "<i4", "<i8"};

size_t npy_type_bytes(npy_type type)
{
    static const uint8_t bytes[] = {4, 2, 4, 8};
    return bytes[type];
}

struct npy_writer {
    FILE *file;
    char *path;
    npy_type type;
    uint64_t left; /* values that are still to come */
};

static err_code fail_io(const char *path, const char *what)
{
    int cause = errno;
    log_user_error("%s: %s: %s", path, what, strerror(cause));
    return cause == ENOENT ? ERR_NOT_FOUND : ERR_IO;
}

/* The whole header into text[256]; returns its length, a multiple of HEADER_ALIGN. */
static size_t format_header(char *text, npy_type type, const uint64_t *shape, size_t dims)
{
    char second[32] = "";
    if (dims == 2) snprintf(second, sizeof second, " %" PRIu64, shape[1]);
    int n = snprintf(text + 10, 200,
                     "{'descr': '%s', 'fortran_order': False, 'shape': (%" PRIu64 ",%s), }",
                     type_names[type], shape[0], second);
    size_t total = ((size_t)n + 10 + 1 + HEADER_ALIGN - 1) / HEADER_ALIGN * HEADER_ALIGN;
    memset(text + 10 + n, ' ', total - 10 - (size_t)n);
    text[total - 1] = '\n';
    memcpy(text, magic, MAGIC_BYTES);
    text[6] = 1;
    text[7] = 0;
    text[8] = (char)((total - 10) & 0xff);
    text[9] = (char)((total - 10) >> 8);
    return total;
}

static bool count_values(const uint64_t *shape, size_t dims, uint64_t *out)
{
    *out = shape[0];
    return dims == 1 || !__builtin_mul_overflow(shape[0], shape[1], out);
}

err_code npy_create(const char *path, npy_type type, const uint64_t *shape, size_t dims,
                    npy_writer **out)
{
    uint64_t values;
    char header[256];
    ASSERT((dims == 1 || dims == 2) && count_values(shape, dims, &values));
    *out = NULL;
    FILE *file = fopen(path, "wbe");
    if (!file) return fail_io(path, "cannot write");
    size_t n = format_header(header, type, shape, dims);
    if (fwrite(header, 1, n, file) != n) {
        err_code rc = fail_io(path, "cannot write");
        fclose(file);
        return rc;
    }
    npy_writer *w = xcalloc(1, sizeof *w);
    *w = (npy_writer){.file = file, .path = xstrdup(path), .type = type, .left = values};
    *out = w;
    return ERR_OK;
}

err_code npy_append(npy_writer *w, const void *values, size_t n)
{
    ASSERT(n <= w->left);
    if (n == 0) return ERR_OK;
    if (fwrite(values, npy_type_bytes(w->type), n, w->file) != n) {
        return fail_io(w->path, "cannot write");
    }
    w->left -= n;
    return ERR_OK;
}

err_code npy_close(npy_writer *w)
{
    if (!w) return ERR_OK;
    err_code rc = ERR_OK;
    if (fclose(w->file) != 0) rc = fail_io(w->path, "cannot write");
    w->file = NULL;
    if (rc == ERR_OK && w->left > 0) {
        log_user_error("%s: %" PRIu64 " values are missing", w->path, w->left);
        rc = ERR_INVALID;
    }
    npy_abandon(w);
    return rc;
}

void npy_abandon(npy_writer *w)
{
    if (!w) return;
    if (w->file) fclose(w->file);
    free(w->path);
    free(w);
}

err_code npy_write(const char *path, npy_type type, const uint64_t *shape, size_t dims,
                   const void *data)
{
    npy_writer *w;
    err_code rc = npy_create(path, type, shape, dims, &w);
    if (rc != ERR_OK) return rc;
    rc = npy_append(w, data, (size_t)w->left);
    if (rc == ERR_OK) return npy_close(w);
    npy_abandon(w);
    return rc;
}

/* A cursor over the header's Python dict. */
typedef struct cursor {
    const char *at, *end;
} cursor;

static void skip_spaces(cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t')) c->at++;
}

static bool take(cursor *c, const char *text)
{
    size_t n = strlen(text);
    skip_spaces(c);
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, text, n) != 0) return false;
    c->at += n;
    return true;
}

/* 'text' in single or double quotes, shorter than cap. */
static bool take_string(cursor *c, char *out, size_t cap)
{
    skip_spaces(c);
    if (c->at == c->end || (*c->at != '\'' && *c->at != '"')) return false;
    char quote = *c->at++;
    size_t n = 0;
    while (c->at < c->end && *c->at != quote && n + 1 < cap) out[n++] = *c->at++;
    out[n] = 0;
    return c->at < c->end && *c->at++ == quote;
}

static bool take_number(cursor *c, uint64_t *out)
{
    skip_spaces(c);
    const char *start = c->at;
    uint64_t v = 0;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
        uint64_t digit = (uint64_t)(*c->at - '0');
        if (v > (UINT64_MAX - digit) / 10) return false;
        v = v * 10 + digit;
    }
    *out = v;
    return c->at != start;
}

/* (3,) or (3, 4); more dimensions than fit are counted, not stored. */
static bool take_shape(cursor *c, uint64_t *shape, size_t *dims)
{
    *dims = 0;
    if (!take(c, "(")) return false;
    while (!take(c, ")")) {
        uint64_t v;
        if (!take_number(c, &v)) return false;
        if (*dims < NPY_DIMS_MAX) shape[*dims] = v;
        (*dims)++;
        if (!take(c, ",")) return take(c, ")");
    }
    return true;
}

typedef struct header {
    char descr[16];
    bool fortran, has_descr, has_order, has_shape;
    uint64_t shape[NPY_DIMS_MAX];
    size_t dims;
} header;

static bool take_entry(cursor *c, header *h)
{
    char key[16];
    if (!take_string(c, key, sizeof key) || !take(c, ":")) return false;
    if (strcmp(key, "descr") == 0) {
        h->has_descr = true;
        return take_string(c, h->descr, sizeof h->descr);
    }
    if (strcmp(key, "shape") == 0) {
        h->has_shape = true;
        return take_shape(c, h->shape, &h->dims);
    }
    if (strcmp(key, "fortran_order") != 0) return false;
    h->has_order = true;
    h->fortran = take(c, "True");
    return h->fortran || take(c, "False");
}

static bool parse_header(const char *text, size_t n, header *h)
{
    cursor c = {text, text + n};
    *h = (header){.shape = {1, 1}};
    if (!take(&c, "{")) return false;
    while (!take(&c, "}")) {
        if (!take_entry(&c, h)) return false;
        if (!take(&c, ",")) {
            if (!take(&c, "}")) return false;
            break;
        }
    }
    skip_spaces(&c);
    return c.at == c.end && h->has_descr && h->has_order && h->has_shape;
}

/* Where the header's text stands; false: not a .npy file. */
static bool find_header(const uint8_t *data, size_t bytes, size_t *start, size_t *n)
{
    if (bytes < 12 || memcmp(data, magic, MAGIC_BYTES) != 0) return false;
    bool first = data[6] == 1;
    if (!first && data[6] != 2) return false;
    *start = first ? 10 : 12;
    *n = (size_t)data[8] | (size_t)data[9] << 8;
    if (!first) *n |= (size_t)data[10] << 16 | (size_t)data[11] << 24;
    return *n <= HEADER_MAX && *n <= bytes - *start;
}

static bool find_type(const char *descr, npy_type *out)
{
    for (unsigned i = 0; i < 4; i++) {
        if (strcmp(descr, type_names[i]) == 0) {
            *out = (npy_type)i;
            return true;
        }
    }
    return false;
}

/* Fills `a` from the mapped bytes; returns what is wrong, or NULL. */
static const char *decode(npy_array *a)
{
    size_t start, n, payload;
    header h;
    const uint8_t *data = a->map;
    if (!find_header(data, a->map_bytes, &start, &n))
        return "not a .npy file of version 1.0 or 2.0";
    if (!parse_header((const char *)data + start, n, &h)) return "its header is malformed";
    if (!find_type(h.descr, &a->type)) return "its type is not <f4, <f2, <i4 or <i8";
    if (h.dims < 1 || h.dims > NPY_DIMS_MAX) return "it does not have one or two dimensions";
    if (h.fortran && h.dims == 2)
        return "it is in column order (fortran_order); save it in C order";
    a->dims = h.dims;
    memcpy(a->shape, h.shape, sizeof a->shape);
    if (!count_values(h.shape, 2, &a->values) ||
        !size_mul(a->values, npy_type_bytes(a->type), &payload) ||
        payload != a->map_bytes - start - n) {
        return "its size is not what its header says";
    }
    if ((start + n) % npy_type_bytes(a->type) != 0) return "its data is not aligned";
    a->data = data + start + n;
    return NULL;
}

static err_code map_file(const char *path, npy_array *a)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail_io(path, "cannot open");
    struct stat st;
    err_code rc = ERR_OK;
    if (fstat(fd, &st) != 0) {
        rc = fail_io(path, "cannot read");
    } else if (!S_ISREG(st.st_mode) || st.st_size == 0) {
        log_user_error("%s: not a .npy file", path);
        rc = ERR_INVALID;
    } else {
        a->map_bytes = (size_t)st.st_size;
        a->map = mmap(NULL, a->map_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (a->map == MAP_FAILED) {
            a->map = NULL;
            rc = fail_io(path, "cannot map");
        }
    }
    close(fd);
    return rc;
}

err_code npy_read(const char *path, npy_array *out)
{
    *out = (npy_array){0};
    err_code rc = map_file(path, out);
    if (rc != ERR_OK) return rc;
    const char *wrong = decode(out);
    if (!wrong) return ERR_OK;
    log_user_error("%s: %s", path, wrong);
    npy_fini(out);
    return ERR_INVALID;
}

void npy_fini(npy_array *a)
{
    if (a->map) munmap(a->map, a->map_bytes);
    *a = (npy_array){0};
}
