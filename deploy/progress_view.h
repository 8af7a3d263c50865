/* progress_view.h - the progress of training, from successive statuses, for `weft train`.
 *
 * On a terminal one line is rewritten in place and a finished one stays per stage; otherwise there
 * is a line when a stage begins to move, every 10 s, and at its end.  NO_COLOR is respected.  Only
 * the stages that workers do are shown; prepare, evaluate and export report by themselves.
 * Threads: one owner. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { PROGRESS_VIEW_HEAD = 17 }; /* columns of a stage's name, here and in progress_print */

typedef struct progress_view progress_view;

/* silent: nothing is printed.  *out is borrowed until progress_view_free.  Owned. */
progress_view *progress_view_new(FILE *out, bool silent);
void progress_view_free(progress_view *v); /* accepts NULL */

/* A status of the job as it is now. */
void progress_view_update(progress_view *v, const json_t *status);
/* There is no status now: the scheduler is starting again. */
void progress_view_away(progress_view *v);
/* Nothing more comes: a stage that is not over gets a line, too, which says where it stopped by
 * `last`, the status that its scheduler left; NULL: where it was when it was last seen. */
void progress_view_end(progress_view *v, const json_t *last);
/* Nothing more is to be shown, as the job goes on: what came before the stage of `status` is over.
 * Where nothing is leased any more, and nobody has said yet what comes after that, all is. */
void progress_view_end_before(progress_view *v, const json_t *status);

/* For tests: what progress_view_new finds out, and the time. */
typedef struct progress_view_options {
    bool terminal, color;
    uint32_t columns; /* of the terminal: the live line is cut to them */
} progress_view_options;
void progress_view_configure(progress_view *v, const progress_view_options *o);
void progress_view_update_at(progress_view *v, const json_t *status, uint64_t now_us);
void progress_view_away_at(progress_view *v, uint64_t now_us);
