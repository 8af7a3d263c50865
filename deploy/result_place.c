#include "deploy/result_place.h"

#include "common/log.h"
#include "common/out_dir.h"

err_code result_place_check(const config *c, const char *dir)
{
    const struct {
        const char *path, *what;
    } inputs[] = {{c->file, "the configuration"},
                  {c->data.items.path, "data.items.path"},
                  {c->data.interactions.path, "data.interactions.path"},
                  {c->data.users.path, "data.users.path"},
                  {c->data.users.vector, "data.users.vector"},
                  {c->features.precomputed.path, "features.precomputed.path"},
                  {c->features.precomputed.ids, "features.precomputed.ids"},
                  {c->split.file, "split.file"}};
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        if (!inputs[i].path || !out_dir_replaces(dir, inputs[i].path)) continue;
        log_user_error("%s: a result there would replace %s (%s): give another folder", dir,
                       inputs[i].path, inputs[i].what);
        return ERR_INVALID;
    }
    return ERR_OK;
}
