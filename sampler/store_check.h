/* store_check.h - whether a block's arrays are what its header, its section and the manifest allow.
 *
 * A block with a good checksum may still be one that another program wrote: nothing is read through
 * an offset, a node or an index of it before this has looked at it.  Threads: any. */
#pragma once

#include "common/manifest.h"
#include "sampler/store_format.h"

/* NULL, or what is wrong.  array: as store_layout_of.  weight_end (ADJACENCY): the pair weights of
 * the relation's blocks of this partition up to and including this one. */
const char *store_check_block(const manifest *m, const store_header *h,
                              const uint8_t *const array[5], uint64_t weight_end);
