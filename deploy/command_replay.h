/* command_replay.h - `weft replay -c F --slot STAGE/EPOCH/STEP/SLOT`. */
#pragma once

/* argv as main got it: the program may be executed again with it.  Returns the exit code; 2: the plan
 * has no such slot. */
int command_replay(int argc, char **argv);
