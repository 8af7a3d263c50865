/* job_watch.h - what the status of the running job says, for the driver that looks after its
 * processes.
 *
 * The address is in run_dir/url, perhaps another one after each start of the scheduler.  The status
 * is fetched now and then and kept; while the scheduler is away there is none.  Threads: one owner.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { JOB_WATCH_MS = 300 };

typedef struct job_watch {
    const char *run_dir;    /* borrowed, as the next */
    const char *token_file; /* "": none is needed */
    char *url;              /* NULL: not known (yet) */
    char *place;            /* "127.0.0.1:1234", of the one before; NULL: it had none */
    char *text;             /* the newest status, JSON; NULL: no answer */
    uint64_t tried_us;      /* the last time it was asked for */
    uint64_t asked_us;      /* when the newest status was asked for; 0: never */
    /* Of the newest status, kept while there is none. */
    bool ends;                 /* the job is stopping, done or failed */
    bool runs;                 /* servers that no map names may go */
    bool wants;                /* it says how many are wanted */
    uint32_t workers, servers; /* wanted */
    uint32_t servers_now;      /* that the map has */
} job_watch;

/* token_file: http.token_file.  Both are borrowed until job_watch_fini. */
void job_watch_init(job_watch *w, const char *run_dir, const char *token_file);
void job_watch_fini(job_watch *w);

/* Another scheduler is about to start: its address is not known, and what the old one left goes. */
void job_watch_forget(job_watch *w);
/* Reads run_dir/url if the address is not known.  True: it is. */
bool job_watch_find(job_watch *w);
/* Asks again if the last time is JOB_WATCH_MS ago. */
void job_watch_poll(job_watch *w, uint64_t now_us);
