/* command_describe.h - `weft describe -c FILE [--data DIR]`: what is in the data. */
#pragma once

int command_describe(int argc, char **argv);
