/* The two printed forms of compare.h. */
#include "common/json.h"
#include "deploy/compare.h"

/* Before any number: what the numbers are of. */
static void put_data(const compare *c, FILE *out)
{
    if (c->data_n) {
        fputs("THE DATA DIFFER: what follows is of other data and of another model together\n",
              out);
        for (size_t i = 0; i < c->data_n; i++) fprintf(out, "  %s\n", c->data[i]);
    }
    for (uint32_t t = 0; t < string_pool_count(c->types); t++) {
        const compare_type *x = &c->type[t];
        uint32_t left_out = x->only_a + x->only_b + x->other;
        if (!left_out) continue;
        fprintf(out,
                "%s: %u of %u users are compared; left out: %u that not all have, %u with other "
                "held-out items\n",
                x->name, x->users, x->users + left_out, x->only_a + x->only_b, x->other);
    }
    fputc('\n', out);
}

static void put_pair(const compare *c, FILE *out)
{
    fprintf(out, "A  %s\nB  %s\nmodel %s; B - A, with the 95 %% interval over users\n",
            c->side[0].dir, c->side[1].dir, c->model);
    put_data(c, out);
    fprintf(out, "%-20s %7s %-10s %8s %8s %9s  %-19s %s\n", "type", "users", "metric", "A", "B",
            "B - A", "interval", "B is");
    for (uint32_t t = 0; t < string_pool_count(c->types); t++) {
        const compare_type *x = &c->type[t];
        for (int k = 0; x->users && k < COMPARE_METRICS; k++) {
            const compare_cell *cell = &x->cell[k];
            fprintf(out, "%-20s %7u %-10s %8.4f %8.4f %+9.4f  %+.4f .. %+.4f  %s\n", x->name,
                    x->users, compare_metric_names[k], cell->a, cell->b, cell->difference, cell->lo,
                    cell->hi, cell->verdict);
        }
    }
}

static void put_scatter(const compare *c, FILE *out)
{
    for (uint32_t i = 0; i < c->sides; i++) fprintf(out, "%2u  %s\n", i + 1, c->side[i].dir);
    fprintf(out, "model %s; mean and deviation over %u results\n", c->model, c->sides);
    put_data(c, out);
    fprintf(out, "%-20s %7s %-10s %8s %10s\n", "type", "users", "metric", "mean", "deviation");
    for (uint32_t t = 0; t < string_pool_count(c->types); t++) {
        const compare_type *x = &c->type[t];
        for (int k = 0; x->users && k < COMPARE_METRICS; k++)
            fprintf(out, "%-20s %7u %-10s %8.4f %10.4f\n", x->name, x->users,
                    compare_metric_names[k], x->mean[k], x->deviation[k]);
    }
}

static void put_rest(const compare *c, FILE *out)
{
    if (c->differs_n) fputs("\nconfiguration, A -> B\n", out);
    for (size_t i = 0; i < c->differs_n; i++) fprintf(out, "  %s\n", c->differs[i]);
}

static void write_cell(json_writer *w, const compare *c, const compare_type *x, int k)
{
    const compare_cell *cell = &x->cell[k];
    json_object_begin(w);
    json_field_string(w, "type", x->name);
    json_field_string(w, "metric", compare_metric_names[k]);
    json_field_u64(w, "users", x->users);
    if (c->sides == 2) {
        json_field_metric(w, "a", cell->a);
        json_field_metric(w, "b", cell->b);
        json_field_metric(w, "difference", cell->difference);
        json_field_metric(w, "lo", cell->lo);
        json_field_metric(w, "hi", cell->hi);
        json_field_string(w, "verdict", cell->verdict);
    } else {
        json_field_metric(w, "mean", x->mean[k]);
        json_field_metric(w, "deviation", x->deviation[k]);
    }
    json_object_end(w);
}

static void put_texts(json_writer *w, const char *key, char *const *text, size_t n)
{
    json_key(w, key);
    json_array_begin(w);
    for (size_t i = 0; i < n; i++) json_str(w, text[i]);
    json_array_end(w);
}

static err_code write_json(const compare *c, FILE *out)
{
    json_writer w;
    json_init_file(&w, out, JSON_STYLE_SPACED);
    json_object_begin(&w);
    json_field_u64(&w, "format", 1);
    json_field_string(&w, "model", c->model);
    json_key(&w, "results");
    json_array_begin(&w);
    for (uint32_t i = 0; i < c->sides; i++) json_str(&w, c->side[i].dir);
    json_array_end(&w);
    put_texts(&w, "data_differ", c->data, c->data_n);
    json_key(&w, "comparisons");
    json_array_begin(&w);
    for (uint32_t t = 0; t < string_pool_count(c->types); t++) {
        for (int k = 0; c->type[t].users && k < COMPARE_METRICS; k++)
            write_cell(&w, c, &c->type[t], k);
    }
    json_array_end(&w);
    json_key(&w, "left_out");
    json_array_begin(&w);
    for (uint32_t t = 0; t < string_pool_count(c->types); t++) {
        const compare_type *x = &c->type[t];
        json_object_begin(&w);
        json_field_string(&w, "type", x->name);
        json_field_u64(&w, "not_in_all", x->only_a + x->only_b);
        json_field_u64(&w, "other_items", x->other);
        json_object_end(&w);
    }
    json_array_end(&w);
    put_texts(&w, "configuration", c->differs, c->differs_n);
    json_object_end(&w);
    return json_finish_line(&w);
}

err_code compare_print(const compare *c, bool json, FILE *out)
{
    if (json) {
        err_code rc = write_json(c, out);
        return rc == ERR_OK && fflush(out) != 0 ? ERR_IO : rc;
    }
    if (c->sides == 2) {
        put_pair(c, out);
    } else {
        put_scatter(c, out);
    }
    put_rest(c, out);
    return fflush(out) == 0 ? ERR_OK : ERR_IO;
}
