#include "deploy/report_page.h"

#include "common/version.h"
#include "deploy/report_curves.h"
#include "deploy/report_text.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PLOT_WIDTH = 460, PLOT_HEIGHT = 180, PLOT_LEFT = 52, PLOT_BOTTOM = 24, PLOT_TOP = 10 };

static const char style[] =
    ":root{--ink:#1c2430;--soft:#5d6875;--line:#dfe4ea;--paper:#fff;--tint:#f5f7fa;--mark:#1f6feb;"
    "--good:#1a7f37;--bad:#b42318}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#98a3b0;--line:#2f3742;"
    "--paper:#12161c;--tint:#1a2029;--mark:#6cb0ff;--good:#57c26f;--bad:#ff8a7d}}\n"
    "*{box-sizing:border-box}body{margin:0 auto;padding:32px 20px 64px;max-width:1100px;"
    "background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}\n"
    "h1{font-size:26px;margin:0 0 4px}h2{font-size:19px;margin:36px 0 8px;padding-top:14px;"
    "border-top:1px solid var(--line)}h3{font-size:15px;margin:18px 0 6px}\n"
    "p{margin:6px 0}.soft{color:var(--soft)}code{font:13px ui-monospace,monospace}\n"
    ".say{white-space:pre-line;background:var(--tint);border-left:3px solid var(--mark);"
    "padding:8px 14px;margin:10px 0}\n"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;"
    "margin:8px 0}th,td{padding:4px 12px 4px 0;text-align:right;white-space:nowrap;"
    "border-bottom:1px solid var(--line)}\n"
    "th{font-weight:600;color:var(--soft);font-size:13px}th:first-child,td:first-child{text-align:"
    "left}tr.own td{font-weight:600}td small{color:var(--soft);font-weight:400}\n"
    ".wide td small{font-size:11px}.bar{vertical-align:middle}"
    ".better{color:var(--good)}.worse{color:var(--bad)}.even{color:var(--soft)}\n"
    ".plots{display:flex;flex-wrap:wrap;gap:20px}svg text{fill:var(--soft);font:11px system-ui}\n"
    "summary{cursor:pointer;color:var(--mark)}ul{margin:6px 0;padding-left:20px}\n";

static void put_escaped(FILE *f, const char *text)
{
    for (; text && *text; text++) {
        switch (*text) {
        case '&': fputs("&amp;", f); break;
        case '<': fputs("&lt;", f); break;
        case '>': fputs("&gt;", f); break;
        case '"': fputs("&quot;", f); break;
        default: fputc(*text, f);
        }
    }
}

static void put_number(FILE *f, double v, int digits)
{
    char text[32];
    fputs(report_text_number(text, v, digits), f);
}

/* "<td>0.0610 <small>0.047-0.077</small></td>" */
static void put_metric_cell(FILE *f, const evaluation_row *row, int k)
{
    fputs("<td>", f);
    put_number(f, row->value[k], 4);
    if (row->has_interval) {
        fputs(" <small>", f);
        put_number(f, row->lo[k], 4);
        fputs("&ndash;", f);
        put_number(f, row->hi[k], 4);
        fputs("</small>", f);
    }
    fputs("</td>", f);
}

/* The interval of HR@10 as a bar on the scale 0..most. */
static void put_bar_cell(FILE *f, const evaluation_row *row, double most)
{
    enum { WIDTH = 100 };
    double scale = most > 0 ? WIDTH / most : 0;
    double x = row->value[METRIC_HR] * scale, lo = row->lo[METRIC_HR] * scale;
    double hi = row->hi[METRIC_HR] * scale;
    fprintf(f, "<td><svg class=\"bar\" width=\"%d\" height=\"14\" aria-hidden=\"true\">",
            WIDTH + 8);
    fprintf(f, "<path d=\"M0 13.5H%d\" stroke=\"var(--line)\"/>", WIDTH + 8);
    if (row->has_interval) {
        fprintf(f, "<path d=\"M%.1f 7H%.1f\" stroke=\"var(--mark)\" stroke-width=\"2\"/>", lo + 4,
                hi + 4);
    }
    fprintf(f, "<circle cx=\"%.1f\" cy=\"7\" r=\"3.5\" fill=\"var(--mark)\"/></svg></td>", x + 4);
}

