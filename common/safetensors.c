#include "common/safetensors.h"

#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PREFIX_BYTES = 8 };

typedef struct text_pair {
    char *key, *value;
} text_pair;

struct safetensors_writer {
    safetensors_tensor *tensors;
    text_pair *metadata;
    size_t tensors_n, tensors_cap, metadata_n, metadata_cap;
};

safetensors_writer *safetensors_writer_new(void)
{
    return xcalloc(1, sizeof(safetensors_writer));
}

void safetensors_writer_free(safetensors_writer *w)
{
    if (!w) return;
    for (size_t i = 0; i < w->tensors_n; i++) free(w->tensors[i].name);
    for (size_t i = 0; i < w->metadata_n; i++) {
        free(w->metadata[i].key);
        free(w->metadata[i].value);
    }
    free(w->tensors);
    free(w->metadata);
    free(w);
}

static void add_tensor(safetensors_writer *w, const char *name, const uint64_t *shape, size_t dims,
                       safetensors_type type, const void *data)
{
    ASSERT(dims <= SAFETENSORS_DIMS_MAX && strcmp(name, "__metadata__") != 0);
    safetensors_tensor t = {
        .name = xstrdup(name), .type = type, .dims = dims, .values = 1, .data = data};
    for (size_t i = 0; i < dims; i++) {
        t.shape[i] = shape[i];
        ASSERT(!__builtin_mul_overflow(t.values, shape[i], &t.values));
    }
    grow(&w->tensors, &w->tensors_cap, w->tensors_n + 1, sizeof t);
    w->tensors[w->tensors_n++] = t;
}

void safetensors_add(safetensors_writer *w, const char *name, const uint64_t *shape, size_t dims,
                     const float *data)
{
    add_tensor(w, name, shape, dims, SAFETENSORS_F32, data);
}

void safetensors_add_f16(safetensors_writer *w, const char *name, const uint64_t *shape,
                         size_t dims, const uint16_t *data)
{
    add_tensor(w, name, shape, dims, SAFETENSORS_F16, data);
}

void safetensors_add_metadata(safetensors_writer *w, const char *key, const char *value)
{
    grow(&w->metadata, &w->metadata_cap, w->metadata_n + 1, sizeof(text_pair));
    w->metadata[w->metadata_n++] = (text_pair){xstrdup(key), xstrdup(value)};
}

static int compare_tensors(const void *a, const void *b)
{
    return strcmp(((const safetensors_tensor *)a)->name, ((const safetensors_tensor *)b)->name);
}

static int compare_places(const void *a, const void *b)
{
    const safetensors_tensor *x = a, *y = b;
    if (x->type != y->type) return x->type == SAFETENSORS_F32 ? -1 : 1;
    return compare_tensors(a, b);
}

static int compare_pairs(const void *a, const void *b)
{
    return strcmp(((const text_pair *)a)->key, ((const text_pair *)b)->key);
}

static void put_metadata(json_writer *j, const text_pair *pairs, size_t n)
{
    json_key(j, "__metadata__");
    json_object_begin(j);
    for (size_t i = 0; i < n; i++) {
        ASSERT(i == 0 || strcmp(pairs[i - 1].key, pairs[i].key) != 0);
        json_field_string(j, pairs[i].key, pairs[i].value);
    }
    json_object_end(j);
}

static size_t value_bytes(const safetensors_tensor *t)
{
    return t->type == SAFETENSORS_F32 ? sizeof(float) : sizeof(uint16_t);
}

static void put_tensor(json_writer *j, const safetensors_tensor *t, uint64_t *offset)
{
    json_key(j, t->name);
    json_object_begin(j);
    json_field_string(j, "dtype", t->type == SAFETENSORS_F32 ? "F32" : "F16");
    json_key(j, "shape");
    json_array_begin(j);
    for (size_t i = 0; i < t->dims; i++) json_u64(j, t->shape[i]);
    json_array_end(j);
    json_key(j, "data_offsets");
    json_array_begin(j);
    json_u64(j, *offset);
    *offset += t->values * value_bytes(t);
    json_u64(j, *offset);
    json_array_end(j);
    json_object_end(j);
}

