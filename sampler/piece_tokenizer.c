#include "sampler/piece_tokenizer.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A trie over bytes.  Its edges stand in one open hash table: (node, byte) -> node. */
typedef struct trie_edge {
    uint64_t key;  /* node << 8 | byte, + 1; 0: free */
    uint32_t node; /* where it leads */
} trie_edge;

struct piece_tokenizer {
    trie_edge *edges;
    size_t edges_mask;
    uint32_t *id; /* [nodes] of the piece that ends here; 0: none */
    uint32_t nodes;
    double *score;   /* [pieces] */
    uint32_t *bytes; /* [pieces] */
    size_t pieces;
};

/* The best way to reach a position of the text. */
typedef struct lattice_node {
    double best;
    uint32_t id; /* of the piece that ends here; 0: unknown */
} lattice_node;

static trie_edge *find_edge(const piece_tokenizer *t, uint32_t node, unsigned char byte)
{
    uint64_t key = ((uint64_t)node << 8 | byte) + 1;
    size_t i = (size_t)(key * 0x9E3779B97F4A7C15u >> 20) & t->edges_mask;
    while (t->edges[i].key && t->edges[i].key != key) i = (i + 1) & t->edges_mask;
    return &t->edges[i];
}

static void insert(piece_tokenizer *t, const char *piece, uint32_t id)
{
    uint32_t node = 0;
    for (; *piece; piece++) {
        trie_edge *e = find_edge(t, node, (unsigned char)*piece);
        if (!e->key)
            *e = (trie_edge){((uint64_t)node << 8 | (unsigned char)*piece) + 1, t->nodes++};
        node = e->node;
    }
    t->id[node] = id;
}

static void allocate(piece_tokenizer *t, size_t pieces, size_t bytes)
{
    size_t slots = 64;
    while (slots < 2 * (bytes + 1)) slots *= 2;
    t->pieces = pieces;
    t->score = xcalloc(pieces + 1, sizeof *t->score);
    t->bytes = xcalloc(pieces + 1, sizeof *t->bytes);
    t->edges = xcalloc(slots, sizeof *t->edges);
    t->edges_mask = slots - 1;
    t->id = xcalloc(bytes + 1, sizeof *t->id);
    t->nodes = 1;
}

/* Bytes of all pieces; false when an entry is not [piece, score]. */
static bool check_vocabulary(const json_t *vocabulary, const char *name, size_t *bytes)
{
    size_t n = json_array_size(vocabulary);
    *bytes = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *entry = json_array_get(vocabulary, i);
        const char *piece = json_string_value(json_array_get(entry, 0));
        const json_t *score = json_array_get(entry, 1);
        bool is_score = json_is_number(score) || json_is_null(score);
        if (!piece || !*piece || strlen(piece) > PIECE_BYTES_MAX || !is_score) {
            log_user_error("%s: entry %zu is not [piece, score or null]", name, i);
            return false;
        }
        *bytes += strlen(piece);
    }
    if (n <= PIECE_RESERVED || n > PIECE_COUNT_MAX) {
        log_user_error("%s: not a list of pieces (%zu entries)", name, n);
        return false;
    }
    return true;
}

err_code piece_tokenizer_new(const json_t *vocabulary, const char *name, piece_tokenizer **out)
{
    size_t bytes;
    if (!check_vocabulary(vocabulary, name, &bytes)) return ERR_CORRUPT;
    piece_tokenizer *t = xcalloc(1, sizeof *t);
    allocate(t, json_array_size(vocabulary), bytes);
    for (size_t i = PIECE_RESERVED; i < t->pieces; i++) {
        const json_t *entry = json_array_get(vocabulary, i);
        const char *piece = json_string_value(json_array_get(entry, 0));
        t->score[i] = json_number_value(json_array_get(entry, 1)); /* null: 0 */
        t->bytes[i] = (uint32_t)strlen(piece);
        insert(t, piece, (uint32_t)i);
    }
    *out = t;
    return ERR_OK;
}

void piece_tokenizer_free(piece_tokenizer *t)
{
    if (!t) return;
    free(t->edges);
    free(t->id);
    free(t->score);
    free(t->bytes);
    free(t);
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

/* U+2581 before the text and for each space; owned. */
static char *with_separators(const char *text, size_t *bytes)
{
    static const char SEPARATOR[] = "\xE2\x96\x81";
    char *out = xmalloc(3 * (strlen(text) + 1) + 1);
    memcpy(out, SEPARATOR, 3);
    size_t n = 3;
    for (; *text; text++) {
        if (*text == ' ') {
            memcpy(out + n, SEPARATOR, 3);
            n += 3;
        } else {
            out[n++] = *text;
        }
    }
    out[n] = 0;
    *bytes = n;
    return out;
}

/* A tie goes to the later start, that is, the shorter piece.  The reference takes a best score of 0
 * for "not reached yet", and so must we: pieces of score 0 give way to anything. */
static void offer(lattice_node *to, double score, uint32_t id)
{
    if (to->best != 0 && score < to->best) return;
    to->best = score;
    to->id = id;
}

static size_t next_point(const char *s, size_t at)
{
    do at++;
    while (is_continuation(s[at]));
    return at;
}

/* Offers every piece that starts at `start`; where none does, one unknown character of score 0. */
static void relax(const piece_tokenizer *t, const char *s, size_t bytes, size_t start,
                  lattice_node *lattice)
{
    double best = lattice[start].best;
    bool any = false;
    uint32_t node = 0;
    for (size_t end = start; end < bytes;) {
        const trie_edge *e = find_edge(t, node, (unsigned char)s[end++]);
        if (!e->key) break;
        node = e->node;
        uint32_t id = t->id[node];
        if (!id) continue;
        offer(&lattice[end], best + t->score[id], id);
        any = true;
    }
    if (!any) offer(&lattice[next_point(s, start)], best, 0);
}

/* Back by the piece that ends here, or by one character if none does. */
static size_t step_back(const piece_tokenizer *t, const lattice_node *lattice, const char *s,
                        size_t end)
{
    uint32_t id = lattice[end].id;
    if (id) return end - t->bytes[id];
    do end--;
    while (end > 0 && is_continuation(s[end]));
    return end;
}

static void read_back(const piece_tokenizer *t, const lattice_node *lattice, const char *s,
                      size_t bytes, uint32_t *ids, size_t *n)
{
    *n = 0;
    for (size_t end = bytes; end > 0; end = step_back(t, lattice, s, end)) {
        uint32_t id = lattice[end].id;
        if (id == 0 && *n > 0 && ids[*n - 1] == 0) continue;
        ids[(*n)++] = id;
    }
    for (size_t i = 0; i < *n / 2; i++) {
        uint32_t id = ids[i];
        ids[i] = ids[*n - 1 - i];
        ids[*n - 1 - i] = id;
    }
}

void piece_tokenizer_encode(const piece_tokenizer *t, const char *normalised, uint32_t **ids,
                            size_t *n)
{
    *ids = NULL;
    *n = 0;
    if (!*normalised) return;
    size_t bytes;
    char *s = with_separators(normalised, &bytes);
    ASSERT(bytes < UINT32_MAX);
    lattice_node *lattice = xcalloc(bytes + 1, sizeof *lattice);
    for (size_t start = 0; start < bytes; start++) {
        if (!is_continuation(s[start])) relax(t, s, bytes, start, lattice);
    }
    *ids = xmalloc((bytes + 1) * sizeof **ids);
    read_back(t, lattice, s, bytes, *ids, n);
    free(lattice);
    free(s);
}
