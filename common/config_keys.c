#include "common/config_keys.h"

#include "common/mem.h"
#include "common/staleness.h"

#include <stdlib.h>
#include <string.h>

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define AT(field)  offsetof(config, field)
#define LATER(bit) (1u << (bit))

#define TEXT(mark_, name_, field, fallback_, help_)                                                \
    {                                                                                              \
        .name = name_, .type = KEY_TEXT, .mark = mark_, .at = AT(field), .fallback = fallback_,    \
        .help = help_                                                                              \
    }
#define ADDRESS(form_, name_, field, fallback_, help_)                                             \
    {                                                                                              \
        .name = name_, .type = KEY_TEXT, .mark = 'D', .form = form_, .at = AT(field),              \
        .fallback = fallback_, .help = help_                                                       \
    }
#define INPUT(name_, field, help_)                                                                 \
    {                                                                                              \
        .name = name_, .type = KEY_PATH, .mark = 'D', .required = true, .at = AT(field),           \
        .fallback = "\"\"", .help = help_                                                          \
    }
#define PATH(mark_, name_, field, help_)                                                           \
    {                                                                                              \
        .name = name_, .type = KEY_PATH, .mark = mark_, .at = AT(field), .fallback = "\"\"",       \
        .help = help_                                                                              \
    }
#define COLUMN(name_, field, fallback_, help_)                                                     \
    {                                                                                              \
        .name = name_, .type = KEY_COLUMN, .mark = 'P', .at = AT(field), .fallback = fallback_,    \
        .help = help_                                                                              \
    }
#define LIST(type_, name_, field, fallback_, help_)                                                \
    {                                                                                              \
        .name = name_, .type = type_, .mark = 'P', .at = AT(field), .fallback = fallback_,         \
        .help = help_                                                                              \
    }
#define BOOL(mark_, name_, field, fallback_, help_)                                                \
    {                                                                                              \
        .name = name_, .type = KEY_BOOL, .mark = mark_, .at = AT(field), .fallback = fallback_,    \
        .help = help_                                                                              \
    }
#define CHOICE(mark_, name_, field, fallback_, names_, help_)                                      \
    {                                                                                              \
        .name = name_, .type = KEY_CHOICE, .mark = mark_, .at = AT(field), .fallback = fallback_,  \
        .names = names_, .help = help_                                                             \
    }
#define ENUM(mark_, name_, field, fallback_, names_, later_, help_)                                \
    {                                                                                              \
        .name = name_, .type = KEY_ENUM, .mark = mark_, .at = AT(field), .fallback = fallback_,    \
        .names = names_, .later = later_, .help = help_                                            \
    }
#define NUMBER(type_, mark_, name_, field, fallback_, min_, max_, bounds_, help_)                  \
    {                                                                                              \
        .name = name_, .type = type_, .mark = mark_, .at = AT(field), .fallback = fallback_,       \
        .min = min_, .max = max_, .bounds = bounds_, .help = help_                                 \
    }
#define U32(mark_, name_, field, fallback_, min_, max_, help_)                                     \
    NUMBER(KEY_U32, mark_, name_, field, fallback_, min_, max_, 0, help_)
#define DURATION(mark_, name_, field, fallback_, min_, help_)                                      \
    NUMBER(KEY_DURATION, mark_, name_, field, fallback_, min_, 4294967295.0, 0, help_)
#define SIZE(mark_, name_, field, fallback_, min_, help_)                                          \
    NUMBER(KEY_SIZE, mark_, name_, field, fallback_, min_, 1125899906842624.0, 0, help_)
#define DIMS(name_, field, count, fallback_, max_, help_)                                          \
    {                                                                                              \
        .name = name_, .type = KEY_DIMS, .mark = 'P', .at = AT(field), .at_n = AT(count),          \
        .min = 1, .max = max_, .fallback = fallback_, .help = help_                                \
    }

