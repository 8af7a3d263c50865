/* config.h - the configuration: one table of keys (common/config_keys.c) gives parsing, bounds,
 * defaults, --print, --schema, the plan/deployment mark and the canonical form that is hashed.
 *
 * Every key is P (plan: what is computed) or D (deployment: where and by whom).  Relative paths are
 * relative to the config file and are absolute after loading.  Immutable after load: any thread.
 *
 * Why a schema of our own on libyaml, 2,700 lines: one table gives all of the above, and libcyaml
 * takes `0.1x` for 0.1 and `maybe` for true. */
#pragma once

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct string_list {
    char **items;
    size_t n;
} string_list;

/* A column value: header names joined by ". ", or one constant.  names.n == 0 and no constant: the
 * column is not mapped. */
typedef struct config_column {
    string_list names;
    char *constant; /* NULL: none */
} config_column;

enum { ROLE_GRAPH = 1, ROLE_HISTORY = 2, ROLE_POSITIVE = 4, ROLE_SEEN = 8, ROLE_ALL = 15 };

typedef struct config_kind {
    char *name;
    uint32_t roles; /* ROLE_* */
    bool has_min_weight;
    double min_weight;
} config_kind;

typedef enum order_kind { ORDER_UNSET, ORDER_TIME, ORDER_FILE, ORDER_NONE } order_kind;
typedef enum encoder_kind {
    ENCODER_EMBEDDED,
    ENCODER_PRECOMPUTED,
    ENCODER_OPENAI,
    ENCODER_HASH,
    ENCODER_NONE
} encoder_kind;
typedef enum storage_kind { STORAGE_F16, STORAGE_INT8 } storage_kind;
typedef enum edge_weight_kind { EDGE_COUNT, EDGE_COSINE, EDGE_USER_NORM } edge_weight_kind;
typedef enum partitioner_kind { PARTITION_HASH, PARTITION_LDG, PARTITION_METIS } partitioner_kind;
typedef enum split_method {
    SPLIT_AUTO,
    SPLIT_TIME,
    SPLIT_LAST,
    SPLIT_RANDOM,
    SPLIT_FILE,
    SPLIT_NONE
} split_method;
typedef enum aggregator_kind { AGG_MAX_POOL, AGG_MEAN, AGG_WEIGHTED_MEAN } aggregator_kind;
typedef enum loss_kind { LOSS_SOFTMAX, LOSS_HINGE } loss_kind;
typedef enum pairs_kind { PAIRS_USER_NORM, PAIRS_EDGES } pairs_kind;
typedef enum balance_kind { BALANCE_MIN, BALANCE_SQRT, BALANCE_NONE } balance_kind;
typedef enum pool_kind { POOL_ALL, POOL_PER_TYPE, POOL_BOTH } pool_kind;
typedef enum optimizer_kind {
    OPT_SGD,
    OPT_MOMENTUM,
    OPT_ADAGRAD,
    OPT_ADAM,
    OPT_ADAMW
} optimizer_kind;
typedef enum schedule_kind { SCHEDULE_COSINE, SCHEDULE_CONSTANT } schedule_kind;
typedef enum sparse_kind { SPARSE_ROWWISE_ADAGRAD, SPARSE_LAZY_ADAM } sparse_kind;
typedef enum train_mode { TRAIN_BSP, TRAIN_SSP, TRAIN_ASP } train_mode;
typedef enum wire_kind { WIRE_F32, WIRE_BF16, WIRE_INT8 } wire_kind;
typedef enum verify_kind { VERIFY_OPEN, VERIFY_LAZY, VERIFY_OFF } verify_kind;
typedef enum foundation_kind {
    FOUNDATION_ALL,
    FOUNDATION_BEFORE,
    FOUNDATION_CROSSFIT
} foundation_kind;
typedef enum model_mode { MODE_RETRAIN, MODE_REFRESH, MODE_FROZEN } model_mode;

enum {
    BASELINE_POPULARITY = 1,
    BASELINE_TEXT_KNN = 2,
    BASELINE_ITEM_KNN = 4,
    BASELINE_EASE = 8,
    BASELINE_HGNN_KNN = 16,
    BASELINE_TWO_TOWER_NO_Z = 32
};

