#include "testing_run.h"

#include "common/clock.h"
#include "common/files.h"
#include "common/mem.h"
#include "deploy/status_client.h"
#include "testing_files.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORDS_MAX = 64, LINE_BYTES = 2048, POLL_US = 10000, STEP_WAIT_MS = 60000 };

static const char config_text[] =
    "job: bits\n"
    "work_dir: work\n"
    "seed: 7\n"
    "data:\n"
    "  items: {path: data/items.tsv}\n"
    "  interactions: {path: data/interactions.tsv}\n"
    "  users: {path: data/users.tsv}\n"
    "features: {encoder: hash, ngram_dim: 32}\n"
    "graph: {partitions: 5}\n"
    "hgnn:\n"
    "  {dims: [16, 12], fanout: [4, 3], fanout_total: 10, random_features: 8, negatives: 20,\n"
    "   batch: 24, max_steps: 12, epochs: 9, balance_floor: 100, optimizer: {warmup_steps: 3}}\n"
    "two_tower:\n"
    "  {dims: [24, 16], item_id: 8, type_embedding: 4, attribute_embedding: 4,\n"
    "   uniform_negatives: 24, batch: 32, max_steps: 12, epochs: 9, optimizer: {warmup_steps: 3}}\n"
    "train: {microbatches_per_step: 3, chunks_per_slot: 2}\n"
    "validate: {every: 6}\n"
    "evaluate: {ease_items: 100, bootstrap: 100}\n";

/* ---- Running ---- */

static void print_file(const char *path)
{
    if (!files_exist(path)) return;
    char *text = testing_get_text(path, NULL);
    size_t n = strlen(text), skip = n > 6000 ? n - 6000 : 0;
    fprintf(stderr, "--- %s\n%s\n", path, text + skip);
    free(text);
}

static void print_logs(const char *work_dir)
{
    char *logs = files_join(work_dir, "logs");
    DIR *d = opendir(logs);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        char *path = files_join(logs, e->d_name);
        print_file(path);
        free(path);
    }
    if (d) closedir(d);
    free(logs);
}

static void to_file(int fd, const char *name, const char *suffix)
{
    char path[128];
    snprintf(path, sizeof path, "%s.%s", name, suffix);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file < 0 || dup2(file, fd) < 0) _exit(126);
    close(file);
}

__attribute__((format(printf, 3, 0))) static pid_t
start_program(const char *program, const char *name, const char *format, va_list args)
{
    char line[LINE_BYTES], path[512];
    char *argv[WORDS_MAX + 2] = {path};
    snprintf(path, sizeof path, WEFT_BINARY_DIR "/bin/%s", program);
    int n = vsnprintf(line, sizeof line, format, args), words = 0;
    ck_assert(n >= 0 && n < (int)sizeof line);
    char *rest = line, *word;
    while ((word = strsep(&rest, " "))) {
        if (!*word) continue;
        ck_assert_int_lt(words, WORDS_MAX);
        argv[++words] = word;
    }
    pid_t parent = getpid(), pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid > 0) return pid;
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(126);
    to_file(1, name, "out");
    to_file(2, name, "err");
    execv(argv[0], argv);
    _exit(127);
}

__attribute__((format(printf, 2, 0))) static pid_t start(const char *name, const char *format,
                                                         va_list args)
{
    return start_program("weft", name, format, args);
}

pid_t testing_run_start_program(const char *program, const char *name, const char *words, ...)
{
    va_list args;
    va_start(args, words);
    pid_t pid = start_program(program, name, words, args);
    va_end(args);
    return pid;
}

pid_t testing_run_start(const char *name, const char *words, ...)
{
    va_list args;
    va_start(args, words);
    pid_t pid = start(name, words, args);
    va_end(args);
    return pid;
}

