#include "ps/checkpoint_manifest.h"

#include "common/hash.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/panic.h"
#include "common/slot.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The checksum's digits come right behind, and what it covers behind those. */
static const char PREFIX[] = "{\n  \"checksum\": \"";
enum { PREFIX_BYTES = sizeof PREFIX - 1, DIGITS = 16, HASHED_FROM = PREFIX_BYTES + DIGITS };

static const char *const reasons[CHECKPOINT_REASONS] = {"periodic", "best", "stage_end",
                                                        "asked",    "stop", "scale"};
static const char hex_digits[] = "0123456789abcdef";

const char *checkpoint_reason_name(checkpoint_reason reason)
{
    ASSERT(reason < CHECKPOINT_REASONS);
    return reasons[reason];
}

bool checkpoint_reason_parse(const char *name, checkpoint_reason *out)
{
    for (uint32_t i = 0; i < CHECKPOINT_REASONS; i++) {
        if (strcmp(name, reasons[i]) != 0) continue;
        *out = (checkpoint_reason)i;
        return true;
    }
    return false;
}

void checkpoint_manifest_fini(checkpoint_manifest *m)
{
    free(m->memory);
    *m = (checkpoint_manifest){0};
}

part_id checkpoint_manifest_part_id(const checkpoint_manifest *m, uint32_t shard)
{
    return (part_id){.plan_hash = m->plan_hash,
                     .stage = m->id.stage,
                     .generation = m->id.generation,
                     .version = m->id.version,
                     .shard = shard,
                     .shards = m->shards,
                     .final = m->id.final};
}

/* --- Encoding ----------------------------------------------------------------------------------
 */

static void put_hex64(json_writer *w, const char *key, uint64_t v)
{
    json_key(w, key);
    json_hex64(w, v);
}

static void put_id(json_writer *w, const checkpoint_id *id)
{
    json_field_string(w, "stage", stage_name(id->stage));
    json_field_u64(w, "generation", id->generation);
    json_field_u64(w, "version", id->version);
    json_field_bool(w, "final", id->final);
}

static void put_lists(json_writer *w, const checkpoint_manifest *m)
{
    json_key(w, "previous");
    json_array_begin(w);
    for (uint32_t i = 0; i < m->previous_n; i++) {
        json_object_begin(w);
        put_id(w, &m->previous[i]);
        json_object_end(w);
    }
    json_array_end(w);
    json_key(w, "parts");
    json_array_begin(w);
    for (uint32_t i = 0; i < m->parts; i++) {
        json_object_begin(w);
        json_field_u64(w, "shard", m->part[i].shard);
        json_field_u64(w, "bytes", m->part[i].bytes);
        put_hex64(w, "hash", m->part[i].hash);
        json_object_end(w);
    }
    json_array_end(w);
}

static void put_state(json_writer *w, const checkpoint_manifest *m)
{
    const uint8_t *state = m->state;
    char *text = xmalloc(m->state_bytes * 2 + 1);
    for (size_t i = 0; i < m->state_bytes; i++) {
        text[2 * i] = hex_digits[state[i] >> 4];
        text[2 * i + 1] = hex_digits[state[i] & 15];
    }
    text[m->state_bytes * 2] = '\0';
    json_field_string(w, "state_hex", text);
    free(text);
}

static void put_manifest(json_writer *w, const checkpoint_manifest *m)
{
    json_object_begin(w);
    put_hex64(w, "checksum", 0);
    json_field_u64(w, "format", CHECKPOINT_MANIFEST_FORMAT);
    json_field_string(w, "job", m->job);
    put_hex64(w, "plan_hash", m->plan_hash);
    json_field_string(w, "numerics", m->numerics);
    put_id(w, &m->id);
    json_field_u64(w, "stage_index", m->stage_index);
    json_field_u64(w, "epoch", m->epoch);
    json_field_u64(w, "step", m->step);
    json_field_string(w, "reason", checkpoint_reason_name(m->reason));
    json_field_u64(w, "shards", m->shards);
    json_field_u64(w, "servers", m->servers);
    if (m->copies) json_field_u64(w, "copies", m->copies);
    json_field_u64(w, "metrics", m->metrics);
    put_lists(w, m);
    put_state(w, m);
    json_object_end(w);
}

