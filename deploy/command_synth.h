/* command_synth.h - `weft synth --users N --items N --types N --interactions N --seed N --out DIR`.
 */
#pragma once

/* Returns the exit code. */
int command_synth(int argc, char **argv);
