#include "common/numerics.h"

#include "common/blas.h"
#include "common/log.h"
#include "source_hash.h"

#include <cblas.h>
#include <ctype.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <unistd.h>

static char id_text[160], core_text[32];

const char *numerics_core(void)
{
    if (core_text[0] == '\0') {
        const char *name = openblas_get_corename();
        for (size_t i = 0; name[i] && i + 1 < sizeof core_text; i++) {
            core_text[i] = (char)toupper((unsigned char)name[i]);
        }
    }
    return core_text;
}

/* "OpenBLAS 0.3.21 DYNAMIC_ARCH ..." -> "0.3.21". */
static void blas_version(char out[32])
{
    const char *config = openblas_get_config();
    const char *p = strchr(config, ' ');
    size_t n = p ? strcspn(p + 1, " ") : 0;
    snprintf(out, 32, "%.*s", (int)(n < 31 ? n : 31), p ? p + 1 : "");
}

const char *numerics_id(void)
{
    if (id_text[0] == '\0') {
        char version[32];
        blas_version(version);
        snprintf(id_text, sizeof id_text, "openblas-%s/%s glibc-%s weft-%s", version,
                 numerics_core(), gnu_get_libc_version(), WEFT_SOURCE_HASH);
    }
    return id_text;
}

/* OpenBLAS chooses, and starts its threads, when it is loaded: the variables have to be there
 * before main. */
static err_code execute_again(char **argv, const char *core)
{
    if (setenv("OPENBLAS_CORETYPE", core, 1) == 0 && setenv("OPENBLAS_NUM_THREADS", "1", 1) == 0) {
        execv("/proc/self/exe", argv);
    }
    log_error("numerics_exec", "core=%s error=\"%s\"", core, strerror(errno));
    return ERR_IO;
}

/* Threads of OpenBLAS' own would have signals unblocked: SIGTERM would end the process there and
 * then, whatever the main thread wants to do about it. */
static bool has_one_thread(void)
{
    const char *threads = getenv("OPENBLAS_NUM_THREADS");
    return threads && strcmp(threads, "1") == 0;
}

err_code numerics_start(char **argv, const char *core_type)
{
    const char *preset = getenv("OPENBLAS_CORETYPE");
    const char *wanted = core_type;
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
        if (strcasecmp(wanted, "NEHALEM") != 0) {
            log_warn("numerics_core", "wanted=%s using=NEHALEM why=\"this CPU lacks AVX2 or FMA\"",
                     wanted);
        }
        wanted = "NEHALEM";
    }
    if (preset == NULL || preset[0] == '\0') return execute_again(argv, wanted);
    if (!has_one_thread()) return execute_again(argv, preset);
    if (strcasecmp(preset, wanted) != 0) {
        log_warn("numerics_core", "wanted=%s using=%s why=\"OPENBLAS_CORETYPE is preset\"", wanted,
                 preset);
    }
    prctl(PR_SET_NAME, program_invocation_short_name); /* execv has made it "exe" */
    blas_start();
    (void)numerics_id();
    if (strcasecmp(numerics_core(), preset) != 0) {
        log_warn("numerics_core", "wanted=%s using=%s why=\"OpenBLAS does not know it\"", preset,
                 numerics_core());
    }
    return ERR_OK;
}