enum { CONFIG_LAYERS_MAX = 8, CONFIG_TYPES_MAX = 64 };

typedef struct config_optimizer {
    optimizer_kind name;
    float lr, weight_decay, momentum, beta1, beta2, eps;
    schedule_kind schedule;
    uint32_t warmup_steps;
    float clip; /* 0: no limit */
    sparse_kind sparse;
    float sparse_lr;
} config_optimizer;

typedef struct config {
    char *file;                    /* the path it was loaded from, absolute */
    struct config_source *sources; /* where each key was set: config_source() */
    char *job, *work_dir;
    uint64_t seed;
    model_mode mode;
    struct {
        struct {
            char *path;
            config_column item_id, item_type, text;
            string_list attributes;
            uint32_t max_values;
        } items;
        struct {
            char *path;
            config_column user_id, item_id, timestamp, weight, kind;
        } interactions;
        struct {
            char *path;
            config_column user_id, attributes;
            string_list attribute_keys;
            char *vector;
            uint32_t max_values;
        } users;
        config_kind *kinds;
        size_t kinds_n;    /* n = 0: every kind has all four roles */
        string_list types; /* empty: all */
        order_kind order;
        bool skip_bad_rows;
        bool from_data_dir; /* --data DIR: a missing timestamp with no order means ORDER_NONE */
    } data;
    struct {
        encoder_kind encoder;
        uint32_t ngram_dim;
        storage_kind storage;
        bool center;
        struct {
            char *path;
        } embedded;
        struct {
            char *path, *ids;
            bool missing_zero;
        } precomputed;
        struct {
            char *url, *model, *key_file, *template;
            uint32_t batch, timeout_ms, retries, max_chars;
            bool base64; /* encoding: float | base64 */
        } openai;
    } features;
    struct {
        bool relations_all;
        struct {
            char *source, *destination;
        } * relations;
        size_t relations_n;
        uint32_t window_days, min_users;
        edge_weight_kind weight;
        double shrink;
        uint32_t max_items_per_user, max_degree, partitions;
        partitioner_kind partitioner;
    } graph;
    struct {
        split_method method;
        double holdout_fraction;
        uint32_t holdout_days;
        bool per_type; /* per: type | overall */
        uint32_t min_events;
        char *file;
    } split;
    struct {
        uint32_t dims[CONFIG_LAYERS_MAX];
        size_t layers;
        bool shared; /* parameters: per_relation | shared */
        aggregator_kind aggregator;
        bool output_relu;
        uint32_t fanout[CONFIG_LAYERS_MAX];
        size_t fanout_n;
        uint32_t fanout_total;
        bool neighbours_by_weight;
        double neighbour_drop;
        uint32_t random_features, id_embedding;
        loss_kind loss;
        float temperature, margin;
        uint32_t negatives;
        bool in_batch, reject_neighbours;
        uint32_t reject_keep;
        pairs_kind pairs;
        balance_kind balance;
        uint32_t balance_floor, batch, epochs, max_steps, patience;
        char *init_from;
        config_optimizer optimizer;
    } hgnn;
    struct {
        string_list types;
        pool_kind pool;
        uint32_t window_days, max_items;
    } history; /* types empty: all */
    struct {
        uint32_t dims[CONFIG_LAYERS_MAX];
        size_t layers;
        bool use_z, use_text;
        uint32_t item_id;
        double id_drop, history_drop, item_drop, dropout;
        bool popularity, skip_text;
        uint32_t type_embedding, attribute_embedding;
        bool skip_shared;
        float temperature, logq;
        bool negatives_all;
        uint32_t uniform_negatives;
        string_list targets; /* empty: all */
        foundation_kind foundation;
        uint32_t positives_per_user, batch, epochs, max_steps, patience;
        char *init_from;
        config_optimizer optimizer;
    } two_tower;
    struct {
        train_mode mode;
        uint32_t delay, staleness, microbatches_per_step, chunks_per_slot;
        wire_kind wire;
        bool numerics_strict;
        char *core_type;
        uint32_t max_void_slots, stall_timeout_ms;
    } train;
    struct {
        uint32_t every, items, users;
    } validate;
    struct {
        uint32_t baselines, ease_items, bootstrap, recommendations;
    } evaluate;
    struct {
        uint64_t memory;
        uint32_t threads;
    } prepare;
    struct {
        char *scheduler;
        uint32_t workers, samplers, servers, threads, virtual_shards;
        char *advertise;
        uint32_t port;
        bool on_done_wait;
    } cluster;
    struct {
        char *source, *local;
        verify_kind verify;
    } store;
    struct {
        uint64_t cache;
    } worker;
    struct {
        char *dir;
        uint32_t every_ms;
        uint32_t copies;
    } checkpoint;
    struct {
        char *bind, *process_bind, *token_file;
    } http;
    struct {
        bool insecure;
        char *keys;
        double max_norm; /* of the gradient of a slot at one server; 0: any */
    } security;
    struct {
        char *level;
    } log;
} config;