static void put_cells(FILE *f, const evaluation_row *row)
{
    if (row->users == 0) {
        fputs("<td></td><td></td><td></td><td></td><td></td><td></td>", f);
        return;
    }
    for (int k = 0; k < EVALUATION_METRICS; k++) put_metric_cell(f, row, k);
    fputs("<td>", f);
    put_number(f, row->coverage_10, 3);
    fputs("</td><td>", f);
    put_number(f, row->coverage_100, 3);
    fputs("</td>", f);
}

static void put_columns(FILE *f, const char *first, bool bar)
{
    fprintf(f,
            "<div class=\"scroll\"><table class=\"wide\"><tr><th>%s</th>%s<th>HR@10</th>"
            "<th>Recall@10</th><th>NDCG@10</th><th>MRR@100</th><th>cov@10</th><th>cov@100</th></tr>"
            "\n",
            first, bar ? "<th></th>" : "<th>users</th>");
}

static double highest(const evaluation_result *e, uint32_t type)
{
    double most = 0;
    for (size_t i = 0; i < e->rows_n; i++) {
        const evaluation_row *row = &e->rows[i];
        if (row->type != type || row->segment != SEGMENT_ALL) continue;
        double end = row->has_interval ? row->hi[METRIC_HR] : row->value[METRIC_HR];
        if (end > most) most = end;
    }
    return most;
}

static void put_model_table(FILE *f, const report_input *r, uint32_t type)
{
    const evaluation_result *e = r->result;
    double most = highest(e, type);
    put_columns(f, "model", true);
    for (size_t i = 0; i < e->rows_n; i++) {
        const evaluation_row *row = &e->rows[i];
        if (row->type != type || row->segment != SEGMENT_ALL) continue;
        fprintf(f, "<tr%s><td>%s</td>", row->model == MODEL_TWO_TOWER ? " class=\"own\"" : "",
                evaluation_model_name(row->model));
        put_bar_cell(f, row, most);
        put_cells(f, row);
        fputs("</tr>\n", f);
    }
    fputs("</table></div>\n", f);
}

static void put_segments(FILE *f, const report_input *r, uint32_t type)
{
    const evaluation_result *e = r->result;
    fputs("<details><summary>By segment of users and items</summary>\n", f);
    for (int s = 1; s < EVALUATION_SEGMENTS; s++) {
        fprintf(f, "<h3>%s</h3>\n", evaluation_segment_name((evaluation_segment)s));
        put_columns(f, "model", false);
        for (int m = 0; m < EVALUATION_MODELS; m++) {
            const evaluation_row *row =
                evaluation_find(e, type, (evaluation_model)m, (evaluation_segment)s);
            if (!row) continue;
            fprintf(f, "<tr><td>%s</td><td>%" PRIu64 "</td>", evaluation_model_name(row->model),
                    row->users);
            put_cells(f, row);
            fputs("</tr>\n", f);
        }
        fputs("</table></div>\n", f);
    }
    fputs("</details>\n", f);
}

static void put_comparison(FILE *f, const evaluation_comparison *c)
{
    const char *verdict = evaluation_verdict_name(c->verdict);
    char a[32], lo[32], hi[32];
    fprintf(f,
            "<tr><td>%s</td><td>%s</td><td>%s</td><td>%s to %s</td><td class=\"%s\">%s</td></tr>\n",
            evaluation_model_name(c->b), evaluation_metric_name(c->metric),
            report_text_signed(a, c->difference, 4), report_text_signed(lo, c->lo, 4),
            report_text_signed(hi, c->hi, 4), verdict, verdict);
}