#define OPTIMIZER(section, field, sparse_lr_)                                                      \
    ENUM('P', section ".name", field.name, "adamw",                                                \
         NAMES("sgd", "momentum", "adagrad", "adam", "adamw"), 0,                                  \
         "optimizer of the dense tensors, PyTorch's definition"),                                  \
        NUMBER(KEY_F32, 'P', section ".lr", field.lr, "1.0e-3", 0, 1000, KEY_ABOVE_MIN,            \
               "learning rate after the warm-up"),                                                 \
        NUMBER(KEY_F32, 'P', section ".weight_decay", field.weight_decay, "1.0e-5", 0, 1000, 0,    \
               "weight decay: decoupled in adamw, added to the gradient in the others"),           \
        NUMBER(KEY_F32, 'P', section ".momentum", field.momentum, "0.9", 0, 1, KEY_BELOW_MAX,      \
               "momentum only"),                                                                   \
        NUMBER(KEY_F32, 'P', section ".beta1", field.beta1, "0.9", 0, 1, KEY_BELOW_MAX,            \
               "adam, adamw, lazy_adam"),                                                          \
        NUMBER(KEY_F32, 'P', section ".beta2", field.beta2, "0.999", 0, 1, KEY_BELOW_MAX,          \
               "adam, adamw, lazy_adam"),                                                          \
        NUMBER(KEY_F32, 'P', section ".eps", field.eps, "1.0e-8", 0, 1, KEY_ABOVE_MIN,             \
               "added to the denominator"),                                                        \
        ENUM('P', section ".schedule", field.schedule, "cosine", NAMES("cosine", "constant"), 0,   \
             "learning rate after the warm-up"),                                                   \
        U32('P', section ".warmup_steps", field.warmup_steps, "100", 0, 1e9,                       \
            "steps in which the learning rate rises from 0"),                                      \
        NUMBER(KEY_F32, 'P', section ".clip", field.clip, "0", 0, 1e9, 0,                          \
               "largest norm of a step's gradient; 0: no limit"),                                  \
        ENUM('P', section ".sparse", field.sparse, "rowwise_adagrad",                              \
             NAMES("rowwise_adagrad", "lazy_adam"), 0, "optimizer of the sparse tables"),          \
        NUMBER(KEY_F32, 'P', section ".sparse_lr", field.sparse_lr, sparse_lr_, 0, 1000,           \
               KEY_ABOVE_MIN, "learning rate of the sparse tables")

