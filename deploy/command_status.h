/* command_status.h - `weft status [-c F | --at URL]`. */
#pragma once

/* Returns the exit code. */
int command_status(int argc, char **argv);
