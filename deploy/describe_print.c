/* The two printed forms of describe.h. */
#include "common/clock.h"
#include "common/json.h"
#include "deploy/describe.h"

#include <inttypes.h>
#include <math.h>

static const char *const order_names[] = {"", "time", "file", "none"};

/* Half of the 95 % interval of a share p of n. */
static double half_width(double p, double n)
{
    return n > 0 ? 1.96 * sqrt(p * (1 - p) / n) : 0;
}

/* "better", "worse", or "even": no difference is shown. */
static const char *cross_verdict(const describe_type *t)
{
    double n = t->cross_users;
    double width = half_width(t->cross_hr, n) + half_width(t->popularity_hr, n);
    if (n < 50) return "too few users";
    if (t->cross_hr - t->popularity_hr > width) return "better";
    return t->popularity_hr - t->cross_hr > width ? "worse" : "even";
}

static void put_types(const describe *d, FILE *out)
{
    const catalog *c = d->data;
    fprintf(out, "\n%-20s %9s %9s %9s %9s %9s %9s\n", "type", "items", "untouched", "events",
            "users", "valid", "test");
    for (uint32_t t = 0; t < c->types_n; t++) {
        const describe_type *x = &d->type[t];
        fprintf(out, "%-20s %9u %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64 "\n",
                c->types[t], c->type_items[t], x->untouched, x->events, x->train_users, x->valid,
                x->test);
    }
    fprintf(out, "\n%-20s %9s roles%s\n", "kind", "events",
            d->any_kind ? " (data.kinds is empty: every kind that stands there has all)" : "");
    for (uint32_t k = 0; k < c->kinds_n; k++) {
        const catalog_kind *kind = &c->kinds[k];
        fprintf(
            out, "%-20s %9" PRIu64 "%s%s%s%s\n", kind->name, kind->events,
            kind->roles & ROLE_GRAPH ? " graph" : "", kind->roles & ROLE_HISTORY ? " history" : "",
            kind->roles & ROLE_POSITIVE ? " positive" : "", kind->roles & ROLE_SEEN ? " seen" : "");
    }
}

static void put_times(const describe *d, FILE *out)
{
    const catalog *c = d->data;
    char from[21], to[21];
    fprintf(
        out,
        "\norder    %s; split %s: %" PRIu64 " train, %" PRIu64 " valid, %" PRIu64 " test events\n",
        order_names[c->order], split_method_name(d->parts->method), d->parts->events[SPLIT_TRAIN],
        d->parts->events[SPLIT_VALID], d->parts->events[SPLIT_TEST]);
    if (c->time_max > 0) {
        clock_iso((uint64_t)c->time_min, from);
        clock_iso((uint64_t)c->time_max, to);
        fprintf(out, "times    %s to %s, %" PRIu64 " events without\n", from, to, c->missing_times);
        fprintf(out,
                "ties     %.1f %% of the events share their second with another of the user, "
                "%.1f %% of the users' last\n",
                100 * d->tied, 100 * d->tied_last);
    }
    fprintf(out, "users    %u; events of one: median %u, 90 %% %u, 99 %% %u, most %u\n", c->users_n,
            d->user_events[0], d->user_events[1], d->user_events[2], d->user_events[3]);
    fprintf(out,
            "rows     %" PRIu64 "; repeated %" PRIu64 ", of unknown items %" PRIu64
            ", of other types %" PRIu64 ", malformed %" PRIu64 "\n",
            c->rows, c->duplicates, c->unknown_items, c->other_types, c->bad_rows);
}

static void put_relations(const describe *d, FILE *out)
{
    const catalog *c = d->data;
    fprintf(out, "\n%-20s %-20s %11s %7s %8s %8s %8s\n", "to", "from", "neighbours", "kept",
            "1 user", "2 users", "3 up");
    for (uint32_t r = 0; r < d->relations; r++) {
        const describe_relation *x = &d->relation[r];
        fprintf(out, "%-20s %-20s %11.1f %7.1f %7.1f%% %7.1f%% %7.1f%%\n", c->types[x->destination],
                c->types[x->source], x->neighbours, x->kept, 100 * x->users_1, 100 * x->users_2,
                100 * x->more);
    }
    fprintf(out, "edges to a training target that are the user's own: %.1f %%\n", 100 * d->alone);
}

static void put_overlap(const describe *d, FILE *out)
{
    const catalog *c = d->data;
    if (c->types_n < 2) return;
    fprintf(out, "\nusers of a type who have items of another\n%-20s", "");
    for (uint32_t t = 0; t < c->types_n; t++) fprintf(out, " %10.10s", c->types[t]);
    fputc('\n', out);
    for (uint32_t t = 0; t < c->types_n; t++) {
        double users = d->type[t].train_users ? (double)d->type[t].train_users : 1;
        fprintf(out, "%-20s", c->types[t]);
        for (uint32_t u = 0; u < c->types_n; u++)
            fprintf(out, " %9.1f%%", 100 * (double)d->type[t].also[u] / users);
        fputc('\n', out);
    }
    fprintf(out, "\nHR@10 on valid     %9s %22s %12s   can other types help?\n", "users",
            "cosine of other types", "popularity");
    for (uint32_t t = 0; t < c->types_n; t++) {
        const describe_type *x = &d->type[t];
        fprintf(out, "%-20s %8u %13.4f +-%6.4f %12.4f   %s\n", c->types[t], x->cross_users,
                x->cross_hr, half_width(x->cross_hr, x->cross_users), x->popularity_hr,
                cross_verdict(x));
    }
}

