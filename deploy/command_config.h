/* command_config.h - `weft config -c FILE [--print | --schema | --docs]`. */
#pragma once

/* Returns the exit code. */
int command_config(int argc, char **argv);
