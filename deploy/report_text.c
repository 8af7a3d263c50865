#include "deploy/report_text.h"

#include "common/bytes.h"
#include "common/mem.h"
#include "common/version.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 100 }; /* of a terminal */

/* What would print as zero is zero. */
static double without_negative_zero(double v, int digits)
{
    double smallest = 0.5;
    for (int i = 0; i < digits; i++) smallest /= 10;
    return fabs(v) <= smallest ? 0 : v;
}

const char *report_text_number(char text[32], double v, int digits)
{
    snprintf(text, 32, "%.*f", digits, without_negative_zero(v, digits));
    return text;
}

const char *report_text_signed(char text[32], double v, int digits)
{
    snprintf(text, 32, "%+.*f", digits, without_negative_zero(v, digits));
    return text;
}

static void put(bytes_writer *w, const char *text)
{
    bytes_put(w, text, strlen(text));
}

static const evaluation_comparison *find_comparison(const evaluation_result *e, uint32_t type,
                                                    evaluation_model b)
{
    for (size_t i = 0; i < e->comparisons_n; i++) {
        const evaluation_comparison *c = &e->comparisons[i];
        if (c->type == type && c->b == b && c->metric == METRIC_HR) return c;
    }
    return NULL;
}

static void put_difference(bytes_writer *w, const evaluation_comparison *c)
{
    char a[32], lo[32], hi[32];
    put(w, " (");
    put(w, report_text_signed(a, c->difference, 4));
    put(w, " [");
    put(w, report_text_signed(lo, c->lo, 4));
    put(w, ", ");
    put(w, report_text_signed(hi, c->hi, 4));
    put(w, "])");
}

/* "two_tower is better than popularity (...), text_knn (...)."; nothing if no model has the
 * verdict. */
static void put_models(bytes_writer *w, const evaluation_result *e, uint32_t type,
                       evaluation_verdict verdict, const char *between, const char *lead)
{
    bool any = false;
    for (int m = EVALUATION_MODELS - 1; m >= 0; m--) {
        const evaluation_comparison *c = find_comparison(e, type, (evaluation_model)m);
        if (!c || c->verdict != verdict) continue;
        put(w, any ? ", " : between);
        if (!any) put(w, lead);
        put(w, evaluation_model_name((evaluation_model)m));
        put_difference(w, c);
        any = true;
    }
    if (any) put(w, ".");
}

char *report_text_verdict(const report_input *r, uint32_t type, const char *between)
{
    const evaluation_result *e = r->result;
    if (e->type_users[type].users == 0) return NULL;
    bytes_writer w;
    bytes_writer_init(&w);
    put(&w, r->type_name[type]);
    if (!e->type_users[type].rank[MODEL_TWO_TOWER]) {
        put(&w, ": two_tower was not evaluated.");
    } else {
        put(&w, ", HR@10:");
        put_models(&w, e, type, VERDICT_BETTER, between, "two_tower is better than ");
        put_models(&w, e, type, VERDICT_WORSE, between, "two_tower loses to ");
        put_models(&w, e, type, VERDICT_EVEN, between, "no difference is shown to ");
        if (w.data[w.len - 1] == ':') put(&w, " nothing to compare two_tower with.");
    }
    bytes_put_u8(&w, 0);
    return (char *)w.data;
}

/* Bytes of the spaces and the word that begin `text`; what follows in parentheses belongs to it. */
static size_t word_length(const char *text)
{
    size_t n = strspn(text, " ");
    n += strcspn(text + n, " ");
    if (strncmp(text + n, " (", 2) != 0) return n;
    n += strcspn(text + n, ")");
    return n + strcspn(text + n, " ");
}

/* A line broken between words before column `columns`, further ones indented by two more. */
static void print_wrapped(FILE *out, const char *text, size_t columns)
{
    size_t indent = strspn(text, " "), at = 0;
    while (*text) {
        size_t word = word_length(text);
        if (at > 0 && at + word > columns) {
            text += strspn(text, " ");
            word = word_length(text);
            at = indent + 2;
            fprintf(out, "\n%*s", (int)at, "");
        }
        fwrite(text, 1, word, out);
        text += word;
        at += word;
    }
    fputc('\n', out);
}

/* "812 users, 1304 test positives, 3000 candidates ..." of a type. */
static void describe_type(char *text, size_t bytes, const evaluation_row *row)
{
    snprintf(text, bytes,
             "%" PRIu64 " users, %" PRIu64 " test positives, %" PRIu64
             " candidates never seen in training",
             row->users, row->positives, row->untrained_candidates);
}

