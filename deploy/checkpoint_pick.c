#include "deploy/checkpoint_pick.h"

#include "common/cli.h"
#include "common/log.h"
#include "common/slot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMED_MAX = 30 };

/* What was asked for: a name, or a step (of a stage). */
typedef struct wish {
    bool by_name;
    checkpoint_id id;
    uint32_t stage, step; /* stage STAGE_NONE: of any */
} wish;

static bool parse_step(const char *text, uint32_t *step)
{
    char *end;
    if (*text < '0' || *text > '9') return false;
    unsigned long n = strtoul(text, &end, 10);
    *step = (uint32_t)n;
    return !*end && n <= UINT32_MAX;
}

static bool parse(const char *text, wish *w)
{
    char stage[32];
    const char *slash = strchr(text, '/');
    *w = (wish){.stage = STAGE_NONE};
    w->by_name = checkpoint_files_parse(text, &w->id);
    if (w->by_name || parse_step(text, &w->step)) return true;
    if (!slash || (size_t)(slash - text) >= sizeof stage) return false;
    memcpy(stage, text, (size_t)(slash - text));
    stage[slash - text] = '\0';
    return stage_parse(stage, &w->stage) && parse_step(slash + 1, &w->step);
}

static bool is_meant(const wish *w, const checkpoint_listed *l)
{
    if (l->rc != ERR_OK) return false;
    if (w->by_name) return checkpoint_files_compare(&w->id, &l->entry.id) == 0;
    bool stage = w->stage == STAGE_NONE || w->stage == l->entry.id.stage;
    return stage && l->manifest.step == w->step;
}

static void say_what_there_is(const char *dir, const checkpoint_listed *list, size_t n)
{
    size_t named = 0;
    for (size_t i = 0; i < n && named < NAMED_MAX; i++) {
        char name[CHECKPOINT_NAME_MAX];
        if (list[i].rc != ERR_OK) continue;
        checkpoint_files_name(&list[i].entry.id, name);
        log_user_error("  %s/%" PRIu32 "  %s", stage_name(list[i].entry.id.stage),
                       list[i].manifest.step, name);
        named++;
    }
    if (!named) log_user_error("  %s has none that is whole", dir);
}

/* The newest that is meant; n: of another stage there is one, too. */
static err_code choose(const checkpoint_listed *list, size_t n, const wish *w, size_t *chosen)
{
    *chosen = n;
    for (size_t i = 0; i < n; i++) {
        if (!is_meant(w, &list[i])) continue;
        if (*chosen == n) *chosen = i; /* newest first */
        if (list[i].entry.id.stage != list[*chosen].entry.id.stage) return ERR_LIMIT;
    }
    return *chosen < n ? ERR_OK : ERR_NOT_FOUND;
}

err_code checkpoint_pick(const char *dir, const char *text, checkpoint_id *out, uint32_t *step,
                         uint32_t *newer)
{
    char why[CHECKPOINT_WHY_MAX];
    checkpoint_listed *list;
    size_t n, chosen;
    wish w;
    if (!parse(text, &w)) {
        log_user_error("--from %s: neither a step, STAGE/STEP, nor a name of a checkpoint", text);
        return ERR_INVALID;
    }
    err_code rc = checkpoint_manifest_list(dir, &list, &n, why);
    if (rc != ERR_OK) {
        log_user_error("--from %s: %s", text, why);
        return rc;
    }
    rc = choose(list, n, &w, &chosen);
    if (rc == ERR_OK) {
        *out = list[chosen].entry.id;
        *step = list[chosen].manifest.step;
        *newer = (uint32_t)chosen;
    } else {
        log_user_error(rc == ERR_LIMIT ? "--from %s: checkpoints of several stages have this step:"
                                       : "--from %s: there is no such checkpoint; there are:",
                       text);
        say_what_there_is(dir, list, n);
    }
    checkpoint_manifest_list_free(list, n);
    return rc == ERR_OK ? ERR_OK : ERR_INVALID;
}