static void put_comparisons(FILE *f, const report_input *r, uint32_t type)
{
    const evaluation_result *e = r->result;
    fputs("<details><summary>two_tower against every other model, all metrics</summary>"
          "<div class=\"scroll\"><table><tr><th>against</th><th>metric</th><th>difference</th>"
          "<th>95 %</th><th>two_tower is</th></tr>\n",
          f);
    for (size_t i = 0; i < e->comparisons_n; i++) {
        if (e->comparisons[i].type == type) put_comparison(f, &e->comparisons[i]);
    }
    fputs("</table></div></details>\n", f);
}

static void put_type(FILE *f, const report_input *r, uint32_t type)
{
    const evaluation_type_users *u = &r->result->type_users[type];
    if (u->users == 0) return;
    char *verdict = report_text_verdict(r, type, "\n");
    fputs("<h2>", f);
    put_escaped(f, r->type_name[type]);
    fprintf(f, "</h2>\n<p class=\"soft\">%u users, %" PRIu64 " test positives.</p>\n", u->users,
            u->indptr[u->users]);
    fputs("<p class=\"say\">", f);
    put_escaped(f, verdict);
    fputs("</p>\n", f);
    free(verdict);
    put_model_table(f, r, type);
    put_comparisons(f, r, type);
    put_segments(f, r, type);
}

/* The least of 1, 2 and 5 times a power of ten that is not below v > 0. */
static double round_up(double v)
{
    double power = 1;
    while (power > v) power /= 10;
    while (power * 10 <= v) power *= 10;
    return v <= power       ? power
           : v <= 2 * power ? 2 * power
           : v <= 5 * power ? 5 * power
                            : 10 * power;
}

/* The range of y, from one round number to another, and the lines between. */
static void y_range(const report_curve *c, double *low, double *high, double *step)
{
    *low = *high = c->y[0];
    for (size_t i = 1; i < c->n; i++) {
        if (c->y[i] < *low) *low = c->y[i];
        if (c->y[i] > *high) *high = c->y[i];
    }
    double most = fabs(*low) > fabs(*high) ? fabs(*low) : fabs(*high);
    double span = *high - *low > 1e-9 * most ? *high - *low : most > 0 ? most : 1;
    *step = round_up(span / 5);
    *low = floor(*low / *step) * *step;
    *high = ceil(*high / *step) * *step;
    if (*high <= *low) *high = *low + *step;
}

/* 0 for what is 0 but for the rounding of sums. */
static double without_dust(double v, double step)
{
    return fabs(v) < step / 1000 ? 0 : v;
}

static void put_plot(FILE *f, const report_curve *c, const char *title)
{
    if (c->n == 0) return;
    double low, high, between, last = c->x[c->n - 1] > 0 ? c->x[c->n - 1] : 1;
    y_range(c, &low, &high, &between);
    int width = PLOT_WIDTH - PLOT_LEFT - 8, height = PLOT_HEIGHT - PLOT_TOP - PLOT_BOTTOM;
    fprintf(f, "<figure style=\"margin:0\"><figcaption class=\"soft\">");
    put_escaped(f, title);
    fprintf(f, "</figcaption><svg width=\"%d\" height=\"%d\" role=\"img\">", PLOT_WIDTH,
            PLOT_HEIGHT);
    long ticks = lround((high - low) / between);
    for (long tick = 0; tick <= ticks; tick++) {
        double y = PLOT_TOP + height * (1 - (double)tick / (double)ticks);
        fprintf(f, "<path d=\"M%d %.1fH%d\" stroke=\"var(--line)\"/>", PLOT_LEFT, y,
                PLOT_WIDTH - 8);
        fprintf(f, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>", PLOT_LEFT - 6,
                y + 4, without_dust(low + between * (double)tick, between));
    }
    fputs("<polyline fill=\"none\" stroke=\"var(--mark)\" stroke-width=\"1.6\" points=\"", f);
    for (size_t i = 0; i < c->n; i++) {
        fprintf(f, "%s%.1f,%.1f", i > 0 ? " " : "", PLOT_LEFT + width * c->x[i] / last,
                PLOT_TOP + height * (high - c->y[i]) / (high - low));
    }
    fprintf(f, "\"/><text x=\"%d\" y=\"%d\">0</text>", PLOT_LEFT, PLOT_HEIGHT - 6);
    fprintf(f, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">step %.0f</text></svg></figure>\n",
            PLOT_WIDTH - 8, PLOT_HEIGHT - 6, last);
}

