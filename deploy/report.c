#include "deploy/report.h"

#include "common/files.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/tsv.h"
#include "common/version.h"
#include "deploy/report_page.h"
#include "deploy/report_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void hex_field(json_writer *w, const char *key, uint64_t v)
{
    json_key(w, key);
    json_hex64(w, v);
}

static void raw_field(json_writer *w, const char *key, const char *text)
{
    json_key(w, key);
    json_raw(w, text);
}

/* An object on one line, in an array that has a line per element. */
static void line_begin(json_writer *w)
{
    json_object_begin(w);
    w->style = JSON_STYLE_SPACED;
}

static void line_end(json_writer *w)
{
    json_object_end(w);
    w->style = JSON_STYLE_PRETTY;
}

static const char *type_name(const report_input *r, uint32_t type)
{
    return type == EVALUATION_EVERY_TYPE ? "*" : r->type_name[type];
}

static void put_head(json_writer *w, const report_input *r)
{
    json_field_u64(w, "format", 1);
    json_field_string(w, "weft", WEFT_VERSION);
    json_field_string(w, "numerics", r->numerics);
    json_field_string(w, "bits", r->bits_guaranteed ? "guaranteed" : "not guaranteed");
    json_field_u64(w, "seed", r->seed);
    hex_field(w, "plan_hash", r->plan_hash);
    hex_field(w, "foundation_id", r->foundation_id);
    hex_field(w, "z_id", r->z_id);
    json_key(w, "encoder");
    line_begin(w);
    json_field_string(w, "name", r->encoder);
    json_field_u64(w, "dim", r->encoder_dim);
    json_field_string(w, "note", r->encoder_note);
    line_end(w);
    raw_field(w, "data", r->data_json);
}

static void put_training(json_writer *w, const report_training *t)
{
    line_begin(w);
    json_field_string(w, "stage", t->stage);
    json_field_u64(w, "epochs", t->epochs);
    json_field_u64(w, "steps", t->steps);
    json_field_u64(w, "best_step", t->best_step);
    json_field_string(w, "stopped", t->stopped);
    json_field_string(w, "metric", t->metric);
    json_field_metric(w, "best", t->best);
    json_field_number9(w, "last_loss", t->last_loss);
    json_field_u64(w, "void_slots", t->void_slots);
    line_end(w);
}

static void put_choice(json_writer *w, const report_input *r, const evaluation_choice *c)
{
    json_key(w, type_name(r, c->type));
    json_object_begin(w);
    if (c->model == MODEL_EASE) {
        json_field_u64(w, "lambda", c->lambda);
        json_field_u64(w, "items", c->items);
    } else {
        json_key(w, "top");
        if (c->top > 0) {
            json_u64(w, c->top);
        } else {
            json_str(w, "all");
        }
        json_field_string(w, "user_weights", c->user_weights ? "1/sqrt(history)" : "none");
        json_field_string(w, "neighbours", c->own_type ? "own type" : "all types");
    }
    json_field_u64(w, "valid_users", c->valid_users);
    json_field_metric(w, "valid_hr_10", c->valid_hr);
    json_object_end(w);
}

/* Choices of one model, in the order of types; nothing if it did not run. */
static void put_model(json_writer *w, const report_input *r, evaluation_model m)
{
    const evaluation_result *e = r->result;
    bool any = false;
    for (uint32_t t = 0; t < e->types; t++) {
        for (size_t i = 0; i < e->choices_n; i++) {
            const evaluation_choice *c = &e->choices[i];
            if (c->model != m || c->type != t) continue;
            if (!any) {
                line_begin(w);
                json_field_string(w, "model", evaluation_model_name(m));
                json_key(w, "types");
                json_object_begin(w);
            }
            any = true;
            put_choice(w, r, c);
        }
    }
    if (!any) return;
    json_object_end(w);
    line_end(w);
}

static void put_value(json_writer *w, const char *name, const char *suffix, double v, bool has)
{
    char key[32];
    snprintf(key, sizeof key, "%s%s", name, suffix);
    json_key(w, key);
    if (has) {
        json_metric(w, v);
    } else {
        json_nil(w);
    }
}

