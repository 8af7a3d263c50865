#include "testing_slot.h"

#include "common/mem.h"
#include "common/rng.h"
#include "common/table_id.h"
#include "testing_files.h"

#include <check.h>
#include <stdlib.h>

void testing_bench_use(testing_bench *b, job *j, char *folder)
{
    *b = (testing_bench){.job = j, .folder = folder};
    shard_map_init(&b->map, 1, 16, TESTING_SERVERS);
    ck_assert_int_eq(store_open(folder, NULL, 0, VERIFY_OPEN, &b->store), ERR_OK);
    ck_assert_int_eq(build_env_new(j->config, j->manifest, j->plan, b->store, &b->env), ERR_OK);
    ck_assert_int_eq(replay_source_open(j, b->env, folder, NULL, &b->source), ERR_OK);
}

void testing_bench_open(testing_bench *b, const char *keys)
{
    char *folder;
    job *j = testing_job(keys, &folder);
    testing_bench_use(b, j, folder);
}

void testing_bench_close(testing_bench *b)
{
    replay_source_close(b->source);
    build_env_free(b->env);
    store_close(b->store);
    job_free(b->job);
    free(b->folder);
}

void testing_lease_open(testing_lease *l, testing_bench *b, slot_name name)
{
    build *of;
    build_result done;
    *l = (testing_lease){.bench = b, .asked = {.name = name, .generation = 1, .map = &b->map}};
    l->asked.need = l->need;
    l->asked.reply = l->reply;
    ck_assert_int_eq(build_new(b->env, name, &of), ERR_OK);
    ck_assert_int_eq(build_step(of, &done), ERR_OK);
    ck_assert_int_eq(done.state, BUILD_DONE);
    l->asked.build = done.body;
    build_free(of);
}

void testing_lease_close(testing_lease *l)
{
    for (uint32_t i = 0; i < l->asked.needs; i++) {
        blob_unref(l->need[i].body);
        blob_unref(l->reply[i]);
    }
    blob_unref(l->asked.build);
}

/* Rows that only a running job has: of length 1, a function of the key. */
static blob *made_up_rows(const worker_need *need)
{
    const uint64_t *keys = (const uint64_t *)(const void *)blob_data(need->body);
    size_t n = blob_size(need->body) / sizeof *keys;
    blob *b = blob_new(n * need->dim * sizeof(float));
    float *rows = (float *)(void *)blob_writable(b);
    for (size_t i = 0; i < n; i++) {
        float *row = rows + i * need->dim, squares = 0;
        for (uint32_t k = 0; k < need->dim; k++) {
            row[k] = rng_normal(need->table, keys[i], k);
            squares += row[k] * row[k];
        }
        for (uint32_t k = 0; k < need->dim; k++) row[k] /= __builtin_sqrtf(squares);
    }
    return b;
}

static blob *answer(testing_bench *b, const worker_need *need)
{
    blob *body = NULL;
    if (need->kind == NEED_ROWS && need->table >= TABLE_Z) return made_up_rows(need);
    ck_assert_int_eq(replay_source_answer(b->source, need, &body), ERR_OK);
    return body;
}

err_code testing_lease_digest(testing_lease *l, engine *e, bool *again)
{
    const worker_digest *d;
    err_code rc = engine_digest_now(e, &l->asked, &d);
    if (rc != ERR_OK) return rc;
    ck_assert_uint_le(l->asked.needs + d->needs, TESTING_NEEDS_MAX);
    for (uint32_t i = 0; i < d->needs; i++) {
        uint32_t at = l->asked.needs++;
        l->need[at] = d->need[i];
        blob_ref(l->need[at].body);
        l->reply[at] = answer(l->bench, &l->need[at]);
    }
    *again = d->again;
    engine_done(NULL, 0, d);
    return ERR_OK;
}

const worker_output *testing_lease_compute(testing_lease *l, engine *e)
{
    const worker_output *out = NULL;
    bool again = true;
    for (int round = 0; again; round++) {
        ck_assert_int_lt(round, 5);
        ck_assert_int_eq(testing_lease_digest(l, e, &again), ERR_OK);
    }
    ck_assert_int_eq(engine_slot_now(e, &l->asked, &out), ERR_OK);
    return out;
}

blob **testing_lease_reply(testing_lease *l, worker_need_kind kind, uint32_t table)
{
    for (uint32_t i = 0; i < l->asked.needs; i++) {
        if (l->need[i].kind == kind && (kind != NEED_ROWS || l->need[i].table == table))
            return &l->reply[i];
    }
    return NULL;
}
