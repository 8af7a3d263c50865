#include "deploy/report_curves.h"

#include "common/log.h"
#include "common/mem.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_point(report_curve *c, double x, double y)
{
    grow(&c->x, &c->cap_x, c->n + 1, sizeof *c->x);
    grow(&c->y, &c->cap_y, c->n + 1, sizeof *c->y);
    c->x[c->n] = x;
    c->y[c->n++] = y;
}

static report_stage_curves *stage_of(report_curves *c, const char *name)
{
    for (size_t i = 0; i < c->stages; i++) {
        if (strcmp(c->stage[i].stage, name) == 0) return &c->stage[i];
    }
    if (c->stages == REPORT_CURVES_STAGES) return NULL;
    report_stage_curves *s = &c->stage[c->stages++];
    snprintf(s->stage, sizeof s->stage, "%s", name);
    return s;
}

static void add_line(report_curves *c, const json_t *line)
{
    const char *kind = json_string_value(json_object_get(line, "kind"));
    const char *stage = json_string_value(json_object_get(line, "stage"));
    const json_t *step = json_object_get(line, "step"), *loss = json_object_get(line, "loss");
    const json_t *value = json_object_get(line, "value");
    const char *metric = json_string_value(json_object_get(line, "metric"));
    if (!kind || !stage || !json_is_number(step)) return;
    if (strcmp(kind, "step") == 0 && json_is_number(loss)) {
        report_stage_curves *s = stage_of(c, stage);
        if (s) add_point(&s->loss, json_number_value(step), json_number_value(loss));
    }
    if (strcmp(kind, "valid") == 0 && json_is_number(value)) {
        report_stage_curves *s = stage_of(c, stage);
        if (!s) return;
        add_point(&s->valid, json_number_value(step), json_number_value(value));
        if (metric) snprintf(s->metric, sizeof s->metric, "%s", metric);
    }
}

static void thin(report_curve *c)
{
    size_t run = (c->n + REPORT_CURVES_POINTS - 1) / REPORT_CURVES_POINTS, kept = 0;
    for (size_t i = 0; run > 1 && i < c->n; i += run) {
        double sum = 0;
        size_t n = i + run < c->n ? run : c->n - i;
        for (size_t k = 0; k < n; k++) sum += c->y[i + k];
        c->x[kept] = c->x[i + n - 1];
        c->y[kept++] = sum / (double)n;
    }
    if (run > 1) c->n = kept;
}

err_code report_curves_read(report_curves *c, const char *path)
{
    *c = (report_curves){0};
    FILE *file = fopen(path, "r");
    if (!file) {
        log_user_error("%s: %s", path, strerror(errno));
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    }
    char *line = NULL;
    size_t cap = 0;
    while (getline(&line, &cap, file) > 0) {
        json_t *object = json_loads(line, 0, NULL);
        if (object) add_line(c, object);
        json_decref(object);
    }
    bool failed = ferror(file) != 0;
    free(line);
    fclose(file);
    for (size_t i = 0; i < c->stages; i++) thin(&c->stage[i].loss);
    if (failed) log_user_error("%s: cannot be read", path);
    return failed ? ERR_IO : ERR_OK;
}

void report_curves_fini(report_curves *c)
{
    for (size_t i = 0; i < c->stages; i++) {
        free(c->stage[i].loss.x);
        free(c->stage[i].loss.y);
        free(c->stage[i].valid.x);
        free(c->stage[i].valid.y);
    }
    *c = (report_curves){0};
}
