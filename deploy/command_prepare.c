#include "deploy/command_prepare.h"

#include "common/cli.h"
#include "common/json.h"
#include "common/manifest.h"
#include "common/store_path.h"
#include "deploy/progress_print.h"
#include "deploy/stop_signal.h"
#include "sampler/prepare.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static err_code print_json(const manifest *m, const char *folder, const prepare_stats *s)
{
    json_writer w;

    json_init_file(&w, stdout, JSON_STYLE_SPACED);
    json_object_begin(&w);
    json_field_string(&w, "store", folder);
    json_field_bool(&w, "reused", s->reused);
    json_field_metric(&w, "seconds", s->seconds);
    json_field_u64(&w, "peak_rss_bytes", s->peak_rss_bytes);
    json_field_u64(&w, "store_bytes", s->store_bytes);
    json_key(&w, "prepare_hash");
    json_hex64(&w, m->prepare_hash);
    json_key(&w, "foundation_id");
    json_hex64(&w, m->foundation_id);
    json_field_string(&w, "encoder", m->encoder);
    json_field_u64(&w, "text_dim", m->text_dim);
    json_key(&w, "data");
    json_raw(&w, m->data_json);
    json_object_end(&w);
    return json_finish_line(&w);
}

/* Kinds of interactions that were found; without data.kinds whatever stands there is one. */
static void print_kinds(const manifest *m, bool any_kind)
{
    const char *kind;
    json_t *n, *data = json_loads(m->data_json, 0, NULL);
    json_object_foreach(json_object_get(data, "events"), kind, n)
        printf("events   %-20s %10" PRId64 "%s\n", kind, (int64_t)json_integer_value(n),
               any_kind ? "  every role, as data.kinds is empty" : "");
    json_decref(data);
}

static void print_table(const manifest *m, const char *folder, const prepare_stats *s,
                        bool any_kind)
{
    printf("store    %s%s\n", folder, s->reused ? " (complete already)" : "");
    for (uint32_t t = 0; t < m->types.n; t++) {
        printf("items    %-20s %10u\n", m->types.items[t],
               manifest_type_begin(m, t + 1) - manifest_type_begin(m, t));
    }
    printf("users    %31u\n", m->users);
    print_kinds(m, any_kind);
    for (uint32_t r = 0; r < m->relations; r++) {
        const manifest_relation *rel = &m->relation[r];
        printf("edges    %-20s %10" PRIu64 "  <- %s\n", m->types.items[rel->destination],
               rel->edges, m->types.items[rel->source]);
    }
    printf("text     %s, %u numbers\n", m->encoder, m->text_dim);
    printf("took     %.1f s, %.0f MB at most; %.1f MB stored\n", s->seconds,
           (double)s->peak_rss_bytes / 1e6, (double)s->store_bytes / 1e6);
}

static err_code print_result(const config *c, bool json, const char *folder, const prepare_stats *s)
{
    manifest *m;
    err_code rc = manifest_load(folder, &m);

    if (rc != ERR_OK) return rc;
    if (json)
        rc = print_json(m, folder, s);
    else
        print_table(m, folder, s, c->data.kinds_n == 0);
    manifest_free(m);
    return rc;
}

static err_code run(const cli_options *cli)
{
    config *c;
    char *folder = NULL;
    prepare_stats stats;
    progress_printer printer;
    err_code rc = cli_load_config(cli, &c);

    if (rc != ERR_OK) return rc;
    progress_printer_init(&printer, "prepare ", false);
    progress p = {.report = progress_print, .context = &printer, .stop = stop_signal_catch()};
    rc = prepare_run(c, &p, &folder, &stats);
    progress_printer_end(&printer);
    if (rc == ERR_OK) rc = store_path_set(c, folder);
    if (rc == ERR_OK) rc = print_result(c, cli->json, folder, &stats);
    free(folder);
    config_free(c);
    return rc;
}

int command_prepare(int argc, char **argv)
{
    cli_options cli = {0};

    cli_parse_simple("Reads the catalogue and the interactions and builds the store: text vectors, "
                     "graph, partitions.",
                     &cli_argp_input, argc, argv, &cli);
    err_code rc = run(&cli);
    cli_options_fini(&cli);
    return stop_signal_exit(rc);
}
