#include "deploy/command_similar.h"

#include "common/log.h"
#include "common/mem.h"
#include "deploy/item_table.h"
#include "deploy/list_options.h"

#include <stdlib.h>
#include <string.h>

enum { OPTION_ITEM = 0x3200, OPTION_SPACE };

typedef struct request {
    list_options list;
    const char *item, *space;
} request;

static const struct argp_option options[] = {
    {"item", OPTION_ITEM, "ID", 0, "The item, by its id or as TYPE/ID", 0},
    {"space", OPTION_SPACE, "z|tower", 0,
     "Compare foundation embeddings or tower vectors (z, where the export has it)", 0},
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    request *r = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &r->list; break;
    case OPTION_ITEM: r->item = arg; break;
    case OPTION_SPACE:
        if (strcmp(arg, "z") != 0 && strcmp(arg, "tower") != 0) {
            argp_error(state, "--space: \"%s\" is neither z nor tower", arg);
        }
        r->space = arg;
        break;
    case ARGP_KEY_END:
        if (!r->item) argp_error(state, "--item ID is missing");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* Fills the vectors of the space that is asked for; its name, or NULL (printed): there is none. */
static const char *choose_space(const request *q, const result_folder *r, top_items_query *query)
{
    bool z = q->space ? strcmp(q->space, "z") == 0 : r->z_dim > 0;
    if (z && !r->z_dim) {
        log_user_error("--space z: %s has no item_embeddings.npy", r->dir);
        return NULL;
    }
    query->vectors = z ? r->z.data : r->item_vector.data;
    query->dim = z ? r->z_dim : r->dim;
    query->ignored = !z && r->config->two_tower.popularity; /* its coordinate is no likeness */
    return z ? "z" : "tower";
}

static err_code print_json(const request *q, const result_folder *r, uint32_t row,
                           const char *space, const top_items_entry *entry, uint32_t n)
{
    json_writer w;
    json_init_file(&w, stdout, JSON_STYLE_SPACED);
    json_object_begin(&w);
    json_field_string(&w, "item_id", r->item_id[row]);
    json_field_string(&w, "item_type", r->item_type[row]);
    json_field_string(&w, "text", r->item_text[row]);
    json_field_string(&w, "space", space);
    json_field_string(&w, "type", q->list.type);
    item_table_json(&w, r, entry, n);
    json_object_end(&w);
    return json_finish_line(&w);
}

static err_code similar(const request *q, const result_folder *r)
{
    uint32_t row;
    top_items_query query = {.folder = r, .type = q->list.type, .k = q->list.k};
    const char *space = choose_space(q, r, &query);
    err_code rc = space ? ERR_OK : ERR_NOT_FOUND;
    if (rc == ERR_OK && q->list.type) rc = result_folder_type(r, q->list.type);
    if (rc == ERR_OK) rc = result_folder_item(r, q->item, &row);
    if (rc != ERR_OK) return rc;
    uint8_t *skip = xcalloc(r->items, 1);
    top_items_entry *entry = xcalloc(q->list.k, sizeof *entry);
    skip[row] = 1;
    query.skip = skip;
    query.query = query.vectors + (size_t)row * query.dim;
    uint32_t n = top_items_find(&query, entry);
    if (q->list.cli.json)
        rc = print_json(q, r, row, space, entry, n);
    else
        item_table_print(r, entry, n, stdout);
    free(entry);
    free(skip);
    return rc;
}

int command_similar(int argc, char **argv)
{
    const struct argp_child children[] = {{&list_options_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {.options = options,
                              .parser = parse_option,
                              .doc = "The items nearest to an item.",
                              .children = children};
    request q = {0};
    result_folder *r = NULL;
    cli_parse(&argp, argc, argv, &q);
    err_code rc = result_folder_open(q.list.model, &r);
    if (rc == ERR_OK) rc = similar(&q, r);
    result_folder_close(r);
    cli_options_fini(&q.list.cli);
    return err_exit(rc);
}
