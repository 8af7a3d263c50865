#include "ps/tensorboard_log.h"

#include "common/bytes.h"
#include "common/clock.h"
#include "common/files.h"
#include "common/log.h"
#include "common/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TAG_MAX = 160 };

struct tensorboard_log {
    char *folder;
    FILE *file; /* of `stage`; NULL: none */
    uint32_t stage;
    bool back;   /* the next event says from which step on the ones before do not count */
    bool failed; /* it was said why */
    uint32_t files;
    uint32_t crc[256];
};

/* ---- CRC-32C, as TensorFlow frames records with it ---- */

static void crc_init(uint32_t table[256])
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t x = i;
        for (int k = 0; k < 8; k++) x = x & 1 ? x >> 1 ^ 0x82f63b78u : x >> 1;
        table[i] = x;
    }
}

static uint32_t masked_crc(const uint32_t table[256], const void *data, size_t bytes)
{
    const uint8_t *p = data;
    uint32_t x = 0xffffffffu;
    for (size_t i = 0; i < bytes; i++) x = x >> 8 ^ table[(x ^ p[i]) & 0xff];
    x ^= 0xffffffffu;
    return (x >> 15 | x << 17) + 0xa282ead8u;
}

/* ---- Protobuf, the few fields that are needed ---- */

enum { VARINT = 0, FIXED64 = 1, LENGTH = 2, FIXED32 = 5 };

static void put_varint(bytes_writer *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7) bytes_put_u8(b, (uint8_t)(v | 0x80));
    bytes_put_u8(b, (uint8_t)v);
}

static void put_key(bytes_writer *b, uint32_t field, uint32_t type)
{
    put_varint(b, field << 3 | type);
}

static void put_part(bytes_writer *b, uint32_t field, const void *data, size_t bytes)
{
    put_key(b, field, LENGTH);
    put_varint(b, bytes);
    bytes_put(b, data, bytes);
}

/* Event: wall_time = 1, step = 2. */
static void event_begin(bytes_writer *b, uint32_t step)
{
    bytes_writer_init(b);
    put_key(b, 1, FIXED64);
    bytes_put_f64(b, (double)clock_wall_s());
    put_key(b, 2, VARINT);
    put_varint(b, step);
}

/* Event.summary = 5, Summary.value = 1: {tag = 1, simple_value = 2}. */
static void put_scalar(bytes_writer *summary, const char *tag, double value)
{
    bytes_writer v;
    bytes_writer_init(&v);
    put_part(&v, 1, tag, strlen(tag));
    put_key(&v, 2, FIXED32);
    bytes_put_f32(&v, (float)value);
    put_part(summary, 1, v.data, v.len);
    bytes_writer_fini(&v);
}

/* ---- Files ---- */

static void fail(tensorboard_log *t, const char *path)
{
    log_warn("tensorboard_failed", "path=\"%s\" reason=\"%s\"", path, strerror(errno));
    t->failed = true;
}

/* Writes the event as a record and frees it. */
static void event_end(tensorboard_log *t, bytes_writer *event)
{
    bytes_writer r;
    bytes_writer_init(&r);
    bytes_put_u64(&r, event->len);
    bytes_put_u32(&r, masked_crc(t->crc, r.data, 8));
    bytes_put(&r, event->data, event->len);
    bytes_put_u32(&r, masked_crc(t->crc, event->data, event->len));
    if (fwrite(r.data, 1, r.len, t->file) != r.len) fail(t, t->folder);
    bytes_writer_fini(&r);
    bytes_writer_fini(event);
}

/* Event.file_version = 3: the first of a file. */
static void write_version(tensorboard_log *t)
{
    static const char version[] = "brain.Event:2";
    bytes_writer e;
    event_begin(&e, 0);
    put_part(&e, 3, version, sizeof version - 1);
    event_end(t, &e);
}

/* Event.session_log = 7, SessionLog.status = 1: START = 1. */
static void write_start(tensorboard_log *t, uint32_t step)
{
    static const uint8_t start[] = {1 << 3 | VARINT, 1};
    bytes_writer e;
    event_begin(&e, step);
    put_part(&e, 7, start, sizeof start);
    event_end(t, &e);
}

static void open_stage(tensorboard_log *t, uint32_t stage)
{
    if (t->file) fclose(t->file);
    t->file = NULL;
    t->stage = stage;
    char *folder = files_join(t->folder, stage_name(stage));
    /* Files are read in the order of their names. */
    char *path = xprintf("%s/events.out.tfevents.%010" PRIu64 ".%08d.%03" PRIu32 ".weft", folder,
                         clock_wall_s(), (int)getpid(), t->files++);
    if (files_make_dirs(folder) == ERR_OK) t->file = fopen(path, "we");
    if (t->file)
        write_version(t);
    else
        fail(t, path);
    t->back = true;
    free(path);
    free(folder);
}

tensorboard_log *tensorboard_log_new(const char *folder)
{
    tensorboard_log *t = xcalloc(1, sizeof *t);
    t->folder = xstrdup(folder);
    crc_init(t->crc);
    return t;
}

void tensorboard_log_close(tensorboard_log *t)
{
    if (!t) return;
    if (t->file) fclose(t->file);
    free(t->folder);
    free(t);
}

void tensorboard_log_back(tensorboard_log *t)
{
    t->back = true;
}

/* ---- Metrics ---- */

static void step_scalars(bytes_writer *s, const job *j, const core_metric *m, double seconds)
{
    put_scalar(s, "train/loss", m->loss);
    put_scalar(s, "train/learning_rate", (double)plan_lr(j->plan, m->stage, m->step));
    put_scalar(s, "train/void_slots", m->voids);
    if (seconds <= 0) return;
    put_scalar(s, "train/step_seconds", seconds);
    put_scalar(s, "train/examples_per_second", (double)m->examples / seconds);
}

static void valid_scalars(bytes_writer *s, const job *j, const core_metric *m)
{
    char tag[TAG_MAX];
    const char *metric = plan_metric(m->stage);
    snprintf(tag, sizeof tag, "validation/%s", metric);
    put_scalar(s, tag, m->value);
    for (uint32_t t = 0; 2 * t + 1 < m->sums_n; t++) {
        if (m->sums[2 * t + 1] < 1) continue;
        snprintf(tag, sizeof tag, "validation/%s/%s", metric, j->manifest->types.items[t]);
        put_scalar(s, tag, m->sums[2 * t] / m->sums[2 * t + 1]);
    }
}

void tensorboard_log_add(tensorboard_log *t, const job *j, const core_metric *m, double seconds)
{
    if (t->failed || (m->kind != METRIC_STEP && m->kind != METRIC_VALID)) return;
    if (!t->file || t->stage != m->stage) open_stage(t, m->stage);
    if (t->failed) return;
    /* The step of a validation was written before it, and stays. */
    if (t->back) write_start(t, m->step + (m->kind == METRIC_VALID));
    t->back = false;
    bytes_writer summary, event;
    bytes_writer_init(&summary);
    if (m->kind == METRIC_STEP)
        step_scalars(&summary, j, m, seconds);
    else
        valid_scalars(&summary, j, m);
    event_begin(&event, m->step);
    put_part(&event, 5, summary.data, summary.len);
    event_end(t, &event);
    bytes_writer_fini(&summary);
    fflush(t->file);
}
