#include "testing_capture.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char text[65536];
static FILE *file;
static int saved = -1;

void capture_begin(void)
{
    fflush(stderr);
    file = tmpfile();
    saved = dup(2);
    if (!file || saved < 0 || dup2(fileno(file), 2) < 0) abort();
}

const char *capture_end(void)
{
    fflush(stderr);
    if (dup2(saved, 2) < 0) abort();
    close(saved);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    return text;
}
