/* command_keygen.h - `weft keygen`: makes the folder of CURVE keys (common/keys.h). */
#pragma once

int command_keygen(int argc, char **argv);
