#include "deploy/bundle.h"

#include "common/bytes.h"
#include "common/clock.h"
#include "common/files.h"
#include "common/mem.h"
#include "common/numerics.h"
#include "common/token_file.h"
#include "common/version.h"
#include "deploy/last_status.h"
#include "deploy/secret_mask.h"
#include "deploy/status_client.h"
#include "deploy/tar_writer.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { LIST_DEPTH_MAX = 6, LIST_ENTRIES_MAX = 20000, LINE_BYTES = 1024 };

typedef struct bundle {
    const config *config;
    tar_writer *tar;
    secret_mask *mask;
    bytes_writer contents;
    bundle_summary *summary;
    uint64_t now_s;
} bundle;

__attribute__((format(printf, 2, 3))) static void put_line(bytes_writer *w, const char *format, ...)
{
    char line[LINE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    bytes_put(w, line, strlen(line));
    bytes_put(w, "\n", 1);
}

/* Adds `data` under `name`, masked in place. */
static void add(bundle *b, const char *name, char *data, size_t bytes)
{
    char *full = xprintf("weft-bundle/%s", name);
    uint32_t masked = secret_mask_apply(b->mask, data, bytes);
    b->summary->masked += masked;
    b->summary->files++;
    put_line(&b->contents, "%-40s %10zu bytes%s", name, bytes, masked ? ", secrets masked" : "");
    tar_add(b->tar, full, data, bytes, b->now_s);
    free(full);
}

static void add_text(bundle *b, const char *name, char *owned)
{
    add(b, name, owned, strlen(owned));
    free(owned);
}

static void add_writer(bundle *b, const char *name, bytes_writer *w)
{
    add(b, name, (char *)w->data, w->len);
    bytes_writer_fini(w);
}

/* Adds the last BUNDLE_FILE_MAX bytes of `path`, whole lines; false: it is not there. */
static bool add_file(bundle *b, const char *name, const char *path)
{
    struct stat st;
    FILE *f = fopen(path, "re");
    if (!f || fstat(fileno(f), &st) != 0 || !S_ISREG(st.st_mode)) {
        if (f) fclose(f);
        return false;
    }
    bool cut = st.st_size > BUNDLE_FILE_MAX;
    size_t want = cut ? BUNDLE_FILE_MAX : (size_t)st.st_size, skip = 0;
    char *data = xmalloc(want + 1);
    if (cut) fseeko(f, st.st_size - BUNDLE_FILE_MAX, SEEK_SET);
    size_t n = fread(data, 1, want, f);
    fclose(f);
    while (cut && skip < n && data[skip++] != '\n') {
    }
    add(b, name, data + skip, n - skip);
    free(data);
    return true;
}

/* Adds the files of `folder` whose names end with `suffix`; how many there are. */
static uint32_t add_folder(bundle *b, const char *folder, const char *as, const char *suffix)
{
    uint32_t n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        const char *dot = strrchr(e->d_name, '.');
        if (!dot || e->d_name[0] == '.' || strcmp(dot, suffix) != 0) continue;
        char *path = files_join(folder, e->d_name), *name = xprintf("%s/%s", as, e->d_name);
        n += add_file(b, name, path);
        free(name);
        free(path);
    }
    if (d) closedir(d);
    return n;
}

/* ---- The job ---- */

/* Of a job that has ended. */
static void add_last_status(bundle *b)
{
    char *text = last_status_text(b->config->work_dir);
    if (text)
        add_text(b, "status.json", text);
    else
        put_line(&b->contents, "%-40s not there: no job runs in %s", "status.json",
                 b->config->work_dir);
}

static void add_status(bundle *b)
{
    static const char *const page[][2] = {{"/api/v1/status", "status.json"},
                                          {"/metrics", "metrics.txt"}};
    char *url = NULL, *token = NULL, *file = files_join(b->config->work_dir, "run/url");
    bool is_there = files_exist(file);
    free(file);
    if (!is_there || status_client_url(b->config, &url) != ERR_OK) {
        add_last_status(b);
        return;
    }
    if (b->config->http.token_file[0] && status_client_token(b->config, &token) != ERR_OK)
        token = NULL; /* printed; the status is then refused */
    for (size_t i = 0; i < sizeof page / sizeof *page; i++) {
        char *text = NULL, *full = xprintf("%s%s", url, page[i][0]);
        if (status_client_get(full, token, &text) == ERR_OK) {
            b->summary->running = true;
            add_text(b, page[i][1], text);
        } else {
            put_line(&b->contents, "%-40s not there: %s does not answer", page[i][1], full);
        }
        free(full);
    }
    token_free(token);
    free(url);
}

