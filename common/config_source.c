#include "common/config_source.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct config_source *config_source_list(const config_reader *r)
{
    struct config_source *list = xcalloc(config_keys_n, sizeof *list);
    const char *slash = strrchr(r->name, '/'), *file = slash ? slash + 1 : r->name;
    for (size_t i = 0; i < config_keys_n; i++) {
        const config_place *p = &r->places[i];
        if (p->set) {
            list[i].text = xstrdup("--set");
        } else if (p->line > 0) {
            list[i].text = xprintf("%s:%zu:%zu", file, p->line, p->column);
        }
    }
    return list;
}

void config_source_set(config *c, const char *key, const char *text)
{
    const config_key *k = config_key_find(key);
    ASSERT(k && c->sources);
    free(c->sources[k - config_keys].text);
    c->sources[k - config_keys].text = xstrdup(text);
}

void config_source_free(config *c)
{
    for (size_t i = 0; c->sources && i < config_keys_n; i++) free(c->sources[i].text);
    free(c->sources);
    c->sources = NULL;
}

const char *config_source(const config *c, const config_key *key)
{
    const char *text = c->sources ? c->sources[key - config_keys].text : NULL;
    return text ? text : "default";
}

void config_error(const config *c, const char *key, const char *format, ...)
{
    const config_key *k = config_key_find(key);
    char text[1024];
    va_list args;
    ASSERT(k);
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const char *source = config_source(c, k);
    bool is_set = strcmp(source, "--set") == 0, is_default = strcmp(source, "default") == 0;
    log_user_error("%s%s%s: %s", is_default ? "" : source,
                   is_default ? ""
                   : is_set   ? " "
                              : ": ",
                   key, text);
}
