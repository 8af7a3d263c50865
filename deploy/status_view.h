/* status_view.h - a status JSON (GET /api/v1/status) as short aligned text for a person.
 * Threads: any. */
#pragma once

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

/* Members that are absent are left out. */
void status_view_print(const json_t *status, FILE *out);

enum { STATUS_VIEW_DURATION_MAX = 32 };
/* "41 s", "2m05s", "3h07m", "5d02h" into text[STATUS_VIEW_DURATION_MAX]; returns text. */
const char *status_view_duration(double seconds, char *text);
/* Members by name, with a value for those that are absent, null or of another type. */
const char *status_view_text(const json_t *o, const char *key, const char *absent);
double status_view_number(const json_t *o, const char *key, double absent);
/* A count; 0 for what is absent or none. */
uint32_t status_view_count(const json_t *o, const char *key);
