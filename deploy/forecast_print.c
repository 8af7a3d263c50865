#include "deploy/forecast_print.h"

#include "common/json.h"
#include "deploy/units_print.h"

#include <inttypes.h>
#include <string.h>

static uint64_t edges_of(const job *j)
{
    uint64_t n = 0;
    for (uint32_t r = 0; r < j->manifest->relations; r++) n += j->manifest->relation[r].edges;
    return n;
}

/* ---- Text ---- */

static void put_data(const job *j, const outlook *o, const calibration *speed, FILE *out)
{
    const manifest *m = j->manifest;
    char a[UNITS_TEXT], b[UNITS_TEXT];
    fprintf(out, "data     %u items of %zu type%s, %u users, %s%" PRIu64 " edges (%s)\n", m->items,
            m->types.n, m->types.n == 1 ? "" : "s", m->users, o->prepared ? "" : "about ",
            edges_of(j), o->prepared ? "of the prepared store" : "estimated from the input files");
    fprintf(out,
            "machine  %u core%s, sgemm %.0f Gflop/s a thread, memory %s/s, loopback %s/s: "
            "measured now, on this machine\n\n",
            speed->cores, speed->cores == 1 ? "" : "s", speed->sgemm_flops / 1e9,
            units_bytes(a, speed->copy_bytes), units_bytes(b, speed->loopback_bytes));
}

static void put_parts(const forecast_role *r, FILE *out)
{
    const char *between = "";
    for (uint32_t i = 0; i < r->parts; i++) {
        char text[UNITS_TEXT];
        if (r->part[i].bytes < r->memory / 50) continue; /* not worth a word */
        fprintf(out, "%s%s %s", between, r->part[i].name, units_bytes(text, r->part[i].bytes));
        between = ", ";
    }
}

static void put_roles(const forecast *f, FILE *out)
{
    double all = 0;
    char memory[UNITS_TEXT], disk[UNITS_TEXT];
    fprintf(out, "%-12s %9s %12s %9s   %s\n", "role", "processes", "memory each", "disk all",
            "memory of which");
    for (uint32_t i = 0; i < f->roles; i++) {
        const forecast_role *r = &f->role[i];
        all += r->memory * r->processes;
        fprintf(out, "%-12s %9u %12s %9s   ", r->name, r->processes, units_bytes(memory, r->memory),
                units_bytes(disk, r->disk));
        put_parts(r, out);
        fputc('\n', out);
    }
    fprintf(out, "%-12s %9s %12s\n", "all", "", units_bytes(memory, all));
    fprintf(out, "%-12s %s", "disk", units_bytes(disk, f->store));
    fprintf(out, " store, %s text cache", units_bytes(disk, f->cache));
    fprintf(out, ", %s checkpoints", units_bytes(disk, f->checkpoints));
    fprintf(out, ", %s result", units_bytes(disk, f->results));
    if (f->temporary > 0) fprintf(out, "; %s while preparing", units_bytes(disk, f->temporary));
    fputs("\n\n", out);
}

static void put_stages(const forecast *f, FILE *out)
{
    char a[UNITS_TEXT], b[UNITS_TEXT], c[UNITS_TEXT], d[UNITS_TEXT];
    fprintf(out, "%-15s %6s %6s %8s %10s %10s %9s %9s\n", "stage", "steps", "slots", "pairs",
            "pull", "push", "step", "time");
    for (uint32_t i = 0; i < f->stages; i++) {
        const forecast_stage *s = &f->stage[i];
        if (s->steps == 0) {
            fprintf(out, "%-15s %6s %6s %8s %10s %10s %9s %9s\n", s->name, "", "", "", "", "", "",
                    units_seconds(d, s->seconds));
            continue;
        }
        fprintf(out, "%-15s %6u %6u %8.0f %10s %10s %9s %9s\n", s->name, s->steps, s->slots,
                s->pairs, units_bytes(a, s->pull), units_bytes(b, s->push),
                units_seconds(c, s->step_s), units_seconds(d, s->seconds));
    }
    fprintf(out, "%-15s %6s %6s %8s %10s %10s %9s %9s  if nothing ends earlier (patience)\n", "all",
            "", "", "", "", "", "", units_seconds(d, f->seconds));
    for (uint32_t i = 0; i < f->stages; i++) {
        const forecast_stage *s = &f->stage[i];
        if (s->steps == 0) continue;
        fprintf(out, "network  %s: a worker %s/s, a server %s/s, a sampler %s/s\n", s->name,
                units_bytes(a, s->worker_network), units_bytes(b, s->server_network),
                units_bytes(c, s->sampler_network));
    }
}

static void put_notes(const forecast *f, FILE *out)
{
    fputs("\nbounds\n", out);
    for (uint32_t i = 0; i < f->notes; i++) fprintf(out, "  %s\n", f->note[i]);
}

/* ---- JSON ---- */

static void field_bytes(json_writer *w, const char *key, double bytes)
{
    json_field_u64(w, key, bytes > 0 ? (uint64_t)bytes : 0);
}

static void write_data(json_writer *w, const job *j, const outlook *o)
{
    json_key(w, "data");
    json_object_begin(w);
    json_field_bool(w, "prepared", o->prepared);
    json_field_u64(w, "items", j->manifest->items);
    json_field_u64(w, "users", j->manifest->users);
    json_field_u64(w, "edges", edges_of(j));
    json_object_end(w);
}

