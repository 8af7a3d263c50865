/* command_prepare.h - `weft prepare -c FILE [--json]`: builds the store, or finds it built. */
#pragma once

/* Returns the exit code: 130 and 143 after a clean stop by SIGINT and SIGTERM. */
int command_prepare(int argc, char **argv);
