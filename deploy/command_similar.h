/* command_similar.h - `weft similar --model DIR --item ID [-k 10] [--type T] [--space z|tower]`. */
#pragma once

/* Returns the exit code. */
int command_similar(int argc, char **argv);
