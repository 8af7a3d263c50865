#include "deploy/export_files.h"

#include "common/files.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/npy.h"
#include "common/tsv.h"
#include "deploy/export_lists.h"
#include "deploy/export_model.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_CHARACTERS = 200, COPY_BYTES = 1 << 16 };

/* ---- z's id ---- */

static void add_text(hash_stream *h, const char *text)
{
    hash_stream_add(h, text, strlen(text) + 1);
}

static void add_number(hash_stream *h, uint64_t v)
{
    hash_stream_add(h, &v, sizeof v);
}

uint64_t export_z_id(const job *j, const float *hgnn)
{
    const config *c = j->config;
    hash_stream *h = hash_stream_new(0);
    add_text(h, "weft-z-1");
    add_number(h, j->manifest->foundation_id);
    add_text(h, j->manifest->encoder);
    add_number(h, j->manifest->text_dim);
    add_number(h, c->seed); /* Random channels; sampled neighbours with max_pool. */
    add_number(h, c->hgnn.random_features);
    add_number(h, c->hgnn.aggregator);
    add_number(h, c->hgnn.output_relu);
    if (c->hgnn.aggregator == AGG_MAX_POOL) {
        for (size_t i = 0; i < c->hgnn.fanout_n; i++) add_number(h, c->hgnn.fanout[i]);
        add_number(h, c->hgnn.fanout_total);
        add_number(h, c->hgnn.neighbours_by_weight);
    }
    for (size_t i = 0; i < j->hgnn->tensors; i++) add_text(h, j->hgnn->tensor[i].name);
    hash_stream_add(h, hgnn, j->hgnn->values * sizeof *hgnn);
    uint64_t id = hash_stream_digest(h);
    hash_stream_free(h);
    return id;
}

/* ---- Tables ---- */

/* Bytes of the first TEXT_CHARACTERS characters of UTF-8. */
static size_t cut_text(const char *text)
{
    size_t at = 0, characters = 0;
    for (; text[at]; at++) {
        bool starts = ((unsigned char)text[at] & 0xc0) != 0x80;
        if (starts && characters++ == TEXT_CHARACTERS) break;
    }
    return at;
}

static void put_items(const export_input *in, const export_lists *history, FILE *file)
{
    const dataset *d = in->data;
    (void)history;
    fputs("row\titem_id\titem_type\ttext\n", file);
    for (uint32_t i = 0; i < d->items; i++) {
        const char *id = dataset_item_id(d, i), *text = dataset_item_text(d, i);
        fprintf(file, "%" PRIu32 "\t", i);
        tsv_write(file, id, strlen(id));
        fprintf(file, "\t%s\t", in->job->manifest->types.items[d->item_type[i]]);
        tsv_write(file, text, cut_text(text));
        fputc('\n', file);
    }
}

static void put_users(const export_input *in, const export_lists *history, FILE *file)
{
    fputs("row\tuser_id\thistory\n", file);
    for (uint32_t u = 0; u < in->data->users; u++) {
        const char *id = dataset_user_id(in->data, u);
        fprintf(file, "%" PRIu32 "\t", u);
        tsv_write(file, id, strlen(id));
        fprintf(file, "\t%" PRId64 "\n", history->indptr[u + 1] - history->indptr[u]);
    }
}

static void put_split(const export_input *in, const export_lists *history, FILE *file)
{
    const dataset *d = in->data;
    (void)history;
    fputs("user_id\titem_id\tpart\n", file);
    for (uint64_t i = 0; i < d->split_lines; i++) {
        const dataset_split_line *line = &d->split[i];
        const char *user = dataset_user_id(d, line->user), *item = dataset_item_id(d, line->item);
        tsv_write(file, user, strlen(user));
        fputc('\t', file);
        tsv_write(file, item, strlen(item));
        fprintf(file, "\t%s\n", line->part == DATASET_VALID ? "valid" : "test");
    }
}

typedef void put_table(const export_input *in, const export_lists *history, FILE *file);

static err_code write_table(const export_input *in, const export_lists *history, const out_dir *dir,
                            const char *name, put_table *put)
{
    char *path = out_dir_path(dir, name);
    FILE *file = fopen(path, "wb");
    bool ok = file != NULL;
    if (ok) {
        put(in, history, file);
        ok = !ferror(file);
        if (fclose(file) != 0) ok = false;
    }
    if (!ok) log_user_error("%s: %s", path, strerror(errno));
    free(path);
    return ok ? ERR_OK : ERR_IO;
}

/* ---- Arrays ---- */

