/* Fuzzes table_reader: TSV, CSV and either by the header line, plain and .gz (the first byte
 * chooses), with malformed rows skipped or not.  Every value that comes out is a string of its
 * length. */
#include "common/panic.h"
#include "sampler/table_reader.h"
#include "testing_fuzz.h"

#include <string.h>

enum { FORMS = 5 };

static void check_row(table_reader *r, table_column *c)
{
    size_t n;
    for (size_t i = 0; i < table_reader_fields(r); i++) {
        const char *s = table_reader_field(r, i, &n);
        ASSERT(strlen(s) == n);
    }
    const char *s = table_reader_value(r, c, &n);
    ASSERT(strlen(s) == n);
}

static void read_all(table_reader *r, size_t size)
{
    static char first[] = "a", second[] = "b";
    char *names[2] = {first, second};
    config_column column = {.names = {names, 2}};
    table_column c = {0};
    bool more = true;
    uint64_t rows = 0;
    for (size_t i = 0; i < table_reader_columns(r); i++)
        ASSERT(table_reader_find(r, table_reader_name(r, i), NULL) <= i);
    err_code rc = table_reader_map(r, &column, "data.items.columns.text", true, &c);
    while (rc == ERR_OK && more) {
        rc = table_reader_next(r, &more);
        if (rc == ERR_OK && more) check_row(r, &c);
        if (++rows % 7 == 0 && more && rc == ERR_OK) rc = table_reader_reject(r, &c, "seventh");
        ASSERT(rows <= size * 1100 + 2); /* A .gz unpacks to at most 1,032 times its size. */
    }
    ASSERT(rc == ERR_OK || rc == ERR_INVALID || rc == ERR_IO);
    table_column_fini(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[FORMS] = {"f.tsv", "f.csv", "f", "f.tsv.gz", "f.csv.gz"};
    if (!size) return 0;
    table_reader *r;
    const char *path = testing_fuzz_file(names[data[0] % FORMS], data + 1, size - 1);
    if (table_reader_open(path, data[0] & 0x40, &r) != ERR_OK) return 0;
    if (data[0] & 0x80) table_reader_allow_more(r);
    read_all(r, size);
    table_reader_close(r);
    return 0;
}
