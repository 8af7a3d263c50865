#include "testing_fuzz.h"

#include "common/files.h"
#include "common/mem.h"
#include "common/panic.h"
#include "testing_prepare.h"

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

uint8_t *testing_fuzz_spoil(testing_fuzz_input *in, const uint8_t *good, size_t size,
                            bool may_resize, size_t *out_size)
{
    size_t got;
    uint8_t *p = xmalloc(size + in->size + 1);
    memcpy(p, good, size);
    while (in->size) {
        uint32_t how = (uint32_t)testing_fuzz_number(in, 1) % (may_resize ? 5 : 2);
        if (how == 0 && size >= 4) { /* a number */
            uint32_t v = (uint32_t)testing_fuzz_number(in, 4);
            memcpy(p + testing_fuzz_number(in, 3) % (size / 4) * 4, &v, sizeof v);
        } else if (how == 1 && size) {
            size_t at = testing_fuzz_number(in, 3) % size;
            p[at] = (uint8_t)testing_fuzz_number(in, 1);
        } else if (how == 2) {
            size = testing_fuzz_number(in, 2) % (size + 1);
        } else if (how >= 3) {
            if (how == 4) size = 0;
            const uint8_t *more = testing_fuzz_bytes(in, testing_fuzz_number(in, 1), &got);
            memcpy(p + size, more, got);
            size += got;
        }
    }
    *out_size = size;
    return p;
}

const config *testing_fuzz_prepared(const char **store_folder)
{
    static config *c;
    static char *folder_of_store;
    if (!c) {
        char here[4096];
        ASSERT(getcwd(here, sizeof here) && chdir(testing_fuzz_folder()) == 0);
        testing_prepare_write(40, 60, 1500, 3);
        c = testing_prepare_config("hgnn: {batch: 16, negatives: 4, fanout: [4, 3]}\n"
                                   "two_tower: {batch: 16, uniform_negatives: 4}\n"
                                   "validate: {every: 5}\n");
        char *path = testing_prepare_run(c);
        folder_of_store = realpath(path, NULL);
        ASSERT(folder_of_store);
        free(path);
        ASSERT(chdir(here) == 0);
    }
    *store_folder = folder_of_store;
    return c;
}
