#include "common/store_path.h"

#include "common/files.h"
#include "common/log.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES_MAX = 4096 };

static char *current_file(const config *c)
{
    return xprintf("%s/store/current", c->work_dir);
}

err_code store_path_set(const config *c, const char *folder)
{
    char *file = current_file(c);
    err_code rc = files_write_atomic(file, folder, strlen(folder), 0644);
    free(file);
    return rc;
}

err_code store_path_publish(const config *c, const char *name)
{
    char *file = files_join(c->store.source, "current");
    err_code rc = files_write_atomic(file, name, strlen(name), 0644);
    free(file);
    return rc;
}

err_code store_path_get(const config *c, char **out)
{
    bool shared = c->store.source[0] != 0;
    char *file = shared ? files_join(c->store.source, "current") : current_file(c), *name = NULL;
    size_t bytes;
    err_code rc = ERR_NOT_FOUND;
    if (files_exist(file)) {
        rc = files_read(file, PATH_BYTES_MAX, &name, &bytes);
    } else {
        log_user_error("%s: nothing was prepared yet: run weft prepare", file);
    }
    if (rc == ERR_OK) *out = shared ? files_join(c->store.source, name) : xstrdup(name);
    free(name);
    free(file);
    return rc;
}
