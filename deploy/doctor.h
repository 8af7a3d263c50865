/* doctor.h - what on this machine would stop a job, or slow it down, before it is started.
 *
 * Each check says one thing in one line.  `fail`: the job would not start or not end well; `warn`:
 * worth knowing.  Nothing is changed but a file that is written and removed to time fsync. Threads:
 * one owner. */
#pragma once

#include "common/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef enum doctor_status { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL } doctor_status;

typedef struct doctor_check {
    const char *name; /* static */
    doctor_status status;
    char *detail;
} doctor_check;

typedef struct doctor {
    const config *config; /* borrowed until doctor_fini */
    doctor_check *check;  /* owned */
    size_t n, cap;
} doctor;

void doctor_init(doctor *d, const config *c);
void doctor_fini(doctor *d);
/* Runs all of them, in the order they are printed. */
void doctor_run(doctor *d);
bool doctor_failed(const doctor *d);
/* ERR_IO. */
MUST_USE err_code doctor_print(const doctor *d, bool json, FILE *out);

void doctor_add(doctor *d, const char *name, doctor_status status, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The name of a statfs(2) type, static, and whether it is over a network; NULL: not known. */
const char *doctor_file_system(long type, bool *network);

/* The groups, in doctor_system.c, doctor_disk.c, doctor_network.c, doctor_data.c. */
void doctor_system(doctor *d);  /* limits, CPU, numerics, clock */
void doctor_disk(doctor *d);    /* folders, file systems, fsync */
void doctor_network(doctor *d); /* addresses, ports, keys, tokens */
void doctor_data(doctor *d); /* input files, encoder, and what the plan needs of memory and disk */
