#include "deploy/doctor.h"

#include "common/json.h"
#include "common/mem.h"

#include <stdarg.h>
#include <stdlib.h>

static const char *const status_names[] = {"ok", "warn", "fail"};

void doctor_init(doctor *d, const config *c)
{
    *d = (doctor){.config = c};
}

void doctor_fini(doctor *d)
{
    for (size_t i = 0; i < d->n; i++) free(d->check[i].detail);
    free(d->check);
    *d = (doctor){0};
}

void doctor_add(doctor *d, const char *name, doctor_status status, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    grow(&d->check, &d->cap, d->n + 1, sizeof *d->check);
    d->check[d->n++] = (doctor_check){.name = name, .status = status, .detail = xstrdup(text)};
}

void doctor_run(doctor *d)
{
    doctor_system(d);
    doctor_disk(d);
    doctor_network(d);
    doctor_data(d);
}

static size_t count(const doctor *d, doctor_status status)
{
    size_t n = 0;
    for (size_t i = 0; i < d->n; i++) n += d->check[i].status == status;
    return n;
}

bool doctor_failed(const doctor *d)
{
    return count(d, DOCTOR_FAIL) > 0;
}

static err_code print_json(const doctor *d, FILE *out)
{
    json_writer w;
    json_init_file(&w, out, JSON_STYLE_SPACED);
    json_object_begin(&w);
    json_field_u64(&w, "format", 1);
    json_field_bool(&w, "ok", !doctor_failed(d));
    json_key(&w, "checks");
    json_array_begin(&w);
    for (size_t i = 0; i < d->n; i++) {
        json_object_begin(&w);
        json_field_string(&w, "check", d->check[i].name);
        json_field_string(&w, "status", status_names[d->check[i].status]);
        json_field_string(&w, "detail", d->check[i].detail);
        json_object_end(&w);
    }
    json_array_end(&w);
    json_object_end(&w);
    return json_finish_line(&w);
}

err_code doctor_print(const doctor *d, bool json, FILE *out)
{
    if (json) {
        err_code rc = print_json(d, out);
        return rc == ERR_OK && fflush(out) != 0 ? ERR_IO : rc;
    }
    for (size_t i = 0; i < d->n; i++) {
        const doctor_check *c = &d->check[i];
        fprintf(out, "%-4s  %-12s %s\n", status_names[c->status], c->name, c->detail);
    }
    fprintf(out, "%zu of %zu would stop the job, %zu to know\n", count(d, DOCTOR_FAIL), d->n,
            count(d, DOCTOR_WARN));
    return fflush(out) == 0 ? ERR_OK : ERR_IO;
}
