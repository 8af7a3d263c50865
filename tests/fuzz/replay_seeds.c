/* replay_seeds.c - runs a fuzz target over files without libFuzzer: every file given, every prefix
 * of it, and a few thousand changed copies (-changes=N: N, and few prefixes).  Proves that what was
 * found once stays fixed. */
#include "common/mem.h"
#include "common/rng.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEED_MAX = 1 << 20, CHANGES = 2000 };

static uint64_t changes = CHANGES;

/* A copy of exactly `size` bytes, so that ASan sees a read past it. */
static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = xmalloc(size ? size : 1);
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void run_changed(const uint8_t *data, size_t size)
{
    uint8_t *copy = xmalloc(size ? size : 1);
    for (uint64_t i = 0; size && i < changes; i++) {
        memcpy(copy, data, size);
        for (uint32_t j = 0; j <= i % 4; j++) {
            copy[rng_below(size, i, 2 * j, size)] = (uint8_t)rng_u32(size, i, 2 * j + 1);
        }
        run(copy, size);
    }
    free(copy);
}

static int run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return 1;
    }
    uint8_t *data = xmalloc(SEED_MAX);
    size_t size = fread(data, 1, SEED_MAX, f);
    fclose(f);
    size_t stride = changes < CHANGES ? size / 8 + 1 : size > 4096 ? 97 : 1;
    for (size_t n = 0; n <= size; n += stride) run(data, n);
    run(data, size);
    run_changed(data, size);
    free(data);
    return 0;
}

int main(int argc, char **argv)
{
    int failed = argc < 2, files = 0;
    for (int i = 1; i < argc; i++) {
        if (sscanf(argv[i], "-changes=%" SCNu64, &changes) == 1) continue;
        DIR *folder = opendir(argv[i]);
        if (!folder) {
            perror(argv[i]);
            return 1;
        }
        for (struct dirent *e; (e = readdir(folder));) {
            if (e->d_name[0] == '.') continue;
            char *path = xprintf("%s/%s", argv[i], e->d_name);
            failed |= run_file(path);
            files++;
            free(path);
        }
        closedir(folder);
    }
    printf("%d seeds\n", files);
    return failed || !files;
}