/* Length prefix and padded header, of sorted tensors and pairs. */
static void put_header(bytes_writer *out, const safetensors_tensor *tensors, size_t tensors_n,
                       const text_pair *pairs, size_t pairs_n)
{
    json_writer j;
    uint64_t offset = 0;
    bytes_put_u64(out, 0);
    json_init_bytes(&j, out, JSON_STYLE_COMPACT);
    json_object_begin(&j);
    if (pairs_n > 0) put_metadata(&j, pairs, pairs_n);
    for (size_t i = 0; i < tensors_n; i++) {
        ASSERT(i == 0 || strcmp(tensors[i - 1].name, tensors[i].name) != 0);
        put_tensor(&j, &tensors[i], &offset);
    }
    json_object_end(&j);
    ASSERT(json_finish(&j) == ERR_OK);
    while (out->len % 8 != 0) bytes_put_u8(out, ' ');
    uint64_t n = out->len - PREFIX_BYTES;
    memcpy(out->data, &n, sizeof n);
}

static err_code fail_io(const char *path, const char *what)
{
    int cause = errno;
    log_user_error("%s: %s: %s", path, what, strerror(cause));
    return cause == ENOENT ? ERR_NOT_FOUND : ERR_IO;
}

static err_code write_file(const char *path, const bytes_writer *header,
                           const safetensors_tensor *tensors, size_t n)
{
    FILE *file = fopen(path, "wbe");
    if (!file) return fail_io(path, "cannot write");
    bool ok = fwrite(header->data, 1, header->len, file) == header->len;
    for (size_t i = 0; ok && i < n; i++) {
        size_t values = (size_t)tensors[i].values;
        size_t size = value_bytes(&tensors[i]);
        ok = values == 0 || fwrite(tensors[i].data, size, values, file) == values;
    }
    err_code rc = ok ? ERR_OK : fail_io(path, "cannot write");
    if (fclose(file) != 0 && rc == ERR_OK) rc = fail_io(path, "cannot write");
    return rc;
}

/* A copy of the array, sorted; owned. */
static void *sorted_copy(const void *items, size_t n, size_t size,
                         int (*compare)(const void *, const void *))
{
    void *copy = xcalloc(n ? n : 1, size);
    if (n > 0) memcpy(copy, items, n * size);
    qsort(copy, n, size, compare);
    return copy;
}

err_code safetensors_write(const safetensors_writer *w, const char *path)
{
    safetensors_tensor *tensors =
        sorted_copy(w->tensors, w->tensors_n, sizeof *tensors, compare_places);
    text_pair *pairs = sorted_copy(w->metadata, w->metadata_n, sizeof *pairs, compare_pairs);
    bytes_writer header;
    bytes_writer_init(&header);
    put_header(&header, tensors, w->tensors_n, pairs, w->metadata_n);
    err_code rc = write_file(path, &header, tensors, w->tensors_n);
    bytes_writer_fini(&header);
    free(tensors);
    free(pairs);
    return rc;
}

struct safetensors_file {
    void *map;
    size_t map_bytes;
    const uint8_t *data; /* behind the header */
    size_t data_bytes;
    safetensors_tensor *tensors;
    size_t tensors_n;
    json_t *header;
    const char *path; /* during open */
};

static err_code corrupt(const safetensors_file *f, const char *name, const char *what)
{
    log_user_error("%s: %s%s%s", f->path, name, *name ? ": " : "", what);
    return ERR_CORRUPT;
}

static bool get_u64(const json_t *value, uint64_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0) return false;
    *out = (uint64_t)json_integer_value(value);
    return true;
}

