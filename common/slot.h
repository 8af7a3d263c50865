/* slot.h - the name of a unit of work: (stage, epoch, step, slot).
 *
 * Which positives a slot holds, which neighbours and negatives are drawn and every other random choice
 * is a pure function of (seed, this name, node, use); who computes it, when and how often is not. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef enum stage_id {
    STAGE_NONE = 0,
    STAGE_PREPARE,
    STAGE_HGNN,             /* train: epoch 1.., step 1.. (global over epochs), slot 0..M-1 */
    STAGE_HGNN_VALID,       /* validation after step `epoch`: step = 1..L embed layer, L+1 score */
    STAGE_EMBED,            /* epoch = layer 1..L, step = layer, slot = chunk of nodes */
    STAGE_TWO_TOWER,        /* train */
    STAGE_TWO_TOWER_VALID,  /* after step `epoch`: step 1 item vectors, step 2 score users */
    STAGE_TWO_TOWER_NO_Z,
    STAGE_TWO_TOWER_NO_Z_VALID,
    STAGE_VECTORS,          /* step 1 item vectors, 2 user vectors, 3 and 4 the same without z */
    STAGE_EVALUATE,         /* by the driver, not leased */
    STAGE_EXPORT,
    STAGE_COUNT
} stage_id;

typedef struct slot_name {
    uint32_t stage, epoch, step, slot;
} slot_name;

const char *stage_name(uint32_t stage);              /* "hgnn", ...; "none" for an unknown one */
bool stage_parse(const char *name, uint32_t *stage);
/* "hgnn/1/345/1" into text[64]. */
void slot_format(slot_name s, char text[64]);
bool slot_parse(const char *text, slot_name *out);
bool slot_equal(slot_name a, slot_name b);
/* Order of the plan: stage, epoch, step, slot. */
int slot_compare(slot_name a, slot_name b);