static void write_machine(json_writer *w, const calibration *speed)
{
    json_key(w, "machine");
    json_object_begin(w);
    json_field_u64(w, "cores", speed->cores);
    json_field_number9(w, "sgemm_flops_per_s", speed->sgemm_flops);
    json_field_number9(w, "copy_bytes_per_s", speed->copy_bytes);
    json_field_number9(w, "loopback_bytes_per_s", speed->loopback_bytes);
    json_field_number9(w, "round_trip_s", speed->round_trip_s);
    json_object_end(w);
}

static void write_roles(json_writer *w, const forecast *f)
{
    json_key(w, "roles");
    json_array_begin(w);
    for (uint32_t i = 0; i < f->roles; i++) {
        const forecast_role *r = &f->role[i];
        json_object_begin(w);
        json_field_string(w, "role", r->name);
        json_field_u64(w, "processes", r->processes);
        field_bytes(w, "memory_bytes", r->memory);
        field_bytes(w, "disk_bytes", r->disk);
        json_key(w, "parts");
        json_object_begin(w);
        for (uint32_t k = 0; k < r->parts; k++) field_bytes(w, r->part[k].name, r->part[k].bytes);
        json_object_end(w);
        json_object_end(w);
    }
    json_array_end(w);
}

static void write_stages(json_writer *w, const forecast *f)
{
    json_key(w, "stages");
    json_array_begin(w);
    for (uint32_t i = 0; i < f->stages; i++) {
        const forecast_stage *s = &f->stage[i];
        json_object_begin(w);
        json_field_string(w, "stage", s->name);
        json_field_number9(w, "seconds", s->seconds);
        if (s->steps) {
            json_field_u64(w, "steps", s->steps);
            json_field_u64(w, "slots", s->slots);
            field_bytes(w, "examples_per_step", s->pairs);
            json_field_number9(w, "step_s", s->step_s);
            json_field_number9(w, "slot_compute_s", s->slot_s);
            field_bytes(w, "pull_bytes", s->pull);
            field_bytes(w, "push_bytes", s->push);
            field_bytes(w, "microbatch_bytes", s->body);
            field_bytes(w, "worker_bytes_per_s", s->worker_network);
            field_bytes(w, "server_bytes_per_s", s->server_network);
            field_bytes(w, "sampler_bytes_per_s", s->sampler_network);
            json_field_string(w, "bound", s->bound);
        }
        json_object_end(w);
    }
    json_array_end(w);
}

static void write_disk(json_writer *w, const forecast *f)
{
    json_key(w, "disk");
    json_object_begin(w);
    field_bytes(w, "store_bytes", f->store);
    field_bytes(w, "cache_bytes", f->cache);
    field_bytes(w, "checkpoint_bytes", f->checkpoints);
    field_bytes(w, "result_bytes", f->results);
    field_bytes(w, "temporary_bytes", f->temporary);
    json_object_end(w);
}

static err_code write_json(const job *j, const outlook *o, const calibration *speed,
                           const forecast *f, FILE *out)
{
    json_writer w;
    json_init_file(&w, out, JSON_STYLE_SPACED);
    json_object_begin(&w);
    json_field_u64(&w, "format", 1);
    write_data(&w, j, o);
    write_machine(&w, speed);
    write_roles(&w, f);
    write_disk(&w, f);
    write_stages(&w, f);
    json_field_number9(&w, "seconds", f->seconds);
    json_field_u64(&w, "workers_useful", f->workers_useful);
    json_key(&w, "bounds");
    json_array_begin(&w);
    for (uint32_t i = 0; i < f->notes; i++) json_str(&w, f->note[i]);
    json_array_end(&w);
    json_object_end(&w);
    return json_finish_line(&w);
}

err_code forecast_print(const job *j, const outlook *o, const calibration *speed, const forecast *f,
                        bool json, FILE *out)
{
    if (json) {
        err_code rc = write_json(j, o, speed, f, out);
        return rc == ERR_OK && fflush(out) != 0 ? ERR_IO : rc;
    }
    put_data(j, o, speed, out);
    put_roles(f, out);
    put_stages(f, out);
    put_notes(f, out);
    return fflush(out) == 0 ? ERR_OK : ERR_IO;
}

/* ---- Rules ---- */

/* Roles that weft_peer_resident_memory_bytes has. */
static bool is_peer(const char *role)
{
    return strcmp(role, "ps") == 0 || strcmp(role, "sampler") == 0 || strcmp(role, "worker") == 0;
}

err_code forecast_print_rules(const forecast *f, FILE *out)
{
    fputs("# The memory that each role is planned to need, of `weft plan --rules`: what the alert\n"
          "# WeftMemoryOverPlan compares with.  Its place is beside alerts.yml; make it anew when "
          "the\n"
          "# job has grown.\n\n"
          "groups:\n  - name: weft-plan\n    rules:\n",
          out);
    for (uint32_t i = 0; i < f->roles; i++) {
        if (!is_peer(f->role[i].name)) continue;
        fprintf(out,
                "      - record: weft:plan_memory_bytes\n        expr: vector(%" PRIu64 ")\n"
                "        labels: {role: %s}\n",
                (uint64_t)f->role[i].memory, f->role[i].name);
    }
    return fflush(out) == 0 ? ERR_OK : ERR_IO;
}
