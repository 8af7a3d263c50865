#include "ps/checkpoint_metrics.h"

#include "common/bytes.h"
#include "common/files.h"
#include "common/hash.h"
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METRICS_MAGIC UINT64_C(0x5254454d54464557) /* "WEFTMETR" */

enum { HEAD_BYTES = 24, HASHED_FROM = 16 };

static size_t bytes_with(uint32_t sums)
{
    return offsetof(core_metric, sums) + sums * sizeof(double);
}

size_t checkpoint_metrics_stored(const core_metric *m)
{
    return bytes_with(m->sums_n);
}

bool checkpoint_metrics_take(const void *bytes, size_t n, core_metric *out)
{
    *out = (core_metric){0};
    if (n < bytes_with(0) || n > sizeof *out) return false;
    memcpy(out, bytes, n);
    return out->sums_n <= METRIC_SUMS_MAX && n == bytes_with(out->sums_n);
}

blob *checkpoint_metrics_encode(const core_metric *m, size_t n)
{
    bytes_writer w;
    bytes_writer_init(&w);
    bytes_put_u64(&w, METRICS_MAGIC);
    bytes_put_u64(&w, 0);
    bytes_put_u64(&w, n);
    for (size_t i = 0; i < n; i++) {
        bytes_put_u64(&w, checkpoint_metrics_stored(&m[i]));
        bytes_put(&w, &m[i], checkpoint_metrics_stored(&m[i]));
    }
    uint64_t hash = hash64(w.data + HASHED_FROM, w.len - HASHED_FROM, 0);
    memcpy(w.data + 8, &hash, sizeof hash);
    return bytes_take_blob(&w);
}

static bool take_all(bytes_reader *r, core_metric *m, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        uint64_t bytes = bytes_get_u64(r);
        if (bytes > sizeof *m) return false;
        const void *one = bytes_get(r, 1, (size_t)bytes);
        if (!one || !checkpoint_metrics_take(one, (size_t)bytes, &m[i]) || m[i].index != i)
            return false;
    }
    return bytes_done(r);
}

err_code checkpoint_metrics_decode(const void *bytes, size_t size, core_metric **out, size_t *n)
{
    bytes_reader r;
    *out = NULL;
    *n = 0;
    bytes_reader_init(&r, bytes, size);
    uint64_t magic = bytes_get_u64(&r), hash = bytes_get_u64(&r), count = bytes_get_u64(&r);
    if (r.failed || magic != METRICS_MAGIC || count > (size - HEAD_BYTES) / bytes_with(0) ||
        hash != hash64((const uint8_t *)bytes + HASHED_FROM, size - HASHED_FROM, 0))
        return ERR_CORRUPT;
    core_metric *m = xcalloc((size_t)count + 1, sizeof *m);
    if (!take_all(&r, m, count)) {
        free(m);
        return ERR_CORRUPT;
    }
    *out = m;
    *n = (size_t)count;
    return ERR_OK;
}

err_code checkpoint_metrics_write(const char *dir, const checkpoint_id *id, const core_metric *m,
                                  size_t n, char *why)
{
    blob *b = checkpoint_metrics_encode(m, n);
    err_code rc = checkpoint_files_write_file(dir, id, CHECKPOINT_METRICS_FILE, blob_data(b),
                                              blob_size(b), why);
    blob_unref(b);
    return rc;
}

err_code checkpoint_metrics_read(const char *dir, const checkpoint_id *id, core_metric **out,
                                 size_t *n, char *why)
{
    blob *b = NULL;
    *out = NULL;
    char *folder = checkpoint_files_folder(dir, id),
         *path = files_join(folder, CHECKPOINT_METRICS_FILE);
    err_code rc = checkpoint_files_read_file(path, CHECKPOINT_METRICS_BYTES_MAX, &b, why);
    if (rc == ERR_OK) rc = checkpoint_metrics_decode(blob_data(b), blob_size(b), out, n);
    if (rc == ERR_CORRUPT && !*why) snprintf(why, CHECKPOINT_WHY_MAX, "%s: damaged", path);
    blob_unref(b);
    free(path);
    free(folder);
    return rc;
}
