/* testing_config.h - a configuration of the data and split keys with their defaults, without a
 * file. */
#pragma once

#include "common/config.h"

/* Everything else is zero.  The files are items.tsv, interactions.tsv and no users in the current
 * folder.  Strings are static: never config_free it. */
void testing_config_init(config *c);
void testing_config_users(config *c); /* users.tsv, too */
/* A list of up to 8 static names, ended by NULL. */
string_list testing_config_list(const char *a, ...);
config_column testing_config_column(const char *name);
/* Adds a kind to data.kinds (at most 8). */
void testing_config_kind(config *c, const char *name, uint32_t roles);
