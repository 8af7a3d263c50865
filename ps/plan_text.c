#include "ps/plan_text.h"

#include "common/files.h"
#include "common/log.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

enum { PLAN_TEXT_MAX = 1 << 20, DIFFERENCES_MAX = 20 };

err_code plan_text_write(const char *run_dir, const config *c)
{
    char *path = files_join(run_dir, "plan.yaml"), *text = config_print(c, CONFIG_PLAN_ONLY);
    err_code rc = files_write_atomic(path, text, strlen(text), 0644);
    free(text);
    free(path);
    return rc;
}

err_code plan_text_read(const char *run_dir, config **out)
{
    char *path = files_join(run_dir, "plan.yaml"), *text = NULL;
    size_t bytes;
    *out = NULL;
    err_code rc =
        files_exist(path) ? files_read(path, PLAN_TEXT_MAX, &text, &bytes) : ERR_NOT_FOUND;
    if (rc == ERR_OK) rc = config_parse(path, text, NULL, 0, out);
    free(text);
    free(path);
    return rc;
}

/* The next line of *text, which moves on; NULL: there is none. */
static char *next_line(char **text)
{
    return strsep(text, "\n");
}

bool plan_text_differences(const char *run_dir, const config *c)
{
    char *path = files_join(run_dir, "plan.yaml"), *now = config_print(c, CONFIG_PLAN_ONLY);
    char *was = NULL, section[128] = "";
    size_t bytes;
    uint32_t differences = 0;
    err_code rc = files_read(path, PLAN_TEXT_MAX, &was, &bytes);
    char *a = was, *b = now, *x, *y;
    while (rc == ERR_OK && (x = next_line(&a)) && (y = next_line(&b))) {
        if (*y && *y != ' ' && *y != '#') {
            size_t n = strcspn(y, ":");
            memcpy(section, y, n < sizeof section ? n : 0);
            section[n < sizeof section ? n : 0] = 0;
        }
        if (strcmp(x, y) == 0 || differences++ == DIFFERENCES_MAX) continue;
        log_user_error("  %s: \"%s\", the job has \"%s\"", section, y + strspn(y, " "),
                       x + strspn(x, " "));
    }
    bool others = rc == ERR_OK && !differences;
    if (others) log_user_error("  no key differs: the prepared data are others");
    free(was);
    free(now);
    free(path);
    return others;
}