int testing_run_wait(const char *name, pid_t pid, uint32_t timeout_ms)
{
    uint64_t end = clock_now_us() + timeout_ms * UINT64_C(1000);
    int status;
    while (waitpid(pid, &status, WNOHANG) != pid) {
        if (clock_now_us() > end) {
            char err[128];
            snprintf(err, sizeof err, "%s.err", name);
            print_file(err);
            print_logs(name);
            ck_abort_msg("%s does not end", name);
        }
        usleep(POLL_US);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int testing_run_code(const char *name, const char *words, ...)
{
    va_list args;
    va_start(args, words);
    pid_t pid = start(name, words, args);
    va_end(args);
    return testing_run_wait(name, pid, TESTING_RUN_WAIT_MS);
}

void testing_run_must(const char *name, const char *words, ...)
{
    char err[128];
    va_list args;
    va_start(args, words);
    pid_t pid = start(name, words, args);
    va_end(args);
    int code = testing_run_wait(name, pid, TESTING_RUN_WAIT_MS);
    if (code == 0) return;
    snprintf(err, sizeof err, "%s.err", name);
    print_file(err);
    print_logs(name);
    ck_abort_msg("%s: exit code %d", name, code);
}

void testing_run_config(const char *path, const char *more)
{
    char text[sizeof config_text + LINE_BYTES];
    int n = snprintf(text, sizeof text, "%s%s", config_text, more);
    ck_assert_int_lt(n, (int)sizeof text);
    testing_put_text(path, text);
}

void testing_run_files(void)
{
    testing_run_must(
        "synth", "synth --users 120 --items 90 --types 3 --interactions 2500 --seed 3 --out data");
    testing_run_config("job.yaml", "cluster: {" TESTING_RUN_SHARDS "}\n");
}

/* ---- Results ---- */

static bool is_compared(const char *name)
{
    return name[0] != '.' && strcmp(name, "run.json") != 0;
}

static size_t count_files(const char *dir)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    if (!d) ck_abort_msg("%s is not there", dir);
    for (struct dirent *e; (e = readdir(d));) n += is_compared(e->d_name);
    closedir(d);
    return n;
}

/* The first byte in which two files differ; SIZE_MAX: none. */
static size_t first_difference(const char *a, const char *b)
{
    size_t na, nb, i = 0;
    char *x = testing_get_text(a, &na), *y = testing_get_text(b, &nb);
    while (i < na && i < nb && x[i] == y[i]) i++;
    bool same = i == na && i == nb;
    free(x);
    free(y);
    return same ? SIZE_MAX : i;
}

void testing_run_same(const char *out_a, const char *out_b)
{
    ck_assert_uint_ge(count_files(out_a), 4);
    ck_assert_uint_eq(count_files(out_a), count_files(out_b));
    DIR *d = opendir(out_a);
    for (struct dirent *e; (e = readdir(d));) {
        if (!is_compared(e->d_name)) continue;
        char *a = files_join(out_a, e->d_name), *b = files_join(out_b, e->d_name);
        if (!files_exist(b)) ck_abort_msg("%s is not there", b);
        size_t at = first_difference(a, b);
        if (at != SIZE_MAX) ck_abort_msg("%s and %s differ at byte %zu", a, b, at);
        free(a);
        free(b);
    }
    closedir(d);
}

/* ---- The status ---- */

char *testing_run_get(const char *work_dir, const char *path)
{
    char *text = NULL, *url = NULL, *file = xprintf("%s/run/url", work_dir);
    if (files_exist(file)) url = testing_get_text(file, NULL);
    if (url && *url) {
        char *full = xprintf("%s%s", url, path);
        if (status_client_get(full, NULL, &text) != ERR_OK) text = NULL;
        free(full);
    }
    free(url);
    free(file);
    return text;
}

json_t *testing_run_status(const char *work_dir)
{
    char *text = testing_run_get(work_dir, "/api/v1/status");
    json_t *status = text ? json_loads(text, 0, NULL) : NULL;
    free(text);
    return status;
}

/* True if the log of steps has a line of `stage` at `step` or later. */
static bool has_step(const char *path, const char *stage, uint32_t step)
{
    if (!files_exist(path)) return false;
    char *text = testing_get_text(path, NULL), *rest = text, *line;
    char *wanted = xprintf("\"stage\":\"%s\",", stage);
    bool found = false;
    while (!found && (line = strsep(&rest, "\n"))) {
        const char *at = strstr(line, "\"step\":");
        found = at && strstr(line, wanted) && strtoul(at + 7, NULL, 10) >= step;
    }
    free(wanted);
    free(text);
    return found;
}

void testing_run_wait_step(const char *work_dir, const char *stage, uint32_t step)
{
    char *path = files_join(work_dir, "run/steps.jsonl");
    uint64_t end = clock_now_us() + STEP_WAIT_MS * UINT64_C(1000);
    while (!has_step(path, stage, step)) {
        if (clock_now_us() > end) {
            print_logs(work_dir);
            ck_abort_msg("%s does not get to %s step %u", work_dir, stage, step);
        }
        usleep(POLL_US / 5);
    }
    free(path);
}

/* ---- Processes ---- */

/* True if process `pid` is of the run in `work_dir`; its words are in line[LINE_BYTES]. */
static bool is_of_run(long pid, const char *work_dir, char *line)
{
    char path[64], needle[512], here[256];
    snprintf(path, sizeof path, "/proc/%ld/cmdline", pid);
    int fd = open(path, O_RDONLY);
    if (fd < 0) return false;
    ssize_t n = read(fd, line, LINE_BYTES - 1);
    close(fd);
    if (n <= 0) return false;
    for (ssize_t i = 0; i < n; i++) {
        if (!line[i]) line[i] = ' ';
    }
    line[n] = 0;
    if (!getcwd(here, sizeof here)) return false;
    snprintf(needle, sizeof needle, "%s/%s/run/config.yaml", here, work_dir);
    return strstr(line, needle) && strstr(line, "weft-");
}

pid_t testing_run_process(const char *work_dir, const char *role, uint32_t index)
{
    char line[LINE_BYTES], program[64], words[64];
    pid_t found = 0;
    DIR *d = opendir("/proc");
    snprintf(program, sizeof program, "/%s ", role);
    snprintf(words, sizeof words, "--index %u ", index);
    for (struct dirent *e; d && !found && (e = readdir(d));) {
        long pid = strtol(e->d_name, NULL, 10);
        if (pid <= 0 || !is_of_run(pid, work_dir, line)) continue;
        bool scheduler = strcmp(role, "weft-scheduler") == 0;
        if (strstr(line, program) && (scheduler || strstr(line, words))) found = (pid_t)pid;
    }
    if (d) closedir(d);
    return found;
}

static uint32_t count_processes(const char *work_dir)
{
    char line[LINE_BYTES];
    uint32_t n = 0;
    DIR *d = opendir("/proc");
    for (struct dirent *e; d && (e = readdir(d));) {
        long pid = strtol(e->d_name, NULL, 10);
        n += pid > 0 && is_of_run(pid, work_dir, line);
    }
    if (d) closedir(d);
    return n;
}

void testing_run_wait_gone(const char *work_dir, uint32_t timeout_ms)
{
    uint64_t end = clock_now_us() + timeout_ms * UINT64_C(1000);
    while (count_processes(work_dir)) {
        if (clock_now_us() > end) {
            print_logs(work_dir);
            ck_abort_msg("%u processes of %s are left", count_processes(work_dir), work_dir);
        }
        usleep(POLL_US);
    }
}

/* ---- What is left ---- */

char *testing_run_store(const char *work_dir)
{
    char *folder = files_join(work_dir, "store"), *found = NULL;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && !found && (e = readdir(d));) {
        if (strlen(e->d_name) == 16) found = files_join(folder, e->d_name);
    }
    if (d) closedir(d);
    free(folder);
    return found;
}

