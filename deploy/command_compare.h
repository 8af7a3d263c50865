/* command_compare.h - `weft compare A B [MORE ...]`: paired differences of two results; mean and
 * deviation of more. */
#pragma once

int command_compare(int argc, char **argv);
