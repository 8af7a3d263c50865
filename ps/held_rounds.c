#include "ps/held_rounds.h"

#include "common/hash.h"
#include "common/mem.h"
#include "common/panic.h"

#include <stdlib.h>

void held_rounds_init(held_rounds *h, uint32_t rounds)
{
    *h = (held_rounds){.rounds = rounds, .round = xcalloc(rounds, sizeof *h->round)};
}

static void clear(held_round *r)
{
    for (size_t i = 0; i < r->n; i++) {
        blob_unref(r->push[i].body);
        free(r->push[i].shards);
    }
    r->n = r->count = 0;
}

void held_rounds_fini(held_rounds *h)
{
    for (uint32_t i = 0; i < h->rounds; i++) {
        clear(&h->round[i]);
        free(h->round[i].push);
        free(h->round[i].arrival);
    }
    free(h->round);
    *h = (held_rounds){0};
}

void held_rounds_reset(held_rounds *h, uint32_t first)
{
    for (uint32_t i = 0; i < h->rounds; i++) clear(&h->round[i]);
    h->first = first;
}

void held_rounds_advance(held_rounds *h)
{
    clear(&h->round[h->first % h->rounds]);
    h->first++;
}

held_round *held_rounds_at(const held_rounds *h, uint32_t version)
{
    if (version < h->first || version - h->first >= h->rounds) return NULL;
    return &h->round[version % h->rounds];
}

uint32_t held_rounds_count(const held_rounds *h)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < h->rounds; i++) n += h->round[i].count;
    return n;
}

uint64_t held_rounds_digest(const held_rounds *h, uint64_t seed)
{
    uint64_t d = seed;
    for (uint32_t i = 0; i < h->rounds; i++) {
        const held_round *r = &h->round[(h->first + i) % h->rounds];
        for (size_t j = 0; j < r->n; j++) {
            uint64_t x[2] = {r->push[j].full, r->push[j].hash};
            d = hash64(x, sizeof x, d);
        }
    }
    return d;
}

held_push *held_round_find(const held_round *r, uint32_t slot)
{
    return slot < r->n && r->push[slot].full ? &r->push[slot] : NULL;
}

const uint64_t *held_round_shards(const held_round *r, uint32_t slot)
{
    return slot < r->n ? r->push[slot].shards : NULL;
}

static held_push *room_for(held_round *r, uint32_t slot)
{
    grow(&r->push, &r->cap, (size_t)slot + 1, sizeof *r->push);
    for (; r->n <= slot; r->n++) r->push[r->n] = (held_push){0};
    free(r->push[slot].shards);
    r->push[slot] = (held_push){.times = 1};
    return &r->push[slot];
}

static void fill(held_round *r, uint32_t slot)
{
    r->push[slot].full = true;
    grow(&r->arrival, &r->arrival_cap, (size_t)r->count + 1, sizeof *r->arrival);
    r->arrival[r->count++] = slot;
}

void held_round_add(held_round *r, uint32_t slot, core_peer from, uint64_t hash, blob *body,
                    const push_head *head)
{
    held_push *p = room_for(r, slot);
    p->from = from;
    p->hash = hash;
    p->body = blob_ref(body);
    p->head = *head;
    fill(r, slot);
}

bool held_round_has_all(const held_round *r, uint32_t slots)
{
    if (r->count < slots || r->n < slots) return false;
    for (uint32_t j = 0; j < slots; j++) {
        if (!r->push[j].full) return false;
    }
    return true;
}

void held_rounds_applied(const held_rounds *h, applied_set *a)
{
    for (uint32_t i = 0; i < h->rounds; i++) {
        const held_round *r = held_rounds_at(h, h->first + i);
        for (uint32_t j = 0; j < r->n; j++) {
            const held_push *p = &r->push[j];
            bool applied = p->full && !p->body;
            if (applied || p->shards) applied_set_add(a, h->first + i, j, p->shards);
        }
    }
}

void held_rounds_restore(held_rounds *h, const applied_set *a)
{
    for (size_t i = 0; i < a->n; i++) {
        held_round *r = held_rounds_at(h, a->slot[i].version);
        ASSERT(r); /* checked as the part was read */
        held_push *p = room_for(r, a->slot[i].slot);
        p->restored = true;
        p->shards = applied_shards_copy(a->slot[i].shards);
        if (!p->shards) fill(r, a->slot[i].slot);
    }
}
