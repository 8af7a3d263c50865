#include "common/job.h"

#include "common/bytes.h"
#include "common/log.h"
#include "common/mem.h"

#include <stdlib.h>

enum { CONFIG_BYTES_MAX = 4 << 20, MANIFEST_BYTES_MAX = 256 << 20 };

static const model_attribute *attribute_facts(const manifest_attribute *a, uint32_t n)
{
    model_attribute *out = xcalloc(n + 1, sizeof *out);
    for (uint32_t i = 0; i < n; i++) {
        out[i] = (model_attribute){.key = a[i].key, .values = (uint32_t)a[i].values.n};
    }
    return out;
}

static void fill_facts(job *j)
{
    const manifest *m = j->manifest;
    subgraph_relation *relation = xcalloc(m->relations + 1, sizeof *relation);
    for (uint32_t r = 0; r < m->relations; r++) {
        relation[r] = (subgraph_relation){m->relation[r].source, m->relation[r].destination};
    }
    j->facts = (model_facts){
        .types = (uint32_t)m->types.n,
        .type = (const char *const *)m->types.items,
        .relations = m->relations,
        .relation = relation,
        .text_dim = m->text_dim,
        .item_attributes = m->item_attributes,
        .user_attributes = m->user_attributes,
        .item_attribute = attribute_facts(m->item_attribute, m->item_attributes),
        .user_attribute = attribute_facts(m->user_attribute, m->user_attributes),
        .user_dense_dim = m->user_vector_dim,
    };
}

static void free_facts(model_facts *f)
{
    free((void *)(uintptr_t)f->relation);
    free((void *)(uintptr_t)f->item_attribute);
    free((void *)(uintptr_t)f->user_attribute);
}

err_code job_new(config *c, manifest *m, job **out)
{
    plan *p;
    err_code rc = plan_new(c, m, &p);
    if (rc != ERR_OK) return rc;
    job *j = xcalloc(1, sizeof *j);
    j->config = c;
    j->manifest = m;
    j->plan = p;
    fill_facts(j);
    j->hgnn = model_spec_new(c, &j->facts, STAGE_HGNN);
    j->two_tower = model_spec_new(c, &j->facts, STAGE_TWO_TOWER);
    if (plan_has_stage(p, STAGE_TWO_TOWER_NO_Z)) {
        j->two_tower_no_z = model_spec_new(c, &j->facts, STAGE_TWO_TOWER_NO_Z);
    }
    j->plan_hash = manifest_plan_hash(m, c);
    *out = j;
    return ERR_OK;
}

err_code job_load(config *c, const char *folder, job **out)
{
    manifest *m;
    err_code rc = manifest_load(folder, &m);
    if (rc != ERR_OK) return rc;
    rc = manifest_check_config(m, c);
    if (rc == ERR_OK) rc = manifest_count_positives(folder, c, m);
    if (rc == ERR_OK) rc = job_new(c, m, out);
    if (rc != ERR_OK) manifest_free(m);
    return rc;
}

void job_free(job *j)
{
    if (!j) return;
    model_spec_free(j->hgnn);
    model_spec_free(j->two_tower);
    model_spec_free(j->two_tower_no_z);
    free_facts(&j->facts);
    plan_free(j->plan);
    manifest_free(j->manifest);
    config_free(j->config);
    free(j);
}

blob *job_encode(const job *j)
{
    char *text = config_print(j->config, CONFIG_ALL);
    char *facts = manifest_print(j->manifest);
    bytes_writer w;
    bytes_writer_init(&w);
    bytes_put_string(&w, text);
    bytes_put_string(&w, facts);
    free(text);
    free(facts);
    return bytes_take_blob(&w);
}

err_code job_decode(const blob *b, job **out)
{
    bytes_reader r;
    bytes_reader_init(&r, blob_data(b), blob_size(b));
    char *text = bytes_get_string(&r, CONFIG_BYTES_MAX);
    char *facts = bytes_get_string(&r, MANIFEST_BYTES_MAX);
    config *c = NULL;
    manifest *m = NULL;
    err_code rc = ERR_INVALID;
    if (!bytes_done(&r)) {
        log_error("malformed_job", "bytes=%zu", blob_size(b));
        goto done;
    }
    rc = config_parse("scheduler's configuration", text, NULL, 0, &c);
    if (rc == ERR_OK) rc = manifest_parse(facts, &m);
    if (rc == ERR_OK) rc = job_new(c, m, out);
done:
    if (rc != ERR_OK) {
        manifest_free(m);
        config_free(c);
    }
    free(text);
    free(facts);
    return rc;
}

const model_spec *job_spec(const job *j, uint32_t stage)
{
    switch (stage) {
    case STAGE_HGNN:
    case STAGE_HGNN_VALID:
    case STAGE_EMBED: return j->hgnn;
    case STAGE_TWO_TOWER:
    case STAGE_TWO_TOWER_VALID: return j->two_tower;
    case STAGE_TWO_TOWER_NO_Z:
    case STAGE_TWO_TOWER_NO_Z_VALID: return j->two_tower_no_z;
    default: return NULL;
    }
}