char *checkpoint_manifest_encode(const checkpoint_manifest *m, size_t *n)
{
    bytes_writer out;
    json_writer w;
    ASSERT(strlen(m->job) <= CHECKPOINT_TEXT_MAX && strlen(m->numerics) <= CHECKPOINT_TEXT_MAX);
    ASSERT(m->parts <= m->shards && m->shards <= CHECKPOINT_SHARDS_MAX);
    ASSERT(m->previous_n <= CHECKPOINT_PREVIOUS_MAX);
    ASSERT(m->state_bytes <= CHECKPOINT_STATE_BYTES_MAX);
    bytes_writer_init(&out);
    json_init_bytes(&w, &out, JSON_STYLE_PRETTY);
    put_manifest(&w, m);
    err_code rc = json_finish(&w);
    ASSERT(rc == ERR_OK);
    bytes_put_u8(&out, '\n');
    ASSERT(out.len > HASHED_FROM && memcmp(out.data, PREFIX, PREFIX_BYTES) == 0);
    char digits[DIGITS + 1];
    snprintf(digits, sizeof digits, "%016" PRIx64,
             hash64(out.data + HASHED_FROM, out.len - HASHED_FROM, 0));
    memcpy(out.data + PREFIX_BYTES, digits, DIGITS);
    char *text = xstrndup((const char *)out.data, out.len);
    *n = out.len;
    bytes_writer_fini(&out);
    return text;
}

/* --- Decoding ----------------------------------------------------------------------------------
 */

/* `wrong` is the first thing that was, NULL so far.  `memory` is handed out from its front. */
typedef struct manifest_decoder {
    const char *wrong;
    uint8_t *memory;
    size_t used, bytes;
} manifest_decoder;

static void require(manifest_decoder *d, bool ok, const char *what)
{
    if (!ok && !d->wrong) d->wrong = what;
}

static void *take(manifest_decoder *d, size_t n, size_t size)
{
    size_t bytes = (n * size + 7) / 8 * 8;
    ASSERT(bytes <= d->bytes - d->used);
    void *p = d->memory + d->used;
    d->used += bytes;
    return p;
}

static const json_t *get(manifest_decoder *d, const json_t *object, const char *key, json_type type)
{
    const json_t *v = json_object_get(object, key);
    bool fits = v && json_typeof(v) == type;
    require(d, fits, key);
    return fits ? v : NULL;
}

static uint64_t get_u64(manifest_decoder *d, const json_t *object, const char *key, uint64_t max)
{
    const json_t *v = get(d, object, key, JSON_INTEGER);
    json_int_t n = v ? json_integer_value(v) : 0;
    bool fits = n >= 0 && (uint64_t)n <= max;
    require(d, fits, key);
    return fits ? (uint64_t)n : 0;
}

static uint32_t get_u32(manifest_decoder *d, const json_t *object, const char *key, uint32_t max)
{
    return (uint32_t)get_u64(d, object, key, max);
}

static const char *get_text(manifest_decoder *d, const json_t *object, const char *key)
{
    const json_t *v = get(d, object, key, JSON_STRING);
    return v ? json_string_value(v) : "";
}

static bool get_bool(manifest_decoder *d, const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    require(d, json_is_boolean(v), key);
    return json_is_true(v);
}

/* 2 * n lowercase digits. */
static bool parse_hex(const char *s, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < 2 * n; i++) {
        const char *digit = s[i] ? strchr(hex_digits, s[i]) : NULL;
        if (!digit) return false;
        out[i / 2] = (uint8_t)(out[i / 2] << 4 | (digit - hex_digits));
    }
    return s[2 * n] == '\0';
}

static bool parse_hex64(const char *s, uint64_t *out)
{
    uint8_t byte[8] = {0};
    if (!parse_hex(s, byte, 8)) return false;
    *out = 0;
    for (int i = 0; i < 8; i++) *out = *out << 8 | byte[i];
    return true;
}

static uint64_t get_hex64(manifest_decoder *d, const json_t *object, const char *key)
{
    uint64_t v = 0;
    require(d, parse_hex64(get_text(d, object, key), &v), key);
    return v;
}

static checkpoint_id get_id(manifest_decoder *d, const json_t *object)
{
    checkpoint_id id = {0};
    require(d, stage_parse(get_text(d, object, "stage"), &id.stage), "stage");
    id.generation = get_u32(d, object, "generation", UINT32_MAX);
    id.version = get_u32(d, object, "version", UINT32_MAX);
    id.final = get_bool(d, object, "final");
    return id;
}

