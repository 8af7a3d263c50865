/* key_table.h - public keys and the roles they stand for, read from a small text file.
 *
 *     # comment
 *     worker rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7 lab-7
 *     revoked Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID lab-3
 *
 * A line is a role (scheduler, ps, sampler, worker, driver, or revoked), a key of 40 characters in
 * Z85, and, if wanted, a name of one word for people.  A key is in one line only.
 * Threads: immutable after key_table_load. */
#pragma once

#include "common/err.h"
#include "common/wire.h"

#include <stdbool.h>
#include <stddef.h>

enum { KEY_TEXT_BYTES = 40, KEY_TABLE_MAX = 4096, KEY_NAME_MAX = 63 };

typedef struct key_entry {
    char key[KEY_TEXT_BYTES + 1], name[KEY_NAME_MAX + 1];
    uint32_t role; /* wire_role; WIRE_NONE: revoked */
} key_entry;

typedef struct key_table {
    key_entry *entry; /* [n], sorted by key */
    size_t n;
} key_table;

/* ERR_INVALID (printed with file and line): malformed, two lines of one key, no key at all, or a
 * file that others may change; ERR_LIMIT: more than KEY_TABLE_MAX; ERR_NOT_FOUND; ERR_IO.
 * *out is owned: key_table_fini; empty on errors. */
MUST_USE err_code key_table_load(const char *path, key_table *out);
/* The same from text; `path` is for the errors. */
MUST_USE err_code key_table_parse(const char *path, const char *text, key_table *out);
void key_table_fini(key_table *t);

/* NULL: it has no line. */
const key_entry *key_table_find(const key_table *t, const char *key);
/* The first one of `role` in the order of keys; NULL: none.  *count: how many there are. */
const key_entry *key_table_role(const key_table *t, uint32_t role, size_t *count);
/* 40 characters of Z85. */
bool key_table_is_key(const char *text);
