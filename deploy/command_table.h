/* command_table.h - `weft COMMAND ...`: finds the command, helps with its name.  Threads: the main
 * one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef struct command_entry {
    const char *name;
    int (*run)(int argc, char **argv);
    /* true: gets argv of main, as one that executes the program again needs it; false: argv from
     * the command on, the first being "weft <name>". */
    bool whole;
    const char *help; /* a line */
} command_entry;

/* Returns the exit code; 2 (with a list, or the nearest name): there is no such command. */
int command_table_run(const command_entry *table, size_t n, int argc, char **argv);

/* The entry whose name looks most like `name`; NULL: none does. */
const command_entry *command_table_nearest(const command_entry *table, size_t n, const char *name);
