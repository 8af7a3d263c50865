/* Fuzzes config_parse: any text is refused or becomes a configuration whose printed form loads back
 * to the same plan.  Text before a byte 1 is a --set. */
#include "common/config.h"
#include "common/panic.h"
#include "testing_fuzz.h"

#include <stdlib.h>
#include <string.h>

static void check_round_trip(const config *c)
{
    config *again;
    char *text = config_print(c, CONFIG_ALL), *plan = config_plan_json(c);
    ASSERT(config_parse("again", text, NULL, 0, &again) == ERR_OK);
    char *same = config_plan_json(again), *flat = config_flat_json(again);
    ASSERT(strcmp(plan, same) == 0);
    ASSERT(config_plan_diff(plan, same) == 0);
    free(flat);
    free(same);
    free(plan);
    free(text);
    config_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    config *c = NULL;
    testing_fuzz_input in = {data, size};
    char *text = testing_fuzz_text(&in), *cut = strchr(text, 1);
    const char *sets[1] = {text};
    if (cut) *cut = 0;
    err_code rc = config_parse("fuzz", cut ? cut + 1 : text, sets, cut != NULL, &c);
    if (rc == ERR_OK) {
        check_round_trip(c);
        config_free(c);
    }
    free(text);
    return 0;
}
