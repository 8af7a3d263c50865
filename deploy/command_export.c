#include "deploy/command_export.h"

#include "deploy/evaluate_command.h"

int command_export(int argc, char **argv)
{
    static const evaluate_command command = {
        "weft export",
        "Writes what serving needs of what weft train has trained: vectors, ids, lists and "
        "weights, without evaluation and report.",
        true};
    return evaluate_command_run(&command, argc, argv);
}
