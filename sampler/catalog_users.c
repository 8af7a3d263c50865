#include "sampler/catalog_load.h"

#include "common/f16.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/npy.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct users_reader {
    catalog_load *l;
    table_reader *r;
    const char *path;
    table_column id, list; /* list: where the key=value fields begin */
    table_column *columns; /* [user_attributes_n] of attributes that are columns */
    bool keys_given;       /* data.users.attributes names the keys */
    uint64_t *lines;
    size_t lines_cap;
} users_reader;

static attribute_builder *add_attribute(catalog_load *l, const char *key)
{
    grow(&l->user_attributes, &l->user_attributes_cap, l->user_attributes_n + 1,
         sizeof *l->user_attributes);
    attribute_builder *b = &l->user_attributes[l->user_attributes_n++];
    attribute_builder_init(b, key);
    return b;
}

static attribute_builder *find_attribute(catalog_load *l, const char *key)
{
    for (size_t i = 0; i < l->user_attributes_n; i++) {
        if (strcmp(l->user_attributes[i].key, key) == 0) return &l->user_attributes[i];
    }
    return NULL;
}

static err_code map_list(users_reader *s)
{
    err_code rc = table_reader_map(s->r, &s->l->config->data.users.attributes,
                                   "data.users.columns.attributes", true, &s->list);
    if (rc != ERR_OK || !s->list.fields_n) return rc;
    if (s->list.fields_n > 1 || s->list.fields[0] + 1 != table_reader_columns(s->r)) {
        log_user_error("%s:1: data.users.columns.attributes must be the last column", s->path);
        return ERR_INVALID;
    }
    table_reader_allow_more(s->r);
    return ERR_OK;
}

/* Attributes that data.users.attributes names: columns where the header has them, else keys. */
static err_code map_attributes(users_reader *s)
{
    const string_list *keys = &s->l->config->data.users.attribute_keys;
    s->keys_given = keys->n > 0;
    s->columns = xcalloc(keys->n + 1, sizeof *s->columns);
    for (size_t i = 0; i < keys->n; i++) {
        const char *key = keys->items[i];
        if (!catalog_name_ok(key, strlen(key)) || find_attribute(s->l, key)) {
            log_user_error("data.users.attributes: \"%s\" is not a name ([A-Za-z0-9_-]{1,64}) or "
                           "is there twice",
                           key);
            return ERR_INVALID;
        }
        add_attribute(s->l, key);
        config_column column = {.names = {&keys->items[i], 1}};
        if (table_reader_find(s->r, key, NULL) == table_reader_columns(s->r) && s->list.fields_n) {
            continue;
        }
        err_code rc =
            table_reader_map(s->r, &column, "data.users.attributes", false, &s->columns[i]);
        if (rc != ERR_OK) return rc;
    }
    return ERR_OK;
}

static err_code map_columns(users_reader *s)
{
    const config *c = s->l->config;
    err_code rc =
        table_reader_map(s->r, &c->data.users.user_id, "data.users.columns.user_id", false, &s->id);
    if (rc == ERR_OK) rc = map_list(s);
    return rc == ERR_OK ? map_attributes(s) : rc;
}

static err_code take_vectors(catalog_load *l, const char *path, const npy_array *a)
{
    catalog *d = l->data;
    d->user_vectors = try_malloc(a->values, sizeof(float));
    d->user_vector_d = (uint32_t)a->shape[1];
    if (!d->user_vectors && a->values) {
        log_user_error("%s: no memory for %" PRIu64 " values", path, a->values);
        return ERR_NO_MEMORY;
    }
    if (a->type == NPY_F16) {
        f16_decode(d->user_vectors, a->data, a->values);
    } else if (a->values) {
        memcpy(d->user_vectors, a->data, a->values * sizeof(float));
    }
    for (uint64_t i = 0; i < a->values; i++) {
        if (isfinite(d->user_vectors[i])) continue;
        log_user_error("%s: row %" PRIu64 " holds a value that is not finite", path,
                       i / a->shape[1]);
        return ERR_INVALID;
    }
    return ERR_OK;
}