const config_key config_keys[] = {
    TEXT('D', "job", job, "quickstart", "name shown on the status page and in logs"),
    {.name = "work_dir",
     .type = KEY_PATH,
     .mark = 'D',
     .at = AT(work_dir),
     .fallback = "work/quickstart",
     .help = "store, cache, logs, run and checkpoints live here"},
    NUMBER(KEY_U64, 'P', "seed", seed, "1", 0, 9223372036854775807.0, 0,
           "every random choice is a function of it"),
    ENUM('P', "mode", mode, "retrain", NAMES("retrain", "refresh", "frozen"), LATER(1) | LATER(2),
         "retrain: all; refresh: old HGNN weights; frozen: old z"),

    INPUT("data.items.path", data.items.path, "catalogue, TSV or CSV with a header, .gz or not"),
    COLUMN("data.items.columns.item_id", data.items.item_id, "item_id", "column of the item's id"),
    COLUMN("data.items.columns.item_type", data.items.item_type, "item_type", "column of the type"),
    COLUMN("data.items.columns.text", data.items.text, "text", "column of the text to encode"),
    LIST(KEY_NAMES, "data.items.attributes", data.items.attributes, "[]",
         "columns that are categorical features; []: none"),
    U32('P', "data.items.max_values", data.items.max_values, "1000", 0, 1e6,
        "an attribute with more values is dropped with a warning; 0: no limit"),
    INPUT("data.interactions.path", data.interactions.path, "events, TSV or CSV with a header"),
    COLUMN("data.interactions.columns.user_id", data.interactions.user_id, "user_id",
           "column of the user"),
    COLUMN("data.interactions.columns.item_id", data.interactions.item_id, "item_id",
           "column of the item"),
    COLUMN("data.interactions.columns.timestamp", data.interactions.timestamp, "timestamp",
           "column of the time in unix seconds; 0 or not in the file: unknown"),
    COLUMN("data.interactions.columns.weight", data.interactions.weight, "weight",
           "column of the weight of an event; not in the file: 1"),
    COLUMN("data.interactions.columns.kind", data.interactions.kind, "kind",
           "column of the kind of an event; not in the file: event"),
    PATH('D', "data.users.path", data.users.path, "users with their attributes, optional"),
    COLUMN("data.users.columns.user_id", data.users.user_id, "user_id", "column of the user"),
    COLUMN("data.users.columns.attributes", data.users.attributes, "attributes",
           "column that takes all further fields of the line, each key=value"),
    LIST(KEY_NAMES, "data.users.attributes", data.users.attribute_keys, "[]",
         "keys that are categorical features; []: all keys found"),
    PATH('D', "data.users.vector", data.users.vector,
         ".npy of a dense vector per row of the users file; \"\": none"),
    U32('P', "data.users.max_values", data.users.max_values, "1000", 0, 1e6,
        "an attribute with more values is dropped with a warning; 0: no limit"),
    {.name = "data.kinds",
     .type = KEY_KINDS,
     .mark = 'P',
     .at = AT(data.kinds),
     .at_n = AT(data.kinds_n),
     .fallback = "{}",
     .help =
         "kind -> roles (graph, history, positive, seen) and min_weight; {}: all have all roles"},
    LIST(KEY_NAMES, "data.types", data.types, "[]",
         "item types in use; []: all; others are left out with their events"),
    ENUM('P', "data.order", data.order, "\"\"", NAMES("", "time", "file", "none"), 0,
         "what orders the events; \"\": time if no timestamp is missing, else an error"),
    CHOICE('D', "data.on_bad_row", data.skip_bad_rows, "error", NAMES("error", "skip"),
           "a malformed line: stop, or count and go on"),

    ENUM('P', "features.encoder", features.encoder, "embedded",
         NAMES("embedded", "precomputed", "openai", "hash", "none"), 0,
         "where text vectors come from"),
    U32('P', "features.ngram_dim", features.ngram_dim, "128", 0, 4096,
        "width of the hashed 3-5-gram block (embedded, hash); 0: none"),
    ENUM('P', "features.storage", features.storage, "f16", NAMES("f16", "int8"), 0,
         "how text vectors are stored"),
    BOOL('P', "features.center", features.center, "true", "subtract the mean vector"),
    PATH('D', "features.embedded.path", features.embedded.path,
         "folder of the weights; \"\": the installed ones"),
    PATH('D', "features.precomputed.path", features.precomputed.path, ".npy or .safetensors"),
    PATH('D', "features.precomputed.ids", features.precomputed.ids, "item ids, a line per row"),
    CHOICE('P', "features.precomputed.missing", features.precomputed.missing_zero, "error",
           NAMES("error", "zero"), "an item without a vector"),
    ADDRESS(ADDRESS_URL, "features.openai.url", features.openai.url, "\"\"",
            "an OpenAI-compatible endpoint: http://host:port/v1/embeddings"),
    TEXT('P', "features.openai.model", features.openai.model, "\"\"",
         "model name sent with it, and that vectors are kept under"),
    PATH('D', "features.openai.key_file", features.openai.key_file,
         "file of mode 0600 that holds the API key; \"\": none"),
    TEXT('P', "features.openai.template", features.openai.template, "\"{text}\"",
         "what is sent for an item, such as `passage: {text}`"),
    U32('D', "features.openai.batch", features.openai.batch, "64", 1, 1024, "texts of a request"),
    CHOICE('D', "features.openai.encoding", features.openai.base64, "float",
           NAMES("float", "base64"), "how vectors are asked for; either is understood"),
    DURATION('D', "features.openai.timeout", features.openai.timeout_ms, "60s", 1, "of a request"),
    U32('D', "features.openai.retries", features.openai.retries, "5", 0, 1000,
        "times a failed request is sent again, with back-off"),
    U32('P', "features.openai.max_chars", features.openai.max_chars, "8000", 1, 1e6,
        "characters that a text is cut to before it is sent"),

    {.name = "graph.relations",
     .type = KEY_RELATIONS,
     .mark = 'P',
     .at = AT(graph.relations),
     .at_n = AT(graph.relations_n),
     .fallback = "all",
     .help = "all, or [source, destination] pairs"},
    U32('P', "graph.window_days", graph.window_days, "0", 0, 36500,
        "days before the end of train whose events make edges; 0: all"),
    U32('P', "graph.min_users", graph.min_users, "1", 1, 1e9, "users in common that an edge needs"),
    ENUM('P', "graph.weight", graph.weight, "cosine", NAMES("count", "cosine", "user_norm"), 0,
         "weight of an edge: common users, their cosine, or users' votes of equal sum"),
    NUMBER(KEY_F64, 'P', "graph.shrink", graph.shrink, "5", 0, 1e9, 0,
           "added to the denominator of cosine: few common users count less"),
    U32('P', "graph.max_items_per_user", graph.max_items_per_user, "100", 0, 65536,
        "items of a user that make edges; 0: no limit"),
    U32('P', "graph.max_degree", graph.max_degree, "50", 1, 4096,
        "edges per relation at the destination"),
    U32('P', "graph.partitions", graph.partitions, "16", 1, 4096,
        "virtual partitions of the catalogue; samplers share them"),
    ENUM('P', "graph.partitioner", graph.partitioner, "ldg", NAMES("hash", "ldg", "metis"),
         LATER(PARTITION_METIS), "how items are assigned to partitions"),

    ENUM('P', "split.method", split.method, "auto",
         NAMES("auto", "time", "last", "random", "file", "none"), 0,
         "auto: order time -> time, file -> last, none -> random"),
    NUMBER(KEY_F64, 'P', "split.holdout_fraction", split.holdout_fraction, "0.1", 0, 1,
           KEY_ABOVE_MIN | KEY_BELOW_MAX, "share of the events in test, and of the rest in valid"),
    U32('P', "split.holdout_days", split.holdout_days, "0", 0, 36500,
        "time only; not 0: replaces the fraction"),
    CHOICE('P', "split.per", split.per_type, "type", NAMES("overall", "type"),
           "last, random: hold out of each type, or of all together"),
    U32('P', "split.min_events", split.min_events, "5", 1, 1e9,
        "last: users below it stay in train"),
    PATH('D', "split.file", split.file, "the split.tsv of split.method: file"),

    DIMS("hgnn.dims", hgnn.dims, hgnn.layers, "[128, 128]", 4096, "output width of each layer"),
    CHOICE('P', "hgnn.parameters", hgnn.shared, "per_relation", NAMES("per_relation", "shared"),
           "one W per relation, or one for all"),
    ENUM('P', "hgnn.aggregator", hgnn.aggregator, "weighted_mean",
         NAMES("max_pool", "mean", "weighted_mean"), 0, "how neighbours are summed up"),
    CHOICE('P', "hgnn.output_activation", hgnn.output_relu, "none", NAMES("none", "relu"),
           "of the last layer"),
    DIMS("hgnn.fanout", hgnn.fanout, hgnn.fanout_n, "[10, 5]", 4096,
         "neighbours per relation, layer L (nearest the target) first"),
    U32('P', "hgnn.fanout_total", hgnn.fanout_total, "25", 0, 4096,
        "a relation into type d gets min(fanout, max(1, this / relations into d)); 0: no limit"),
    CHOICE('P', "hgnn.neighbours", hgnn.neighbours_by_weight, "uniform", NAMES("uniform", "weight"),
           "how neighbours are drawn"),
    NUMBER(KEY_F64, 'P', "hgnn.neighbour_drop", hgnn.neighbour_drop, "0.1", 0, 1, KEY_BELOW_MAX,
           "chance that a node trains without neighbours"),
    U32('P', "hgnn.random_features", hgnn.random_features, "64", 0, 4096,
        "fixed random input channels"),
    U32('P', "hgnn.id_embedding", hgnn.id_embedding, "0", 0, 4096,
        "learned input channels per item; 0: new items need no training"),
    ENUM('P', "hgnn.loss", hgnn.loss, "softmax", NAMES("softmax", "hinge"), 0, "loss of a pair"),
    NUMBER(KEY_F32, 'P', "hgnn.temperature", hgnn.temperature, "0.1", 0, 1000, KEY_ABOVE_MIN,
           "softmax only: scores are divided by it"),
    NUMBER(KEY_F32, 'P', "hgnn.margin", hgnn.margin, "0.1", 0, 1000, 0,
           "hinge only: by how much a positive must win"),
    U32('P', "hgnn.negatives", hgnn.negatives, "256", 1, 65536,
        "negatives per type of the positives, shared by the chunk"),
    BOOL('P', "hgnn.in_batch", hgnn.in_batch, "false", "other positives of the type are negatives"),
    CHOICE('P', "hgnn.reject", hgnn.reject_neighbours, "self", NAMES("self", "neighbours"),
           "negatives that are masked"),
    U32('P', "hgnn.reject_keep", hgnn.reject_keep, "16", 0, 65536,
        "neighbours: at least this many negatives stay"),
    ENUM('P', "hgnn.pairs", hgnn.pairs, "user_norm", NAMES("user_norm", "edges"), 0,
         "weight by which positive pairs are drawn"),
    ENUM('P', "hgnn.balance", hgnn.balance, "min", NAMES("min", "sqrt", "none"), 0,
         "pairs per relation in an epoch"),
    U32('P', "hgnn.balance_floor", hgnn.balance_floor, "20000", 0, 1e9,
        "min: pairs of a relation per epoch, at least this many or all it has"),
    U32('P', "hgnn.batch", hgnn.batch, "256", 1, 65536,
        "pairs of a chunk, which share their negatives"),
    U32('P', "hgnn.epochs", hgnn.epochs, "50", 0, 1e6,
        "passes over the positives at most; 0: no limit"),
    U32('P', "hgnn.max_steps", hgnn.max_steps, "1500", 0, 1e9, "steps at most; 0: no limit"),
    U32('P', "hgnn.patience", hgnn.patience, "10", 0, 1e6,
        "validations without improvement that end the stage; 0: no limit"),
    {.name = "hgnn.init_from",
     .type = KEY_TEXT,
     .mark = 'P',
     .at = AT(hgnn.init_from),
     .fallback = "\"\"",
     .later = 1,
     .help = "weights to start from"},
    OPTIMIZER("hgnn.optimizer", hgnn.optimizer, "0.05"),

    LIST(KEY_TYPES, "history.types", history.types, "all", "item types in a user's history"),
    ENUM('P', "history.pool", history.pool, "all", NAMES("all", "per_type", "both"), 0,
         "mean of a history: one, one per type, or both"),
    U32('P', "history.window_days", history.window_days, "0", 0, 36500,
        "days that a history goes back; 0: no limit"),
    U32('P', "history.max_items", history.max_items, "100", 0, 4096,
        "items of a history, the last ones; 0: no limit"),

    DIMS("two_tower.dims", two_tower.dims, two_tower.layers, "[512, 256, 128]", 8192,
         "output width of each layer of both towers"),
    BOOL('P', "two_tower.use_z", two_tower.use_z, "true", "false: the text vector stands for z"),
    BOOL('P', "two_tower.use_text", two_tower.use_text, "true",
         "text vector in the item input, beside z"),
    U32('P', "two_tower.item_id", two_tower.item_id, "64", 0, 4096, "width of item ids; 0: none"),
    NUMBER(KEY_F64, 'P', "two_tower.id_drop", two_tower.id_drop, "0.2", 0, 1, KEY_BELOW_MAX,
           "chance that an item's id is left out in training"),
    NUMBER(KEY_F64, 'P', "two_tower.history_drop", two_tower.history_drop, "0.1", 0, 1,
           KEY_BELOW_MAX, "chance that a row's history is left out in training: new users"),
    NUMBER(KEY_F64, 'P', "two_tower.item_drop", two_tower.item_drop, "4.0", 0, 1e6, 0,
           "items trained without z and id, as those nobody has: x / (x + n) where n have it"),
    NUMBER(KEY_F64, 'P', "two_tower.dropout", two_tower.dropout, "0.3", 0, 1, KEY_BELOW_MAX,
           "chance that a hidden value of a tower is zero in training"),
    BOOL('P', "two_tower.popularity", two_tower.popularity, "true",
         "a last coordinate of the vectors: how many have an item in train"),
    BOOL('P', "two_tower.skip_text", two_tower.skip_text, "true",
         "text vector in the skip, beside z"),
    U32('P', "two_tower.type_embedding", two_tower.type_embedding, "16", 0, 4096,
        "width of what is learned of an item's type; 0: none"),
    U32('P', "two_tower.attribute_embedding", two_tower.attribute_embedding, "16", 0, 4096,
        "width of what is learned of each attribute; 0: none"),
    CHOICE('P', "two_tower.skip", two_tower.skip_shared, "shared", NAMES("none", "shared"),
           "shared: one linear map of z, text and ids to both outputs"),
    NUMBER(KEY_F32, 'P', "two_tower.temperature", two_tower.temperature, "0.07", 0, 1000,
           KEY_ABOVE_MIN, "scores are divided by it"),
    NUMBER(KEY_F32, 'P', "two_tower.logq", two_tower.logq, "1.0", 0, 10, 0,
           "strength of the logQ correction"),
    CHOICE('P', "two_tower.negatives", two_tower.negatives_all, "same_type",
           NAMES("same_type", "all"), "which other positives are negatives"),
    U32('P', "two_tower.uniform_negatives", two_tower.uniform_negatives, "512", 0, 65536,
        "negatives drawn besides, shared by the chunk; 0: none"),
    LIST(KEY_TYPES, "two_tower.targets", two_tower.targets, "all", "item types of the positives"),
    ENUM('P', "two_tower.foundation", two_tower.foundation, "all",
         NAMES("all", "before", "crossfit"), LATER(1) | LATER(2), "which events z is made from"),
    U32('P', "two_tower.positives_per_user", two_tower.positives_per_user, "50", 0, 1e6,
        "at most, per epoch; 0: no limit"),
    U32('P', "two_tower.batch", two_tower.batch, "512", 1, 65536,
        "rows of a chunk: each row's positive is a negative of the others"),
    U32('P', "two_tower.epochs", two_tower.epochs, "10", 0, 1e6,
        "passes over the positives at most; 0: no limit"),
    U32('P', "two_tower.max_steps", two_tower.max_steps, "1500", 0, 1e9,
        "steps at most; 0: no limit"),
    U32('P', "two_tower.patience", two_tower.patience, "10", 0, 1e6,
        "validations without improvement that end the stage; 0: no limit"),
    {.name = "two_tower.init_from",
     .type = KEY_TEXT,
     .mark = 'P',
     .at = AT(two_tower.init_from),
     .fallback = "\"\"",
     .later = 1,
     .help = "weights to start from"},
    OPTIMIZER("two_tower.optimizer", two_tower.optimizer, "0.02"),

    ENUM('P', "train.mode", train.mode, "bsp", NAMES("bsp", "ssp", "asp"), 0,
         "consistency of the servers"),
    U32('P', "train.delay", train.delay, "0", 0, DELAY_MAX,
        "bsp only: a step is computed on the tables from so many steps before"),
    U32('P', "train.staleness", train.staleness, "0", 0, STALENESS_MAX,
        "ssp only: steps that workers may be apart"),
    U32('P', "train.microbatches_per_step", train.microbatches_per_step, "2", 1, 65536,
        "slots of a step; a cluster wants at least 2 x workers"),
    U32('P', "train.chunks_per_slot", train.chunks_per_slot, "1", 1, 1024,
        "chunks of a slot; the threads of a worker share them"),
    ENUM('P', "train.wire", train.wire, "f32", NAMES("f32", "bf16", "int8"), LATER(1) | LATER(2),
         "numbers on the wire"),
    CHOICE('D', "train.numerics", train.numerics_strict, "strict", NAMES("any", "strict"),
           "strict: only processes with the same numerics id"),
    TEXT('D', "train.core_type", train.core_type, "HASWELL", "OpenBLAS core type"),
    U32('D', "train.max_void_slots", train.max_void_slots, "10", 1, 1e6,
        "void slots in a row that stop the job"),
    DURATION('D', "train.stall_timeout", train.stall_timeout_ms, "0", 0,
             "a job that waits this long ends; 0: never (weft train: 10m)"),

    U32('P', "validate.every", validate.every, "100", 1, 1e9, "steps between two validations"),
    U32('P', "validate.items", validate.items, "20000", 0, 4294967295.0,
        "items that are ranked; 0: all"),
    U32('P', "validate.users", validate.users, "5000", 0, 4294967295.0,
        "users that are scored; 0: all"),

    {.name = "evaluate.baselines",
     .type = KEY_MASK,
     .mark = 'P',
     .at = AT(evaluate.baselines),
     .fallback = "[popularity, text_knn, item_knn, ease, hgnn_knn, two_tower_no_z]",
     .names = NAMES("popularity", "text_knn", "item_knn", "ease", "hgnn_knn", "two_tower_no_z"),
     .help = "models in the table beside two_tower"},
    U32('P', "evaluate.ease_items", evaluate.ease_items, "12000", 0, 65536,
        "the most frequent items; the others score 0"),
    U32('P', "evaluate.bootstrap", evaluate.bootstrap, "1000", 100, 1e6, "resamples of the users"),
    U32('P', "evaluate.recommendations", evaluate.recommendations, "10", 0, 10000,
        "rows per user and type; 0: no file"),

    SIZE('D', "prepare.memory", prepare.memory, "1GiB", 1048576,
         "budget of building the graph; more goes through files"),
    U32('D', "prepare.threads", prepare.threads, "0", 0, 1024,
        "threads of prepare and evaluate; 0: as many as there are CPUs"),

    ADDRESS(ADDRESS_ENDPOINT, "cluster.scheduler", cluster.scheduler, "\"\"",
            "address of the scheduler, tcp://host:port; \"\": ipc in work_dir/run"),
    U32('D', "cluster.workers", cluster.workers, "1", 1, 4096,
        "worker processes that weft train starts"),
    U32('D', "cluster.samplers", cluster.samplers, "1", 1, 4096,
        "sampler processes; they share the partitions"),
    U32('D', "cluster.servers", cluster.servers, "1", 1, 4096,
        "parameter server processes; they share the virtual shards"),
    U32('D', "cluster.threads", cluster.threads, "1", 1, 1024, "computing threads of a worker"),
    U32('D', "cluster.virtual_shards", cluster.virtual_shards, "256", 1, 65536,
        "pieces of the tables that servers share; fixed for a job"),
    ADDRESS(ADDRESS_HOST, "cluster.advertise", cluster.advertise, "\"\"",
            "host that others connect to; \"\": the interface's address"),
    U32('D', "cluster.port", cluster.port, "0", 0, 65535,
        "TCP port of a server or sampler; 0: any free one"),
    CHOICE('D', "cluster.on_done", cluster.on_done_wait, "exit", NAMES("exit", "wait"),
           "after the last stage: processes end, or wait for weft stop"),

    PATH('D', "store.source", store.source,
         "folder that all machines can read, where `prepare` puts a copy of the store"),
    PATH('D', "store.local", store.local,
         "where a sampler puts what it fetches from there, and nothing else; \"\": work_dir/store"),
    ENUM('D', "store.verify", store.verify, "open", NAMES("open", "lazy", "off"), 0,
         "when checksums of partitions are compared"),
    SIZE('D', "worker.cache", worker.cache, "256MiB", 0,
         "memory for feature rows and for table rows that a worker keeps"),
    {.name = "checkpoint.dir",
     .type = KEY_PATH,
     .mark = 'D',
     .at = AT(checkpoint.dir),
     .fallback = "\"\"",
     .help = "folder of the checkpoints, shared by all servers (or see copies); \"\": "
             "work_dir/checkpoints"},
    {.name = "checkpoint.every",
     .type = KEY_DURATION,
     .mark = 'D',
     .at = AT(checkpoint.every_ms),
     .fallback = "10m",
     .max = 4294967295.0,
     .help = "time between two; 0: only the best step, the end of a stage and a stop"},
    {.name = "checkpoint.copies",
     .type = KEY_U32,
     .mark = 'D',
     .at = AT(checkpoint.copies),
     .fallback = "1",
     .min = 1,
     .max = 2,
     .help =
         "of each part; 2: also on a second server, so that checkpoint.dir may be a disk of each"},
    ADDRESS(ADDRESS_LISTEN, "http.bind", http.bind, "\"127.0.0.1:0\"",
            "IPv4 address:port; port 0: any free one"),
    ADDRESS(ADDRESS_LISTEN, "http.process_bind", http.process_bind, "\"127.0.0.1:0\"",
            "address of the probes of every other process; \"\": none"),
    PATH('D', "http.token_file", http.token_file, "file of the bearer token, mode 0600"),
    BOOL('D', "security.insecure", security.insecure, "false",
         "allow addresses that are not loopback without keys"),
    PATH('D', "security.keys", security.keys, "folder of CURVE keys (weft keygen); \"\": none"),
    NUMBER(KEY_F64, 'D', "security.max_norm", security.max_norm, "1.0e8", 0, 1e300, 0,
           "norm of a slot's summed gradient above which a server refuses it; 0: none"),
    TEXT('D', "log.level", log.level, "info", "debug, info, warn or error"),
};
const size_t config_keys_n = sizeof config_keys / sizeof *config_keys;

