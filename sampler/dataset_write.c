#include "sampler/dataset_write.h"

#include "common/config.h"
#include "common/dataset.h"
#include "common/dataset_format.h"
#include "common/f16.h"
#include "common/files.h"
#include "common/hash.h"
#include "common/keyed_sort.h"
#include "common/log.h"
#include "common/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct writer {
    const store_source *s;
    const char *path;
    FILE *file;
    uint64_t at; /* bytes written */
    dataset_entry table[DATASET_SECTIONS];
    hash_stream *hash; /* of the section at hand */
} writer;

static err_code fail(const writer *w)
{
    log_user_error("%s: %s", w->path, strerror(errno));
    return ERR_IO;
}

static err_code section_begin(writer *w, dataset_section section, uint32_t entry_bytes)
{
    static const uint8_t zeros[DATASET_ALIGN];
    size_t pad = (size_t)(-w->at % DATASET_ALIGN);

    if (fwrite(zeros, 1, pad, w->file) != pad) return fail(w);
    w->at += pad;
    w->table[section] =
        (dataset_entry){.section = section, .entry_bytes = entry_bytes, .offset = w->at};
    w->hash = hash_stream_new(0);
    return ERR_OK;
}

static err_code section_add(writer *w, const void *data, size_t bytes)
{
    if (bytes == 0) return ERR_OK;
    if (fwrite(data, 1, bytes, w->file) != bytes) return fail(w);
    hash_stream_add(w->hash, data, bytes);
    w->at += bytes;
    return ERR_OK;
}

static void section_end(writer *w, dataset_section section)
{
    w->table[section].bytes = w->at - w->table[section].offset;
    w->table[section].hash = hash_stream_digest(w->hash);
    hash_stream_free(w->hash);
    w->hash = NULL;
}

static err_code put(writer *w, dataset_section section, const void *data, uint64_t n, uint32_t size)
{
    err_code rc = section_begin(w, section, size);
    if (rc == ERR_OK) rc = section_add(w, data, (size_t)n * size);
    if (rc == ERR_OK) section_end(w, section);
    return rc;
}

typedef const char *string_of(const catalog *c, uint32_t i);

static err_code put_strings(writer *w, dataset_section at, dataset_section bytes, uint32_t n,
                            string_of *get)
{
    const catalog *c = w->s->data;
    uint64_t offset = 0;
    err_code rc = section_begin(w, at, sizeof offset);

    for (uint32_t i = 0; rc == ERR_OK && i <= n; i++) {
        rc = section_add(w, &offset, sizeof offset);
        if (i < n) offset += strlen(get(c, i)) + 1;
    }
    if (rc == ERR_OK) {
        section_end(w, at);
        rc = section_begin(w, bytes, 1);
    }
    for (uint32_t i = 0; rc == ERR_OK && i < n; i++) {
        rc = section_add(w, get(c, i), strlen(get(c, i)) + 1);
    }
    if (rc == ERR_OK) section_end(w, bytes);
    return rc;
}

/* Which events make a list. */
typedef struct selection {
    uint8_t role, part;
    bool in_order; /* of the events; else ascending by item */
} selection;

static bool selects(const store_source *s, const selection *what, uint64_t event)
{
    return (s->role[event] & what->role) != 0 && s->parts->part[event] == what->part;
}

/* A user's selected items into item, their times into time (may be NULL); how many. */
static size_t user_list(const store_source *s, const selection *what, uint32_t user, uint32_t *item,
                        int64_t *time)
{
    size_t n = 0;
    for (uint64_t e = s->data->user_events[user]; e < s->data->user_events[user + 1]; e++) {
        if (!selects(s, what, e)) continue;
        if (time != NULL) time[n] = s->data->events[e].time;
        item[n++] = s->data->events[e].item;
    }
    if (!what->in_order && n > 1) qsort(item, n, sizeof *item, compare_u32);
    return n;
}

