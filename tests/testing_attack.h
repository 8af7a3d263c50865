/* testing_attack.h - what a hostile process with a worker's key may try, as scripts. */
#pragma once

#include "common/keys.h"
#include "common/table_codec.h"

#include <stdbool.h>

enum { TESTING_ATTACKS = 14 };

typedef struct testing_attack {
    const char *endpoint;
    wire_role at;                        /* role of who is attacked */
    keyring *keys;                       /* a worker's; NULL: none */
    uint32_t rounds;                     /* how much of it */
    uint32_t generation, version, stage; /* of the open round, if known */
} testing_attack;

const char *testing_attack_name(int kind);
/* Runs script `kind`, with a context of its own, to its end; nothing it is answered matters. False:
 * nobody was there. */
bool testing_attack_run(int kind, const testing_attack *a);
/* Says that slot 0..slots-1 of a step are DONE, which nobody has computed. */
void testing_attack_done(const testing_attack *a, uint32_t epoch, uint32_t step, uint32_t slots);
