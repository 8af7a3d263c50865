#include "common/version.h"

#include "common/cli.h"
#include "common/json.h"
#include "common/numerics.h"
#include "common/wire.h"

#include <lmdb.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>
#include <zmq.h>

__attribute__((weak)) const char weft_commit[] = "unknown";

enum { FEATURES_MAX = 4, LIBRARIES_MAX = 4, LIBRARY_TEXT_MAX = 48 };

/* What builds differ in, NULL-terminated. */
static void list_features(const char *feature[FEATURES_MAX])
{
    size_t n = 0;
    if (zmq_has("curve")) feature[n++] = "curve";
#ifdef WEFT_ASAN
    feature[n++] = "asan";
#endif
    feature[n] = NULL;
}

static void list_libraries(char library[LIBRARIES_MAX][LIBRARY_TEXT_MAX])
{
    int major, minor, patch;
    zmq_version(&major, &minor, &patch);
    snprintf(library[0], LIBRARY_TEXT_MAX, "libzmq %d.%d.%d", major, minor, patch);
    mdb_version(&major, &minor, &patch);
    snprintf(library[1], LIBRARY_TEXT_MAX, "lmdb %d.%d.%d", major, minor, patch);
    snprintf(library[2], LIBRARY_TEXT_MAX, "libmicrohttpd %.30s", MHD_get_version());
    snprintf(library[3], LIBRARY_TEXT_MAX, "libyaml %.30s", yaml_get_version_string());
}

static int print_json(void)
{
    json_writer w;
    const char *feature[FEATURES_MAX];
    char library[LIBRARIES_MAX][LIBRARY_TEXT_MAX];
    list_features(feature);
    list_libraries(library);
    json_init_file(&w, stdout, JSON_STYLE_SPACED);
    json_object_begin(&w);
    json_field_string(&w, "weft", WEFT_VERSION);
    json_field_string(&w, "commit", weft_commit);
    json_field_string(&w, "compiler", __VERSION__);
    json_field_u64(&w, "protocol", WIRE_PROTOCOL);
    json_field_string(&w, "numerics", numerics_id());
    json_key(&w, "features");
    json_array_begin(&w);
    for (size_t i = 0; feature[i]; i++) json_str(&w, feature[i]);
    json_array_end(&w);
    json_key(&w, "libraries");
    json_array_begin(&w);
    for (size_t i = 0; i < LIBRARIES_MAX; i++) json_str(&w, library[i]);
    json_array_end(&w);
    json_object_end(&w);
    return err_exit(json_finish_line(&w));
}

static int print_text(void)
{
    const char *feature[FEATURES_MAX];
    char library[LIBRARIES_MAX][LIBRARY_TEXT_MAX];
    list_features(feature);
    list_libraries(library);
    printf("weft %s\ncommit     %s\ncompiler   %s\nprotocol   %d\nnumerics   %s\nfeatures  ",
           WEFT_VERSION, weft_commit, __VERSION__, WIRE_PROTOCOL, numerics_id());
    for (size_t i = 0; feature[i]; i++) printf(" %s", feature[i]);
    printf("\nlibraries ");
    for (size_t i = 0; i < LIBRARIES_MAX; i++) printf("%s %s", i ? "," : "", library[i]);
    putchar('\n');
    return 0;
}

bool version_asked(char **argv, int *code)
{
    bool asked = argv[0] && argv[1] && strcmp(argv[1], "-V") == 0, json = false;
    for (size_t i = 0; argv[i] && strcmp(argv[i], "--") != 0; i++) {
        asked = asked || strcmp(argv[i], "--version") == 0;
        json = json || strcmp(argv[i], "--json") == 0;
    }
    if (!asked) return false;
    *code = numerics_start(argv, "HASWELL") == ERR_OK ? (json ? print_json() : print_text()) : 1;
    *code = cli_finish_stdout(*code);
    return true;
}
