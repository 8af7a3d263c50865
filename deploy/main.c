#include "deploy/command_config.h"
#include "deploy/command_prepare.h"
#include "deploy/command_synth.h"
#include "deploy/command_train.h"
#include <stdio.h>
#include <string.h>
int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "train") == 0) return command_train(argc, argv);
    if (argc > 1 && strcmp(argv[1], "synth") == 0) return command_synth(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "prepare") == 0) return command_prepare(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "config") == 0) return command_config(argc - 1, argv + 1);
    return 2;
}
