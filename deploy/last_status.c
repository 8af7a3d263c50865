#include "deploy/last_status.h"

#include "common/files.h"
#include "common/mem.h"
#include "deploy/status_client.h"
#include "ps/scheduler_node.h"

#include <stdlib.h>

char *last_status_text(const char *work_dir)
{
    char *path = xprintf("%s/run/%s", work_dir, SCHEDULER_LAST_STATUS), *text = NULL;
    size_t bytes;
    bool there =
        files_exist(path) && files_read(path, STATUS_CLIENT_BYTES_MAX, &text, &bytes) == ERR_OK;
    free(path);
    return there ? text : NULL;
}

json_t *last_status_read(const char *work_dir)
{
    char *text = last_status_text(work_dir);
    json_t *status = text ? json_loads(text, 0, NULL) : NULL;
    free(text);
    return status;
}
