#include "sampler/item_line.h"

#include "common/mem.h"
#include "sampler/table_reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* 0: nowhere. */
static uint64_t find(table_reader *r, table_column *column, const char *id)
{
    bool more = true;
    while (table_reader_next(r, &more) == ERR_OK && more) {
        size_t n;
        if (strcmp(table_reader_value(r, column, &n), id) == 0) return table_reader_line(r);
    }
    return 0;
}

char *item_line_describe(const config *c, const char *id)
{
    const char *path = c->data.items.path;
    table_reader *r = NULL;
    table_column column = {0};
    uint64_t line = 0;
    if (path && *path && table_reader_open(path, true, &r) == ERR_OK) {
        err_code rc = table_reader_map(r, &c->data.items.item_id, "data.items.columns.item_id",
                                       false, &column);
        if (rc == ERR_OK) line = find(r, &column, id);
        table_column_fini(&column);
        table_reader_close(r);
    }
    return line ? xprintf("%s:%" PRIu64 ": item `%s`", path, line, id) : xprintf("item `%s`", id);
}
