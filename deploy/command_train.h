/* command_train.h - `weft train`. */
#pragma once

/* argv as main got it ("weft train ..."): the program may be executed again with it.  Returns the exit
 * code. */
int command_train(int argc, char **argv);
