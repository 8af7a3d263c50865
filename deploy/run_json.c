#include "deploy/run_json.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/version.h"

#include <curl/curl.h>
#include <errno.h>
#include <lmdb.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

static void put_time(json_writer *w, const char *key, uint64_t s)
{
    char text[21];
    clock_iso(s, text);
    json_field_string(w, key, text);
}

/* Everything runs on this machine. */
static void put_hosts(json_writer *w)
{
    char name[256] = "";
    if (gethostname(name, sizeof name - 1) != 0) name[0] = '\0';
    json_key(w, "hosts");
    json_array_begin(w);
    json_str(w, name);
    json_array_end(w);
}

static void put_versions(json_writer *w, const run_json_input *in)
{
    int major, minor, patch;
    zmq_version(&major, &minor, &patch);
    char *zmq = xprintf("%d.%d.%d", major, minor, patch);
    (void)mdb_version(&major, &minor, &patch);
    char *lmdb = xprintf("%d.%d.%d", major, minor, patch);
    json_key(w, "versions");
    json_object_begin(w);
    json_field_string(w, "weft", WEFT_VERSION);
    json_field_string(w, "numerics", in->numerics);
    json_field_string(w, "libzmq", zmq);
    json_field_string(w, "lmdb", lmdb);
    json_field_string(w, "libmicrohttpd", MHD_get_version());
    json_field_string(w, "libcurl", curl_version_info(CURLVERSION_NOW)->version);
    json_object_end(w);
    free(zmq);
    free(lmdb);
}

static void put_processes(json_writer *w, const run_json_input *in)
{
    bool ran = in->processes != RUN_JSON_NONE;
    json_key(w, "processes");
    json_object_begin(w);
    json_field_bool(w, "in_process", in->processes == RUN_JSON_IN_PROCESS);
    json_field_u64(w, "schedulers", ran ? 1 : 0);
    json_field_u64(w, "servers", ran ? in->config->cluster.servers : 0);
    json_field_u64(w, "samplers", ran ? in->config->cluster.samplers : 0);
    json_field_u64(w, "workers", ran ? in->config->cluster.workers : 0);
    json_object_end(w);
}

static void put_stages(json_writer *w, const run_json_input *in)
{
    json_key(w, "stages");
    json_array_begin(w);
    for (size_t i = 0; i < in->stages; i++) {
        const run_json_stage *s = &in->stage[i];
        json_object_begin(w);
        json_field_string(w, "stage", s->stage);
        json_field_number9(w, "seconds", s->seconds);
        json_key(w, "examples_per_s");
        if (s->examples_per_s > 0.0) {
            json_number9(w, s->examples_per_s);
        } else {
            json_nil(w);
        }
        json_object_end(w);
    }
    json_array_end(w);
}

static void put_store(json_writer *w, const run_json_input *in)
{
    json_key(w, "store");
    json_object_begin(w);
    json_field_u64(w, "bytes", in->store_bytes);
    json_field_bool(w, "reused", in->store_reused);
    json_object_end(w);
    json_key(w, "encoder_cache_hits");
    if (in->has_encoder_cache) {
        json_u64(w, in->encoder_cache_hits);
    } else {
        json_nil(w);
    }
}

/* By role; in-process all of them are part of the driver. */
static void put_memory(json_writer *w, const run_json_input *in)
{
    json_key(w, "peak_rss_bytes");
    json_object_begin(w);
    for (uint32_t role = WIRE_NONE + 1; role < WIRE_ROLES; role++) {
        if (!in->peak_rss_bytes[role]) continue;
        json_field_u64(w, wire_role_name(role), in->peak_rss_bytes[role]);
    }
    json_object_end(w);
}

static uint64_t duplicate_pushes(const json_t *status)
{
    const json_t *server;
    size_t i;
    json_int_t sum = 0;
    json_array_foreach(json_object_get(status, "servers"), i, server)
    {
        sum += json_integer_value(json_object_get(server, "repeats"));
    }
    return sum > 0 ? (uint64_t)sum : 0;
}

/* A part of the status as it is; `none` where it is absent. */
static void put_part(json_writer *w, const char *key, const json_t *part, const char *none)
{
    char *text = part ? json_dumps(part, JSON_COMPACT) : NULL;
    json_key(w, key);
    json_raw(w, text ? text : none);
    free(text);
}

static void put_all(json_writer *w, const run_json_input *in)
{
    json_object_begin(w);
    json_field_u64(w, "format", 1);
    put_time(w, "start", in->start_wall_s);
    put_time(w, "end", in->end_wall_s);
    put_hosts(w);
    put_versions(w, in);
    json_field_string(w, "command", in->command);
    put_processes(w, in);
    put_stages(w, in);
    put_store(w, in);
    put_memory(w, in);
    json_field_u64(w, "restarts", in->restarts);
    json_field_u64(w, "duplicate_pushes", duplicate_pushes(in->status));
    put_part(w, "counters", json_object_get(in->status, "counters"), "{}");
    put_part(w, "events", json_object_get(in->status, "events"), "[]");
    char *keys = config_flat_json(in->config);
    json_key(w, "config");
    json_raw(w, keys);
    free(keys);
    json_object_end(w);
}

err_code run_json_write(const run_json_input *in, const char *path)
{
    json_writer w;
    FILE *file = fopen(path, "wb");
    bool ok = file != NULL;
    if (ok) {
        json_init_file(&w, file, JSON_STYLE_PRETTY);
        put_all(&w, in);
        ok = json_finish_line(&w) == ERR_OK;
        if (fclose(file) != 0) ok = false;
    }
    if (ok) return ERR_OK;
    log_user_error("%s: %s", path, strerror(errno));
    return ERR_IO;
}
