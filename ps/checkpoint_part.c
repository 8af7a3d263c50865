#include "ps/checkpoint_part.h"

#include "common/hash.h"
#include "common/panic.h"

#include <assert.h>
#include <string.h>

static const char MAGIC[8] = {'W', 'E', 'F', 'T', 'P', 'A', 'R', 'T'};

enum { FLAG_FINAL = 1 };

typedef struct part_header {
    char magic[8];
    uint64_t checksum;
    uint32_t format, sections;
    uint64_t bytes, plan_hash;
    uint32_t stage, generation, version, shard, shards, flags;
} part_header;
static_assert(sizeof(part_header) == PART_HEADER_BYTES, "the header has 64 bytes");

typedef struct part_entry {
    uint32_t kind, table, dim, n;
} part_entry;
static_assert(sizeof(part_entry) == 16, "an entry has 16 bytes");

/* Keys and values of a section; *fits is false if it alone is too large. */
static uint64_t section_bytes(uint32_t dim, uint32_t n, bool *fits)
{
    /* n below 2^27, so that n * dim * 4 is below 2^61. */
    *fits = n <= PART_BYTES_MAX / 8;
    if (!*fits) return UINT64_MAX;
    uint64_t bytes = (uint64_t)n * 8 + ((uint64_t)n * dim * 4 + 7) / 8 * 8;
    *fits = bytes <= PART_BYTES_MAX;
    return bytes;
}

uint64_t part_bytes(const part_section *section, uint32_t sections)
{
    uint64_t sum = sizeof(part_header) + (uint64_t)sections * sizeof(part_entry);
    for (uint32_t i = 0; i < sections; i++) {
        bool fits;
        uint64_t bytes = section_bytes(section[i].dim, section[i].n, &fits);
        if (!fits) return UINT64_MAX;
        sum += bytes;
    }
    return sum;
}

static int compare(uint32_t kind, uint32_t table, uint32_t other_kind, uint32_t other_table)
{
    if (kind != other_kind) return kind < other_kind ? -1 : 1;
    return table < other_table ? -1 : table > other_table;
}

static bool is_ascending(const uint64_t *keys, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        if (keys[i] <= keys[i - 1]) return false;
    }
    return true;
}

static bool has_table(uint32_t kind)
{
    return kind == PART_ROWS || kind == PART_ROWS_BEST || kind == PART_PAST_DENSE ||
           kind == PART_PAST_ROWS;
}

/* Insertion sort by (kind, table): there are few. */
static void order_sections(const part_section **to, const part_section *section, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t j = i;
        for (; j > 0; j--) {
            int c = compare(section[i].kind, section[i].table, to[j - 1]->kind, to[j - 1]->table);
            ASSERT(c != 0);
            if (c > 0) break;
            to[j] = to[j - 1];
        }
        to[j] = &section[i];
    }
}

static uint8_t *put(uint8_t *to, const void *data, uint64_t bytes)
{
    if (bytes) memcpy(to, data, bytes);
    return to + bytes;
}

static uint8_t *put_section(uint8_t *to, const part_section *s)
{
    static const uint8_t zeros[4];
    uint64_t values = (uint64_t)s->n * s->dim;
    ASSERT(s->kind >= PART_DENSE && s->kind <= PART_UPDATES);
    ASSERT(has_table(s->kind) || s->table == 0);
    ASSERT(is_ascending(s->keys, s->n));
    to = put(to, s->keys, (uint64_t)s->n * sizeof *s->keys);
    to = put(to, s->values, values * sizeof *s->values);
    return put(to, zeros, values % 2 ? 4 : 0);
}

blob *part_encode(const part_id *id, const part_section *section, uint32_t sections)
{
    const part_section *order[PART_SECTIONS_MAX];
    ASSERT(sections <= PART_SECTIONS_MAX && id->shard < id->shards);
    uint64_t bytes = part_bytes(section, sections);
    blob *b = bytes <= PART_BYTES_MAX ? blob_new((size_t)bytes) : NULL;
    if (!b) return NULL;
    uint8_t *data = blob_writable(b), *to = data + sizeof(part_header);
    part_header h = {.format = PART_FORMAT,
                     .sections = sections,
                     .bytes = bytes,
                     .plan_hash = id->plan_hash,
                     .stage = id->stage,
                     .generation = id->generation,
                     .version = id->version,
                     .shard = id->shard,
                     .shards = id->shards,
                     .flags = id->final ? FLAG_FINAL : 0};
    memcpy(h.magic, MAGIC, sizeof MAGIC);
    order_sections(order, section, sections);
    for (uint32_t i = 0; i < sections; i++) {
        part_entry e = {order[i]->kind, order[i]->table, order[i]->dim, order[i]->n};
        to = put(to, &e, sizeof e);
    }
    for (uint32_t i = 0; i < sections; i++) to = put_section(to, order[i]);
    ASSERT((size_t)(to - data) == bytes);
    put(data, &h, sizeof h);
    h.checksum = hash64(data + PART_HASHED_FROM, (size_t)bytes - PART_HASHED_FROM, 0);
    put(data, &h, sizeof h);
    return b;
}