_Static_assert(sizeof config_keys / sizeof *config_keys <= CONFIG_KEYS_MAX, "places of keys");
_Static_assert(sizeof(order_kind) == sizeof(unsigned), "KEY_ENUM writes an unsigned");

void *config_key_field(const config_key *key, config *c)
{
    return (char *)c + key->at;
}

const void *config_key_value(const config_key *key, const config *c)
{
    return (const char *)c + key->at;
}

const config_key *config_key_find(const char *name)
{
    for (size_t i = 0; i < config_keys_n; i++) {
        if (strcmp(config_keys[i].name, name) == 0) return &config_keys[i];
    }
    return NULL;
}

bool config_key_is_section(const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < config_keys_n; i++) {
        if (strncmp(config_keys[i].name, name, n) == 0 && config_keys[i].name[n] == '.')
            return true;
    }
    return false;
}

size_t config_key_shared(const char *a, const char *b)
{
    size_t shared = 0;
    for (size_t i = 0; a[i] && a[i] == b[i]; i++) {
        if (a[i] == '.') shared = i + 1;
    }
    return shared;
}

size_t config_key_dots(const char *name, size_t bytes)
{
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++) n += name[i] == '.';
    return n;
}

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

enum { EDIT_MAX = 64 };

/* Levenshtein distance of two texts of at most EDIT_MAX bytes. */
static size_t edit_distance(const char *a, size_t a_n, const char *b, size_t b_n)
{
    size_t row[EDIT_MAX + 1];
    for (size_t j = 0; j <= b_n; j++) row[j] = j;
    for (size_t i = 1; i <= a_n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_n; j++) {
            size_t above = row[j];
            row[j] = min3(row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[b_n];
}

static const char *last_part(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

/* The one key anywhere whose last part is `part`; NULL when none or several are. */
static const config_key *find_elsewhere(const char *part)
{
    const config_key *found = NULL;
    for (size_t i = 0; i < config_keys_n; i++) {
        if (strcmp(last_part(config_keys[i].name), part) != 0) continue;
        if (found) return NULL;
        found = &config_keys[i];
    }
    return found;
}

char *config_key_suggest(const char *name)
{
    const char *part = last_part(name);
    size_t prefix = (size_t)(part - name), part_n = strlen(part);
    size_t best = 3, best_end = 0;
    const char *best_name = NULL;
    if (part_n > EDIT_MAX) return NULL;
    for (size_t i = 0; i < config_keys_n; i++) {
        const char *key = config_keys[i].name;
        if (strncmp(key, name, prefix) != 0) continue;
        size_t n = strcspn(key + prefix, ".");
        size_t distance = edit_distance(part, part_n, key + prefix, n);
        if (distance < best && distance < n && distance < part_n) {
            best = distance;
            best_name = key;
            best_end = prefix + n;
        }
    }
    if (best_name) return xstrndup(best_name, best_end);
    const config_key *other = find_elsewhere(part);
    return other ? xstrdup(other->name) : NULL;
}

int config_key_name_index(const char *const *names, const char *text)
{
    for (int i = 0; names[i]; i++) {
        if (strcmp(names[i], text) == 0) return i;
    }
    return -1;
}

bool config_key_is_prepare(const config_key *key)
{
    static const char *const sections[] = {"data.", "features.", "graph.", "split."};
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        if (strncmp(key->name, sections[i], strlen(sections[i])) == 0) return true;
    }
    return strcmp(key->name, "seed") == 0;
}

bool config_key_is_name(const char *text)
{
    size_t n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");
    return n >= 1 && n <= 64 && !text[n];
}
