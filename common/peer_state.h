/* peer_state.h - the states of the job and of its processes, as numbers in messages and as the
 * words of the status page. */
#pragma once

typedef enum job_state {
    JOB_STARTING,
    JOB_PREPARING,
    JOB_RUNNING,
    JOB_VALIDATING,
    JOB_ROLLING,
    JOB_STALLED,
    JOB_STOPPING,
    JOB_DONE,
    JOB_FAILED,
    JOB_STATES
} job_state;
const char *job_state_name(job_state s); /* "RUNNING", ... */

typedef enum peer_state {
    PEER_STARTING,
    PEER_READY,
    PEER_LOST,
    PEER_IDLE, /* from here on: workers */
    PEER_SAMPLING,
    PEER_PULLING,
    PEER_COMPUTING,
    PEER_PUSHING,
    PEER_WAITING
} peer_state;
const char *peer_state_name(peer_state s); /* "idle", ... */
