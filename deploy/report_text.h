/* report_text.h - the report in words and plain tables: report.md and the terminal. */
#pragma once

#include "deploy/report.h"

/* `v` with `digits` after the point, never a negative zero, into text[32]; returns text. */
const char *report_text_number(char text[32], double v, int digits);
/* The same with a sign always. */
const char *report_text_signed(char text[32], double v, int digits);

/* Where two_tower stands in one type by HR@10, as plain text with `between` before each statement,
 * owned (free).  NULL: the type was not evaluated. */
char *report_text_verdict(const report_input *r, uint32_t type, const char *between);

void report_text_markdown(FILE *file, const report_input *r);
