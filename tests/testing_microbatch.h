/* testing_microbatch.h - small valid micro-batches over testing_plan_manifest, made by hand. */
#pragma once

#include "common/blob.h"
#include "common/manifest.h"
#include "common/microbatch.h"

/* Two chunks of a one-layer graph: seeds 0, 5 (type a), 700 (type b); node 9 is added; 2 pairs, 2
 * negatives, masks, weights.  Owned. */
blob *testing_graph_body(const manifest *m);
/* One chunk of two rows (users 3 and 4) with everything that rows can have.  Owned. */
blob *testing_tower_body(const manifest *m);
blob *testing_items_body(void);
