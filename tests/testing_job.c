#include "testing_job.h"

#include "testing_prepare.h"

#include <check.h>

job *testing_job(const char *keys, char **store)
{
    job *j;
    testing_prepare_write(150, 90, 4000, 5);
    config *c = testing_prepare_config(keys);
    *store = testing_prepare_run(c);
    ck_assert_int_eq(job_load(c, *store, &j), ERR_OK);
    return j;
}