static bool is_leftover(const char *name)
{
    const char *dot = strrchr(name, '.');
    return strcmp(name, "url") == 0 || strcmp(name, "token") == 0 ||
           (dot && strcmp(dot, ".sock") == 0) || strncmp(name, ".partial-", 9) == 0 ||
           strstr(name, ".tmp");
}

static void check_folder(const char *work_dir, const char *name)
{
    char *path = files_join(work_dir, name);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (is_leftover(e->d_name)) ck_abort_msg("%s/%s was left behind", path, e->d_name);
    }
    if (d) closedir(d);
    free(path);
}

static void check_logs(const char *work_dir)
{
    static const char *const bad[] = {"Sanitizer", "runtime error:", "assertion"};
    char *logs = files_join(work_dir, "logs");
    DIR *d = opendir(logs);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        char *path = files_join(logs, e->d_name), *text = testing_get_text(path, NULL);
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            if (!strstr(text, bad[i])) continue;
            print_file(path);
            ck_abort_msg("%s: %s", path, bad[i]);
        }
        free(text);
        free(path);
    }
    if (d) closedir(d);
    free(logs);
}

void testing_run_left_nothing(const char *work_dir)
{
    uint32_t left = count_processes(work_dir);
    if (left) ck_abort_msg("%u processes of %s are left", left, work_dir);
    static const char *const folders[] = {"run", "store", "out", "cache/text", "."};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        check_folder(work_dir, folders[i]);
    check_logs(work_dir);
}

void testing_run_said(const char *name, const char *part)
{
    char *path = xprintf("%s.err", name), *text = testing_get_text(path, NULL);
    if (!strstr(text, part)) {
        print_file(path);
        ck_abort_msg("%s does not say \"%s\"", path, part);
    }
    free(text);
    free(path);
}

void testing_run_wait_said(const char *name, const char *part)
{
    char *path = xprintf("%s.err", name);
    uint64_t end = clock_now_us() + TESTING_RUN_WAIT_MS * UINT64_C(1000);
    for (bool said = false; !said && clock_now_us() < end; usleep(20000)) {
        char *text = files_exist(path) ? testing_get_text(path, NULL) : NULL;
        said = text && strstr(text, part);
        free(text);
    }
    free(path);
    testing_run_said(name, part);
}

void testing_run_refused(const char *before, const testing_run_refusal *refusals, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int code = testing_run_code("refused", "%s%s", before, refusals[i].words);
        ck_assert_msg(code == refusals[i].code, "%s: %d", refusals[i].words, code);
        testing_run_said("refused", refusals[i].says);
    }
}
