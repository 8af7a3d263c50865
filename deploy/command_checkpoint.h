/* command_checkpoint.h - `weft checkpoint list|verify|pin|now -c F`.
 *
 *     list               what is in the folder of checkpoints, newest first
 *     verify [NAME]      reads all of it (of one): 1 when a file is damaged or missing
 *     pin NAME [--off]   keeps it from being removed; lets it go
 *     now                asks the running job for one
 *
 * The first three need no running job.  Threads: the main one. */
#pragma once

/* Returns the exit code. */
int command_checkpoint(int argc, char **argv);
