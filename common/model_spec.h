/* model_spec.h - which tensors a training stage has: names, shapes, places, initial values.
 *
 * A pure function of (configuration, facts of the prepared store, stage), used by every role.  All
 * dense tensors of a stage lie in one flat float array, sorted by name (strcmp); w is [out, in].
 * Names are those of the exported model; those of the stage without z begin with "two_tower_no_z."
 * instead of "two_tower.", so that both can live on the servers.
 * Immutable after model_spec_new: any thread. */
#pragma once

#include "common/config.h"
#include "common/slot.h"
#include "common/subgraph.h"

typedef struct model_attribute {
    const char *key;
    uint32_t values; /* known values; index 0 means unknown, so tables have values + 1 rows */
} model_attribute;

/* What the manifest of the prepared store says.  Borrowed until model_spec_new returns. */
typedef struct model_facts {
    uint32_t types;
    const char *const *type; /* [types] names: the order of every per-type thing */
    uint32_t relations;
    const subgraph_relation *relation; /* [relations], the order of subgraph.relation */
    uint32_t text_dim;                 /* f16 text vector, with the n-gram block */
    uint32_t item_attributes, user_attributes;
    const model_attribute *item_attribute, *user_attribute; /* in key order */
    uint32_t user_dense_dim;                                /* 0: users have no dense vector */
} model_facts;

/* What log1p of a count is multiplied with where it is an input. */
#define MODEL_COUNT_SCALE 0.3f

typedef enum model_init {
    MODEL_INIT_ZERO,
    MODEL_INIT_UNIFORM, /* (-bound, bound) */
    MODEL_INIT_VALUE,   /* bound */
    MODEL_INIT_SKIP     /* see model_spec_init */
} model_init;

typedef struct model_tensor {
    char *name;
    uint32_t rows, cols; /* w: out, in; a bias: 1, n; an embedding table: values, width */
    uint32_t rank;       /* dimensions of the exported tensor: 1 (bias) or 2 */
    size_t offset, n;    /* place in the flat array; rows * cols */
    model_init init;
    float bound;
    uint32_t identity; /* MODEL_INIT_SKIP: columns of the z part */
} model_tensor;

typedef struct model_table {
    char *name;
    uint32_t dim;
    float bound; /* a new row: uniform in (-bound, bound) */
} model_table;

enum { MODEL_TABLES_MAX = 1 };

typedef struct model_spec {
    stage_id stage;         /* STAGE_HGNN, STAGE_TWO_TOWER or STAGE_TWO_TOWER_NO_Z */
    size_t tensors, values; /* values: floats of the flat array */
    model_tensor *tensor;   /* [tensors], by name */
    uint32_t tables; /* sparse tables: hgnn.id | two_tower.item_id | two_tower_no_z.item_id */
    model_table table[MODEL_TABLES_MAX];
    /* hgnn: the input width of h^0 (text + random + id) and of z. */
    uint32_t input_dim, z_dim;
    /* two-tower: widths.  v is what stands for z: z, or text with use_z: false and without z. */
    bool use_z;     /* v is z */
    bool item_text; /* the item input has a text part of its own */
    bool skip_text; /* the skip's input has a text part of its own */
    uint32_t v_dim, user_dim, item_dim, skip_dim;
    uint32_t tower_dim, output_dim; /* of a tower; of a vector, which may end with popularity */
} model_spec;

/* owned: model_spec_free.  `stage` is a training stage or its validation. */
model_spec *model_spec_new(const config *c, const model_facts *f, stage_id stage);
void model_spec_free(model_spec *s); /* accepts NULL */

/* NULL: there is no such tensor. */
const model_tensor *model_spec_find(const model_spec *s, const char *name);

/* out [n] overwritten: elements first .. first + n - 1 of tensor `t`, a pure function of (seed,
 * name, element).
 *
 *   - weights: He uniform, bound sqrt(6 / in).  In the HGNN divided by sqrt(1 + relations into the
 *     type); shared: by the largest such number.
 *   - last layers: Xavier, bound sqrt(6 / (in + out)), in the HGNN with the same division; in
 *     towers with a skip a tenth of it.
 *   - skip: the z part is the identity where the output is at least as wide as z, else N(0, 1 /
 *     out), which keeps dot products in expectation; text and id parts are N(0, 1 / out).  Scores
 *     start as kNN in z and text.
 *   - popularity: a logit has log1p(positives) in it, whoever the user is; an unknown item's is 1.
 *   - biases: 0; the user tower's last: uniform, of length about 0.1 (all that users without any
 *     input have).
 *   - embedding tables: uniform with standard deviation 0.1; ids 0.02. */
void model_spec_init(const model_tensor *t, uint64_t seed, size_t first, size_t n, float *out);
/* The initial value of row `key` of a sparse table: out [dim]. */
void model_spec_init_row(const model_table *t, uint64_t seed, uint64_t key, float *out);
