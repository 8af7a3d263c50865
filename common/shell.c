#include "common/shell.h"

#include "common/log.h"

#include <inttypes.h>

bool shell_local_action(const core_host *h, const core_action *a, shell_post *post, void *shell)
{
    switch (a->type) {
    case CORE_METRIC:
        if (h->metric) h->metric(h->user, a->metric);
        return true;
    case CORE_EVENT:
        log_info(a->event.name, "who=%s-%" PRIu32 " why=\"%s\"", wire_role_name(a->event.who.role),
                 a->event.who.index, a->event.why);
        if (h->event) h->event(h->user, a->event.name, a->event.who, a->event.why);
        return true;
    case CORE_PERSIST: {
        err_code rc = ERR_OK;
        if (h->persist) {
            rc = h->persist(h->user, blob_data(a->persist.bytes), blob_size(a->persist.bytes));
        }
        post(shell, a->persist.token, rc, NULL);
        return true;
    }
    default: return false;
    }
}
