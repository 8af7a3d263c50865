/* config_events.h - one pass over the YAML before anything is built from it: what the document tree
 * does not show any more is refused here, with its key.  Part of common/config.c.  Threads: any. */
#pragma once

#include "common/config_value.h"

/* Prints syntax errors, aliases, anchors, tags, a second document, nesting that is too deep.
 * `prefix` is the key that the text is the value of, "" for a whole configuration.  False: the text
 * cannot be loaded; true with r->errors counted up: it can, for the errors in the rest of it. */
bool config_events_check(config_reader *r, const char *prefix, const char *text);
/* The parser's own complaint. */
void config_events_error(config_reader *r, const yaml_parser_t *p);
