/* command_bundle.h - `weft bundle`: an archive for whoever helps.  Threads: the main one. */
#pragma once

int command_bundle(int argc, char **argv);