static void put_warnings(const describe *d, FILE *out)
{
    if (d->warnings.n) fputs("\nwarnings\n", out);
    for (size_t i = 0; i < d->warnings.n; i++) fprintf(out, "  %s\n", d->warnings.items[i]);
}

/* ---- JSON ---- */

static void write_types(json_writer *w, const describe *d)
{
    const catalog *c = d->data;
    json_key(w, "types");
    json_array_begin(w);
    for (uint32_t t = 0; t < c->types_n; t++) {
        const describe_type *x = &d->type[t];
        json_object_begin(w);
        json_field_string(w, "type", c->types[t]);
        json_field_u64(w, "items", c->type_items[t]);
        json_field_u64(w, "untouched", x->untouched);
        json_field_u64(w, "events", x->events);
        json_field_u64(w, "train_users", x->train_users);
        json_field_u64(w, "valid", x->valid);
        json_field_u64(w, "valid_users", x->valid_users);
        json_field_u64(w, "test", x->test);
        json_key(w, "users_also");
        json_object_begin(w);
        for (uint32_t u = 0; u < c->types_n; u++) json_field_u64(w, c->types[u], x->also[u]);
        json_object_end(w);
        json_key(w, "cross");
        json_object_begin(w);
        json_field_u64(w, "users", x->cross_users);
        json_field_metric(w, "cosine_hr_10", x->cross_hr);
        json_field_metric(w, "popularity_hr_10", x->popularity_hr);
        json_field_string(w, "verdict", cross_verdict(x));
        json_object_end(w);
        json_object_end(w);
    }
    json_array_end(w);
}

static void write_relations(json_writer *w, const describe *d)
{
    const catalog *c = d->data;
    json_key(w, "relations");
    json_array_begin(w);
    for (uint32_t r = 0; r < d->relations; r++) {
        const describe_relation *x = &d->relation[r];
        json_object_begin(w);
        json_field_string(w, "source", c->types[x->source]);
        json_field_string(w, "destination", c->types[x->destination]);
        json_field_metric(w, "neighbours", x->neighbours);
        json_field_metric(w, "kept", x->kept);
        json_field_metric(w, "users_1", x->users_1);
        json_field_metric(w, "users_2", x->users_2);
        json_field_metric(w, "users_3_up", x->more);
        json_object_end(w);
    }
    json_array_end(w);
}

static void write_counts(json_writer *w, const describe *d)
{
    const catalog *c = d->data;
    json_field_u64(w, "items", c->items_n);
    json_field_u64(w, "users", c->users_n);
    json_field_u64(w, "events", c->events_n);
    json_field_u64(w, "pairs", c->pairs);
    json_field_u64(w, "rows", c->rows);
    json_field_u64(w, "duplicates", c->duplicates);
    json_field_u64(w, "unknown_items", c->unknown_items);
    json_field_u64(w, "other_types", c->other_types);
    json_field_u64(w, "bad_rows", c->bad_rows);
    json_field_u64(w, "empty_texts", c->empty_texts);
    json_field_string(w, "order", order_names[c->order]);
    json_field_string(w, "split", split_method_name(d->parts->method));
    json_field_u64(w, "missing_times", c->missing_times);
    json_field_metric(w, "tied_events", d->tied);
    json_field_metric(w, "tied_last_events", d->tied_last);
    json_field_metric(w, "own_edges", d->alone);
    json_key(w, "kinds");
    json_object_begin(w);
    for (uint32_t k = 0; k < c->kinds_n; k++)
        json_field_u64(w, c->kinds[k].name, c->kinds[k].events);
    json_object_end(w);
    json_key(w, "user_events");
    json_array_begin(w);
    for (int i = 0; i < 4; i++) json_u64(w, d->user_events[i]);
    json_array_end(w);
}

static err_code write_json(const describe *d, FILE *out)
{
    json_writer w;
    json_init_file(&w, out, JSON_STYLE_SPACED);
    json_object_begin(&w);
    json_field_u64(&w, "format", 1);
    write_counts(&w, d);
    write_types(&w, d);
    write_relations(&w, d);
    json_key(&w, "warnings");
    json_array_begin(&w);
    for (size_t i = 0; i < d->warnings.n; i++) json_str(&w, d->warnings.items[i]);
    json_array_end(&w);
    json_object_end(&w);
    return json_finish_line(&w);
}

err_code describe_print(const describe *d, bool json, FILE *out)
{
    if (json) {
        err_code rc = write_json(d, out);
        return rc == ERR_OK && fflush(out) != 0 ? ERR_IO : rc;
    }
    fprintf(out,
            "data     %u items of %u type%s, %u users, %" PRIu64 " events of %" PRIu64 " pairs\n",
            d->data->items_n, d->data->types_n, d->data->types_n == 1 ? "" : "s", d->data->users_n,
            d->data->events_n, d->data->pairs);
    put_types(d, out);
    put_times(d, out);
    put_relations(d, out);
    put_overlap(d, out);
    put_warnings(d, out);
    return fflush(out) == 0 ? ERR_OK : ERR_IO;
}
