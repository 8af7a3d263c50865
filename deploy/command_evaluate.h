/* command_evaluate.h - `weft evaluate`. */
#pragma once

/* argv of main: the program may execute itself again.  Returns the exit code. */
int command_evaluate(int argc, char **argv);
