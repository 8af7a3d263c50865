#include "common/peer_state.h"

#include <stddef.h>

static const char *const job_names[] = {"STARTING", "PREPARING", "RUNNING", "VALIDATING", "ROLLING",
                                        "STALLED",  "STOPPING",  "DONE",    "FAILED"};
static const char *const peer_names[] = {"starting", "ready",     "lost",    "idle",   "sampling",
                                         "pulling",  "computing", "pushing", "waiting"};

const char *job_state_name(job_state s)
{
    return (size_t)s < sizeof job_names / sizeof *job_names ? job_names[s] : "UNKNOWN";
}

const char *peer_state_name(peer_state s)
{
    return (size_t)s < sizeof peer_names / sizeof *peer_names ? peer_names[s] : "unknown";
}
