/* units_print.h - bytes and seconds as a person reads them, in at most eight characters.  Threads:
 * any. */
#pragma once

enum { UNITS_TEXT = 24 };

/* "0 B", "512 B", "1.5 kB", "34 MB", "2.1 GB" into text[UNITS_TEXT], which is returned. */
const char *units_bytes(char *text, double bytes);
/* "3 ms", "0.25 s", "12 s", "4.5 min", "2.3 h". */
const char *units_seconds(char *text, double s);
