#include "common/cli.h"
#include "common/version.h"
#include "deploy/command_bench.h"
#include "deploy/command_bundle.h"
#include "deploy/command_checkpoint.h"
#include "deploy/command_compare.h"
#include "deploy/command_config.h"
#include "deploy/command_describe.h"
#include "deploy/command_doctor.h"
#include "deploy/command_drain.h"
#include "deploy/command_evaluate.h"
#include "deploy/command_export.h"
#include "deploy/command_keygen.h"
#include "deploy/command_plan.h"
#include "deploy/command_prepare.h"
#include "deploy/command_recommend.h"
#include "deploy/command_replay.h"
#include "deploy/command_scale.h"
#include "deploy/command_similar.h"
#include "deploy/command_status.h"
#include "deploy/command_stop.h"
#include "deploy/command_synth.h"
#include "deploy/command_table.h"
#include "deploy/command_train.h"

static const command_entry commands[] = {
    {"train", command_train, true, "Prepare, train, evaluate and export, on this machine"},
    {"evaluate", command_evaluate, true, "Evaluate once more what was trained; write a result"},
    {"export", command_export, true, "Write the vectors and weights of what was trained"},
    {"prepare", command_prepare, false, "Read the data and build the store"},
    {"plan", command_plan, true, "What a job will need: memory, disk, network, time"},
    {"doctor", command_doctor, true, "What would stop a job on this machine"},
    {"describe", command_describe, false, "What is in the data, before training"},
    {"synth", command_synth, false, "Write a generated catalogue with interactions"},
    {"status", command_status, false, "What a running job does"},
    {"stop", command_stop, false, "Stop a running job cleanly"},
    {"scale", command_scale, false, "Change the number of workers or servers of a running job"},
    {"drain", command_drain, false, "Let one worker of a running job leave"},
    {"checkpoint", command_checkpoint, false, "List, check and keep checkpoints; ask for one"},
    {"recommend", command_recommend, false, "Items for a user, from a result"},
    {"similar", command_similar, false, "Items near an item, from a result"},
    {"compare", command_compare, false,
     "Which of two results is better; how much more of them scatter"},
    {"replay", command_replay, true, "Compute one slot alone and say what it holds"},
    {"bench", command_bench, true, "How fast each part is on this machine"},
    {"keygen", command_keygen, false, "Make the keys of a cluster"},
    {"bundle", command_bundle, true, "Collect logs, status and configuration for whoever helps"},
    {"config", command_config, false, "Check a configuration; print it or its schema"},
};

/* weft: the operator's command. */
int main(int argc, char **argv)
{
    int code;
    if (version_asked(argv, &code)) return code;
    return cli_finish_stdout(
        command_table_run(commands, sizeof commands / sizeof *commands, argc, argv));
}
