/* status_watch.h - a text that is shown again and again in the same place of a terminal.
 *
 * A frame is written with one write: every line over the old one, so that nothing flickers, cut to
 * the terminal's size.  Where the output is no terminal frames follow each other.  Threads: one
 * owner. */
#pragma once

#include "common/err.h"

#include <stddef.h>
#include <stdint.h>

/* The bytes of one frame for a terminal of columns x rows (0 x 0: none), owned (free).  Control
 * characters in the text are shown as "?": it may come from peers. */
char *status_watch_frame(const char *text, uint32_t columns, uint32_t rows);

/* Clears the screen, shows and hides the cursor, where fd is a terminal. */
void status_watch_begin(int fd);
void status_watch_end(int fd);
/* ERR_IO: nobody reads. */
MUST_USE err_code status_watch_show(int fd, const char *text);
