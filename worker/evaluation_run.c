#include "worker/evaluation_run.h"

#include "common/panic.h"

static evaluation_lists lists_of(const dataset_lists *l)
{
    return (evaluation_lists){l->indptr, l->item};
}

err_code evaluation_run(const config *c, const dataset *d, const string_list *types,
                        const evaluation_run_vectors *v, uint32_t threads, const progress *p,
                        evaluation_result **out)
{
    ASSERT(types->n == d->types);
    evaluation_input in = {
        .seed = c->seed,
        .types = d->types,
        .items = d->items,
        .users = d->users,
        .type_name = (const char *const *)types->items,
        .item_type = d->item_type,
        .item_key = d->item_key,
        .train_count = d->train_positives,
        .train_any = d->train_any,
        .user_types = d->user_types,
        .train = lists_of(&d->positive),
        .history = lists_of(&d->history),
        .seen_train = lists_of(&d->seen_train),
        .seen_valid = lists_of(&d->seen_valid),
        .valid = lists_of(&d->valid),
        .test = lists_of(&d->test),
        .two_tower = v->two_tower,
        .two_tower_no_z = v->two_tower_no_z,
        .z = v->z,
        .z_dim = v->z_dim,
        .text = d->text_dim > 0 ? d->text : NULL,
        .text_dim = d->text_dim,
        .baselines = c->evaluate.baselines,
        .ease_items = c->evaluate.ease_items,
        .bootstrap = c->evaluate.bootstrap,
        .recommendations = c->evaluate.recommendations,
        .threads = threads,
        .progress = p,
    };
    return evaluation_score(&in, out);
}
