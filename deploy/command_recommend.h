/* command_recommend.h - `weft recommend --model DIR (--user ID | --history ID,ID) [-k 10] [--type
 * T]`. */
#pragma once

/* Returns the exit code. */
int command_recommend(int argc, char **argv);
