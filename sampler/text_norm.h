/* text_norm.h - Unicode normal forms of texts.  Bytes that are not UTF-8 count as U+FFFD.
 * Threads: any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* NFKC, owned (free), NUL-terminated. */
char *text_norm_nfkc(const char *text);
/* NFKC of the case-folded text as code points: owned (free), *n of them. */
int32_t *text_norm_folded(const char *text, size_t *n);
/* Nothing but white space and control characters of ASCII. */
bool text_norm_is_blank(const char *text);
