#include "sampler/split.h"

#include "common/log.h"
#include "common/tsv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void write_id(FILE *file, const string_pool *ids, uint32_t at)
{
    tsv_write(file, string_pool_get(ids, at), string_pool_length(ids, at));
    fputc('\t', file);
}

err_code split_write(const split *s, const catalog *data, const char *path)
{
    FILE *file = fopen(path, "wb");
    bool ok = file != NULL;
    if (ok) {
        fputs("user_id\titem_id\tpart\n", file);
        for (uint64_t i = 0; i < s->pairs_n; i++) {
            write_id(file, data->user_ids, s->pairs[i].user);
            write_id(file, data->item_ids, s->pairs[i].item);
            fprintf(file, "%s\n", split_part_name(s->pairs[i].part));
        }
        ok = !ferror(file);
        if (fclose(file) != 0) ok = false;
    }
    if (ok) return ERR_OK;
    log_user_error("%s: %s", path, strerror(errno));
    return ERR_IO;
}