static err_code write_array(const out_dir *dir, const char *name, npy_type type, uint64_t rows,
                            uint64_t cols, const void *values)
{
    const uint64_t shape[2] = {rows, cols};
    char *path = out_dir_path(dir, name);
    err_code rc = npy_write(path, type, shape, cols ? 2 : 1, values);
    free(path);
    return rc;
}

static err_code write_vectors(const export_input *in, const out_dir *dir)
{
    const dataset *d = in->data;
    const uint32_t dim = in->job->two_tower->output_dim, z_dim = in->job->hgnn->z_dim;
    err_code rc = write_array(dir, "items.npy", NPY_F32, d->items, dim, in->item_vectors);
    if (rc == ERR_OK) rc = write_array(dir, "users.npy", NPY_F32, d->users, dim, in->user_vectors);
    if (rc == ERR_OK && in->z) {
        rc = write_array(dir, "item_embeddings.npy", NPY_F32, d->items, z_dim, in->z);
    }
    return rc;
}

static err_code write_lists(const export_lists *l, const out_dir *dir, const char *indptr,
                            const char *items)
{
    err_code rc = write_array(dir, indptr, NPY_I64, (uint64_t)l->users + 1, 0, l->indptr);
    if (rc != ERR_OK) return rc;
    return write_array(dir, items, NPY_I32, (uint64_t)l->indptr[l->users], 0, l->item);
}

static err_code write_seen(const export_input *in, const out_dir *dir)
{
    export_lists seen;
    err_code rc = export_lists_seen(in->data, &seen);
    if (rc != ERR_OK) return rc;
    rc = write_lists(&seen, dir, "seen_indptr.npy", "seen_items.npy");
    export_lists_fini(&seen);
    return rc;
}

static err_code write_users(const export_input *in, const out_dir *dir)
{
    export_lists history;
    err_code rc = export_lists_history(in->job, in->data, &history);
    if (rc != ERR_OK) return rc;
    rc = write_lists(&history, dir, "history_indptr.npy", "history_items.npy");
    if (rc == ERR_OK) rc = write_table(in, &history, dir, "users.tsv", put_users);
    export_lists_fini(&history);
    return rc;
}

/* ---- The rest ---- */

static err_code write_model(const export_input *in, const out_dir *dir)
{
    char *path = out_dir_path(dir, "model.safetensors");
    err_code rc = export_model_write(in, path);
    free(path);
    return rc;
}

static err_code write_config(const export_input *in, const out_dir *dir)
{
    char *path = out_dir_path(dir, "config.yaml");
    char *text = config_print(in->job->config, CONFIG_PLAN_ONLY);
    err_code rc = files_write_atomic(path, text, strlen(text), 0644);
    free(text);
    free(path);
    return rc;
}

static err_code copy_stream(FILE *from, const char *from_path, FILE *to, const char *to_path)
{
    char buffer[COPY_BYTES];
    for (size_t n; (n = fread(buffer, 1, sizeof buffer, from)) > 0;) {
        if (fwrite(buffer, 1, n, to) == n) continue;
        log_user_error("%s: %s", to_path, strerror(errno));
        return ERR_IO;
    }
    if (!ferror(from)) return ERR_OK;
    log_user_error("%s: %s", from_path, strerror(errno));
    return ERR_IO;
}

static err_code copy_file(const char *from_path, const char *to_path)
{
    FILE *from = fopen(from_path, "rb");
    if (!from) {
        log_user_error("%s: %s", from_path, strerror(errno));
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    }
    FILE *to = fopen(to_path, "wb");
    err_code rc = to ? copy_stream(from, from_path, to, to_path) : ERR_IO;
    if (!to || (fclose(to) != 0 && rc == ERR_OK)) {
        log_user_error("%s: %s", to_path, strerror(errno));
        rc = ERR_IO;
    }
    fclose(from);
    return rc;
}

static err_code write_metrics(const export_input *in, const out_dir *dir)
{
    if (!in->metrics_path || in->model_only) return ERR_OK;
    char *path = out_dir_path(dir, "metrics.jsonl");
    err_code rc = copy_file(in->metrics_path, path);
    free(path);
    return rc;
}

err_code export_write(const export_input *in, const out_dir *dir)
{
    err_code rc = write_table(in, NULL, dir, "items.tsv", put_items);
    if (rc == ERR_OK) rc = write_vectors(in, dir);
    if (rc == ERR_OK) rc = write_seen(in, dir);
    if (rc == ERR_OK) rc = write_users(in, dir);
    if (rc == ERR_OK && !in->model_only) rc = write_table(in, NULL, dir, "split.tsv", put_split);
    if (rc == ERR_OK) rc = write_model(in, dir);
    if (rc == ERR_OK) rc = write_config(in, dir);
    if (rc == ERR_OK) rc = write_metrics(in, dir);
    return rc;
}
