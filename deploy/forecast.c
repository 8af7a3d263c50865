#include "deploy/forecast.h"

#include <stdlib.h>
#include <string.h>

bool forecast_is_one_machine(const config *c)
{
    const char *at = c->cluster.scheduler;
    return !*at || strncmp(at, "ipc", 3) == 0 || strstr(at, "//127.") || strstr(at, "//localhost");
}

void forecast_make(const job *j, const outlook *o, const calibration *speed, forecast *f)
{
    *f = (forecast){0};
    forecast_memory(j, o, f);
    forecast_time(j, o, speed, f);
    f->store = (double)(o->partition_bytes + o->dataset_bytes);
    double width = j->manifest->text_dim * 4.0;
    encoder_kind encoder = j->config->features.encoder;
    bool cached = encoder == ENCODER_EMBEDDED || encoder == ENCODER_OPENAI;
    f->cache = cached ? j->manifest->items * (width + 64) : 0;
    double edges = 0;
    for (uint32_t r = 0; r < j->manifest->relations; r++)
        edges += (double)j->manifest->relation[r].edges;
    f->temporary = o->prepared ? 0 : edges * 14;
    double items = j->manifest->items, users = j->manifest->users, d = j->two_tower->output_dim;
    f->results = 4 * (items + users) * d + 4 * items * j->hgnn->z_dim +
                 4 * (items * (j->config->two_tower.item_id + j->manifest->text_dim)) +
                 4.0 * (double)(j->hgnn->values + j->two_tower->values) + (double)o->string_bytes +
                 12 * (double)o->history + 200 * (double)o->tested;
    for (uint32_t i = 0; i < f->roles; i++) {
        if (strcmp(f->role[i].name, "sampler") == 0) f->role[i].disk = (double)o->partition_bytes;
        if (strcmp(f->role[i].name, "weft train") == 0) {
            f->role[i].disk = (double)o->dataset_bytes + f->cache + f->temporary + f->results;
        }
    }
}

void forecast_fini(forecast *f)
{
    for (uint32_t i = 0; i < f->notes; i++) free(f->note[i]);
    *f = (forecast){0};
}