static const evaluation_row *first_row(const evaluation_result *e, uint32_t type)
{
    for (size_t i = 0; i < e->rows_n; i++) {
        if (e->rows[i].type == type && e->rows[i].segment == SEGMENT_ALL) return &e->rows[i];
    }
    return NULL;
}

static void print_row(FILE *out, const evaluation_row *row)
{
    char text[32], lo[32], hi[32], interval[80] = "";
    if (row->has_interval) {
        snprintf(interval, sizeof interval, "[%s, %s]",
                 report_text_number(lo, row->lo[METRIC_HR], 4),
                 report_text_number(hi, row->hi[METRIC_HR], 4));
    }
    fprintf(out, "  %-15s %7s %-17s", evaluation_model_name(row->model),
            report_text_number(text, row->value[METRIC_HR], 4), interval);
    fprintf(out, " %9s", report_text_number(text, row->value[METRIC_RECALL], 4));
    fprintf(out, " %8s", report_text_number(text, row->value[METRIC_NDCG], 4));
    fprintf(out, " %8s", report_text_number(text, row->value[METRIC_MRR], 4));
    fprintf(out, " %6s", report_text_number(text, row->coverage_10, 3));
    fprintf(out, " %7s\n", report_text_number(text, row->coverage_100, 3));
}

static void print_type(FILE *out, const report_input *r, uint32_t type)
{
    const evaluation_result *e = r->result;
    const evaluation_row *first = first_row(e, type);
    char text[200];
    if (!first) return;
    describe_type(text, sizeof text, first);
    fprintf(out, "\n%s: %s\n", r->type_name[type], text);
    fprintf(out, "  %-15s %7s %-17s %9s %8s %8s %6s %7s\n", "model", "HR@10", "95 % interval",
            "Recall@10", "NDCG@10", "MRR@100", "cov@10", "cov@100");
    for (size_t i = 0; i < e->rows_n; i++) {
        const evaluation_row *row = &e->rows[i];
        if (row->type == type && row->segment == SEGMENT_ALL) print_row(out, row);
    }
}

static void print_skips(FILE *out, const report_input *r, const char *lead)
{
    for (size_t i = 0; i < r->result->skipped_n; i++) {
        const evaluation_skip *s = &r->result->skipped[i];
        const char *model =
            s->model < 0 ? "all models" : evaluation_model_name((evaluation_model)s->model);
        if (s->type == EVALUATION_EVERY_TYPE) {
            fprintf(out, "%snot evaluated: %s: %s\n", lead, model, s->reason);
        } else {
            fprintf(out, "%snot evaluated: %s, %s: %s\n", lead, r->type_name[s->type], model,
                    s->reason);
        }
    }
}

void report_print(const report_input *r, FILE *out)
{
    for (uint32_t t = 0; t < r->result->types; t++) print_type(out, r, t);
    fputc('\n', out);
    for (uint32_t t = 0; t < r->result->types; t++) {
        char *verdict = report_text_verdict(r, t, "\n  "), *rest = NULL;
        char *line = verdict ? strtok_r(verdict, "\n", &rest) : NULL;
        for (; line; line = strtok_r(NULL, "\n", &rest)) print_wrapped(out, line, COLUMNS);
        free(verdict);
    }
    print_skips(out, r, "");
}

static void markdown_head(FILE *f, const report_input *r)
{
    fprintf(f, "# weft report\n\n");
    fprintf(f,
            "weft %s, seed %" PRIu64 ", plan `%016" PRIx64 "`, foundation `%016" PRIx64
            "`, z `%016" PRIx64 "`.  \n",
            WEFT_VERSION, r->seed, r->plan_hash, r->foundation_id, r->z_id);
    fprintf(f, "Numerics `%s`, bits %s.  \n", r->numerics,
            r->bits_guaranteed ? "guaranteed" : "not guaranteed");
    fprintf(f, "Text: %s, %u dimensions%s%s.\n\n", r->encoder, r->encoder_dim,
            r->encoder_note && r->encoder_note[0] ? ": " : "",
            r->encoder_note ? r->encoder_note : "");
    fputs("Scores are of held-out positives of `test`, ranked among all items of their type less "
          "what "
          "the user has; intervals are 95 % bootstrap over users; \"better\" and \"loses\" only "
          "where "
          "the paired interval excludes 0. Baselines were tuned on `valid`.\n\n",
          f);
}

static void markdown_metric(FILE *f, const evaluation_row *row, int k)
{
    char value[32], lo[32], hi[32];
    fprintf(f, " %s", report_text_number(value, row->value[k], 4));
    if (row->has_interval) {
        fprintf(f, " [%s, %s]", report_text_number(lo, row->lo[k], 4),
                report_text_number(hi, row->hi[k], 4));
    }
    fputs(" |", f);
}

