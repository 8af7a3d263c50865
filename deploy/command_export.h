/* command_export.h - `weft export`. */
#pragma once

/* argv of main: the program may execute itself again.  Returns the exit code. */
int command_export(int argc, char **argv);