/* Lists of all users; with in_order the times too. */
static err_code put_lists(writer *w, dataset_section section, selection what)
{
    const catalog *c = w->s->data;
    uint64_t *indptr = try_calloc((size_t)c->users_n + 1, sizeof *indptr);
    uint32_t *item = try_malloc(c->events_n + 1, sizeof *item);
    int64_t *time = try_malloc(c->events_n + 1, sizeof *time);
    err_code rc = indptr == NULL || item == NULL || time == NULL ? ERR_NO_MEMORY : ERR_OK;

    for (uint32_t u = 0; rc == ERR_OK && u < c->users_n; u++) {
        uint64_t at = indptr[u];
        indptr[u + 1] = at + user_list(w->s, &what, u, item + at, time + at);
    }
    if (rc == ERR_OK) rc = put(w, section, indptr, (uint64_t)c->users_n + 1, sizeof *indptr);
    if (rc == ERR_OK) {
        rc = put(w, (dataset_section)(section + 1), item, indptr[c->users_n], sizeof *item);
    }
    if (rc == ERR_OK && what.in_order) {
        rc = put(w, (dataset_section)(section + 2), time, indptr[c->users_n], sizeof *time);
    }
    free(indptr);
    free(item);
    free(time);
    return rc;
}

/* Text rows as f16: int8 rows have exact f16 values. */
static err_code put_text(writer *w)
{
    const features *f = w->s->text;
    uint64_t n = w->s->data->items_n;

    if (f->dim == 0 || f->storage == STORAGE_F16) {
        return put(w, DATASET_TEXT, f->f16, n * f->dim, sizeof *f->f16);
    }
    float *row = xcalloc(f->dim, sizeof *row);
    uint16_t *half = xcalloc(f->dim, sizeof *half);
    err_code rc = section_begin(w, DATASET_TEXT, sizeof *half);
    for (uint32_t i = 0; rc == ERR_OK && i < n; i++) {
        features_row(f, i, row);
        f16_encode(half, row, f->dim);
        rc = section_add(w, half, f->dim * sizeof *half);
    }
    if (rc == ERR_OK) section_end(w, DATASET_TEXT);
    free(row);
    free(half);
    return rc;
}

static err_code put_items(writer *w, const uint32_t *train_any)
{
    const store_source *s = w->s;
    const catalog *c = s->data;
    uint32_t n = c->items_n;
    err_code rc = put(w, DATASET_ITEM_TYPE, c->item_type, n, 1);

    if (rc == ERR_OK) rc = put(w, DATASET_ITEM_KEY, c->item_key, n, 8);
    if (rc == ERR_OK) rc = put(w, DATASET_ITEM_NODE, s->node_of, n, 4);
    if (rc == ERR_OK) rc = put(w, DATASET_NODE_ITEM, s->item_of, n, 4);
    if (rc == ERR_OK) rc = put_text(w);
    if (rc == ERR_OK) rc = put(w, DATASET_TEXT_MEAN, s->text->mean, s->text->dim, 4);
    if (rc == ERR_OK) rc = put(w, DATASET_TRAIN_POSITIVES, s->train_positives, n, 4);
    if (rc == ERR_OK) rc = put(w, DATASET_TRAIN_USERS, s->train_users, n, 4);
    if (rc == ERR_OK) rc = put(w, DATASET_TRAIN_ANY, train_any, n, 4);
    if (rc == ERR_OK) {
        rc = put_strings(w, DATASET_ITEM_ID_AT, DATASET_ITEM_IDS, n, catalog_item_id);
    }
    if (rc == ERR_OK) {
        rc = put_strings(w, DATASET_ITEM_TEXT_AT, DATASET_ITEM_TEXTS, n, catalog_item_text);
    }
    return rc;
}

static err_code put_user_types(writer *w)
{
    const catalog *c = w->s->data;
    uint64_t *types = try_calloc((size_t)c->users_n + 1, sizeof *types);

    if (types == NULL) return ERR_NO_MEMORY;
    for (uint64_t e = 0; e < c->events_n; e++) {
        if (w->s->parts->part[e] != SPLIT_TRAIN) continue;
        types[c->events[e].user] |= UINT64_C(1) << c->item_type[c->events[e].item];
    }
    err_code rc = put(w, DATASET_USER_TYPES, types, c->users_n, 8);
    free(types);
    return rc;
}

