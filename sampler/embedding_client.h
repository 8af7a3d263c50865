/* embedding_client.h - vectors of texts from an OpenAI-compatible /v1/embeddings endpoint
 * (features.encoder: openai).
 *
 * A request holds up to features.openai.batch texts, each cut to max_chars characters and put into
 * the template.  What may pass (no or a cut answer, 408, 429, 5xx) is tried again features.openai
 * .retries times, after 0.5 s, 1 s, 2 s, ... up to 30 s, or what Retry-After says.  What the texts
 * may be to blame for (400, 413, 422; 424, 500 and malformed answers that come twice) is sent again
 * in halves, down to the one text, which is named.  The first request reads the key file; opening
 * needs neither it nor a network.  Threads: one owner. */
#pragma once

#include "common/config.h"
#include "common/err.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum {
    EMBEDDING_BACK_OFF_MS = 500,
    EMBEDDING_BACK_OFF_MAX_MS = 30000,
    EMBEDDING_RETRY_AFTER_MAX_S = 600, /* a server that asks for longer is not waited for */
    EMBEDDING_BAD_TEXTS_MAX = 10,      /* named per call; more are not looked for */
    EMBEDDING_KEY_BYTES_MAX = 4096
};

typedef struct embedding_client embedding_client;

/* Where `text` (one of those given to embed) comes from: "items.tsv:17: item `x`".  Owned (free).
 */
typedef char *embedding_name_text(void *context, const char *text);

/* c is borrowed until close.  ERR_INVALID (printed): features.openai.url or .model cannot be used.
 * *out is owned: embedding_client_close. */
MUST_USE err_code embedding_client_open(const config *c, embedding_client **out);
void embedding_client_close(embedding_client *e); /* accepts NULL */

/* Who names texts, and what asks to stop (not 0); both may be NULL.  Before the first request. */
void embedding_client_attach(embedding_client *e, embedding_name_text *name, void *context,
                             const atomic_int *stop);

/* Hash of what decides a vector: model, template and max_chars, not the URL. */
uint64_t embedding_client_id(const embedding_client *e);

/* Numbers of a vector; 0: not known yet.  Until it is, embed takes one text, whose answer says it.
 */
uint32_t embedding_client_dim(const embedding_client *e);
void embedding_client_set_dim(embedding_client *e, uint32_t dim);

/* out [n, dim] overwritten (dim not known: n is 1, and EMBEDDING_DIM_MAX numbers); texts without
 * any character but spaces are not sent and get zeros.  All errors are printed.  ERR_INVALID: texts
 * that the server refuses.  ERR_MISMATCH: vectors of another width.  ERR_CLOSED: no answer or
 * errors to the last try, or one that other texts would get, too (key, model, path).  ERR_STOPPED.
 * ERR_NO_MEMORY; those of secret_file.h. */
MUST_USE err_code embedding_client_embed(embedding_client *e, const char *const *texts, size_t n,
                                         float *out);
