/* Fuzzes what `weft status` and `weft train` make of a status: any JSON can be shown, as text and
 * as progress on a terminal and in a file. */
#include "common/panic.h"
#include "deploy/progress_view.h"
#include "deploy/status_view.h"
#include "testing_fuzz.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static void show_progress(FILE *out, const json_t *status, bool terminal)
{
    progress_view_options o = {.terminal = terminal, .color = terminal, .columns = 60};
    progress_view *v = progress_view_new(out, false);
    progress_view_configure(v, &o);
    progress_view_update_at(v, status, 1000000);
    progress_view_update_at(v, status, 20000000);
    progress_view_end(v, NULL);
    progress_view_free(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *out;
    testing_fuzz_input in = {data, size};
    char *text = testing_fuzz_text(&in);
    json_t *status = json_loads(text, 0, NULL);
    if (!out) out = fopen("/dev/null", "w");
    ASSERT(out);
    if (status) {
        status_view_print(status, out);
        show_progress(out, status, true);
        show_progress(out, status, false);
    }
    json_decref(status);
    free(text);
    return 0;
}
