/* Input files, the encoder, and whether memory and disk are enough (doctor.h). */
#include "common/files.h"
#include "common/job.h"
#include "common/mem.h"
#include "deploy/doctor.h"
#include "deploy/forecast.h"
#include "deploy/units_print.h"
#include "sampler/embedding_answer.h"
#include "sampler/encoder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* False: it cannot be read (said). */
static bool check_input(doctor *d, const char *key, const char *path)
{
    if (!*path) return false;
    bool ok = access(path, R_OK) == 0;
    if (!ok) doctor_add(d, "data", DOCTOR_FAIL, "%s: %s (%s)", path, strerror(errno), key);
    return ok;
}

static bool check_inputs(doctor *d)
{
    const config *c = d->config;
    if (!*c->data.items.path && !*c->data.interactions.path) {
        doctor_add(d, "data", DOCTOR_WARN,
                   "none named: give --data DIR, and memory and disk are checked, too");
        return false;
    }
    bool items = check_input(d, "data.items.path", c->data.items.path);
    bool events = check_input(d, "data.interactions.path", c->data.interactions.path);
    bool users = !*c->data.users.path || check_input(d, "data.users.path", c->data.users.path);
    return items && events && users;
}

enum { SERVER_TIMEOUT_MS = 10000 };

/* For the vector of one word. */
static err_code ask_server(embedding_client *client)
{
    const char *text = "weft";
    float *row = try_malloc(EMBEDDING_DIM_MAX, sizeof *row);
    err_code rc = row ? embedding_client_embed(client, &text, 1, row) : ERR_NO_MEMORY;
    free(row);
    return rc;
}

static bool check_encoder(doctor *d)
{
    encoder *e = NULL;
    config c = *d->config; /* what it points to is borrowed */
    c.features.openai.retries = 0;
    if (c.features.openai.timeout_ms > SERVER_TIMEOUT_MS) {
        c.features.openai.timeout_ms = SERVER_TIMEOUT_MS;
    }
    err_code rc = encoder_open(&c, &e);
    if (rc == ERR_OK && encoder_client(e)) rc = ask_server(encoder_client(e));
    if (rc == ERR_OK) {
        doctor_add(d, "encoder", DOCTOR_OK, "%s, %u numbers a text", encoder_name(e),
                   encoder_dim(e));
    } else {
        doctor_add(d, "encoder", DOCTOR_FAIL,
                   "features.encoder cannot be used: what is wrong is printed above");
    }
    encoder_close(e);
    return rc == ERR_OK;
}

/* Bytes that "NAME: N kB" of a /proc file, or a file of one number, says; 0: not known. */
static double read_number(const char *path, const char *name, double unit)
{
    char line[256];
    double value = 0;
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    while (value <= 0 && fgets(line, sizeof line, file)) {
        size_t n = strlen(name);
        if (strncmp(line, name, n) == 0) value = strtod(line + n, NULL) * unit;
    }
    fclose(file);
    return value;
}

/* What may be used: of the machine, or of our control group if that is less. */
static double memory_available(void)
{
    double have = read_number("/proc/meminfo", "MemAvailable:", 1024);
    const char *const groups[] = {"/sys/fs/cgroup/memory.max",
                                  "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    for (size_t i = 0; i < 2; i++) {
        double limit = read_number(groups[i], "", 1);
        if (limit > 0 && limit < have) have = limit;
    }
    return have;
}

/* With a scheduler elsewhere not all roles are here, and it is only a warning. */
static void check_memory(doctor *d, const forecast *f)
{
    double need = 0, have = memory_available();
    char a[UNITS_TEXT], b[UNITS_TEXT];
    for (uint32_t i = 0; i < f->roles; i++) need += f->role[i].memory * f->role[i].processes;
    bool ok = need <= have || have <= 0, here = forecast_is_one_machine(d->config);
    doctor_add(d, "memory",
               ok     ? DOCTOR_OK
               : here ? DOCTOR_FAIL
                      : DOCTOR_WARN,
               "%s available, all roles together need about %s%s", units_bytes(a, have),
               units_bytes(b, need), ok ? "" : " (weft plan says which)");
}

static void check_space(doctor *d, const char *folder, double need)
{
    struct statvfs s;
    char a[UNITS_TEXT], b[UNITS_TEXT], *at = xstrdup(folder);
    while (!files_is_dir(at) && strcmp(at, "/") != 0) {
        char *above = files_parent(at);
        free(at);
        at = above;
    }
    if (statvfs(at, &s) != 0) {
        doctor_add(d, "disk", DOCTOR_FAIL, "%s: %s", at, strerror(errno));
    } else {
        double have = (double)s.f_bavail * (double)s.f_frsize;
        bool inodes = s.f_files == 0 || s.f_favail > 10000;
        doctor_status status = have < need ? DOCTOR_FAIL : !inodes ? DOCTOR_WARN : DOCTOR_OK;
        doctor_add(d, "disk", status, "%s: %s free, about %s needed%s", at, units_bytes(a, have),
                   units_bytes(b, need), inodes ? "" : "; few inodes are left");
    }
    free(at);
}

static void check_needs(doctor *d)
{
    outlook *o = NULL;
    job *j = NULL;
    config *own = NULL;
    forecast f = {0};
    char *text = config_print(d->config, CONFIG_ALL);
    err_code rc = outlook_make(d->config, NULL, &o);
    if (rc == ERR_OK) rc = config_parse("configuration", text, NULL, 0, &own);
    if (rc == ERR_OK) rc = job_new(own, o->manifest, &j);
    if (rc == ERR_OK) {
        o->manifest = NULL; /* the job has it, and the configuration */
        calibration none = {
            .sgemm_flops = 1e10, .copy_bytes = 1e9, .loopback_bytes = 1e9, .cores = 1};
        forecast_make(j, o, &none, &f);
        const char *checkpoints = d->config->checkpoint.dir;
        double work = f.store + f.cache + f.temporary + f.results;
        check_memory(d, &f);
        check_space(d, d->config->work_dir, work + (*checkpoints ? 0 : f.checkpoints));
        if (*checkpoints) check_space(d, checkpoints, f.checkpoints);
    } else {
        config_free(own);
        doctor_add(d, "data", DOCTOR_FAIL, "cannot be used: what is wrong is printed above");
    }
    forecast_fini(&f);
    job_free(j);
    outlook_free(o);
    free(text);
}

void doctor_data(doctor *d)
{
    bool encodes = check_encoder(d);
    if (check_inputs(d) && encodes) check_needs(d);
}