static err_code put_split(writer *w)
{
    const split *p = w->s->parts;
    err_code rc = section_begin(w, DATASET_SPLIT, sizeof(dataset_split_line));

    for (uint64_t i = 0; rc == ERR_OK && i < p->pairs_n; i++) {
        dataset_split_line line = {p->pairs[i].user, p->pairs[i].item, p->pairs[i].part};
        rc = section_add(w, &line, sizeof line);
    }
    if (rc == ERR_OK) section_end(w, DATASET_SPLIT);
    return rc;
}

static err_code put_users(writer *w, const uint32_t *user_number)
{
    const catalog *c = w->s->data;
    uint32_t n = c->users_n;
    err_code rc = put(w, DATASET_USER_KEY, w->s->user_key, n, 8);

    if (rc == ERR_OK) rc = put(w, DATASET_USER_NUMBER, user_number, n, 4);
    if (rc == ERR_OK) rc = put(w, DATASET_USER_ROW, w->s->user_of, n, 4);
    if (rc == ERR_OK) {
        rc = put_strings(w, DATASET_USER_ID_AT, DATASET_USER_IDS, n, catalog_user_id);
    }
    if (rc == ERR_OK) rc = put_user_types(w);
    return rc;
}

static err_code put_all_lists(writer *w)
{
    static const struct {
        dataset_section section;
        selection what;
    } lists[] = {
        {DATASET_SEEN_TRAIN_PTR, {ROLE_SEEN, SPLIT_TRAIN, false}},
        {DATASET_SEEN_VALID_PTR, {ROLE_SEEN, SPLIT_VALID, false}},
        {DATASET_HISTORY_PTR, {ROLE_HISTORY, SPLIT_TRAIN, true}},
        {DATASET_POSITIVE_PTR, {ROLE_POSITIVE, SPLIT_TRAIN, false}},
        {DATASET_VALID_PTR, {ROLE_POSITIVE, SPLIT_VALID, false}},
        {DATASET_TEST_PTR, {ROLE_POSITIVE, SPLIT_TEST, false}},
    };
    err_code rc = ERR_OK;

    for (size_t i = 0; rc == ERR_OK && i < sizeof lists / sizeof *lists; i++) {
        rc = put_lists(w, lists[i].section, lists[i].what);
    }
    return rc;
}

static err_code put_header(writer *w, uint64_t *hash)
{
    dataset_header h = {.magic = DATASET_MAGIC,
                        .version = DATASET_VERSION,
                        .sections = DATASET_SECTIONS,
                        .text_dim = w->s->text->dim,
                        .file_bytes = w->at,
                        .items = w->s->data->items_n,
                        .users = w->s->data->users_n,
                        .types = w->s->data->types_n};

    *hash = h.table_hash = hash64(w->table, sizeof w->table, hash64(&h, sizeof h, 0));
    if (fseek(w->file, 0, SEEK_SET) != 0 || fwrite(&h, sizeof h, 1, w->file) != 1 ||
        fwrite(w->table, sizeof w->table, 1, w->file) != 1) {
        return fail(w);
    }
    return ERR_OK;
}

err_code dataset_write(const store_source *s, const uint32_t *user_number,
                       const uint32_t *train_any, const char *folder, uint64_t *hash)
{
    char *path = files_join(folder, "dataset");
    writer w = {.s = s, .path = path, .file = fopen(path, "wbe")};
    err_code rc = w.file == NULL ? fail(&w) : ERR_OK;

    w.at = sizeof(dataset_header) + sizeof w.table;
    if (rc == ERR_OK && fseek(w.file, (long)w.at, SEEK_SET) != 0) rc = fail(&w);
    if (rc == ERR_OK) rc = put_items(&w, train_any);
    if (rc == ERR_OK) rc = put_users(&w, user_number);
    if (rc == ERR_OK) rc = put_all_lists(&w);
    if (rc == ERR_OK) rc = put_split(&w);
    if (rc == ERR_OK) rc = put_header(&w, hash);
    if (w.file != NULL && fclose(w.file) != 0 && rc == ERR_OK) rc = fail(&w);
    if (rc == ERR_OK) rc = files_sync(path);
    hash_stream_free(w.hash);
    free(path);
    return rc;
}