static void put_row(json_writer *w, const report_input *r, const evaluation_row *row)
{
    bool has = row->users > 0, interval = has && row->has_interval;
    line_begin(w);
    json_field_string(w, "part", "test");
    json_field_string(w, "type", type_name(r, row->type));
    json_field_string(w, "model", evaluation_model_name(row->model));
    json_field_string(w, "segment", evaluation_segment_name(row->segment));
    json_field_u64(w, "users", row->users);
    json_field_u64(w, "positives", row->positives);
    json_field_u64(w, "untrained_candidates", row->untrained_candidates);
    for (int k = 0; k < EVALUATION_METRICS; k++) {
        const char *name = evaluation_metric_name((evaluation_metric)k);
        put_value(w, name, "", row->value[k], has);
        put_value(w, name, "_lo", row->lo[k], interval);
        put_value(w, name, "_hi", row->hi[k], interval);
    }
    put_value(w, "coverage_10", "", row->coverage_10, has);
    put_value(w, "coverage_100", "", row->coverage_100, has);
    line_end(w);
}

static void put_comparison(json_writer *w, const report_input *r, const evaluation_comparison *c)
{
    line_begin(w);
    json_field_string(w, "part", "test");
    json_field_string(w, "type", type_name(r, c->type));
    json_field_string(w, "segment", "all");
    json_field_string(w, "metric", evaluation_metric_name(c->metric));
    json_field_string(w, "a", evaluation_model_name(MODEL_TWO_TOWER));
    json_field_string(w, "b", evaluation_model_name(c->b));
    json_field_metric(w, "difference", c->difference);
    json_field_metric(w, "lo", c->lo);
    json_field_metric(w, "hi", c->hi);
    json_field_string(w, "verdict", evaluation_verdict_name(c->verdict));
    line_end(w);
}

static void put_skip(json_writer *w, const report_input *r, const evaluation_skip *s)
{
    line_begin(w);
    json_field_string(w, "type", type_name(r, s->type));
    json_field_string(w, "model",
                      s->model < 0 ? "*" : evaluation_model_name((evaluation_model)s->model));
    json_field_string(w, "reason", s->reason);
    line_end(w);
}

static void put_evaluation(json_writer *w, const report_input *r)
{
    const evaluation_result *e = r->result;
    json_key(w, "models");
    json_array_begin(w);
    for (int m = 0; m < EVALUATION_MODELS; m++) put_model(w, r, (evaluation_model)m);
    json_array_end(w);
    json_key(w, "results");
    json_array_begin(w);
    for (size_t i = 0; i < e->rows_n; i++) put_row(w, r, &e->rows[i]);
    json_array_end(w);
    json_key(w, "comparisons");
    json_array_begin(w);
    for (size_t i = 0; i < e->comparisons_n; i++) put_comparison(w, r, &e->comparisons[i]);
    json_array_end(w);
    json_key(w, "skipped");
    json_array_begin(w);
    for (size_t i = 0; i < e->skipped_n; i++) put_skip(w, r, &e->skipped[i]);
    json_array_end(w);
}

static void put_json(bytes_writer *out, const report_input *r)
{
    json_writer w;
    json_init_bytes(&w, out, JSON_STYLE_PRETTY);
    json_object_begin(&w);
    put_head(&w, r);
    json_key(&w, "training");
    json_array_begin(&w);
    for (size_t i = 0; i < r->training_n; i++) put_training(&w, &r->training[i]);
    json_array_end(&w);
    json_key(&w, "z");
    line_begin(&w);
    json_field_metric(&w, "random_pair_cosine_mean", r->z_cosine_mean);
    json_field_metric(&w, "random_pair_cosine_sd", r->z_cosine_sd);
    line_end(&w);
    put_evaluation(&w, r);
    json_object_end(&w);
    err_code rc = json_finish_line(&w);
    (void)rc; /* writing to memory cannot fail */
}

char *report_json(const report_input *r)
{
    bytes_writer out;
    bytes_writer_init(&out);
    put_json(&out, r);
    bytes_put_u8(&out, 0);
    return (char *)out.data;
}

/* items and ranks of a user, comma-separated. */
static void write_positives(FILE *file, const report_input *r, const evaluation_type_users *u,
                            evaluation_model m, uint32_t i)
{
    for (uint64_t p = u->indptr[i]; p < u->indptr[i + 1]; p++) {
        const char *id = dataset_item_id(r->data, u->positive[p]);
        fputc(p > u->indptr[i] ? ',' : '\t', file);
        tsv_write_in_list(file, id, strlen(id));
    }
    for (uint64_t p = u->indptr[i]; p < u->indptr[i + 1]; p++) {
        fprintf(file, "%c%u", p > u->indptr[i] ? ',' : '\t', u->rank[m][p]);
    }
}

