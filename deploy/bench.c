#include "deploy/bench.h"

#include "common/json.h"
#include "common/mem.h"
#include "deploy/units_print.h"

#include <stdlib.h>

void bench_fini(bench *b)
{
    for (size_t i = 0; i < b->n; i++) free(b->row[i].what);
    free(b->row);
    *b = (bench){0};
}

void bench_add(bench *b, bench_row row)
{
    grow(&b->row, &b->cap, b->n + 1, sizeof *b->row);
    b->row[b->n++] = row;
}

void bench_prepare(bench *b, const prepare_stats *s)
{
    char memory[UNITS_TEXT];
    if (s->reused || s->seconds <= 0) return;
    units_bytes(memory, (double)s->peak_rss_bytes);
    bench_add(b, (bench_row){.part = "prepare",
                             .what = xprintf("all of it, %s at most", memory),
                             .rate = (double)s->events / s->seconds,
                             .unit = "interactions"});
}

/* "12.3 k", "4.56 M": three digits. */
static const char *rate_text(char *text, double rate)
{
    static const char *const names[] = {"", " k", " M", " G"};
    int unit = 0;
    while (rate >= 999.5 && unit < 3) {
        rate /= 1000;
        unit++;
    }
    int digits = rate < 9.995 ? 2 : rate < 99.95 ? 1 : 0;
    snprintf(text, UNITS_TEXT, "%.*f%s", digits, rate, names[unit]);
    return text;
}

static void print_shares(const bench_row *r, FILE *out)
{
    fprintf(out, "%-9s %-40s", "", "  where the workers' time goes");
    for (int i = 0; i < STATUS_PHASES; i++)
        fprintf(out, "%s%s %.0f %%", i ? ", " : " ", status_phases[i], 100 * r->share[i]);
    fputc('\n', out);
}

static void print_row(const bench_row *r, FILE *out)
{
    char rate[UNITS_TEXT], used[UNITS_TEXT], limit[UNITS_TEXT];
    fprintf(out, "%-9s %-40s %8s %-13s", r->part, r->what, rate_text(rate, r->rate), r->unit);
    if (r->limit > 0) {
        fprintf(out, "%8s of %-8s %3.0f %%  %s", rate_text(used, r->used),
                rate_text(limit, r->limit), 100 * r->used / r->limit, r->of);
    }
    fputc('\n', out);
    if (r->has_shares) print_shares(r, out);
}

static void put_shares(json_writer *w, const bench_row *r)
{
    json_key(w, "time_share");
    json_object_begin(w);
    for (int i = 0; i < STATUS_PHASES; i++) json_field_number9(w, status_phases[i], r->share[i]);
    json_object_end(w);
}

static void put_row(json_writer *w, const bench_row *r)
{
    json_object_begin(w);
    json_field_string(w, "part", r->part);
    json_field_string(w, "what", r->what);
    json_field_number9(w, "per_s", r->rate);
    json_field_string(w, "unit", r->unit);
    if (r->limit > 0) {
        json_field_number9(w, "used_per_s", r->used);
        json_field_number9(w, "limit_per_s", r->limit);
        json_field_string(w, "limit", r->of);
    }
    if (r->has_shares) put_shares(w, r);
    json_object_end(w);
}

static err_code print_json(const bench *b, FILE *out)
{
    json_writer w;
    json_init_file(&w, out, JSON_STYLE_SPACED);
    json_object_begin(&w);
    json_field_u64(&w, "format", 1);
    json_key(&w, "machine");
    json_object_begin(&w);
    json_field_u64(&w, "cores", b->speed.cores);
    json_field_number9(&w, "sgemm_flops_per_s", b->speed.sgemm_flops);
    json_field_number9(&w, "copy_bytes_per_s", b->speed.copy_bytes);
    json_field_number9(&w, "loopback_bytes_per_s", b->speed.loopback_bytes);
    json_object_end(&w);
    json_key(&w, "rows");
    json_array_begin(&w);
    for (size_t i = 0; i < b->n; i++) put_row(&w, &b->row[i]);
    json_array_end(&w);
    json_object_end(&w);
    return json_finish_line(&w);
}

err_code bench_print(const bench *b, bool json, FILE *out)
{
    if (json) {
        err_code rc = print_json(b, out);
        return rc == ERR_OK && fflush(out) != 0 ? ERR_IO : rc;
    }
    fprintf(out, "%-9s %-40s %8s %-13s%8s\n", "part", "what", "a second", "", "used of the limit");
    for (size_t i = 0; i < b->n; i++) print_row(&b->row[i], out);
    return fflush(out) == 0 ? ERR_OK : ERR_IO;
}
