/* Fuzzes key_table_parse, the public keys of those who may call: a text is refused or becomes
 * entries that are found by their key and have a role. */
#include "common/key_table.h"
#include "common/panic.h"
#include "testing_fuzz.h"

#include <stdlib.h>
#include <string.h>

static void check(const key_table *t)
{
    ASSERT(t->n && t->n <= KEY_TABLE_MAX);
    size_t with_role = 0, count;
    for (size_t i = 0; i < t->n; i++) {
        const key_entry *e = &t->entry[i];
        ASSERT(key_table_is_key(e->key) && key_table_find(t, e->key) == e);
        ASSERT(strlen(e->name) <= KEY_NAME_MAX && e->role < WIRE_ROLES);
        ASSERT(i == 0 || strcmp(t->entry[i - 1].key, e->key) < 0);
    }
    for (uint32_t role = 0; role < WIRE_ROLES; role++) {
        const key_entry *e = key_table_role(t, role, &count);
        ASSERT((e != NULL) == (count > 0) && (!e || e->role == role));
        with_role += count;
    }
    ASSERT(with_role == t->n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    key_table t;
    testing_fuzz_input in = {data, size};
    char *text = testing_fuzz_text(&in);
    if (key_table_parse("allow", text, &t) == ERR_OK) check(&t);
    key_table_fini(&t);
    free(text);
    return 0;
}
