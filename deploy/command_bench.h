/* command_bench.h - `weft bench -c FILE [--data DIR]`: how fast each part is here.  Gets argv of
 * main. */
#pragma once

int command_bench(int argc, char **argv);
