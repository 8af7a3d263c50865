/* testing_plan.h - a small configuration and manifest made by hand, for tests of the plan and what
 * follows from it. */
#pragma once

#include "common/config.h"
#include "common/manifest.h"

/* The defaults of the plan keys, two layers, seed 1; owned: free(). */
config *testing_plan_config(void);

/* Three types a b c of 700, 50 and 9 items over 4 partitions, 330 users (7 in the last partition),
 * all nine relations (a-a large, c-c without edges); owned: manifest_free. */
manifest *testing_plan_manifest(void);
