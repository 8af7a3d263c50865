/* command_stop.h - `weft stop [-c F | --at URL]`. */
#pragma once

/* Returns the exit code. */
int command_stop(int argc, char **argv);
