#include "common/dataset.h"

#include "common/dataset_format.h"
#include "common/files.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct dataset_file {
    const uint8_t *data;
    size_t bytes;
    const dataset_header *header;
    const dataset_entry *table;
    const char *wrong; /* NULL: nothing yet */
} dataset_file;

static err_code map_file(const char *path, dataset_file *f)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st) != 0) {
        log_user_error("%s: %s", path, strerror(errno));
        err_code rc = errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
        if (fd >= 0) close(fd);
        return rc;
    }
    f->bytes = (size_t)st.st_size;
    void *map = f->bytes == 0 ? MAP_FAILED : mmap(NULL, f->bytes, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (map == MAP_FAILED) {
        log_user_error("%s: %s", path, f->bytes == 0 ? "empty" : strerror(errno));
        return f->bytes == 0 ? ERR_CORRUPT : ERR_IO;
    }
    f->data = map;
    return ERR_OK;
}

static const char *check_header(dataset_file *f)
{
    const dataset_header *h = (const dataset_header *)(const void *)f->data;
    size_t table = DATASET_SECTIONS * sizeof(dataset_entry);

    if (f->bytes < sizeof *h + table) return "too short";
    if (h->magic != DATASET_MAGIC) return "wrong magic";
    if (h->version != DATASET_VERSION || h->sections != DATASET_SECTIONS) return "other version";
    if (h->file_bytes != f->bytes) return "wrong size";
    dataset_header seed = *h;
    seed.table_hash = 0;
    if (h->table_hash != hash64(f->data + sizeof *h, table, hash64(&seed, sizeof seed, 0))) {
        return "wrong checksum";
    }
    f->header = h;
    f->table = (const dataset_entry *)(const void *)(f->data + sizeof *h);
    return NULL;
}

static const char *check_sections(const dataset_file *f)
{
    for (uint32_t i = 0; i < DATASET_SECTIONS; i++) {
        const dataset_entry *e = &f->table[i];
        if (e->section != i || e->offset % DATASET_ALIGN != 0 || e->offset > f->bytes ||
            e->bytes > f->bytes - e->offset) {
            return "wrong section table";
        }
        if (hash64(f->data + e->offset, e->bytes, 0) != e->hash) return "wrong checksum";
    }
    return NULL;
}

/* A section of exactly n entries of `size` bytes. */
static const void *take(dataset_file *f, dataset_section section, uint64_t n, uint32_t size)
{
    const dataset_entry *e = &f->table[section];
    if (e->entry_bytes != size || e->bytes / size != n || e->bytes % size != 0) {
        f->wrong = "a section of another length";
    }
    return f->data + e->offset;
}

static uint64_t entries(const dataset_file *f, dataset_section section)
{
    return f->table[section].bytes / sizeof(uint32_t);
}

/* Every one of x [n] is a row or number below `end`. */
static void check_below(dataset_file *f, const uint32_t *x, uint64_t n, uint32_t end)
{
    for (uint64_t i = 0; i < n && f->wrong == NULL; i++) {
        if (x[i] >= end) f->wrong = "a row that is not there";
    }
}

/* A section of n rows or numbers below `end`. */
static const uint32_t *take_below(dataset_file *f, dataset_section section, uint64_t n,
                                  uint32_t end)
{
    const uint32_t *x = take(f, section, n, 4);
    check_below(f, x, n, end);
    return x;
}

/* A list of item rows: `section` holds its indptr, the next one its items. */
static dataset_lists take_lists(dataset_file *f, dataset_section section)
{
    dataset_section items = (dataset_section)(section + 1);
    uint64_t n = entries(f, items);
    dataset_lists l = {.indptr = take(f, section, (uint64_t)f->header->users + 1, 8),
                       .item = take(f, items, n, 4)};

    if (f->wrong != NULL) return l;
    if (l.indptr[0] != 0 || l.indptr[f->header->users] != n) f->wrong = "a malformed list";
    for (uint32_t u = 0; u < f->header->users && f->wrong == NULL; u++) {
        if (l.indptr[u + 1] < l.indptr[u]) f->wrong = "a malformed list";
    }
    check_below(f, l.item, n, f->header->items);
    return l;
}

/* Strings: offsets in `at`, which ends with the number of bytes. */
static void take_strings(dataset_file *f, dataset_section at, dataset_section bytes, uint32_t n,
                         const uint64_t **out_at, const char **out)
{
    uint64_t all = f->table[bytes].bytes;

    *out_at = take(f, at, (uint64_t)n + 1, 8);
    *out = take(f, bytes, all, 1);
    uint64_t begin = 0;
    for (uint32_t i = 0; i < n && f->wrong == NULL; i++) {
        uint64_t end = (*out_at)[i + 1];
        if ((*out_at)[i] != begin || end <= begin || end > all || (*out)[end - 1] != 0)
            f->wrong = "malformed strings";
        begin = end;
    }
    if (f->wrong == NULL && begin != all) f->wrong = "malformed strings";
}

