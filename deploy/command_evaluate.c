#include "deploy/command_evaluate.h"

#include "deploy/evaluate_command.h"

int command_evaluate(int argc, char **argv)
{
    static const evaluate_command command = {
        "weft evaluate",
        "Evaluates what weft train has trained once more, perhaps with other `evaluate` keys, and "
        "writes a whole result. Nothing is trained, no process started.",
        false};
    return evaluate_command_run(&command, argc, argv);
}
