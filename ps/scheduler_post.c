#include "ps/scheduler_commands.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HTTP_ACCEPTED = 202, HTTP_BAD_REQUEST = 400, HTTP_NOT_FOUND = 404 };

static void refuse(scheduler_post *p, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void refuse(scheduler_post *p, unsigned status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(p->answer, sizeof p->answer - 1, format, args);
    va_end(args);
    memcpy(p->answer + strlen(p->answer), "\n", 2);
    p->status = status;
    p->tokens = 0;
}

static void accept(scheduler_post *p, scheduler_command command, uint32_t n)
{
    p->status = HTTP_ACCEPTED;
    p->token[p->tokens++] = scheduler_command_token(command, n);
}

/* The value of `key` as a number from 1 to max; false: refused, or (status 0) it is not there. */
static bool take_count(scheduler_post *p, json_t *o, const char *key, uint32_t max, uint32_t *n)
{
    json_t *v = json_object_get(o, key);
    if (!v) return false;
    json_int_t x = json_integer_value(v);
    if (!json_is_integer(v) || x < 1 || x > (json_int_t)max) {
        refuse(p, HTTP_BAD_REQUEST, "\"%s\" is not a whole number from 1 to %" PRIu32, key, max);
        return false;
    }
    *n = (uint32_t)x;
    return true;
}

static void parse_scale(scheduler_post *p, json_t *o)
{
    uint32_t workers = 0, servers = 0;
    bool some = take_count(p, o, "workers", SCHEDULER_WORKERS_MAX, &workers);
    if (p->status) return;
    some = take_count(p, o, "servers", SCHEDULER_SERVERS_MAX, &servers) || some;
    if (p->status) return;
    if (!some) {
        refuse(p, HTTP_BAD_REQUEST, "neither \"workers\" nor \"servers\"");
        return;
    }
    if (servers && servers < p->copies) {
        refuse(p, HTTP_BAD_REQUEST,
               "checkpoint.copies: %" PRIu32 " needs as many servers, not %" PRIu32, p->copies,
               servers);
        return;
    }
    if (workers) accept(p, COMMAND_SCALE_WORKERS, workers);
    if (servers) accept(p, COMMAND_SCALE_SERVERS, servers);
}

static void parse_drain(scheduler_post *p, json_t *o)
{
    const char *id = json_string_value(json_object_get(o, "id"));
    char *end = NULL, own[32];
    unsigned long n = id && strncmp(id, "worker-", 7) == 0 ? strtoul(id + 7, &end, 10) : 0;
    snprintf(own, sizeof own, "worker-%lu", n);
    if (!end || *end || strcmp(own, id) != 0 || n >= SCHEDULER_WORKERS_MAX)
        refuse(p, HTTP_BAD_REQUEST, "\"id\" is not that of a worker, as \"worker-2\"");
    else
        accept(p, COMMAND_DRAIN, (uint32_t)n);
}

static void parse_checkpoint(scheduler_post *p, json_t *o)
{
    (void)o;
    accept(p, COMMAND_CHECKPOINT, 0);
}

static void parse_stop(scheduler_post *p, json_t *o)
{
    (void)o;
    accept(p, COMMAND_STOP, 0);
}

typedef struct route {
    const char *path, *key[2]; /* the keys it knows; NULL: fewer */
    void (*parse)(scheduler_post *p, json_t *o);
} route;

static const route routes[] = {{"/api/v1/scale", {"workers", "servers"}, parse_scale},
                               {"/api/v1/drain", {"id", NULL}, parse_drain},
                               {"/api/v1/checkpoint", {NULL, NULL}, parse_checkpoint},
                               {"/api/v1/stop", {NULL, NULL}, parse_stop}};

static bool is_known(const route *r, const char *key)
{
    for (size_t i = 0; i < 2; i++) {
        if (r->key[i] && strcmp(r->key[i], key) == 0) return true;
    }
    return false;
}

static void parse(scheduler_post *p, const route *r, const char *body)
{
    json_error_t error;
    const char *key;
    json_t *value, *o = json_loads(*body ? body : "{}", JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(o)) {
        refuse(p, HTTP_BAD_REQUEST, "the body is not a JSON object%s%s", o ? "" : ": ",
               o ? "" : error.text);
        json_decref(o);
        return;
    }
    json_object_foreach(o, key, value)
    {
        if (!is_known(r, key)) {
            refuse(p, HTTP_BAD_REQUEST, "unknown key \"%.64s\"", key);
            break;
        }
    }
    if (!p->status) r->parse(p, o);
    if (p->status == HTTP_ACCEPTED) memcpy(p->answer, "accepted\n", 10);
    json_decref(o);
}

scheduler_post scheduler_post_parse(const char *path, const char *body, uint32_t copies)
{
    scheduler_post p = {.copies = copies};
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (strcmp(routes[i].path, path) != 0) continue;
        parse(&p, &routes[i], body);
        return p;
    }
    refuse(&p, HTTP_NOT_FOUND, "nothing to post here");
    return p;
}