/* Takes data.users.vector: row i belongs to the i-th row of the users file. */
static err_code read_vectors(catalog_load *l)
{
    const char *path = l->config->data.users.vector;
    catalog *d = l->data;
    npy_array a = {0};
    if (!path || !*path) return ERR_OK;
    err_code rc = npy_read(path, &a);
    if (rc != ERR_OK) return rc;
    bool is_float = a.type == NPY_F32 || a.type == NPY_F16;
    rc = ERR_INVALID;
    if (a.dims != 2 || !is_float || !a.shape[1] || a.shape[1] > CATALOG_VECTOR_MAX) {
        log_user_error("%s: user vectors are [users, 1 to %d] of f32 or f16", path,
                       CATALOG_VECTOR_MAX);
    } else if (a.shape[0] != d->users_in_file) {
        log_user_error("%s: %" PRIu64 " rows for the %" PRIu32 " users of %s", path, a.shape[0],
                       d->users_in_file, l->config->data.users.path);
    } else {
        rc = take_vectors(l, path, &a);
    }
    npy_fini(&a);
    return rc;
}

/* NULL, or what is wrong with one key=value field. */
static const char *check_pair(users_reader *s, const char *field, size_t len, size_t *key_len)
{
    const char *equals = memchr(field, '=', len);
    if (!equals) return "is not key=value";
    *key_len = (size_t)(equals - field);
    char key[CATALOG_NAME_MAX + 1];
    if (*key_len > CATALOG_NAME_MAX) return "has too long a key";
    memcpy(key, field, *key_len);
    key[*key_len] = '\0';
    if (!catalog_name_ok(key, *key_len)) return "has a key that is not [A-Za-z0-9_-]{1,64}";
    if (s->keys_given || find_attribute(s->l, key)) return NULL;
    if (s->l->user_attributes_n == CATALOG_ATTRIBUTES_MAX) return "is the 257th key";
    add_attribute(s->l, key);
    return NULL;
}

static err_code reject_field(users_reader *s, size_t field, const char *what)
{
    uint32_t at[1] = {(uint32_t)field};
    table_column column = {.fields = at, .fields_n = 1};
    return table_reader_reject(s->r, &column, "\"%.80s\" %s", table_reader_field(s->r, field, NULL),
                               what);
}

/* Sets (store) or checks the key=value fields of the row. *ok is false for a rejected row. */
static err_code walk_pairs(users_reader *s, uint32_t user, bool store, bool *ok)
{
    *ok = true;
    if (!s->list.fields_n) return ERR_OK;
    for (size_t i = s->list.fields[0]; i < table_reader_fields(s->r); i++) {
        size_t len, key_len = 0;
        const char *field = table_reader_field(s->r, i, &len);
        if (!len) continue;
        if (!store) {
            const char *what = check_pair(s, field, len, &key_len);
            *ok = !what;
            if (what) return reject_field(s, i, what);
            continue;
        }
        key_len = (size_t)((const char *)memchr(field, '=', len) - field);
        char key[CATALOG_NAME_MAX + 1];
        memcpy(key, field, key_len);
        key[key_len] = '\0';
        attribute_builder *b = find_attribute(s->l, key);
        if (b) attribute_builder_set(b, user, field + key_len + 1, len - key_len - 1);
    }
    return ERR_OK;
}

