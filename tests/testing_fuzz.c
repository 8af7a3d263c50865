#include "testing_fuzz.h"

#include "common/files.h"
#include "common/mem.h"
#include "common/panic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64];
static pid_t owner;

static void remove_folder(void)
{
    if (getpid() != owner) return;
    err_code rc = files_remove_tree(folder);
    (void)rc;
}

const char *testing_fuzz_folder(void)
{
    if (folder[0]) return folder;
    strcpy(folder,
           access("/dev/shm", W_OK) == 0 ? "/dev/shm/weft-fuzz-XXXXXX" : "/tmp/weft-fuzz-XXXXXX");
    ASSERT(mkdtemp(folder));
    owner = getpid();
    atexit(remove_folder);
    return folder;
}

const char *testing_fuzz_file(const char *name, const uint8_t *data, size_t size)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", testing_fuzz_folder(), name);
    FILE *f = fopen(path, "wb");
    ASSERT(f);
    ASSERT(fwrite(data, 1, size, f) == size);
    ASSERT(fclose(f) == 0);
    return path;
}

uint64_t testing_fuzz_number(testing_fuzz_input *in, size_t bytes)
{
    uint64_t v = 0;
    size_t got;
    const uint8_t *p = testing_fuzz_bytes(in, bytes, &got);
    for (size_t i = 0; i < got; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

const uint8_t *testing_fuzz_bytes(testing_fuzz_input *in, size_t bytes, size_t *got)
{
    const uint8_t *p = in->data;
    *got = bytes < in->size ? bytes : in->size;
    in->data += *got;
    in->size -= *got;
    return p;
}

char *testing_fuzz_text(testing_fuzz_input *in)
{
    char *text = xstrndup((const char *)in->data, in->size);
    in->data += in->size;
    in->size = 0;
    return text;
}
