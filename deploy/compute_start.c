#include "deploy/compute_start.h"

#include "common/log.h"
#include "common/numerics.h"

err_code compute_start(const cli_options *options, char **argv, config **out)
{
    log_level level;
    config *c;
    *out = NULL;
    err_code rc = cli_load_config(options, &c);
    if (rc != ERR_OK) return rc;
    rc = numerics_start(argv, c->train.core_type);
    if (rc != ERR_OK) {
        config_free(c);
        return rc;
    }
    if (log_level_parse(c->log.level, &level)) log_set_level(level == LOG_INFO ? LOG_WARN : level);
    *out = c;
    return ERR_OK;
}
