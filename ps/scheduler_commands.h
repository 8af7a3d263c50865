/* scheduler_commands.h - what people ask of a running job: POST
 * /api/v1/{stop,checkpoint,scale,drain}.
 *
 * The HTTP thread checks a request and encodes each command in a number, which reaches the core as
 * the token of a RESULT; the core takes it there (ps/scheduler_commands.c).  Nothing is shared.
 * Threads: any; scheduler_commands_take the core's. */
#pragma once

#include "common/core.h"

enum { SCHEDULER_WORKERS_MAX = 1024, SCHEDULER_SERVERS_MAX = 1024 };

typedef enum scheduler_command {
    COMMAND_CHECKPOINT,    /* n is 0 */
    COMMAND_SCALE_WORKERS, /* n: how many */
    COMMAND_SCALE_SERVERS,
    COMMAND_DRAIN, /* n: index of the worker */
    COMMAND_STOP   /* n is 0 */
} scheduler_command;

/* Differs from the core's own tokens. */
uint64_t scheduler_command_token(scheduler_command command, uint32_t n);

enum { SCHEDULER_POST_TOKENS_MAX = 2 };
typedef struct scheduler_post {
    uint32_t copies; /* of each part of a checkpoint */
    unsigned status; /* HTTP: 202, 400, 404 */
    uint64_t token[SCHEDULER_POST_TOKENS_MAX];
    uint32_t tokens;            /* 0 unless status is 202 */
    char answer[CORE_TEXT_MAX]; /* for the asker, with a line feed */
} scheduler_post;

/* What a POST of `body` to `path` asks for:
 *     /api/v1/scale       {"workers": 1..1024} or {"servers": 1..1024} or both
 *     /api/v1/drain       {"id": "worker-2"}
 *     /api/v1/checkpoint  nothing or {}
 *     /api/v1/stop        nothing or {}
 * Anything else, also an unknown key or fewer servers than there are copies of each part of a
 * checkpoint, is refused with the reason. */
scheduler_post scheduler_post_parse(const char *path, const char *body, uint32_t copies);

typedef struct scheduler scheduler;
/* A RESULT that is a command: carries it out.  False: it is none. */
bool scheduler_commands_take(scheduler *s, const core_event *e, core_actions *out);
