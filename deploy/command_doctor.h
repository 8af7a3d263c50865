/* command_doctor.h - `weft doctor -c FILE [--data DIR]`: what would stop the job here.  Gets argv
 * of main. */
#pragma once

int command_doctor(int argc, char **argv);