static void markdown_row(FILE *f, const evaluation_row *row, const char *name)
{
    char text[32];
    fprintf(f, "| %s | %" PRIu64 " |", name, row->users);
    if (row->users == 0) {
        fputs(" | | | | | |\n", f);
        return;
    }
    for (int k = 0; k < EVALUATION_METRICS; k++) markdown_metric(f, row, k);
    fprintf(f, " %s |", report_text_number(text, row->coverage_10, 3));
    fprintf(f, " %s |\n", report_text_number(text, row->coverage_100, 3));
}

static void markdown_columns(FILE *f, const char *first)
{
    fprintf(f,
            "| %s | users | HR@10 | Recall@10 | NDCG@10 | MRR@100 | coverage@10 | coverage@100 |\n"
            "|---|--:|---|---|---|---|--:|--:|\n",
            first);
}

static void markdown_type(FILE *f, const report_input *r, uint32_t type)
{
    const evaluation_result *e = r->result;
    const evaluation_row *first = first_row(e, type);
    char text[200];
    if (!first) return;
    describe_type(text, sizeof text, first);
    fprintf(f, "## %s\n\n%s.\n\n", r->type_name[type], text);
    markdown_columns(f, "model");
    for (size_t i = 0; i < e->rows_n; i++) {
        const evaluation_row *row = &e->rows[i];
        if (row->type != type || row->segment != SEGMENT_ALL) continue;
        markdown_row(f, row, evaluation_model_name(row->model));
    }
    char *verdict = report_text_verdict(r, type, "\n- ");
    fprintf(f, "\n%s\n\n", verdict);
    free(verdict);
    for (int m = 0; m < EVALUATION_MODELS; m++) {
        if (!e->type_users[type].rank[m]) continue;
        fprintf(f, "### %s: %s by segment\n\n", r->type_name[type],
                evaluation_model_name((evaluation_model)m));
        markdown_columns(f, "segment");
        for (int s = 1; s < EVALUATION_SEGMENTS; s++) {
            const evaluation_row *row =
                evaluation_find(e, type, (evaluation_model)m, (evaluation_segment)s);
            markdown_row(f, row, evaluation_segment_name((evaluation_segment)s));
        }
        fputc('\n', f);
    }
}

static void markdown_training(FILE *f, const report_input *r)
{
    char best[32];
    fputs("## Training\n\n| stage | epochs | steps | best step | stopped by | metric | best | last "
          "loss | void slots |\n|---|--:|--:|--:|---|---|--:|--:|--:|\n",
          f);
    for (size_t i = 0; i < r->training_n; i++) {
        const report_training *t = &r->training[i];
        fprintf(f, "| %s | %u | %u | %u | %s | %s | %s | %.6g | %u |\n", t->stage, t->epochs,
                t->steps, t->best_step, t->stopped, t->metric, report_text_number(best, t->best, 4),
                t->last_loss, t->void_slots);
    }
    char mean[32], sd[32];
    fprintf(f, "\nCosine of random pairs of item embeddings: mean %s, deviation %s.\n\n",
            report_text_number(mean, r->z_cosine_mean, 3),
            report_text_number(sd, r->z_cosine_sd, 3));
}

static void markdown_choices(FILE *f, const report_input *r)
{
    const evaluation_result *e = r->result;
    if (e->choices_n > 0) fputs("## Grid choices (by HR@10 on valid)\n\n", f);
    for (size_t i = 0; i < e->choices_n; i++) {
        const evaluation_choice *c = &e->choices[i];
        char hr[32], top[16] = "all";
        report_text_number(hr, c->valid_hr, 4);
        if (c->top > 0) snprintf(top, sizeof top, "%u", c->top);
        fprintf(f, "- %s, %s: ", evaluation_model_name(c->model), r->type_name[c->type]);
        if (c->model == MODEL_EASE) {
            fprintf(f, "lambda %u, %u items", c->lambda, c->items);
        } else {
            fprintf(f, "top %s, user weights %s, neighbours of %s", top,
                    c->user_weights ? "1/sqrt(history)" : "none",
                    c->own_type ? "its own type" : "all types");
        }
        fprintf(f, " (valid HR@10 %s, %" PRIu64 " users)\n", hr, c->valid_users);
    }
    fputs("\n", f);
}

void report_text_markdown(FILE *file, const report_input *r)
{
    markdown_head(file, r);
    for (uint32_t t = 0; t < r->result->types; t++) markdown_type(file, r, t);
    markdown_training(file, r);
    markdown_choices(file, r);
    if (r->result->skipped_n > 0) fputs("## Not evaluated\n\n", file);
    print_skips(file, r, "- ");
}
