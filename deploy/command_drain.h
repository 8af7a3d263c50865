/* command_drain.h - `weft drain`: one worker of a running job finishes its slot and leaves. */
#pragma once

int command_drain(int argc, char **argv);
