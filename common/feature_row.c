#include "common/feature_row.h"

#include "common/bytes.h"
#include "common/f16.h"
#include "common/log.h"

#include <math.h>

static void put_array(bytes_writer *w, const void *data, uint64_t n, size_t size)
{
    bytes_align(w, 8);
    if (n) bytes_put(w, data, (size_t)n * size);
}

static const void *get_array(bytes_reader *r, uint64_t n, size_t size)
{
    bytes_skip_align(r, 8);
    return bytes_get(r, (size_t)n, size);
}

static err_code invalid(const char *what, const blob *body)
{
    log_warn("feature_row_invalid", "what=\"%s\" bytes=%zu", what, blob_size(body));
    return ERR_INVALID;
}

uint64_t feature_row_bytes(const manifest *m)
{
    uint64_t text =
        m->storage == STORAGE_F16 ? 2 * (uint64_t)m->text_dim : m->text_dim + UINT64_C(4);
    return 8 + 4 + 4 * (uint64_t)m->item_attributes + text;
}

blob *feature_row_encode_request(const feature_row_request *r)
{
    bytes_writer w;
    bytes_writer_init(&w);
    bytes_put_u32(&w, r->partition);
    bytes_put_u32(&w, r->nodes);
    put_array(&w, r->node, r->nodes, 4);
    return bytes_take_blob(&w);
}

err_code feature_row_decode_request(const manifest *m, const blob *body, feature_row_request *out)
{
    if ((uintptr_t)blob_data(body) % 8) return invalid("alignment", body);
    bytes_reader r;
    bytes_reader_init(&r, blob_data(body), blob_size(body));
    out->partition = bytes_get_u32(&r);
    out->nodes = bytes_get_u32(&r);
    if (r.failed || out->partition >= m->partitions) return invalid("partition", body);
    if (out->nodes > FEATURE_ROW_NODES_MAX) return invalid("count", body);
    out->node = get_array(&r, out->nodes, 4);
    if (!bytes_done(&r)) return invalid("length", body);
    for (uint32_t i = 0; i < out->nodes; i++) {
        if (i && out->node[i] <= out->node[i - 1]) return invalid("order", body);
        if (out->node[i] >= m->items || manifest_partition_of(m, out->node[i]) != out->partition) {
            return invalid("node of another partition", body);
        }
    }
    return ERR_OK;
}

blob *feature_row_encode_reply(const feature_row_reply *r)
{
    bytes_writer w;
    bytes_writer_init(&w);
    bytes_put_u32(&w, r->nodes);
    bytes_put_u32(&w, r->attributes);
    bytes_put_u32(&w, r->text_dim);
    bytes_put_u32(&w, r->storage);
    uint64_t values = (uint64_t)r->nodes * r->text_dim;
    put_array(&w, r->key, r->nodes, 8);
    put_array(&w, r->positives, r->nodes, 4);
    put_array(&w, r->attribute, (uint64_t)r->nodes * r->attributes, 4);
    if (r->storage == STORAGE_F16) {
        put_array(&w, r->f16, values, 2);
    } else {
        put_array(&w, r->scale, r->nodes, 4);
        put_array(&w, r->q8, values, 1);
    }
    return bytes_take_blob(&w);
}

static const char *get_reply(const manifest *m, bytes_reader *r, feature_row_reply *out)
{
    out->nodes = bytes_get_u32(r);
    out->attributes = bytes_get_u32(r);
    out->text_dim = bytes_get_u32(r);
    uint32_t storage = bytes_get_u32(r);
    if (r->failed || out->nodes > FEATURE_ROW_NODES_MAX) return "count";
    if (out->attributes != m->item_attributes || out->text_dim != m->text_dim ||
        storage != (uint32_t)m->storage) {
        return "sizes are not this plan's";
    }
    out->storage = m->storage;
    uint64_t values = (uint64_t)out->nodes * out->text_dim;
    out->key = get_array(r, out->nodes, 8);
    out->positives = get_array(r, out->nodes, 4);
    out->attribute = get_array(r, (uint64_t)out->nodes * out->attributes, 4);
    if (out->storage == STORAGE_F16) {
        out->f16 = get_array(r, values, 2);
    } else {
        out->scale = get_array(r, out->nodes, 4);
        out->q8 = get_array(r, values, 1);
    }
    return bytes_done(r) ? NULL : "length";
}

/* Values that arithmetic rests on: attribute indexes in range, no infinite text. */
static const char *check_reply(const manifest *m, const feature_row_reply *r)
{
    for (uint32_t i = 0; i < r->nodes; i++) {
        for (uint32_t a = 0; a < r->attributes; a++) {
            if (r->attribute[(size_t)i * r->attributes + a] > m->item_attribute[a].values.n) {
                return "attribute value";
            }
        }
        if (r->scale && !(isfinite(r->scale[i]) && r->scale[i] > 0)) return "scale";
    }
    enum { EXPONENT = 0x7c00 };
    for (uint64_t i = 0, n = (uint64_t)r->nodes * r->text_dim; r->f16 && i < n; i++) {
        if ((r->f16[i] & EXPONENT) == EXPONENT) return "text not finite";
    }
    return NULL;
}

err_code feature_row_decode_reply(const manifest *m, const blob *body, feature_row_reply *out)
{
    if ((uintptr_t)blob_data(body) % 8) return invalid("alignment", body);
    bytes_reader r;
    bytes_reader_init(&r, blob_data(body), blob_size(body));
    *out = (feature_row_reply){0};
    const char *wrong = get_reply(m, &r, out);
    if (!wrong) wrong = check_reply(m, out);
    if (wrong) return invalid(wrong, body);
    if (!out->attributes) out->attribute = NULL;
    return ERR_OK;
}

void feature_row_text(float *out, const feature_row_reply *r, uint32_t i)
{
    size_t at = (size_t)i * r->text_dim;
    if (r->storage == STORAGE_F16) {
        f16_decode(out, r->f16 + at, r->text_dim);
        return;
    }
    for (uint32_t j = 0; j < r->text_dim; j++) out[j] = (float)r->q8[at + j] * r->scale[i];
}