static const char *copy_text(manifest_decoder *d, const json_t *object, const char *key)
{
    const char *text = get_text(d, object, key);
    size_t n = strlen(text);
    require(d, n <= CHECKPOINT_TEXT_MAX, key);
    if (d->wrong) return "";
    return memcpy(take(d, n + 1, 1), text, n + 1);
}

static void get_previous(manifest_decoder *d, const json_t *root, checkpoint_manifest *m)
{
    const json_t *list = get(d, root, "previous", JSON_ARRAY);
    size_t n = list ? json_array_size(list) : 0;
    require(d, n <= CHECKPOINT_PREVIOUS_MAX, "previous");
    if (d->wrong) return;
    checkpoint_id *previous = take(d, n, sizeof *previous);
    for (size_t i = 0; i < n; i++) previous[i] = get_id(d, json_array_get(list, i));
    m->previous = previous;
    m->previous_n = (uint32_t)n;
}

static void get_parts(manifest_decoder *d, const json_t *root, checkpoint_manifest *m)
{
    const json_t *list = get(d, root, "parts", JSON_ARRAY);
    size_t n = list ? json_array_size(list) : 0;
    require(d, n <= m->shards, "parts");
    if (d->wrong) return;
    checkpoint_manifest_part *part = take(d, n, sizeof *part);
    for (size_t i = 0; i < n; i++) {
        const json_t *p = json_array_get(list, i);
        part[i].shard = get_u32(d, p, "shard", m->shards - 1);
        part[i].bytes = get_u64(d, p, "bytes", PART_BYTES_MAX);
        part[i].hash = get_hex64(d, p, "hash");
        require(d, i == 0 || part[i].shard > part[i - 1].shard, "order of the parts");
    }
    m->part = part;
    m->parts = (uint32_t)n;
}

static void get_state(manifest_decoder *d, const json_t *root, checkpoint_manifest *m)
{
    const char *text = get_text(d, root, "state_hex");
    size_t n = strlen(text);
    require(d, n % 2 == 0 && n / 2 <= CHECKPOINT_STATE_BYTES_MAX, "state_hex");
    if (d->wrong) return;
    uint8_t *state = take(d, n / 2, 1);
    require(d, parse_hex(text, state, n / 2), "state_hex");
    m->state = state;
    m->state_bytes = n / 2;
}

static void get_manifest(manifest_decoder *d, const json_t *root, checkpoint_manifest *m)
{
    m->job = copy_text(d, root, "job");
    m->plan_hash = get_hex64(d, root, "plan_hash");
    m->numerics = copy_text(d, root, "numerics");
    m->id = get_id(d, root);
    m->stage_index = get_u32(d, root, "stage_index", UINT32_MAX);
    m->epoch = get_u32(d, root, "epoch", UINT32_MAX);
    m->step = get_u32(d, root, "step", UINT32_MAX);
    require(d, checkpoint_reason_parse(get_text(d, root, "reason"), &m->reason), "reason");
    m->shards = get_u32(d, root, "shards", CHECKPOINT_SHARDS_MAX);
    require(d, m->shards > 0, "shards");
    m->servers = get_u32(d, root, "servers", UINT32_MAX);
    if (json_object_get(root, "copies")) m->copies = get_u32(d, root, "copies", 2);
    m->metrics = get_u64(d, root, "metrics", ((uint64_t)1 << 53) - 1);
    get_previous(d, root, m);
    get_parts(d, root, m);
    get_state(d, root, m);
}

/* Enough for everything that is taken: arrays are shorter as text than 8 times their length. */
static size_t memory_for(const json_t *root)
{
    return 2 * (CHECKPOINT_TEXT_MAX + 16) +
           json_array_size(json_object_get(root, "previous")) * sizeof(checkpoint_id) +
           json_array_size(json_object_get(root, "parts")) * sizeof(checkpoint_manifest_part) +
           json_string_length(json_object_get(root, "state_hex")) + 64;
}

