/* command_config.h - `weft config -c FILE [--print | --schema]`. */
#pragma once

/* Returns the exit code. */
int command_config(int argc, char **argv);
