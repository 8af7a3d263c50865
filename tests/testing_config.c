#include "testing_config.h"

#include <check.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Lives as long as the test's process. */
static char *keep(const char *s)
{
    static char pool[16384];
    static size_t used;
    size_t n = strlen(s) + 1;
    ck_assert_uint_le(used + n, sizeof pool);
    char *at = pool + used;
    memcpy(at, s, n);
    used += n;
    return at;
}

string_list testing_config_list(const char *a, ...)
{
    static char *lists[64][8];
    static size_t used;
    ck_assert_uint_lt(used, 64);
    string_list out = {.items = lists[used++]};
    va_list args;
    va_start(args, a);
    for (const char *s = a; s; s = va_arg(args, const char *)) out.items[out.n++] = keep(s);
    va_end(args);
    return out;
}

config_column testing_config_column(const char *name)
{
    return (config_column){.names = testing_config_list(name, NULL)};
}

void testing_config_init(config *c)
{
    *c = (config){.seed = 1};
    c->data.items.path = keep("items.tsv");
    c->data.items.item_id = testing_config_column("item_id");
    c->data.items.item_type = testing_config_column("item_type");
    c->data.items.text = testing_config_column("text");
    c->data.interactions.path = keep("interactions.tsv");
    c->data.interactions.user_id = testing_config_column("user_id");
    c->data.interactions.item_id = testing_config_column("item_id");
    c->data.interactions.timestamp = testing_config_column("timestamp");
    c->data.interactions.weight = testing_config_column("weight");
    c->data.interactions.kind = testing_config_column("kind");
    c->data.users.path = keep("");
    c->data.users.user_id = testing_config_column("user_id");
    c->data.users.attributes = testing_config_column("attributes");
    c->data.users.vector = keep("");
    c->data.items.max_values = 1000;
    c->data.users.max_values = 1000;
    c->split.method = SPLIT_AUTO;
    c->split.holdout_fraction = 0.1;
    c->split.per_type = true;
    c->split.min_events = 5;
    c->split.file = keep("");
}

void testing_config_users(config *c)
{
    c->data.users.path = keep("users.tsv");
}

void testing_config_kind(config *c, const char *name, uint32_t roles)
{
    static config_kind kinds[8];
    ck_assert_uint_lt(c->data.kinds_n, 8);
    c->data.kinds = kinds;
    kinds[c->data.kinds_n++] = (config_kind){.name = keep(name), .roles = roles};
}
