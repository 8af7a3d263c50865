/* config_check.h - what must hold between keys: no key is wrong alone.  Part of common/config.c.
 *
 * Each is shown where the key was set; silent where one of the keys has an error of its own. */
#pragma once

#include "common/config_value.h"

/* Problems are printed and counted in r->errors. */
void config_check(config_reader *r);
