/* Fuzzes result_tables_read: a table of an exported folder is refused, or has strings in every row
 * of every column. */
#include "common/panic.h"
#include "deploy/result_tables.h"
#include "testing_fuzz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[3] = {"row", "item_id", "text"};
    char *text;
    const char **column[2];
    uint32_t rows;
    const char *path = testing_fuzz_file("items.tsv", data, size);
    if (result_tables_read(path, names, 3, &text, &rows, column) != ERR_OK) {
        ASSERT(!text && !column[0] && !column[1]);
        return 0;
    }
    size_t bytes = 0;
    for (uint32_t i = 0; i < rows; i++) bytes += strlen(column[0][i]) + strlen(column[1][i]) + 2;
    ASSERT(bytes <= size);
    free(column[0]);
    free(column[1]);
    free(text);
    return 0;
}