static err_code read_user(users_reader *s)
{
    catalog *d = s->l->data;
    size_t len;
    const char *id = table_reader_value(s->r, &s->id, &len);
    const char *problem = catalog_id_problem(id, len);
    if (problem) return table_reader_reject(s->r, &s->id, "user_id %s", problem);
    uint32_t before = string_pool_find(d->user_ids, id, len);
    if (before != STRING_POOL_NONE) {
        return table_reader_reject(s->r, &s->id, "user_id \"%s\" is already in line %" PRIu64, id,
                                   s->lines[before]);
    }
    bool ok;
    err_code rc = walk_pairs(s, 0, false, &ok);
    if (rc != ERR_OK || !ok) return rc;
    uint32_t user = string_pool_count(d->user_ids);
    if (string_pool_intern(d->user_ids, id, len, NULL) == STRING_POOL_NONE) {
        log_user_error("%s: more than 2^32 - 2 users", s->path);
        return ERR_LIMIT;
    }
    grow(&s->lines, &s->lines_cap, (size_t)user + 1, sizeof *s->lines);
    s->lines[user] = table_reader_line(s->r);
    for (size_t i = 0; s->keys_given && i < s->l->user_attributes_n; i++) {
        if (!s->columns[i].fields_n) continue;
        const char *value = table_reader_value(s->r, &s->columns[i], &len);
        attribute_builder_set(&s->l->user_attributes[i], user, value, len);
    }
    return walk_pairs(s, user, true, &ok);
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(((const attribute_builder *)a)->key, ((const attribute_builder *)b)->key);
}

/* Drops attributes with too many values, and given keys that no line has are an error. */
static err_code choose_attributes(users_reader *s)
{
    catalog_load *l = s->l;
    uint32_t max = l->config->data.users.max_values;
    size_t kept = 0;
    for (size_t i = 0; i < l->user_attributes_n; i++) {
        attribute_builder *b = &l->user_attributes[i];
        uint32_t n = attribute_builder_values(b);
        if (!n && s->keys_given && !s->columns[i].fields_n) {
            log_user_error("data.users.attributes: no column or key \"%s\" in %s", b->key, s->path);
            return ERR_INVALID;
        }
        if (max && n > max) {
            catalog_warn(l->data,
                         "users: attribute %s has %" PRIu32 " values, more than "
                         "data.users.max_values (%" PRIu32 "): left out",
                         b->key, n, max);
            attribute_builder_fini(b);
            continue;
        }
        attribute_builder moved = *b;
        *b = (attribute_builder){0};
        l->user_attributes[kept++] = moved;
    }
    l->user_attributes_n = kept;
    if (!s->keys_given && kept) {
        qsort(l->user_attributes, kept, sizeof *l->user_attributes, compare_keys);
    }
    return ERR_OK;
}

static void finish(users_reader *s)
{
    bool *used = xcalloc(table_reader_columns(s->r), sizeof *used);
    catalog_load_mark(used, &s->id);
    catalog_load_mark(used, &s->list);
    for (size_t i = 0; i < s->l->config->data.users.attribute_keys.n; i++) {
        catalog_load_mark(used, &s->columns[i]);
    }
    catalog_load_note(s->l, s->r, "users", s->path, used);
    free(used);
    s->l->hash_users = table_reader_hash(s->r);
    s->l->data->users_in_file = string_pool_count(s->l->data->user_ids);
}

err_code catalog_load_users(catalog_load *l)
{
    users_reader s = {.l = l, .path = l->config->data.users.path};
    if (!s.path || !*s.path) return ERR_OK;
    err_code rc = table_reader_open(s.path, l->config->data.skip_bad_rows, &s.r);
    if (rc == ERR_OK) rc = map_columns(&s);
    for (bool more = true; rc == ERR_OK;) {
        rc = table_reader_next(s.r, &more);
        if (rc != ERR_OK || !more) break;
        rc = read_user(&s);
    }
    if (rc == ERR_OK) finish(&s);
    if (rc == ERR_OK) rc = choose_attributes(&s);
    if (rc == ERR_OK) rc = read_vectors(l);
    table_column_fini(&s.id);
    table_column_fini(&s.list);
    for (size_t i = 0; s.columns && i < l->config->data.users.attribute_keys.n; i++) {
        table_column_fini(&s.columns[i]);
    }
    free(s.columns);
    free(s.lines);
    table_reader_close(s.r);
    return rc;
}