static err_code decode_root(const json_t *root, const char *text, size_t n,
                            checkpoint_manifest *out, const char **wrong)
{
    manifest_decoder d = {0};
    *wrong = "of another format";
    uint64_t format = get_u64(&d, root, "format", UINT32_MAX);
    if (!d.wrong && format != CHECKPOINT_MANIFEST_FORMAT) return ERR_MISMATCH;
    d.bytes = memory_for(root);
    d.memory = xcalloc(d.bytes, 1);
    out->memory = d.memory;
    get_manifest(&d, root, out);
    *wrong = d.wrong;
    if (*wrong) return ERR_CORRUPT;
    size_t again_n;
    char *again = checkpoint_manifest_encode(out, &again_n);
    bool same = again_n == n && memcmp(again, text, n) == 0;
    free(again);
    *wrong = same ? NULL : "not as it is written";
    return same ? ERR_OK : ERR_CORRUPT;
}

/* NULL: prefix and checksum are right. */
static const char *check_frame(const char *text, size_t n)
{
    char digits[DIGITS + 1];
    uint64_t hash;
    if (n > CHECKPOINT_MANIFEST_BYTES_MAX) return "larger than a manifest may be";
    if (n < HASHED_FROM || memcmp(text, PREFIX, PREFIX_BYTES) != 0) return "no manifest";
    memcpy(digits, text + PREFIX_BYTES, DIGITS);
    digits[DIGITS] = '\0';
    if (!parse_hex64(digits, &hash)) return "no manifest";
    return hash == hash64(text + HASHED_FROM, n - HASHED_FROM, 0) ? NULL : "wrong checksum";
}

err_code checkpoint_manifest_decode(const void *text, size_t n, checkpoint_manifest *out,
                                    const char **wrong)
{
    *out = (checkpoint_manifest){0};
    *wrong = check_frame(text, n);
    if (*wrong) return ERR_CORRUPT;
    *wrong = "no JSON object";
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    err_code rc = json_is_object(root) ? decode_root(root, text, n, out, wrong) : ERR_CORRUPT;
    json_decref(root);
    if (rc != ERR_OK) checkpoint_manifest_fini(out);
    return rc;
}

/* --- Files -------------------------------------------------------------------------------------
 */

err_code checkpoint_manifest_write(const char *dir, const checkpoint_manifest *m, char *why)
{
    size_t n;
    char *text = checkpoint_manifest_encode(m, &n);
    err_code rc = checkpoint_files_write_file(dir, &m->id, CHECKPOINT_MANIFEST_FILE, text, n, why);
    free(text);
    return rc;
}

static err_code decode_file(const char *path, const checkpoint_id *id, const blob *b,
                            checkpoint_manifest *out, char *why)
{
    const char *wrong;
    err_code rc = checkpoint_manifest_decode(blob_data(b), blob_size(b), out, &wrong);
    if (rc == ERR_OK && checkpoint_files_compare(&out->id, id) != 0) {
        wrong = "of another snapshot";
        checkpoint_manifest_fini(out);
        rc = ERR_CORRUPT;
    }
    if (rc != ERR_OK) snprintf(why, CHECKPOINT_WHY_MAX, "%s: %s", path, wrong);
    return rc;
}

err_code checkpoint_manifest_read(const char *dir, const checkpoint_id *id,
                                  checkpoint_manifest *out, char *why)
{
    blob *b;
    char name[CHECKPOINT_NAME_MAX];
    *out = (checkpoint_manifest){0};
    checkpoint_files_name(id, name);
    char *path = xprintf("%s/%s/%s", dir, name, CHECKPOINT_MANIFEST_FILE);
    err_code rc = checkpoint_files_read_file(path, CHECKPOINT_MANIFEST_BYTES_MAX, &b, why);
    if (rc == ERR_OK) rc = decode_file(path, id, b, out, why);
    blob_unref(b);
    free(path);
    return rc;
}

err_code checkpoint_manifest_list(const char *dir, checkpoint_listed **out, size_t *n, char *why)
{
    checkpoint_entry *entry;
    *out = NULL;
    err_code rc = checkpoint_files_list(dir, &entry, n, why);
    if (rc != ERR_OK) return rc;
    checkpoint_listed *list = xcalloc(*n ? *n : 1, sizeof *list);
    for (size_t i = 0; i < *n; i++) {
        list[i].entry = entry[i];
        list[i].rc = checkpoint_manifest_read(dir, &entry[i].id, &list[i].manifest, list[i].why);
    }
    free(entry);
    *out = list;
    return ERR_OK;
}

void checkpoint_manifest_list_free(checkpoint_listed *list, size_t n)
{
    for (size_t i = 0; list && i < n; i++) checkpoint_manifest_fini(&list[i].manifest);
    free(list);
}