static err_code read_type(const safetensors_file *f, safetensors_tensor *t, const json_t *entry)
{
    const char *type = json_string_value(json_object_get(entry, "dtype"));
    if (!type) return corrupt(f, t->name, "no dtype");
    if (strcmp(type, "F32") == 0) {
        t->type = SAFETENSORS_F32;
    } else if (strcmp(type, "F16") == 0) {
        t->type = SAFETENSORS_F16;
    } else {
        log_user_error("%s: %s: type %.16s is not F32 or F16", f->path, t->name, type);
        return ERR_INVALID;
    }
    return ERR_OK;
}

static err_code read_shape(const safetensors_file *f, safetensors_tensor *t, const json_t *entry)
{
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape)) return corrupt(f, t->name, "no shape");
    t->dims = json_array_size(shape);
    if (t->dims > SAFETENSORS_DIMS_MAX) {
        log_user_error("%s: %s: more than %d dimensions", f->path, t->name, SAFETENSORS_DIMS_MAX);
        return ERR_INVALID;
    }
    t->values = 1;
    for (size_t i = 0; i < SAFETENSORS_DIMS_MAX; i++) t->shape[i] = 1;
    for (size_t i = 0; i < t->dims; i++) {
        if (!get_u64(json_array_get(shape, i), &t->shape[i]) ||
            __builtin_mul_overflow(t->values, t->shape[i], &t->values)) {
            return corrupt(f, t->name, "its shape is malformed");
        }
    }
    return ERR_OK;
}

static err_code read_data(const safetensors_file *f, safetensors_tensor *t, const json_t *entry)
{
    const json_t *offsets = json_object_get(entry, "data_offsets");
    uint64_t begin, end, bytes;
    if (json_array_size(offsets) != 2 || !get_u64(json_array_get(offsets, 0), &begin) ||
        !get_u64(json_array_get(offsets, 1), &end) || begin > end) {
        return corrupt(f, t->name, "its data_offsets are malformed");
    }
    if (end > f->data_bytes) return corrupt(f, t->name, "its data lies outside the file");
    uint64_t size = t->type == SAFETENSORS_F32 ? 4 : 2;
    if (__builtin_mul_overflow(t->values, size, &bytes) || bytes != end - begin) {
        return corrupt(f, t->name, "its data does not fit its shape");
    }
    t->data = f->data + begin;
    if ((uintptr_t)t->data % size != 0) return corrupt(f, t->name, "its data is not aligned");
    return ERR_OK;
}

static err_code read_tensor(safetensors_file *f, const char *name, const json_t *entry)
{
    safetensors_tensor *t = &f->tensors[f->tensors_n++];
    t->name = xstrdup(name);
    if (!json_is_object(entry)) return corrupt(f, name, "its entry is not an object");
    err_code rc = read_type(f, t, entry);
    if (rc == ERR_OK) rc = read_shape(f, t, entry);
    return rc == ERR_OK ? read_data(f, t, entry) : rc;
}

static int compare_data(const void *a, const void *b)
{
    const safetensors_tensor *x = a, *y = b;
    const uint8_t *p = x->data, *q = y->data;
    if (p != q) return p < q ? -1 : 1;
    return (x->values > y->values) - (x->values < y->values); /* empty ones first */
}

/* The format allows neither holes nor overlaps. */
static err_code check_layout(safetensors_file *f)
{
    const uint8_t *at = f->data;
    qsort(f->tensors, f->tensors_n, sizeof *f->tensors, compare_data);
    for (size_t i = 0; i < f->tensors_n; i++) {
        const safetensors_tensor *t = &f->tensors[i];
        if ((const uint8_t *)t->data != at) {
            return corrupt(f, t->name, "a gap before its data, or an overlap with another tensor");
        }
        at += t->values * (t->type == SAFETENSORS_F32 ? 4 : 2);
    }
    if (at != f->data + f->data_bytes) return corrupt(f, "", "bytes behind the last tensor");
    qsort(f->tensors, f->tensors_n, sizeof *f->tensors, compare_tensors);
    return ERR_OK;
}

