/* item_line.h - where an item stands, for a message: found by reading the items file again.
 * Threads: any. */
#pragma once

#include "common/config.h"

/* "items.tsv:17: item `x`", or "item `x`" when the file has no such row (any more).  Owned (free).
 */
char *item_line_describe(const config *c, const char *id);
