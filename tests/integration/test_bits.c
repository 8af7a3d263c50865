/* Proves: the same configuration gives the same bytes in every file of the result, whatever the
 * number of workers, samplers, servers, threads, virtual shards, and in one process; over the
 * choices that change what is sent, sampled or summed. */
/* labels: bits */
#include "testing_files.h"
#include "testing_run.h"

#include "common/files.h"
#include "common/npy.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void setup(void)
{
    testing_enter_folder();
    testing_run_files();
}

static const char *const shapes[] = {
    "--in-process --workers 2 --samplers 3 --servers 2",
    "--workers 1 --samplers 1 --servers 1",
    "--workers 3 --samplers 2 --servers 2 --set cluster.virtual_shards=7 --set worker.cache=64KiB",
    "--workers 2 --samplers 1 --servers 3 --set cluster.threads=2 --set prepare.threads=2",
};

START_TEST(any_number_of_processes_gives_the_same_bytes)
{
    testing_run_must("one", "train -c job.yaml --set work_dir=one --in-process");
    testing_run_must("other", "train -c job.yaml --set work_dir=other %s", shapes[_i]);
    testing_run_same("one/out", "other/out");
    testing_run_left_nothing("one");
    testing_run_left_nothing("other");
}
END_TEST

/* Keys that change what is computed; cheap evaluation, for it is not what differs. */
static const char *const variants[] = {
    /* The paper's setting, a sparse table in the graph model, positives that are no negatives. */
    "--set hgnn.aggregator=max_pool --set hgnn.loss=hinge --set hgnn.id_embedding=8 "
    "--set hgnn.reject=neighbours --set hgnn.reject_keep=4 --set hgnn.pairs=edges "
    "--set graph.weight=count",
    /* Shared parameters, negatives of the batch, weighted neighbours, int8 features. */
    "--set hgnn.parameters=shared --set hgnn.in_batch=true --set hgnn.neighbours=weight "
    "--set features.storage=int8 --set hgnn.aggregator=mean --set hgnn.balance=sqrt "
    "--set two_tower.negatives=all --set history.pool=per_type --set hgnn.optimizer.name=sgd",
    /* Both histories, dense vectors of users, no z, weights by user. */
    "--set history.pool=both --set data.users.vector=data/users.npy --set two_tower.use_z=false "
    "--set graph.weight=user_norm --set hgnn.output_activation=relu --set history.max_items=7 "
    "--set two_tower.optimizer.sparse=lazy_adam --set hgnn.optimizer.clip=0.5",
    /* Without text, ids, uniform negatives and skip; the gradient rounded on the wire. */
    "--set two_tower.use_text=false --set two_tower.item_id=0 --set two_tower.uniform_negatives=0 "
    "--set two_tower.popularity=false --set two_tower.item_drop=0 --set two_tower.skip=none "
    "--set hgnn.neighbour_drop=0 --set hgnn.random_features=0 "
    "--set train.microbatches_per_step=1 --set split.method=random --set graph.partitioner=hash",
    /* Steps computed on the tables from two steps before, rows among them. */
    "--set train.delay=2 --set hgnn.id_embedding=8 --set train.microbatches_per_step=3",
};

static void write_user_vectors(void)
{
    enum { USERS = 120, DIM = 6 };
    static float v[USERS * DIM];
    for (size_t i = 0; i < USERS * DIM; i++) v[i] = (float)(i * 37 % 101) / 101.0f - 0.5f;
    uint64_t shape[2] = {USERS, DIM};
    ck_assert_int_eq(npy_write("data/users.npy", NPY_F32, shape, 2, v), ERR_OK);
}

START_TEST(every_choice_gives_the_same_bytes)
{
    static const char fewer[] = "--set hgnn.max_steps=6 --set two_tower.max_steps=6 --set "
                                "validate.every=3";
    write_user_vectors();
    testing_run_must("one", "train -c job.yaml --set work_dir=one --in-process %s %s", fewer,
                     variants[_i]);
    testing_run_must("other",
                     "train -c job.yaml --set work_dir=other --workers 2 --samplers 2 --servers 2 "
                     "%s %s",
                     fewer, variants[_i]);
    testing_run_same("one/out", "other/out");
    testing_run_left_nothing("other");
}
END_TEST

START_TEST(another_seed_gives_other_bytes)
{
    testing_run_must("one", "train -c job.yaml --set work_dir=one --in-process");
    testing_run_must("two", "train -c job.yaml --set work_dir=two --in-process --set seed=8");
    size_t n = 0, m = 0;
    char *a = testing_get_text("one/out/metrics.jsonl", &n);
    char *b = testing_get_text("two/out/metrics.jsonl", &m);
    ck_assert(n != m || memcmp(a, b, n) != 0);
    free(a);
    free(b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("bits");
    TCase *c = tcase_create("bits");
    tcase_set_timeout(c, 300);
    tcase_add_checked_fixture(c, setup, testing_leave_folder);
    tcase_add_loop_test(c, any_number_of_processes_gives_the_same_bytes, 0,
                        (int)(sizeof shapes / sizeof *shapes));
    tcase_add_loop_test(c, every_choice_gives_the_same_bytes, 0,
                        (int)(sizeof variants / sizeof *variants));
    tcase_add_test(c, another_seed_gives_other_bytes);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
