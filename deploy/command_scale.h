/* command_scale.h - `weft scale`: how many workers and servers a running job is to have. */
#pragma once

int command_scale(int argc, char **argv);
