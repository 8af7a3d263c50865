/* ngram.h - hashed character 3-5-gram TF-IDF vectors: the language-independent half of a text
 * vector.
 *
 * Text is NFKC case-folded and split at anything but letters, marks, numbers and symbols; each
 * word, with a space on either side, gives its 3-, 4- and 5-grams.  Weight (1 + log tf) * (1 +
 * log((1 + texts) / (1 + df))); a gram adds +-weight to one of dim columns, sign and column by its
 * hash.  df is counted in NGRAM_DF_BUCKETS buckets by hash.  Count first, encode then.
 *
 * Threads: one owner while counting, any afterwards. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { NGRAM_DF_BUCKETS = 1 << 20, NGRAM_DIM_MAX = 65536 };

typedef struct ngram_model ngram_model;

ngram_model *ngram_model_new(uint32_t dim); /* dim >= 1; owned: ngram_model_free */
void ngram_model_free(ngram_model *m);      /* accepts NULL */

/* Counts the grams of one text of the corpus. */
void ngram_model_count(ngram_model *m, const char *text);
/* out [dim] overwritten: length 1, or zeros for a text without words. */
void ngram_encode(const ngram_model *m, const char *text, float *out);
