#include "deploy/replay_slot.h"

err_code replay_slot_open(replay_slot *s, const job *j, const char *store_folder,
                          const char *model_dir, slot_name name)
{
    *s = (replay_slot){.job = j, .asked = {.name = name, .generation = 1}};
    s->asked.need = s->need;
    s->asked.reply = s->reply;
    err_code rc = store_open(store_folder, NULL, 0, j->config->store.verify, &s->store);
    if (rc == ERR_OK) rc = build_env_new(j->config, j->manifest, j->plan, s->store, &s->env);
    if (rc == ERR_OK) rc = replay_source_open(j, s->env, store_folder, model_dir, &s->source);
    if (rc == ERR_OK) s->inputs = task_inputs_new(j);
    return rc;
}

err_code replay_slot_build(const replay_slot *s, blob **out)
{
    build *b;
    build_result done;
    err_code rc = build_new(s->env, s->asked.name, &b);
    *out = NULL;
    if (rc != ERR_OK) return rc;
    rc = build_step(b, &done);
    if (rc == ERR_OK && done.state != BUILD_DONE) rc = ERR_NOT_FOUND; /* All partitions are here. */
    if (rc == ERR_OK) *out = done.body;
    build_free(b);
    return rc;
}

err_code replay_slot_begin(replay_slot *s, blob *batch)
{
    s->asked.build = batch;
    return task_inputs_begin(s->inputs, &s->asked, &s->task);
}

static err_code answer_needs(replay_slot *s, replay_slot_visit *visit, void *context)
{
    for (err_code rc; s->answered < s->asked.needs; s->answered++) {
        uint32_t i = s->answered;
        rc = replay_source_answer(s->source, &s->need[i], &s->reply[i]);
        if (rc == ERR_OK && visit) rc = visit(context, &s->need[i], s->reply[i]);
        if (rc != ERR_OK) return rc;
    }
    return ERR_OK;
}

/* Rounds as of the worker's loop. */
err_code replay_slot_gather(replay_slot *s, replay_slot_visit *visit, void *context)
{
    bool more = true;
    err_code rc = ERR_OK;
    while (rc == ERR_OK && more) {
        rc = task_inputs_round(s->inputs, s->task, &s->asked, s->need, &s->asked.needs, &more);
        if (rc == ERR_OK) rc = answer_needs(s, visit, context);
    }
    return rc;
}

void replay_slot_close(replay_slot *s)
{
    task_free(s->task);
    task_inputs_free(s->inputs);
    for (uint32_t i = 0; i < s->asked.needs; i++) {
        blob_unref(s->need[i].body);
        blob_unref(s->reply[i]);
    }
    blob_unref(s->asked.build);
    replay_source_close(s->source);
    build_env_free(s->env);
    store_close(s->store);
}
