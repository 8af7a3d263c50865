/* Fuzzes manifest_parse: any text is refused or becomes a manifest whose printed form is read back
 * to the same text, and over which a plan can be made or refused. */
#include "common/manifest.h"
#include "common/panic.h"
#include "common/plan.h"
#include "testing_fuzz.h"
#include "testing_plan.h"

#include <stdlib.h>
#include <string.h>

enum { SLOTS_MAX = 50 };

static void check_plan(const manifest *m)
{
    plan *p;
    plan_work work;
    config *c = testing_plan_config();
    if (plan_new(c, m, &p) == ERR_OK) {
        uint32_t slots = plan_slots(p, STAGE_HGNN, 1);
        for (uint32_t i = 0; i < slots && i < SLOTS_MAX; i++)
            ASSERT(plan_slot(p, plan_name(p, STAGE_HGNN, 1, i), &work));
        plan_free(p);
    }
    free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    manifest *m, *again;
    testing_fuzz_input in = {data, size};
    char *text = testing_fuzz_text(&in);
    if (manifest_parse(text, &m) == ERR_OK) {
        char *first = manifest_print(m);
        ASSERT(manifest_parse(first, &again) == ERR_OK);
        char *second = manifest_print(again);
        ASSERT(strcmp(first, second) == 0);
        for (uint32_t n = 0; n < m->items && n < 100; n++) {
            ASSERT(manifest_type_of(m, n) < m->types.n);
            ASSERT(manifest_partition_of(m, n) < m->partitions);
        }
        check_plan(m);
        free(second);
        free(first);
        manifest_free(again);
        manifest_free(m);
    }
    free(text);
    return 0;
}