static void put_curves(FILE *f, const char *path)
{
    report_curves c;
    err_code rc = report_curves_read(&c, path);
    fputs("<div class=\"plots\">\n", f);
    for (size_t i = 0; rc == ERR_OK && i < c.stages; i++) {
        char title[80];
        snprintf(title, sizeof title, "%s: loss", c.stage[i].stage);
        put_plot(f, &c.stage[i].loss, title);
        snprintf(title, sizeof title, "%s: %s on valid", c.stage[i].stage, c.stage[i].metric);
        put_plot(f, &c.stage[i].valid, title);
    }
    fputs("</div>\n", f);
    report_curves_fini(&c);
}

static void put_training(FILE *f, const report_input *r)
{
    fputs("<h2>Training</h2>\n", f);
    if (r->metrics_path) put_curves(f, r->metrics_path);
    fputs("<div class=\"scroll\"><table><tr><th>stage</th><th>epochs</th><th>steps</th><th>best "
          "step</th><th>stopped by</th><th>best on valid</th><th>last loss</th><th>void slots</th>"
          "</tr>\n",
          f);
    for (size_t i = 0; i < r->training_n; i++) {
        const report_training *t = &r->training[i];
        fprintf(f, "<tr><td>%s</td><td>%u</td><td>%u</td><td>%u</td><td>%s</td><td>%s ", t->stage,
                t->epochs, t->steps, t->best_step, t->stopped, t->metric);
        put_number(f, t->best, 4);
        fprintf(f, "</td><td>%.6g</td><td>%u</td></tr>\n", t->last_loss, t->void_slots);
    }
    fputs("</table></div>\n<p>Cosine of random pairs of item embeddings: mean ", f);
    put_number(f, r->z_cosine_mean, 3);
    fputs(", deviation ", f);
    put_number(f, r->z_cosine_sd, 3);
    fputs(r->z_cosine_mean > 0.9
              ? ". <b>They have collapsed: items are hardly told apart.</b></p>\n"
              : ".</p>\n",
          f);
}

static void put_count(FILE *f, const json_t *object, const char *key, const char *label)
{
    const json_t *v = json_object_get(object, key);
    if (json_is_integer(v))
        fprintf(f, ", %" JSON_INTEGER_FORMAT " %s", json_integer_value(v), label);
}

static void put_counts(FILE *f, json_t *counts)
{
    const char *key, *comma = "";
    json_t *v;
    json_object_foreach(counts, key, v)
    {
        if (!json_is_integer(v)) continue;
        fputs(comma, f);
        put_escaped(f, key);
        fprintf(f, " %" JSON_INTEGER_FORMAT, json_integer_value(v));
        comma = ", ";
    }
}

/* What data_json says, in two lines, and its warnings. */
static void put_data(FILE *f, const report_input *r)
{
    json_t *data = json_loads(r->data_json, 0, NULL);
    const json_t *split = json_object_get(data, "split");
    const json_t *warnings = json_object_get(data, "warnings");
    const char *method = json_string_value(json_object_get(split, "method"));
    fputs("<h2>Data</h2>\n<p>Items: ", f);
    put_counts(f, json_object_get(data, "items"));
    put_count(f, data, "users", "users");
    put_count(f, data, "pairs", "user&ndash;item pairs");
    fputs(". Events: ", f);
    put_counts(f, json_object_get(data, "events"));
    fputs(".</p>\n<p>Split: ", f);
    put_escaped(f, method);
    put_count(f, split, "train", "train");
    put_count(f, split, "valid", "valid");
    put_count(f, split, "test", "test");
    fputs(".</p>\n<ul>", f);
    for (size_t i = 0; i < json_array_size(warnings); i++) {
        fputs("<li>", f);
        put_escaped(f, json_string_value(json_array_get(warnings, i)));
        fputs("</li>", f);
    }
    fputs("</ul>\n", f);
    json_decref(data);
}

