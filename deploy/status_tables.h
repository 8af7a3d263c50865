/* status_tables.h - the processes of a status JSON as aligned tables.  Threads: any. */
#pragma once

#include <jansson.h>
#include <stdio.h>

/* Of workers, servers and samplers; of an array the number of its elements is shown. */
void status_tables_print(const json_t *status, FILE *out);
