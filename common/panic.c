#include "common/panic.h"

#include <stdio.h>
#include <stdlib.h>

void panic(const char *file, int line, const char *what)
{
    fprintf(stderr, "weft: %s:%d: failed: %s\n", file, line, what);
    abort();
}
