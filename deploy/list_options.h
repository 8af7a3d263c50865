/* list_options.h - the options that `recommend` and `similar` share, as an argp child parser.
 *
 *     --model DIR   -k N   --type T   and those of cli.h */
#pragma once

#include "common/cli.h"

#include <stdint.h>

typedef struct list_options {
    cli_options cli;
    const char *model, *type; /* NULL: not given.  Borrowed from argv */
    uint32_t k;               /* 0 until the end of parsing: 10 */
} list_options;

extern const struct argp list_options_argp; /* input: list_options * */