static void write_user(FILE *file, const report_input *r, uint32_t type, evaluation_model m,
                       uint32_t i)
{
    const evaluation_type_users *u = &r->result->type_users[type];
    uint32_t user = u->user[i];
    uint64_t positives = u->indptr[i + 1] - u->indptr[i];
    const uint64_t *history = r->data->history.indptr;
    const char *id = dataset_user_id(r->data, user);
    tsv_write(file, id, strlen(id));
    fprintf(file, "\t%s\t%s\t%" PRIu64 "\t%" PRIu64, r->type_name[type], evaluation_model_name(m),
            history[user + 1] - history[user], positives);
    write_positives(file, r, u, m, i);
    double value[EVALUATION_METRICS];
    char text[JSON_NUMBER_MAX];
    evaluation_user_metrics(value, u->rank[m] + u->indptr[i], positives);
    for (int k = 0; k < EVALUATION_METRICS; k++) {
        fprintf(file, "\t%s", json_format_metric(text, value[k]));
    }
    fputc('\n', file);
}

static void write_per_user(FILE *file, const report_input *r)
{
    fputs("user_id\ttype\tmodel\thistory\tpositives\titems\tranks\thr_10\trecall_10\tndcg_10\t"
          "rr_100\n",
          file);
    for (uint32_t t = 0; t < r->result->types; t++) {
        const evaluation_type_users *u = &r->result->type_users[t];
        for (uint32_t i = 0; i < u->users; i++) {
            for (int m = 0; m < EVALUATION_MODELS; m++) {
                if (u->rank[m]) write_user(file, r, t, (evaluation_model)m, i);
            }
        }
    }
}

static void write_list(FILE *file, const report_input *r, uint32_t type, uint32_t i)
{
    const evaluation_type_users *u = &r->result->type_users[type];
    size_t keep = r->result->recommendations;
    char text[JSON_NUMBER_MAX];
    for (uint32_t k = 0; k < u->list_len[i]; k++) {
        const char *user = dataset_user_id(r->data, u->user[i]);
        const char *item = dataset_item_id(r->data, u->list_items[i * keep + k]);
        tsv_write(file, user, strlen(user));
        fprintf(file, "\t%s\t%u\t", r->type_name[type], k + 1);
        tsv_write(file, item, strlen(item));
        double score = (double)u->list_scores[i * keep + k];
        fprintf(file, "\t%s\n", json_format_number9(text, score));
    }
}

/* By user row, then type: the users of every type are merged. */
static void write_recommendations(FILE *file, const report_input *r)
{
    uint32_t types = r->result->types;
    uint32_t *next = xcalloc((size_t)types + 1, sizeof *next);
    fputs("user_id\ttype\trank\titem_id\tscore\n", file);
    for (uint32_t user = 0; user < r->data->users; user++) {
        for (uint32_t t = 0; t < types; t++) {
            const evaluation_type_users *u = &r->result->type_users[t];
            if (!u->list_items || next[t] == u->users || u->user[next[t]] != user) continue;
            write_list(file, r, t, next[t]++);
        }
    }
    free(next);
}

typedef void file_writer(FILE *file, const report_input *r);

static void write_json(FILE *file, const report_input *r)
{
    char *text = report_json(r);
    fputs(text, file);
    free(text);
}

static err_code write_file(const report_input *r, const char *dir, const char *name,
                           file_writer *write)
{
    char *path = files_join(dir, name);
    FILE *file = fopen(path, "w");
    if (!file) {
        log_user_error("%s: %s", path, strerror(errno));
        free(path);
        return ERR_IO;
    }
    write(file, r);
    bool failed = ferror(file) != 0;
    failed = fclose(file) != 0 || failed;
    if (failed) log_user_error("%s: cannot be written: %s", path, strerror(errno));
    free(path);
    return failed ? ERR_IO : ERR_OK;
}

static bool has_lists(const evaluation_result *e)
{
    for (uint32_t t = 0; t < e->types; t++) {
        if (e->type_users[t].list_items) return true;
    }
    return false;
}

err_code report_write(const report_input *r, const char *dir)
{
    err_code rc = write_file(r, dir, "report.json", write_json);
    if (rc == ERR_OK) rc = write_file(r, dir, "report.md", report_text_markdown);
    if (rc == ERR_OK) rc = write_file(r, dir, "report.html", report_page_write);
    if (rc == ERR_OK) rc = write_file(r, dir, "per_user.tsv", write_per_user);
    if (rc == ERR_OK && has_lists(r->result)) {
        rc = write_file(r, dir, "recommendations.tsv", write_recommendations);
    }
    return rc;
}
