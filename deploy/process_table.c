#include "deploy/process_table.h"

#include "common/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void process_table_fini(process_table *t)
{
    for (size_t i = 0; i < t->n; i++) free(t->slot[i]);
    free(t->slot);
    *t = (process_table){0};
}

void process_name(const process_slot *p, char out[PROCESS_NAME_MAX])
{
    snprintf(out, PROCESS_NAME_MAX, "%s-%" PRIu32, wire_role_name(p->role), p->index);
}

static process_slot *find(const process_table *t, uint32_t role, uint32_t index)
{
    for (size_t i = 0; i < t->n; i++) {
        if (t->slot[i]->role == role && t->slot[i]->index == index) return t->slot[i];
    }
    return NULL;
}

process_slot *process_table_get(process_table *t, uint32_t role, uint32_t index)
{
    process_slot *p = find(t, role, index);
    if (p) return p;
    p = xcalloc(1, sizeof *p);
    p->role = role;
    p->index = index;
    grow(&t->slot, &t->cap, t->n + 1, sizeof *t->slot);
    t->slot[t->n++] = p;
    return p;
}

process_slot *process_table_named(process_table *t, const char *name)
{
    char own[PROCESS_NAME_MAX];
    for (size_t i = 0; i < t->n; i++) {
        process_name(t->slot[i], own);
        if (strcmp(own, name) == 0) return t->slot[i];
    }
    return NULL;
}

static bool is_wanted(const process_slot *p)
{
    return p->state == PROCESS_RUNNING || p->state == PROCESS_WAITING;
}

uint32_t process_table_count(const process_table *t, uint32_t role)
{
    uint32_t n = 0;
    for (size_t i = 0; i < t->n; i++) n += t->slot[i]->role == role && is_wanted(t->slot[i]);
    return n;
}

uint32_t process_table_indexes(const process_table *t, uint32_t role)
{
    uint32_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        if (t->slot[i]->role == role && t->slot[i]->index >= n) n = t->slot[i]->index + 1;
    }
    return n;
}

/* Whether `a` goes before `b`. */
static bool goes_first(const process_slot *a, const process_slot *b)
{
    bool left_a = a->state == PROCESS_WAITING && a->left;
    bool left_b = b->state == PROCESS_WAITING && b->left;
    return left_a != left_b ? left_a : a->index > b->index;
}

process_slot *process_table_surplus(process_table *t, uint32_t role, uint32_t wanted)
{
    process_slot *first = NULL;
    if (process_table_count(t, role) <= wanted) return NULL;
    for (size_t i = 0; i < t->n; i++) {
        process_slot *p = t->slot[i];
        if (p->role != role || !is_wanted(p)) continue;
        if (!first || goes_first(p, first)) first = p;
    }
    return first;
}

process_slot *process_table_missing(process_table *t, uint32_t role, uint32_t wanted)
{
    if (process_table_count(t, role) >= wanted) return NULL;
    uint32_t all = process_table_indexes(t, role);
    for (uint32_t i = 0; i <= all; i++) {
        const process_slot *p = find(t, role, i);
        if (!p || p->state == PROCESS_OFF) return process_table_get(t, role, i);
    }
    return NULL;
}
