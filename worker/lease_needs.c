#include "worker/lease_needs.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

static void free_parts(need_state *s)
{
    for (uint32_t k = 0; k < s->parts; k++) free(s->part[k].position);
    free(s->part);
    s->part = NULL;
    s->parts = 0;
}

void lease_needs_fini(lease_needs *l)
{
    for (uint32_t i = 0; i < l->n; i++) {
        blob_unref(l->need[i].body);
        blob_unref(l->reply[i]);
        free_parts(&l->state[i]);
    }
    free(l->need);
    free(l->reply);
    free(l->state);
    *l = (lease_needs){0};
}

static bool is_sound(const worker_need *need)
{
    if (need->kind == NEED_DENSE) return need->floats > 0;
    if (need->kind != NEED_ROWS) return true;
    size_t bytes = blob_size(need->body);
    return need->dim && bytes % 8 == 0 && bytes / 8 <= TABLE_ROWS_MAX &&
           table_keys_ascend((const void *)blob_data(need->body), bytes / 8);
}

uint32_t lease_needs_add(lease_needs *l, const worker_need *need)
{
    if (l->n == WORKER_NEEDS_MAX || !is_sound(need)) return UINT32_MAX;
    grow(&l->need, &l->need_cap, l->n + 1, sizeof *l->need);
    grow(&l->reply, &l->reply_cap, l->n + 1, sizeof *l->reply);
    grow(&l->state, &l->state_cap, l->n + 1, sizeof *l->state);
    l->need[l->n] = *need;
    l->need[l->n].body = blob_ref(need->body);
    l->reply[l->n] = NULL;
    l->state[l->n] = (need_state){.pending = 1};
    return l->n++;
}

uint32_t lease_needs_split(lease_needs *l, uint32_t i, const shard_map *map, blob **keys)
{
    const worker_need *need = &l->need[i];
    need_state *s = &l->state[i];
    const uint64_t *all = (const void *)blob_data(need->body);
    size_t n = blob_size(need->body) / 8;
    l->reply[i] = blob_new(n * need->dim * sizeof(float));
    s->part = xcalloc(map->servers, sizeof *s->part);
    uint64_t *cut = xmalloc((n + 1) * sizeof *cut);
    for (uint32_t server = 0; l->reply[i] && server < map->servers; server++) {
        uint32_t *position = xmalloc((n + 1) * sizeof *position);
        size_t k = table_keys_of_server(map, server, all, n, cut, position);
        if (!k) {
            free(position);
            continue;
        }
        s->part[s->parts] = (need_part){server, (uint32_t)k, position};
        keys[s->parts++] = blob_copy(cut, k * sizeof *cut);
    }
    free(cut);
    s->pending = s->parts;
    return s->parts;
}

bool lease_needs_rows(lease_needs *l, uint32_t i, uint32_t part, const blob *rows)
{
    need_state *s = &l->state[i];
    if (part >= s->parts || !s->part[part].position) return false;
    need_part *p = &s->part[part];
    size_t row = l->need[i].dim * sizeof(float);
    if (blob_size(rows) != p->n * row) return false;
    uint8_t *out = blob_writable(l->reply[i]);
    for (uint32_t k = 0; k < p->n; k++)
        memcpy(out + p->position[k] * row, blob_data(rows) + k * row, row);
    free(p->position);
    p->position = NULL;
    s->pending--;
    return true;
}

void lease_needs_reply(lease_needs *l, uint32_t i, blob *reply)
{
    if (!l->state[i].pending) return;
    l->reply[i] = reply ? blob_ref(reply) : blob_new(0);
    l->state[i].pending = 0;
}

bool lease_needs_answered(const lease_needs *l)
{
    for (uint32_t i = 0; i < l->n; i++) {
        if (l->state[i].pending) return false;
    }
    return true;
}