static void put_head(FILE *f, const report_input *r)
{
    fprintf(f,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta "
            "name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>weft report"
            "</title>\n<style>\n%s</style></head><body>\n<h1>weft report</h1>\n",
            style);
    fprintf(f,
            "<p class=\"soft\">weft %s &middot; seed %" PRIu64 " &middot; plan <code>%016" PRIx64
            "</code> &middot; ",
            WEFT_VERSION, r->seed, r->plan_hash);
    put_escaped(f, r->encoder);
    fprintf(f, ", %u dimensions", r->encoder_dim);
    if (r->encoder_note && r->encoder_note[0]) {
        fputs(" (", f);
        put_escaped(f, r->encoder_note);
        fputs(")", f);
    }
    fputs(
        "</p>\n<p>Held-out positives of <i>test</i>, ranked among all items of their type less "
        "what "
        "the user has. Intervals are 95 % bootstrap over users; a difference counts only where the "
        "paired interval excludes 0. Baselines were tuned on <i>valid</i>.</p>\n",
        f);
}

static void put_choices(FILE *f, const report_input *r)
{
    const evaluation_result *e = r->result;
    if (e->choices_n > 0) fputs("<h2>Tuned baselines</h2>\n<ul>\n", f);
    for (size_t i = 0; i < e->choices_n; i++) {
        const evaluation_choice *c = &e->choices[i];
        fprintf(f, "<li>%s, %s: ", evaluation_model_name(c->model), r->type_name[c->type]);
        if (c->model == MODEL_EASE) {
            fprintf(f, "lambda %u, %u items", c->lambda, c->items);
        } else if (c->top > 0) {
            fprintf(f, "top %u", c->top);
        } else {
            fputs("all neighbours", f);
        }
        if (c->user_weights) fputs(", users weigh 1/sqrt(history)", f);
        if (c->own_type) fputs(", neighbours of its own type", f);
        fputs(" (HR@10 on valid ", f);
        put_number(f, c->valid_hr, 4);
        fputs(")</li>\n", f);
    }
    if (e->choices_n > 0) fputs("</ul>\n", f);
}

static void put_skips(FILE *f, const report_input *r)
{
    const evaluation_result *e = r->result;
    if (e->skipped_n > 0) fputs("<h2>Not evaluated</h2>\n<ul>\n", f);
    for (size_t i = 0; i < e->skipped_n; i++) {
        const evaluation_skip *s = &e->skipped[i];
        bool all = s->type == EVALUATION_EVERY_TYPE;
        fprintf(f, "<li>%s%s%s: ", all ? "" : r->type_name[s->type], all ? "" : ", ",
                s->model < 0 ? "all models" : evaluation_model_name((evaluation_model)s->model));
        put_escaped(f, s->reason);
        fputs("</li>\n", f);
    }
    if (e->skipped_n > 0) fputs("</ul>\n", f);
}

void report_page_write(FILE *file, const report_input *r)
{
    put_head(file, r);
    for (uint32_t t = 0; t < r->result->types; t++) put_type(file, r, t);
    put_training(file, r);
    put_data(file, r);
    put_choices(file, r);
    put_skips(file, r);
    fprintf(file,
            "<p class=\"soft\">Numerics <code>%s</code>, bits %s. Foundation <code>%016" PRIx64
            "</code>, embeddings <code>%016" PRIx64 "</code>.</p>\n</body></html>\n",
            r->numerics, r->bits_guaranteed ? "guaranteed" : "not guaranteed", r->foundation_id,
            r->z_id);
}