static err_code check_metadata(const safetensors_file *f)
{
    json_t *metadata = json_object_get(f->header, "__metadata__"), *value;
    const char *key;
    if (!metadata) return ERR_OK;
    if (!json_is_object(metadata)) return corrupt(f, "__metadata__", "not an object");
    json_object_foreach(metadata, key, value)
    {
        if (!json_is_string(value)) return corrupt(f, key, "metadata that is not a string");
    }
    return ERR_OK;
}

static err_code read_header(safetensors_file *f)
{
    uint64_t n;
    json_error_t error;
    if (f->map_bytes < PREFIX_BYTES) return corrupt(f, "", "too short for .safetensors");
    memcpy(&n, f->map, sizeof n);
    if (n > SAFETENSORS_HEADER_MAX || n > f->map_bytes - PREFIX_BYTES) {
        return corrupt(f, "", "not .safetensors: the header does not fit the file");
    }
    const char *text = (const char *)f->map + PREFIX_BYTES;
    f->data = (const uint8_t *)text + n;
    f->data_bytes = f->map_bytes - PREFIX_BYTES - (size_t)n;
    f->header = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(f->header)) {
        return corrupt(f, "header", f->header ? "not an object" : error.text);
    }
    f->tensors = xcalloc(json_object_size(f->header) + 1, sizeof *f->tensors);
    err_code rc = check_metadata(f);
    const char *name;
    json_t *entry;
    json_object_foreach(f->header, name, entry)
    {
        if (rc == ERR_OK && strcmp(name, "__metadata__") != 0) rc = read_tensor(f, name, entry);
    }
    return rc == ERR_OK ? check_layout(f) : rc;
}

static err_code map_file(safetensors_file *f)
{
    int fd = open(f->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail_io(f->path, "cannot open");
    struct stat st;
    err_code rc = ERR_OK;
    if (fstat(fd, &st) != 0) {
        rc = fail_io(f->path, "cannot read");
    } else if (!S_ISREG(st.st_mode) || st.st_size == 0) {
        rc = corrupt(f, "", "not .safetensors: empty or not a file");
    } else {
        f->map_bytes = (size_t)st.st_size;
        f->map = mmap(NULL, f->map_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (f->map == MAP_FAILED) {
            f->map = NULL;
            rc = fail_io(f->path, "cannot map");
        }
    }
    close(fd);
    return rc;
}

err_code safetensors_open(const char *path, safetensors_file **out)
{
    *out = NULL;
    safetensors_file *f = xcalloc(1, sizeof *f);
    f->path = path;
    err_code rc = map_file(f);
    if (rc == ERR_OK) rc = read_header(f);
    f->path = NULL;
    if (rc == ERR_OK) {
        *out = f;
    } else {
        safetensors_close(f);
    }
    return rc;
}

void safetensors_close(safetensors_file *f)
{
    if (!f) return;
    for (size_t i = 0; i < f->tensors_n; i++) free(f->tensors[i].name);
    free(f->tensors);
    json_decref(f->header);
    if (f->map) munmap(f->map, f->map_bytes);
    free(f);
}

size_t safetensors_count(const safetensors_file *f)
{
    return f->tensors_n;
}

const safetensors_tensor *safetensors_at(const safetensors_file *f, size_t i)
{
    ASSERT(i < f->tensors_n);
    return &f->tensors[i];
}

static int compare_name(const void *name, const void *tensor)
{
    return strcmp(name, ((const safetensors_tensor *)tensor)->name);
}

const safetensors_tensor *safetensors_find(const safetensors_file *f, const char *name)
{
    return bsearch(name, f->tensors, f->tensors_n, sizeof *f->tensors, compare_name);
}

const char *safetensors_metadata(const safetensors_file *f, const char *key)
{
    return json_string_value(json_object_get(json_object_get(f->header, "__metadata__"), key));
}