static void take_items(dataset_file *f, dataset *d)
{
    d->item_type = take(f, DATASET_ITEM_TYPE, d->items, 1);
    for (uint32_t i = 0; i < d->items && f->wrong == NULL; i++) {
        if (d->item_type[i] >= d->types) f->wrong = "a type that is not there";
    }
    d->item_key = take(f, DATASET_ITEM_KEY, d->items, 8);
    d->item_node = take_below(f, DATASET_ITEM_NODE, d->items, d->items);
    d->node_item = take_below(f, DATASET_NODE_ITEM, d->items, d->items);
    d->text = take(f, DATASET_TEXT, (uint64_t)d->items * d->text_dim, 2);
    d->text_mean = take(f, DATASET_TEXT_MEAN, d->text_dim, 4);
    d->train_positives = take(f, DATASET_TRAIN_POSITIVES, d->items, 4);
    d->train_users = take(f, DATASET_TRAIN_USERS, d->items, 4);
    d->train_any = take(f, DATASET_TRAIN_ANY, d->items, 4);
    take_strings(f, DATASET_ITEM_ID_AT, DATASET_ITEM_IDS, d->items, &d->item_id_at, &d->item_ids);
    take_strings(f, DATASET_ITEM_TEXT_AT, DATASET_ITEM_TEXTS, d->items, &d->item_text_at,
                 &d->item_texts);
}

static void take_users(dataset_file *f, dataset *d)
{
    d->user_key = take(f, DATASET_USER_KEY, d->users, 8);
    d->user_number = take_below(f, DATASET_USER_NUMBER, d->users, d->users);
    d->user_row = take_below(f, DATASET_USER_ROW, d->users, d->users);
    d->user_types = take(f, DATASET_USER_TYPES, d->users, 8);
    take_strings(f, DATASET_USER_ID_AT, DATASET_USER_IDS, d->users, &d->user_id_at, &d->user_ids);
    d->seen_train = take_lists(f, DATASET_SEEN_TRAIN_PTR);
    d->seen_valid = take_lists(f, DATASET_SEEN_VALID_PTR);
    d->history = take_lists(f, DATASET_HISTORY_PTR);
    d->history_time = take(f, DATASET_HISTORY_TIME, entries(f, DATASET_HISTORY), 8);
    d->positive = take_lists(f, DATASET_POSITIVE_PTR);
    d->valid = take_lists(f, DATASET_VALID_PTR);
    d->test = take_lists(f, DATASET_TEST_PTR);
    d->split_lines = f->table[DATASET_SPLIT].bytes / sizeof *d->split;
    d->split = take(f, DATASET_SPLIT, d->split_lines, sizeof *d->split);
    for (uint64_t i = 0; i < d->split_lines && f->wrong == NULL; i++) {
        const dataset_split_line *line = &d->split[i];
        if (line->user >= d->users || line->item >= d->items || line->part > DATASET_TEST)
            f->wrong = "a row that is not there";
    }
}

static const char *take_all(dataset_file *f, dataset *d)
{
    d->items = f->header->items;
    d->users = f->header->users;
    d->types = f->header->types;
    d->text_dim = f->header->text_dim;
    take_items(f, d);
    take_users(f, d);
    return f->wrong;
}

err_code dataset_open(const char *folder, dataset **out)
{
    char *path = files_join(folder, "dataset");
    dataset *d = xcalloc(1, sizeof *d);
    dataset_file f = {0};
    err_code rc = map_file(path, &f);

    if (rc == ERR_OK) {
        /* Only munmap takes it back. */
        d->map = (void *)(uintptr_t)f.data;
        d->map_bytes = f.bytes;
        const char *wrong = check_header(&f);
        if (wrong == NULL) wrong = check_sections(&f);
        if (wrong == NULL) wrong = take_all(&f, d);
        if (wrong != NULL) {
            log_user_error("%s: damaged: %s", path, wrong);
            rc = ERR_CORRUPT;
        }
    }
    if (rc != ERR_OK) {
        dataset_close(d);
        d = NULL;
    }
    free(path);
    *out = d;
    return rc;
}

void dataset_close(dataset *d)
{
    if (d == NULL) return;
    if (d->map != NULL) munmap(d->map, d->map_bytes);
    free(d);
}
