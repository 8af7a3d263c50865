#include "common/slot.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const names[STAGE_COUNT] = {
    "none",      "prepare",         "hgnn",           "hgnn_valid",           "embed",
    "two_tower", "two_tower_valid", "two_tower_no_z", "two_tower_no_z_valid", "vectors",
    "evaluate",  "export"};

const char *stage_name(uint32_t stage)
{
    return stage < STAGE_COUNT ? names[stage] : names[0];
}

bool stage_parse(const char *name, uint32_t *stage)
{
    for (uint32_t i = 1; i < STAGE_COUNT; i++) {
        if (strcmp(name, names[i]) == 0) {
            *stage = i;
            return true;
        }
    }
    return false;
}

void slot_format(slot_name s, char text[64])
{
    snprintf(text, 64, "%s/%" PRIu32 "/%" PRIu32 "/%" PRIu32, stage_name(s.stage), s.epoch, s.step,
             s.slot);
}

bool slot_parse(const char *text, slot_name *out)
{
    char stage[32];
    int used = 0;
    slot_name s;
    if (sscanf(text, "%31[^/]/%" SCNu32 "/%" SCNu32 "/%" SCNu32 "%n", stage, &s.epoch, &s.step,
               &s.slot, &used) != 4 ||
        text[used])
        return false;
    if (!stage_parse(stage, &s.stage)) return false;
    *out = s;
    return true;
}

bool slot_equal(slot_name a, slot_name b)
{
    return slot_compare(a, b) == 0;
}

int slot_compare(slot_name a, slot_name b)
{
    uint32_t x[4] = {a.stage, a.epoch, a.step, a.slot}, y[4] = {b.stage, b.epoch, b.step, b.slot};
    for (int i = 0; i < 4; i++) {
        if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
    }
    return 0;
}
