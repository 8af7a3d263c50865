/* Fuzzes job_decode, the answer to CONFIG: what a worker that knows an address only believes.  It
 * is refused or becomes a job that encodes again, with a plan whose names can be asked for. */
#include "common/job.h"
#include "common/panic.h"
#include "testing_fuzz.h"

enum { STEPS_MAX = 20 };

static void check_plan(const plan *p)
{
    uint32_t stages[STAGE_COUNT], n = plan_stages(p, stages);
    plan_work work;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t steps = plan_steps(p, stages[i]);
        for (uint32_t t = 1; t <= steps && t <= STEPS_MAX; t++) {
            if (plan_slots(p, stages[i], t))
                ASSERT(plan_slot(p, plan_name(p, stages[i], t, 0), &work));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    job *j, *again;
    blob *body = blob_copy(data, size);
    if (job_decode(body, &j) == ERR_OK) {
        blob *b = job_encode(j);
        ASSERT(job_decode(b, &again) == ERR_OK);
        ASSERT(again->plan_hash == j->plan_hash);
        check_plan(j->plan);
        blob_unref(b);
        job_free(again);
        job_free(j);
    }
    blob_unref(body);
    return 0;
}
