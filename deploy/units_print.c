#include "deploy/units_print.h"

#include <stdio.h>

const char *units_bytes(char *text, double bytes)
{
    static const char *const names[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    int unit = 0;
    while (bytes >= 999.5 && unit < 5) {
        bytes /= 1000;
        unit++;
    }
    snprintf(text, UNITS_TEXT, unit > 0 && bytes < 9.95 ? "%.1f %s" : "%.0f %s", bytes,
             names[unit]);
    return text;
}

const char *units_seconds(char *text, double s)
{
    if (s < 0.0995) {
        snprintf(text, UNITS_TEXT, "%.0f ms", s * 1e3);
    } else if (s < 9.95) {
        snprintf(text, UNITS_TEXT, "%.2f s", s);
    } else if (s < 99.5) {
        snprintf(text, UNITS_TEXT, "%.0f s", s);
    } else if (s < 5970) {
        snprintf(text, UNITS_TEXT, "%.1f min", s / 60);
    } else {
        snprintf(text, UNITS_TEXT, "%.1f h", s / 3600);
    }
    return text;
}