/* What each file of work_dir is, not what is in it. */
static void list_folder(bytes_writer *w, const char *folder, const char *as, int depth,
                        uint32_t *left)
{
    DIR *d = depth > LIST_DEPTH_MAX ? NULL : opendir(folder);
    for (struct dirent *e; d && *left && (e = readdir(d));) {
        struct stat st;
        char time[21];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        char *path = files_join(folder, e->d_name), *name = xprintf("%s%s", as, e->d_name);
        if (lstat(path, &st) == 0) {
            bool is_dir = S_ISDIR(st.st_mode);
            clock_iso((uint64_t)st.st_mtime, time);
            put_line(w, "%04o %5u %12" PRIu64 "  %s  %s%s", (unsigned)st.st_mode & 07777u,
                     (unsigned)st.st_uid, (uint64_t)st.st_size, time, name, is_dir ? "/" : "");
            (*left)--;
            char *below = xprintf("%s/", name);
            if (is_dir) list_folder(w, path, below, depth + 1, left);
            free(below);
        }
        free(name);
        free(path);
    }
    if (d) closedir(d);
}

static void add_listing(bundle *b)
{
    bytes_writer w;
    uint32_t left = LIST_ENTRIES_MAX;
    bytes_writer_init(&w);
    put_line(&w, "mode  user         size  time                  name, below %s",
             b->config->work_dir);
    list_folder(&w, b->config->work_dir, "", 0, &left);
    if (!left) put_line(&w, "and more");
    add_writer(b, "files.txt", &w);
}

static void add_work_dir(bundle *b)
{
    static const char *const file[] = {"run/steps.jsonl", "run/config.yaml", "out/run.json",
                                       "store/current"};
    char *logs = files_join(b->config->work_dir, "logs");
    if (!add_folder(b, logs, "logs", ".log"))
        put_line(&b->contents, "%-40s not there: what a service manager starts logs to its journal",
                 "logs");
    free(logs);
    for (size_t i = 0; i < sizeof file / sizeof *file; i++) {
        char *path = files_join(b->config->work_dir, file[i]);
        if (!add_file(b, file[i], path)) put_line(&b->contents, "%-40s not there", file[i]);
        free(path);
    }
    add_listing(b);
}

/* ---- The machine ---- */

static void put_disk(bytes_writer *w, const char *path)
{
    struct statvfs v;
    if (statvfs(path, &v) != 0) return;
    put_line(w, "disk of %s: %.1f of %.1f GB free, %" PRIu64 " inodes free", path,
             (double)v.f_bavail * (double)v.f_frsize / 1e9,
             (double)v.f_blocks * (double)v.f_frsize / 1e9, (uint64_t)v.f_favail);
}

static void put_file(bytes_writer *w, const char *path, const char *begins)
{
    char line[LINE_BYTES];
    FILE *f = fopen(path, "re");
    put_line(w, "\n%s:", path);
    while (f && fgets(line, sizeof line, f)) {
        if (!begins || strncmp(line, begins, strlen(begins)) == 0) bytes_put(w, line, strlen(line));
    }
    if (f) fclose(f);
}

static void add_machine(bundle *b)
{
    struct utsname u;
    char time[21];
    bytes_writer w;
    bytes_writer_init(&w);
    clock_iso(b->now_s, time);
    put_line(&w, "weft %s, commit %s, %s", WEFT_VERSION, weft_commit, numerics_id());
    put_line(&w, "collected %s", time);
    if (uname(&u) == 0)
        put_line(&w, "%s %s %s %s %s", u.nodename, u.sysname, u.release, u.version, u.machine);
    put_line(&w, "%ld processors", sysconf(_SC_NPROCESSORS_ONLN));
    put_disk(&w, b->config->work_dir);
    if (b->config->checkpoint.dir[0]) put_disk(&w, b->config->checkpoint.dir);
    put_file(&w, "/etc/os-release", NULL);
    put_file(&w, "/proc/loadavg", NULL);
    put_file(&w, "/proc/meminfo", NULL);
    put_file(&w, "/proc/self/limits", NULL);
    put_file(&w, "/proc/cpuinfo", "model name");
    add_writer(b, "machine.txt", &w);
}

/* ---- All of it ---- */

static void collect(bundle *b)
{
    put_line(&b->contents,
             "A support bundle of weft, of job %s.  Left out: data, vectors, weights, checkpoints;",
             b->config->job);
    put_line(&b->contents, "keys and tokens, which are masked with * wherever they appear.\n");
    add_machine(b);
    add_text(b, "config.yaml", config_print(b->config, CONFIG_ALL));
    add_status(b);
    add_work_dir(b);
    if (secret_mask_unread(b->mask))
        put_line(&b->contents,
                 "\n%" PRIu32 " files of secrets could not be read, and so not looked for",
                 secret_mask_unread(b->mask));
    add_writer(b, "CONTENTS.txt", &b->contents);
}

err_code bundle_write(const config *c, const char *path, bundle_summary *out)
{
    *out = (bundle_summary){0};
    bundle b = {.config = c, .summary = out, .now_s = clock_wall_s()};
    err_code rc = tar_open(path, &b.tar);
    if (rc != ERR_OK) return rc;
    bytes_writer_init(&b.contents);
    b.mask = secret_mask_new(c);
    out->unread_secrets = secret_mask_unread(b.mask);
    collect(&b);
    secret_mask_free(b.mask);
    return tar_close(b.tar);
}
