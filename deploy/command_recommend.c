#include "deploy/command_recommend.h"

#include "common/log.h"
#include "common/mem.h"
#include "deploy/item_table.h"
#include "deploy/list_options.h"
#include "deploy/user_vector.h"

#include <stdlib.h>
#include <string.h>

enum { OPTION_USER = 0x3100, OPTION_HISTORY };

typedef struct request {
    list_options list;
    const char *user, *history;
} request;

/* What a recommendation is made from. */
typedef struct listener {
    float *vector; /* [dim] */
    uint8_t *skip; /* [items] what the user has */
    uint32_t *row; /* [rows] of --history */
    size_t rows;
} listener;

static const struct argp_option options[] = {
    {"user", OPTION_USER, "ID", 0, "A user of the training data", 0},
    {"history", OPTION_HISTORY, "ID,ID", 0, "Items of a new user, the most recent last", 0},
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    request *r = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &r->list; break;
    case OPTION_USER: r->user = arg; break;
    case OPTION_HISTORY: r->history = arg; break;
    case ARGP_KEY_END:
        if (!r->user == !r->history) argp_error(state, "give either --user ID or --history ID,ID");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static void listener_fini(listener *l)
{
    free(l->vector);
    free(l->skip);
    free(l->row);
}

static err_code listener_init(listener *l, const result_folder *r)
{
    *l = (listener){.vector = try_calloc((size_t)r->dim + 1, sizeof *l->vector),
                    .skip = try_calloc((size_t)r->items + 1, 1)};
    return l->vector && l->skip ? ERR_OK : ERR_NO_MEMORY;
}

static err_code take_user(const result_folder *r, const char *id, listener *l)
{
    uint32_t row;
    size_t n;
    err_code rc = result_folder_user(r, id, &row);
    if (rc != ERR_OK) return rc;
    memcpy(l->vector, result_folder_user_vector(r, row), r->dim * sizeof *l->vector);
    const int32_t *seen = result_folder_seen(r, row, &n);
    for (size_t i = 0; i < n; i++) l->skip[seen[i]] = 1;
    return ERR_OK;
}

/* An item that is named twice counts once. */
static err_code take_items(const result_folder *r, char *names, listener *l)
{
    size_t cap = 0;
    for (char *rest = names, *name; (name = strsep(&rest, ",")) != NULL;) {
        uint32_t row;
        if (!*name) continue;
        err_code rc = result_folder_item(r, name, &row);
        if (rc != ERR_OK) return rc;
        if (l->skip[row]) continue;
        l->skip[row] = 1;
        grow(&l->row, &cap, l->rows + 1, sizeof *l->row);
        l->row[l->rows++] = row;
    }
    return ERR_OK;
}

static err_code take_history(const result_folder *r, const char *history, listener *l)
{
    char *names = xstrdup(history);
    err_code rc = take_items(r, names, l);
    free(names);
    return rc == ERR_OK ? user_vector_compute(r, l->row, l->rows, l->vector) : rc;
}

static err_code print_json(const request *q, const result_folder *r, const listener *l,
                           const top_items_entry *entry, uint32_t n)
{
    json_writer w;
    json_init_file(&w, stdout, JSON_STYLE_SPACED);
    json_object_begin(&w);
    json_field_string(&w, "user", q->user);
    json_key(&w, "history");
    json_array_begin(&w);
    for (size_t i = 0; i < l->rows; i++) json_str(&w, r->item_id[l->row[i]]);
    json_array_end(&w);
    json_field_string(&w, "type", q->list.type);
    item_table_json(&w, r, entry, n);
    json_object_end(&w);
    return json_finish_line(&w);
}

static err_code recommend(const request *q, const result_folder *r, listener *l)
{
    err_code rc = listener_init(l, r);
    if (rc == ERR_OK && q->list.type) rc = result_folder_type(r, q->list.type);
    if (rc == ERR_OK) rc = q->user ? take_user(r, q->user, l) : take_history(r, q->history, l);
    if (rc != ERR_OK) return rc;
    top_items_query query = {.folder = r,
                             .vectors = r->item_vector.data,
                             .query = l->vector,
                             .dim = r->dim,
                             .type = q->list.type,
                             .skip = l->skip,
                             .k = q->list.k};
    top_items_entry *entry = xcalloc(q->list.k, sizeof *entry);
    uint32_t n = top_items_find(&query, entry);
    if (q->list.cli.json)
        rc = print_json(q, r, l, entry, n);
    else
        item_table_print(r, entry, n, stdout);
    free(entry);
    return rc;
}

int command_recommend(int argc, char **argv)
{
    const struct argp_child children[] = {{&list_options_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {.options = options,
                              .parser = parse_option,
                              .doc = "Items for a user of the training data, or for a new one with "
                                     "a history.  What the user has is left out.  An item is named "
                                     "by its id, or TYPE/ID.",
                              .children = children};
    request q = {0};
    listener l = {0};
    result_folder *r = NULL;
    cli_parse(&argp, argc, argv, &q);
    err_code rc = result_folder_open(q.list.model, &r);
    if (rc == ERR_OK) rc = recommend(&q, r, &l);
    listener_fini(&l);
    result_folder_close(r);
    cli_options_fini(&q.list.cli);
    return err_exit(rc);
}
