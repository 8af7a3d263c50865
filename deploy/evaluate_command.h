/* evaluate_command.h - what `weft evaluate` and `weft export` are as commands.  Threads: the main
 * one. */
#pragma once

#include <stdbool.h>

typedef struct evaluate_command {
    const char *name, *doc;
    bool export_only;
} evaluate_command;

/* argv of main.  Returns the exit code. */
int evaluate_command_run(const evaluate_command *command, int argc, char **argv);
