/* command_plan.h - `weft plan -c FILE [--data DIR]`: what the job will need.  Gets argv of main. */
#pragma once

int command_plan(int argc, char **argv);
