#include "deploy/command_table.h"

#include "common/mem.h"
#include "common/version.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_LENGTH = 32, DISTANCE_MAX = 2, EXIT_USAGE = 2 };

static size_t least(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Insertions, removals and changes that make `a` of `b`, both up to NAME_MAX_LENGTH. */
static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_MAX_LENGTH + 1], n = strlen(b);
    for (size_t j = 0; j <= n; j++) row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = least(row[j] + 1, row[j - 1] + 1, change);
        }
    }
    return row[n];
}

const command_entry *command_table_nearest(const command_entry *table, size_t n, const char *name)
{
    const command_entry *best = NULL;
    size_t best_distance = DISTANCE_MAX + 1;
    if (strlen(name) > NAME_MAX_LENGTH) return NULL;
    for (size_t i = 0; i < n; i++) {
        size_t d = distance(name, table[i].name);
        bool begins = strlen(name) > 1 && strncmp(name, table[i].name, strlen(name)) == 0;
        if (begins) d = 1;
        if (d >= best_distance) continue;
        best = &table[i];
        best_distance = d;
    }
    return best;
}

static void print_help(const command_entry *table, size_t n, FILE *out)
{
    fputs("Usage: weft COMMAND [OPTION...]\n\n", out);
    for (size_t i = 0; i < n; i++) fprintf(out, "  %-10s %s\n", table[i].name, table[i].help);
    fputs("\n`weft COMMAND --help` has the options of a command; `weft --version` the version.\n",
          out);
}

static const command_entry *find(const command_entry *table, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(table[i].name, name) == 0) return &table[i];
    }
    return NULL;
}

static int unknown(const command_entry *table, size_t n, const char *name)
{
    const command_entry *near = command_table_nearest(table, n, name);
    fprintf(stderr, "weft: no command \"%s\"", name);
    if (near) fprintf(stderr, "; did you mean \"%s\"?", near->name);
    fputs(near ? "\n" : "; `weft --help` lists them\n", stderr);
    return EXIT_USAGE;
}

static int run(const command_entry *c, int argc, char **argv)
{
    if (c->whole) return c->run(argc, argv);
    char *given = argv[1], *name = xprintf("weft %s", c->name);
    argv[1] = name; /* What usage messages begin with. */
    int code = c->run(argc - 1, argv + 1);
    argv[1] = given;
    free(name);
    return code;
}

int command_table_run(const command_entry *table, size_t n, int argc, char **argv)
{
    if (argc < 2) {
        print_help(table, n, stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_help(table, n, stdout);
        return EXIT_SUCCESS;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        puts("weft " WEFT_VERSION);
        return EXIT_SUCCESS;
    }
    const command_entry *c = find(table, n, name);
    return c ? run(c, argc, argv) : unknown(table, n, name);
}
