/* checkpoint_pick.h - which checkpoint `--from` means.  Threads: one owner. */
#pragma once

#include "ps/checkpoint_manifest.h"

/* `text` is a step, STAGE/STEP or a name of `weft checkpoint list`.  A step that checkpoints of
 * several stages have is ambiguous.  ERR_INVALID (printed, with what there is): none, or several;
 * ERR_IO, ERR_LIMIT (printed).  *step: its own; *newer: checkpoints that came after it. */
MUST_USE err_code checkpoint_pick(const char *dir, const char *text, checkpoint_id *out,
                                  uint32_t *step, uint32_t *newer);
