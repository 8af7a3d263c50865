#include "common/json.h"
#include "deploy/replay.h"

#include <inttypes.h>
#include <math.h>

static const char *kind_name(plan_kind kind)
{
    switch (kind) {
    case PLAN_TRAIN: return "train";
    case PLAN_PUT: return "put";
    case PLAN_SCORE: return "score";
    }
    return "";
}

static const char *odd_name(float v)
{
    return isnan(v) ? "nan" : v > 0 ? "inf" : "-inf";
}

/* ---- JSON ---- */

static void put_chunks(json_writer *w, const replay_result *r)
{
    json_key(w, "chunks");
    json_array_begin(w);
    for (uint32_t i = 0; i < r->chunks; i++) {
        json_object_begin(w);
        json_field_u64(w, "rows", r->chunk[i].rows);
        json_field_u64(w, "nodes", r->chunk[i].nodes);
        json_field_u64(w, "edges", r->chunk[i].edges);
        json_field_u64(w, "negatives", r->chunk[i].negatives);
        json_object_end(w);
    }
    json_array_end(w);
}

static void put_arrays(json_writer *w, const replay_result *r)
{
    json_key(w, "arrays");
    json_array_begin(w);
    for (size_t i = 0; i < r->arrays; i++) {
        const replay_array *a = &r->array[i];
        json_object_begin(w);
        json_field_string(w, "role", a->role);
        json_field_string(w, "name", a->name);
        json_field_u64(w, "values", a->values);
        json_field_number9(w, "norm", a->norm);
        json_key(w, "xxh3");
        json_hex64(w, a->hash);
        json_field_u64(w, "not_finite", a->not_finite);
        if (a->not_finite) {
            json_field_u64(w, "first", a->first);
            json_field_string(w, "first_value", odd_name(a->first_value));
        }
        json_object_end(w);
    }
    json_array_end(w);
}

static err_code print_json(const job *j, const replay_result *r, FILE *out)
{
    json_writer w;
    char slot[64];
    slot_format(r->name, slot);
    json_init_file(&w, out, JSON_STYLE_SPACED);
    json_object_begin(&w);
    json_field_string(&w, "slot", slot);
    json_field_string(&w, "kind", kind_name(r->work.kind));
    json_field_u64(&w, "partition", r->work.partition);
    json_key(&w, "plan_hash");
    json_hex64(&w, j->plan_hash);
    json_field_u64(&w, "seed", j->config->seed);
    json_field_string(&w, "parameters", r->parameters);
    json_field_u64(&w, "batch_bytes", r->batch_bytes);
    json_key(&w, "batch_xxh3");
    json_hex64(&w, r->batch_hash);
    put_chunks(&w, r);
    json_field_u64(&w, "examples", r->examples);
    json_key(&w, "loss");
    if (r->has_loss && r->examples && isfinite(r->loss)) {
        json_number9(&w, r->loss / (double)r->examples);
    } else {
        json_nil(&w);
    }
    json_field_bool(&w, "void", r->is_void);
    put_arrays(&w, r);
    json_object_end(&w);
    return json_finish_line(&w);
}

/* ---- Tables ---- */

static void print_head(const job *j, const replay_result *r, FILE *out)
{
    char slot[64];
    slot_format(r->name, slot);
    fprintf(out, "slot        %s\n", slot);
    fprintf(out, "plan        %016" PRIx64 "  seed %" PRIu64 "\n", j->plan_hash, j->config->seed);
    fprintf(out, "kind        %s, partition %u\n", kind_name(r->work.kind), r->work.partition);
    fprintf(out, "parameters  %s\n",
            r->parameters[0] == 'm' ? "trained" : "as the plan starts them (version 0)");
    fprintf(out, "batch       %" PRIu64 " bytes, xxh3 %016" PRIx64 "\n", r->batch_bytes,
            r->batch_hash);
    fprintf(out, "examples    %" PRIu64 "\n", r->examples);
    if (r->has_loss && r->examples)
        fprintf(out, "loss        %.9g\n", r->loss / (double)r->examples);
    if (r->is_void)
        fprintf(out, "VOID        not every value is finite: nothing would be pushed\n");
}

static void print_chunks(const replay_result *r, FILE *out)
{
    fprintf(out, "\n%-6s %10s %10s %10s %10s\n", "chunk", "rows", "nodes", "edges", "negatives");
    for (uint32_t i = 0; i < r->chunks; i++) {
        const replay_chunk *c = &r->chunk[i];
        fprintf(out, "%-6u %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu64 "\n", i, c->rows,
                c->nodes, c->edges, c->negatives);
    }
}

static void print_arrays(const replay_result *r, FILE *out)
{
    fprintf(out, "\n%-9s %-40s %10s %14s  %s\n", "array", "name", "values", "norm", "xxh3");
    for (size_t i = 0; i < r->arrays; i++) {
        const replay_array *a = &r->array[i];
        fprintf(out, "%-9s %-40s %10" PRIu64 " %14.6g  %016" PRIx64, a->role, a->name, a->values,
                a->norm, a->hash);
        if (a->not_finite) {
            fprintf(out, "  %" PRIu64 " not finite, first [%" PRIu64 "] = %s", a->not_finite,
                    a->first, odd_name(a->first_value));
        }
        fputc('\n', out);
    }
}

err_code replay_print(const job *j, const replay_result *r, bool json, FILE *out)
{
    if (json) {
        err_code rc = print_json(j, r, out);
        return rc == ERR_OK && fflush(out) != 0 ? ERR_IO : rc;
    }
    print_head(j, r, out);
    print_chunks(r, out);
    print_arrays(r, out);
    return fflush(out) == 0 && !ferror(out) ? ERR_OK : ERR_IO;
}