/* Everything that concerns the header alone; NULL: fine. */
static const char *check_header(const part_header *h, const uint8_t *data, size_t n)
{
    if (memcmp(h->magic, MAGIC, sizeof MAGIC) != 0) return "no checkpoint part";
    if (hash64(data + PART_HASHED_FROM, n - PART_HASHED_FROM, 0) != h->checksum)
        return "wrong checksum";
    return NULL;
}

/* The same once it is known to be of our format. */
static const char *check_format(const part_header *h, size_t n)
{
    if (h->bytes != n) return "not as long as it says";
    if (h->sections > PART_SECTIONS_MAX) return "too many sections";
    if (h->shard >= h->shards) return "shard out of range";
    if (h->flags & ~(uint32_t)FLAG_FINAL) return "unknown flags";
    return NULL;
}

/* Places section i at *at and moves it behind; NULL: fine. */
static const char *check_section(part_view *out, uint32_t i, const uint8_t *data, size_t n,
                                 uint64_t *at)
{
    part_section *s = &out->section[i];
    bool fits;
    uint64_t bytes = section_bytes(s->dim, s->n, &fits), values = (uint64_t)s->n * s->dim;
    if (s->kind < PART_DENSE || s->kind > PART_UPDATES) return "section of unknown kind";
    if (!has_table(s->kind) && s->table != 0) return "section with a table where none belongs";
    if (i > 0 && compare(s->kind, s->table, s[-1].kind, s[-1].table) <= 0)
        return "sections not in order";
    if (!fits || bytes > n - *at) return "section longer than the part";
    s->keys = (const void *)(data + *at);
    s->values = (const void *)(data + *at + (uint64_t)s->n * 8);
    *at += bytes;
    if (!is_ascending(s->keys, s->n)) return "keys not ascending";
    if (values % 2) {
        uint32_t zero;
        memcpy(&zero, data + *at - 4, 4);
        if (zero) return "padding is not 0";
    }
    return NULL;
}

static const char *check_sections(part_view *out, const uint8_t *data, size_t n)
{
    uint64_t at = sizeof(part_header) + (uint64_t)out->sections * sizeof(part_entry);
    if (at > n) return "shorter than its table";
    for (uint32_t i = 0; i < out->sections; i++) {
        part_entry e;
        memcpy(&e, data + sizeof(part_header) + i * sizeof e, sizeof e);
        out->section[i] = (part_section){.kind = e.kind, .table = e.table, .dim = e.dim, .n = e.n};
        const char *wrong = check_section(out, i, data, n, &at);
        if (wrong) return wrong;
    }
    return at == n ? NULL : "bytes after the last section";
}

static part_id id_of(const part_header *h)
{
    return (part_id){h->plan_hash,
                     h->stage,
                     h->generation,
                     h->version,
                     h->shard,
                     h->shards,
                     (h->flags & FLAG_FINAL) != 0};
}

bool part_label(const void *data, uint64_t n, part_id *id, uint64_t *hash)
{
    part_header h;
    memcpy(&h, data, sizeof h);
    bool known = memcmp(h.magic, MAGIC, sizeof MAGIC) == 0 && h.format == PART_FORMAT;
    if (!known || n < sizeof h || n > PART_BYTES_MAX || check_format(&h, n)) return false;
    *id = id_of(&h);
    *hash = h.checksum;
    return true;
}

err_code part_check(const void *bytes, size_t n, part_view *out, const char **wrong)
{
    part_header h;
    memset(out, 0, sizeof *out);
    ASSERT((uintptr_t)bytes % 8 == 0);
    *wrong = "shorter than a header";
    if (n < sizeof h) return ERR_CORRUPT;
    *wrong = "larger than a part may be";
    if (n > PART_BYTES_MAX) return ERR_CORRUPT;
    memcpy(&h, bytes, sizeof h);
    *wrong = check_header(&h, bytes, n);
    if (*wrong) return ERR_CORRUPT;
    *wrong = "a checkpoint part of another format";
    if (h.format != PART_FORMAT) return ERR_MISMATCH;
    *wrong = check_format(&h, n);
    if (*wrong) return ERR_CORRUPT;
    out->id = id_of(&h);
    out->sections = h.sections;
    *wrong = check_sections(out, bytes, n);
    if (!*wrong) return ERR_OK;
    memset(out, 0, sizeof *out);
    return ERR_CORRUPT;
}

err_code part_decode(const void *bytes, size_t n, part_view *out)
{
    const char *wrong;
    return part_check(bytes, n, out, &wrong);
}

const part_section *part_find(const part_view *v, part_kind kind, uint32_t table)
{
    for (uint32_t i = 0; i < v->sections; i++) {
        if (v->section[i].kind == kind && v->section[i].table == table) return &v->section[i];
    }
    return NULL;
}

bool part_same_snapshot(const part_id *a, const part_id *b)
{
    return a->stage == b->stage && a->generation == b->generation && a->version == b->version &&
           a->final == b->final;
}

bool part_id_equal(const part_id *a, const part_id *b)
{
    return a->plan_hash == b->plan_hash && a->stage == b->stage && a->generation == b->generation &&
           a->version == b->version && a->shard == b->shard && a->shards == b->shards &&
           a->final == b->final;
}

uint64_t part_hash(const blob *part)
{
    part_header h;
    ASSERT(blob_size(part) >= sizeof h);
    memcpy(&h, blob_data(part), sizeof h);
    return h.checksum;
}
