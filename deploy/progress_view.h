/* progress_view.h - see below. */
#pragma once
#include <stdbool.h>
#include <stdio.h>
#include <jansson.h>
typedef struct progress_view progress_view;
progress_view *progress_view_new(FILE *out, bool silent);
void progress_view_update(progress_view *v, const json_t *status);
void progress_view_end(progress_view *v);
void progress_view_free(progress_view *v);