/* Loads `path` (NULL: defaults only, relative paths relative to the current folder), then applies
 * `sets` ("a.b=YAML value") in order.  Problems are printed as "file:line:col: message" (or
 * "--set a.b: message"), all of them, not only the first.  That files exist is not checked here: a
 * printed plan has no paths.  ERR_INVALID, ERR_NOT_FOUND, ERR_IO.  *out is owned: config_free. */
MUST_USE err_code config_load(const char *path, const char *const *sets, size_t sets_n,
                              config **out);
/* The same from text (what a worker receives from the scheduler); `name` stands for the file name.
 */
MUST_USE err_code config_parse(const char *name, const char *text, const char *const *sets,
                               size_t sets_n, config **out);
/* --data DIR: sets the three data paths (users only where it is there) and data.from_data_dir.  A
 * table is the first of NAME.tsv, .tsv.gz, .csv and .csv.gz that is there, else NAME.tsv.
 * `dir` is relative to the current folder.  from_data_dir is not printed: only the process that
 * prepares needs it. */
void config_use_data_dir(config *c, const char *dir);
void config_free(config *c);

/* What a plan can do without and work on the data cannot: required keys, and the files that other
 * keys ask for.  All that is missing is printed.  ERR_INVALID. */
MUST_USE err_code config_check_inputs(const config *c);
/* Every type that `history.types`, `two_tower.targets` and `graph.relations` name is one of the
 * catalogue's.  ERR_INVALID (printed, each where it was set): one is not. */
MUST_USE err_code config_check_types(const config *c, const string_list *types);
/* Prints what is wrong with a value that only the data can tell, and where `key` was set:
 * "job.yaml:3:5: key: text". */
void config_error(const config *c, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The effective configuration as YAML that loads back to the same, owned (free).  CONFIG_PLAN_ONLY
 * leaves out D keys and paths: what `config.yaml` of an output holds.  CONFIG_SOURCES adds to each
 * line where its value comes from, as a comment. */
enum { CONFIG_ALL, CONFIG_PLAN_ONLY, CONFIG_SOURCES };
char *config_print(const config *c, int which);
/* JSON schema of the whole configuration, owned. */
char *config_schema(void);
/* Canonical JSON of the P keys, owned; the hash goes over it: one flat object, dotted keys sorted
 * by their bytes, no spaces, %.17g. */
char *config_plan_json(const config *c);
/* The same restricted to what `prepare` reads: seed, data, features, graph, split. */
char *config_prepare_json(const config *c);
/* Flat "key": value pairs of every key, for the status page: JSON object text, owned. */
char *config_flat_json(const config *c);
/* {"key": {"value": ..., "from": "job.yaml:3:5", "mark": "plan"}} of every key, owned. */
char *config_sources_json(const config *c);
/* A page of Markdown about every key, from the same table, owned. */
char *config_docs(void);
/* Prints to stderr one line per P key that differs; returns how many differ.  What is not a JSON
 * object counts as one. */
size_t config_plan_diff(const char *plan_json_a, const char *plan_json_b);
