#include "deploy/progress_view.h"
#include "common/mem.h"
#include <stdlib.h>
struct progress_view { FILE *out; bool silent; int n; };
progress_view *progress_view_new(FILE *out, bool silent) { progress_view *v = xcalloc(1, sizeof *v); v->out = out; v->silent = silent; return v; }
void progress_view_update(progress_view *v, const json_t *s)
{
    if (v->silent || v->n++ % 8) return;
    fprintf(v->out, "%s %s step %lld/%lld loss %.4f  valid %.4f/%.4f  %.0f ex/s\n", json_string_value(json_object_get(s, "state")),
            json_string_value(json_object_get(s, "stage")), json_integer_value(json_object_get(s, "step")),
            json_integer_value(json_object_get(s, "steps")), json_number_value(json_object_get(s, "loss")),
            json_number_value(json_object_get(json_object_get(s, "validation"), "last")),
            json_number_value(json_object_get(json_object_get(s, "validation"), "best")),
            json_number_value(json_object_get(s, "examples_per_s")));
}
void progress_view_end(progress_view *v) { (void)v; }
void progress_view_free(progress_view *v) { free(v); }
