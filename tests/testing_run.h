/* testing_run.h - whole runs of `weft train` in the current folder, as processes of this build.
 *
 * Every process started here dies with the test.  A call that goes wrong fails the test and prints
 * what the run wrote to stderr. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { TESTING_RUN_WAIT_MS = 240000 };

/* Writes data/ (120 users, 90 items of 3 types, 2500 interactions, attributes of users) and the
 * configuration job.yaml: few steps, but several slots a step, chunks a slot and partitions. */
void testing_run_files(void);
/* The configuration of job.yaml without its `cluster` block, and `more` of it. */
void testing_run_config(const char *path, const char *more);
/* Of `cluster`: a checkpoint has as many files, and some file systems take long to make one. */
#define TESTING_RUN_SHARDS "virtual_shards: 16"

/* Starts `weft` with `words`, split at spaces; stdout and stderr go to <name>.out and <name>.err.
 */
pid_t testing_run_start(const char *name, const char *words, ...)
    __attribute__((format(printf, 2, 3)));
/* The exit code, or -signal. */
int testing_run_wait(const char *name, pid_t pid, uint32_t timeout_ms);
/* Both. */
int testing_run_code(const char *name, const char *words, ...)
    __attribute__((format(printf, 2, 3)));
/* The same, and the exit code must be 0. */
void testing_run_must(const char *name, const char *words, ...)
    __attribute__((format(printf, 2, 3)));

/* What is refused: its words, the exit code, and a part of what stderr says. */
typedef struct testing_run_refusal {
    const char *words;
    int code;
    const char *says;
} testing_run_refusal;
/* Runs `before` and the words of each, and fails unless they are refused so. */
void testing_run_refused(const char *before, const testing_run_refusal *refusals, size_t n);

/* As testing_run_start, but of another program of this build ("weft-worker"). */
pid_t testing_run_start_program(const char *program, const char *name, const char *words, ...)
    __attribute__((format(printf, 3, 4)));

/* Fails unless both results have the same files with the same bytes, except run.json. */
void testing_run_same(const char *out_a, const char *out_b);

/* The status of the run in `work_dir`, owned (json_decref); NULL: there is none (yet). */
json_t *testing_run_status(const char *work_dir);
/* GET of an address of that run, the body, owned; NULL: no answer. */
char *testing_run_get(const char *work_dir, const char *path);
/* Waits until step `step` of `stage` is done. */
void testing_run_wait_step(const char *work_dir, const char *stage, uint32_t step);

/* The number of the process of `role` ("weft-worker") and index of the run in work_dir, 0: none. */
pid_t testing_run_process(const char *work_dir, const char *role, uint32_t index);
/* Waits until no process of that run is left. */
void testing_run_wait_gone(const char *work_dir, uint32_t timeout_ms);
/* The folder of the one prepared store of work_dir, owned; NULL: there is none. */
char *testing_run_store(const char *work_dir);
/* Fails if a run left processes, sockets, its URL, its token or unfinished files behind, or if a
 * sanitizer wrote into its logs. */
void testing_run_left_nothing(const char *work_dir);
/* Fails unless <name>.err holds `part`. */
void testing_run_said(const char *name, const char *part);
/* The same, as soon as it has. */
void testing_run_wait_said(const char *name, const char *part);
