/* Proves: every key has its documented default, what is wrong is refused with its place and all of
 * it at once, and the printed forms come back to the same configuration. */
#include "common/config.h"
#include "common/config_keys.h"
#include "common/files.h"
#include "testing_files.h"

#include <check.h>
#include <glob.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *captured = "";

static err_code parse(const char *text, const char *const *sets, size_t n, config **c)
{
    testing_capture_start();
    err_code rc = config_parse("/etc/weft/job.yaml", text, sets, n, c);
    captured = testing_capture_end();
    return rc;
}

static config *good(const char *text)
{
    config *c;
    err_code rc = parse(text, NULL, 0, &c);
    ck_assert_msg(rc == ERR_OK, "%s: %s", text, captured);
    return c;
}

/* `text` is refused and `message` is among what was printed. */
static void bad(const char *text, const char *message)
{
    config *c;
    ck_assert_msg(parse(text, NULL, 0, &c) == ERR_INVALID, "accepted: %s", text);
    ck_assert_ptr_null(c);
    ck_assert_msg(strstr(captured, message) != NULL, "%s: printed %s", text, captured);
}

static void bad_set(const char *set, const char *message)
{
    config *c;
    ck_assert_msg(parse(NULL, &set, 1, &c) == ERR_INVALID, "accepted: %s", set);
    ck_assert_msg(strstr(captured, message) != NULL, "%s: printed %s", set, captured);
}

static config *good_set(const char *set)
{
    config *c;
    ck_assert_msg(parse(NULL, &set, 1, &c) == ERR_OK, "%s: %s", set, captured);
    return c;
}

/* What --set gives has no place in the file, and what nobody gives has none at all. */
START_TEST(an_error_that_the_data_tells_names_key_and_place)
{
    static const char *const expected[] = {"weft: job.yaml:2:9: job: x 7\n",
                                           "weft: --set seed: x 7\n", "weft: work_dir: x 7\n"};
    const char *const keys[] = {"job", "seed", "work_dir"}, *const sets[] = {"seed=3"};
    config *c;
    ck_assert_int_eq(parse("\n  job:  y\n", sets, 1, &c), ERR_OK);
    for (size_t i = 0; i < 3; i++) {
        testing_capture_start();
        config_error(c, keys[i], "x %d", 7);
        ck_assert_str_eq(testing_capture_end(), expected[i]);
    }
    config_free(c);
}
END_TEST

START_TEST(defaults_are_the_documented_ones)
{
    config *c = good("");
    ck_assert_str_eq(c->job, "quickstart");
    ck_assert_str_eq(c->work_dir, "/etc/weft/work/quickstart");
    ck_assert_uint_eq(c->seed, 1);
    ck_assert_str_eq(c->data.items.item_id.names.items[0], "item_id");
    ck_assert_str_eq(c->data.users.attributes.names.items[0], "attributes");
    ck_assert_uint_eq(c->data.items.max_values, 1000);
    ck_assert_uint_eq(c->data.users.max_values, 1000);
    ck_assert_uint_eq(c->data.kinds_n, 0);
    ck_assert_int_eq(c->data.order, ORDER_UNSET);
    ck_assert_int_eq(c->features.encoder, ENCODER_EMBEDDED);
    ck_assert_uint_eq(c->features.openai.timeout_ms, 60000);
    ck_assert(c->features.center && c->graph.relations_all);
    ck_assert(c->graph.shrink == 5 && c->split.holdout_fraction == 0.1);
    ck_assert_int_eq(c->graph.partitioner, PARTITION_LDG);
    ck_assert(c->split.per_type);
    ck_assert_uint_eq(c->hgnn.layers, 2);
    ck_assert_uint_eq(c->hgnn.dims[1], 128);
    ck_assert_uint_eq(c->hgnn.fanout[0], 10);
    ck_assert_int_eq(c->hgnn.aggregator, AGG_WEIGHTED_MEAN);
    ck_assert(c->hgnn.temperature == 0.1f && c->hgnn.neighbour_drop == 0.1);
    ck_assert(c->hgnn.optimizer.lr == 1e-3f && c->two_tower.optimizer.lr == 1e-3f);
    ck_assert(c->hgnn.optimizer.sparse_lr == 0.05f && c->two_tower.optimizer.sparse_lr == 0.02f);
    ck_assert_int_eq(c->two_tower.optimizer.name, OPT_ADAMW);
    ck_assert_int_eq(c->hgnn.optimizer.name, OPT_ADAMW);
    ck_assert_uint_eq(c->history.types.n, 0);
    ck_assert_uint_eq(c->two_tower.dims[0], 512);
    ck_assert(c->two_tower.skip_shared && c->two_tower.logq == 1.0f && !c->two_tower.negatives_all);
    ck_assert(c->train.numerics_strict);
    ck_assert_str_eq(c->train.core_type, "HASWELL");
    ck_assert_uint_eq(c->evaluate.baselines, 63);
    ck_assert_uint_eq(c->prepare.memory, 1u << 30);
    ck_assert_uint_eq(c->worker.cache, 256u << 20);
    ck_assert_uint_eq(c->checkpoint.every_ms, 600000);
    ck_assert_str_eq(c->checkpoint.dir, "");
    ck_assert_str_eq(c->http.bind, "127.0.0.1:0");
    config_free(c);
}
END_TEST

START_TEST(values_of_every_type_are_read)
{
    config *c = good("job: test\nseed: 9223372036854775807\n"
                     "data:\n  items:\n    path: d/items.csv\n"
                     "    columns: {item_type: {constant: movie}, text: [title, genres]}\n"
                     "    attributes: [year]\n"
                     "  kinds: {skip: {roles: []}, listen: {roles: [graph, positive], min_weight: "
                     "-1.5}}\n"
                     "  types: [movie, book]\n  order: file\n  on_bad_row: skip\n"
                     "graph: {relations: [[movie, book], [book, movie]]}\n"
                     "hgnn: {dims: [64], fanout: [7], optimizer: {lr: 5e-2, name: sgd}}\n"
                     "history: {types: [movie]}\n"
                     "evaluate: {baselines: [ease, popularity]}\n"
                     "worker: {cache: 64MiB}\ntrain: {stall_timeout: 500ms}\n");
    ck_assert_uint_eq(c->seed, INT64_MAX);
    ck_assert_str_eq(c->data.items.path, "/etc/weft/d/items.csv");
    ck_assert_str_eq(c->data.items.item_type.constant, "movie");
    ck_assert_uint_eq(c->data.items.item_type.names.n, 0);
    ck_assert_uint_eq(c->data.items.text.names.n, 2);
    ck_assert_str_eq(c->data.items.text.names.items[1], "genres");
    ck_assert_uint_eq(c->data.kinds_n, 2);
    ck_assert_str_eq(c->data.kinds[0].name, "listen");
    ck_assert_uint_eq(c->data.kinds[0].roles, ROLE_GRAPH | ROLE_POSITIVE);
    ck_assert(c->data.kinds[0].has_min_weight && c->data.kinds[0].min_weight == -1.5);
    ck_assert(c->data.kinds[1].roles == 0 && !c->data.kinds[1].has_min_weight);
    ck_assert(c->data.skip_bad_rows && !c->graph.relations_all);
    ck_assert_uint_eq(c->graph.relations_n, 2);
    ck_assert_str_eq(c->graph.relations[1].source, "book");
    ck_assert_uint_eq(c->hgnn.layers, 1);
    ck_assert_uint_eq(c->hgnn.fanout[0], 7);
    ck_assert(c->hgnn.optimizer.lr == 0.05f && c->two_tower.optimizer.lr == 1e-3f);
    ck_assert_uint_eq(c->evaluate.baselines, BASELINE_EASE | BASELINE_POPULARITY);
    ck_assert_uint_eq(c->worker.cache, 64u << 20);
    ck_assert_uint_eq(c->train.stall_timeout_ms, 500);
    config_free(c);
}
END_TEST

START_TEST(an_unknown_key_names_the_one_that_was_meant)
{
    bad("hgnn:\n  dropot: 1\n", "/etc/weft/job.yaml:2:3: hgnn.dropot: unknown key");
    bad("hgnn: {temprature: 1}", ":1:8: hgnn.temprature: unknown key; did you mean "
                                 "`hgnn.temperature`?");
    bad("hgn: {}", "did you mean `hgnn`?");
    bad("microbatches_per_step: 3", "did you mean `train.microbatches_per_step`?");
    bad("job.x: 1", "unknown key");
    bad("hgnn.dims: [1, 2]", "unknown key");
    bad("<<: {job: x}", "unknown key");
    bad("zzzzzzzzzz: 1", "zzzzzzzzzz: unknown key\n");
    bad("hgnn: 5", "hgnn: expects a mapping");
    bad("[1, 2]", "expects a mapping");
    bad("[1]: 2", "a key must be a name");
}
END_TEST

START_TEST(duplicates_aliases_tags_and_second_documents_are_refused)
{
    bad("seed: 1\njob: x\nseed: 2\n",
        "job.yaml:3:1: seed: stands there twice; the first is in line 1");
    bad("hgnn: {optimizer: {lr: 1, lr: 2}}", "hgnn.optimizer.lr: stands there twice");
    bad("hgnn: {dims: &d [1, 2], fanout: *d}",
        ":1:33: hgnn.fanout: aliases (*d) are not supported");
    testing_expect_part(captured, ":1:14: hgnn.dims: anchors (&d) are not supported");
    bad("hgnn: &a {dims: *a}", "hgnn.dims: aliases");
    bad("hgnn: {dims: [1, *a]}", "hgnn.dims: aliases");
    bad("seed: &a 3\njob: x", "job.yaml:1:7: seed: anchors (&a)");
    bad("seed: !!int 3", "job.yaml:1:7: seed: tags (tag:yaml.org,2002:int)");
    bad("seed: 1\n---\nseed: 2\n", ":2:1: a second document");
    bad("data: {types: [a, a]}", "`a` stands there twice");
    bad("data: {kinds: {a: {}, a: {}}}", "data.kinds: `a` stands there twice");
    bad("graph: {relations: [[a, b], [a, b]]}", "[a, b] stands there twice");
    bad("evaluate: {baselines: [ease, ease]}", "`ease` stands there twice");
}
END_TEST

START_TEST(broken_yaml_has_a_place)
{
    bad("job: x\nhgnn: {dims: [1\n", "job.yaml:3:1: ");
    bad("a: b: c", "job.yaml:1:5: ");
    bad("\tjob: x", "job.yaml:1:1: ");
    bad("job: \xff\xfe", "job.yaml: ");
    char *deep = malloc(100001);
    memset(deep, '[', 100000);
    deep[100000] = 0;
    bad(deep, "job.yaml:1:17: nested deeper than 16");
    free(deep);
}
END_TEST

START_TEST(numbers_are_read_to_the_last_character)
{
    static const char *const integers[] = {"12abc",
                                           "010",
                                           "-1",
                                           "+1",
                                           "1.0",
                                           "1e3",
                                           "0x10",
                                           "1_000",
                                           "\"256\"",
                                           "nan",
                                           "18446744073709551617",
                                           "~",
                                           "",
                                           "[1]"};
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        char text[64];
        snprintf(text, sizeof text, "hgnn:\n  batch: %s\n", integers[i]);
        bad(text, "job.yaml:2:");
        ck_assert_msg(strstr(captured, "hgnn.batch: expects an integer from 1 to 65536"), "%s",
                      captured);
    }
    static const char *const reals[] = {"0.1x",  ".nan", "nan", "inf",   "-.inf", "1e999",
                                        "0x1p3", "1e",   ".5",  "'0.1'", "true",  "1 2"};
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        char text[64];
        snprintf(text, sizeof text, "hgnn: {neighbour_drop: %s}", reals[i]);
        bad(text, "hgnn.neighbour_drop: expects a number of at least 0 and below 1");
    }
}
END_TEST

START_TEST(bounds_hold)
{
    bad("graph: {partitions: 0}", "an integer from 1 to 4096, not `0`");
    bad("graph: {partitions: 4097}", "an integer from 1 to 4096");
    bad("split: {holdout_fraction: 0}", "a number above 0 and below 1, not `0`");
    bad("split: {holdout_fraction: 1}", "a number above 0 and below 1");
    bad("hgnn: {fanout: [10, 0]}", "hgnn.fanout: expects an integer from 1");
    bad("hgnn: {dims: []}", "hgnn.dims: expects 1 to 8 values, not 0");
    bad("hgnn: {dims: [1,2,3,4,5,6,7,8,9]}", "hgnn.dims: expects 1 to 8 values, not 9");
    bad("hgnn: {temperature: 0}", "above 0");
    bad("hgnn: {optimizer: {eps: 1e-60}}", "above 0"); /* 0 as a float */
    bad("seed: 9223372036854775808", "seed: expects an integer");
}
END_TEST

START_TEST(words_and_texts_are_checked)
{
    bad("hgnn: {in_batch: maybe}", "hgnn.in_batch: expects true or false, not `maybe`");
    bad("hgnn: {in_batch: yes}", "true or false");
    bad("hgnn: {in_batch: 'true'}", "true or false");
    bad("hgnn: {loss: sofmax}", "hgnn.loss: expects softmax | hinge, not `sofmax`");
    bad("data: {order: random}", "expects \"\" | time | file | none");
    bad("split: {per: users}", "expects overall | type");
    bad("data: {types: movie}", "data.types: expects a list of names");
    bad("data: {types: [a b]}", "`a b` is not a name");
    bad("history: {types: []}", "expects `all` or at least one name");
    bad("evaluate: {baselines: [als]}", "not `als`");
    bad("job: null", "job: expects a text, not nothing");
    bad("job:", "job: expects a text, not nothing");
    bad("job: \"a\\u0001b\"", "job: a control character");
    bad("job: \"a\\0b\"", "job: a control character");
    bad("job: \"\"", "job: expects 1 to 128 bytes");
    bad("work_dir: \"\"", "work_dir: must not be empty");
    bad("log: {level: loud}", "job.yaml:1:14: log.level: expects debug | info | warn | error");
    bad("http: {bind: ''}", "http.bind: must not be empty");
    bad("features: {openai: {template: title}}", "must contain {text}");
}
END_TEST

static const struct {
    const char *text, *message;
} addresses[] = {
    {"cluster: {scheduler: '10.0.0.1:7700'}", "job.yaml:1:22: cluster.scheduler: expects "
                                              "tcp://host:port or ipc://file, not `10.0.0.1:7700`: "
                                              "it begins with neither"},
    {"cluster: {scheduler: tcp://10.0.0.1}", "there is no port"},
    {"cluster: {scheduler: tcp://10.0.0.1:99999}", "a port is a number from 1 to 65535"},
    {"cluster: {scheduler: tcp://10.0.0.1:0}", "a port is a number from 1 to 65535"},
    {"cluster: {scheduler: 'tcp://10.0.0.1:*'}", "a port is a number"},
    {"cluster: {scheduler: tcp://10.0.0.1:77x}", "a port is a number"},
    {"cluster: {scheduler: 'tcp://10.0.0.1:7700 '}", "a port is a number"},
    {"cluster: {scheduler: ' tcp://10.0.0.1:7700'}", "it begins with neither"},
    {"cluster: {scheduler: 'tcp://my host:7700'}", "a host has letters, digits"},
    {"cluster: {scheduler: 'tcp://*:7700'}", "a host has letters, digits"},
    {"cluster: {scheduler: 'tcp://:7700'}", "there is no host"},
    {"cluster: {scheduler: 'tcp://[::1]:7700'}", "IPv6 is not supported"},
    {"cluster: {scheduler: tcp://10.0.0.256:7700}", "the number is no IPv4 address"},
    {"cluster: {scheduler: 'ipc://@name'}", "ipc:// needs a file"},
    {"cluster: {scheduler: 'ipc://'}", "ipc:// needs a file"},
    {"cluster: {scheduler: 'ipc:///run/weft/sock '}", "a space at an end of the path"},
    {"cluster: {advertise: '10.0.0.1:7700'}",
     "cluster.advertise: expects an IPv4 address or a name, without a port, not `10.0.0.1:7700`"},
    {"cluster: {advertise: '10.0.0.1 '}", "a host has letters, digits"},
    {"cluster: {advertise: 10.0.0}", "the number is no IPv4 address"},
    {"http: {bind: localhost}", "http.bind: expects address:port, such as 127.0.0.1:0"},
    {"http: {bind: 'localhost:70'}", "the host is no IPv4 address"},
    {"http: {bind: '127.0.0.1:70000'}", "a port is a number from 0 to 65535"},
    {"http: {process_bind: '127.0.0.1: 1'}", "http.process_bind: expects address:port"},
    {"store: {source: 's3://bucket/weft'}", "job.yaml:1:17: store.source: expects a path, not a "},
    {"features: {openai: {url: 'host:8080/v1'}}", "features.openai.url: must begin with http://"},
    {"features: {openai: {url: 'http:///v1'}}", "features.openai.url: there is no host"},
    {"features: {openai: {url: 'http://host/a b'}}", "must not hold a space"},
    {"features: {openai: {url: 'http://u:secret@host/'}}", "must not hold a user or password"},
};

START_TEST(addresses_have_a_form)
{
    bad(addresses[_i].text, addresses[_i].message);
    ck_assert_ptr_null(strstr(captured, "secret"));
}
END_TEST

START_TEST(the_path_of_a_socket_has_a_longest)
{
    char set[256], path[ADDRESS_IPC_MAX + 2];
    memset(path, 'a', sizeof path);
    snprintf(set, sizeof set, "cluster.scheduler=ipc://%.*s", ADDRESS_IPC_MAX, path);
    config_free(good_set(set));
    snprintf(set, sizeof set, "cluster.scheduler=ipc://%.*s", ADDRESS_IPC_MAX + 1, path);
    bad_set(set, "the path of a socket has at most 107 bytes");
}
END_TEST

START_TEST(addresses_that_can_be_used_are_taken)
{
    static const char *const texts[] = {
        "cluster: {scheduler: tcp://weft-scheduler.jobs.svc.cluster.local:7700}",
        "cluster: {scheduler: tcp://host_1:65535, advertise: 10.0.0.9}",
        "cluster: {scheduler: 'ipc:///tmp/a b/scheduler.sock', advertise: eth0}",
        "http: {bind: '0.0.0.0:7701', process_bind: ''}",
        "features: {openai: {url: 'HTTPS://[::1]:8080/v1?key=a@b'}}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) config_free(good(texts[i]));
}
END_TEST

START_TEST(units_are_needed_and_read)
{
    static const struct {
        const char *text;
        uint32_t ms;
    } durations[] = {{"0", 0}, {"500ms", 500}, {"30s", 30000}, {"10m", 600000}, {"2h", 7200000}};
    for (size_t i = 0; i < 5; i++) {
        char set[64];
        snprintf(set, sizeof set, "train.stall_timeout=%s", durations[i].text);
        config *c = good_set(set);
        ck_assert_uint_eq(c->train.stall_timeout_ms, durations[i].ms);
        config_free(c);
    }
    bad("train: {stall_timeout: 30}", "expects a duration such as 500ms");
    bad("train: {stall_timeout: 1.5s}", "expects a duration");
    bad("train: {stall_timeout: 30 s}", "expects a duration");
    bad("train: {stall_timeout: 1200h}", "expects a duration");
    bad("worker: {cache: 64}", "expects a size such as");
    bad("worker: {cache: 64MB}", "expects a size");
    bad("worker: {cache: 99999999999TiB}", "expects a size");
    bad("prepare: {memory: 1KiB}", "at least 1048576B");
}
END_TEST

START_TEST(columns_kinds_and_relations_are_checked)
{
    bad("data: {items: {columns: {text: {const: x}}}}", "{constant: text}");
    bad("data: {items: {columns: {text: []}}}", "at least one header name");
    bad("data: {items: {columns: {item_id: ''}}}", "data.items.columns.item_id: must be mapped");
    bad("data: {items: {columns: {item_type: {constant: 'a b'}}}}",
        "the constant `a b` is not a name");
    bad("data: {interactions: {columns: {kind: {constant: ''}}}}", "the constant `` is not a name");
    bad("data: {kinds: {listen: {role: []}}}", "data.kinds.listen: unknown key `role`");
    bad("data: {kinds: {listen: {roles: [grap]}}}",
        "data.kinds.listen.roles: expects a list of graph");
    bad("data: {kinds: {listen: {roles: [], roles: []}}}", "`roles` stands there twice");
    bad("data: {kinds: {listen: {min_weight: nan}}}",
        "data.kinds.listen.min_weight: expects a number");
    bad("data: {kinds: {listen: 5}}", "data.kinds.listen: expects {roles");
    bad("data: {kinds: [listen]}", "data.kinds: expects a mapping");
    bad("data: {kinds: {a: {roles: [graph]}}}", "no kind is positive");
    bad("data: {kinds: {a: {roles: [positive]}}}", "no kind is in the graph");
    bad("graph: {relations: []}", "expects `all` or a list");
    bad("graph: {relations: [[a]]}", "expects [source, destination]");
    bad("graph: {relations: some}", "expects `all` or a list");
    config *c = good("data: {interactions: {columns: {weight: ''}}}");
    ck_assert_uint_eq(c->data.interactions.weight.names.n, 0);
    config_free(c);
}
END_TEST

START_TEST(keys_must_fit_each_other)
{
    bad("hgnn:\n  dims: [64, 64, 64]\n",
        "job.yaml:2:9: hgnn.fanout: has 2 values and hgnn.dims 3: one per layer");
    bad("split: {method: time}\ndata: {order: none}", "split.method: time needs data.order: time");
    bad("split: {method: last}\ndata: {order: none}", "split.method: last needs an order");
    bad("split: {method: random, holdout_days: 3}", "split.holdout_days: only with");
    bad("split: {method: random, file: given.tsv}", "split.file: only with split.method: file");
    bad("split: {file: given.tsv}", "job.yaml:1:15: split.file: only with split.method: file");
    bad("features: {encoder: hash, ngram_dim: 0}", "encoder hash needs more than 0");
    bad("features: {encoder: none}\nhgnn: {random_features: 0}", "needs random_features");
    bad("features: {encoder: none}\ntwo_tower: {use_z: false}", "false needs text vectors");
    bad("hgnn: {epochs: 0, max_steps: 0}", "hgnn.max_steps: and epochs are both 0");
    bad("two_tower: {epochs: 0, max_steps: 0}", "two_tower.max_steps: and epochs are both 0");
    bad("data: {types: [a]}\nhistory: {types: [b]}", "history.types: `b` is not in data.types");
    bad("data: {types: [a]}\ntwo_tower: {targets: [b]}", "two_tower.targets: `b` is not in");
    bad("data: {types: [a]}\ngraph: {relations: [[a, b]]}", "graph.relations: `b` is not in");
    config_free(good("split: {method: time, holdout_days: 3}"));
    config_free(good("split: {method: file, file: given.tsv}"));
    config_free(good("hgnn: {epochs: 0}"));
}
END_TEST

START_TEST(what_comes_later_is_refused)
{
    static const char *const sets[] = {"train.wire=bf16",
                                       "train.wire=int8",
                                       "graph.partitioner=metis",
                                       "two_tower.foundation=before",
                                       "two_tower.foundation=crossfit",
                                       "mode=refresh",
                                       "mode=frozen",
                                       "hgnn.init_from=x",
                                       "two_tower.init_from=x"};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        char message[128];
        bad_set(sets[i], "supported yet");
        snprintf(message, sizeof message, "--set %.*s: ", (int)strcspn(sets[i], "="), sets[i]);
        ck_assert_msg(strstr(captured, message), "%s", captured);
    }
    bad("train: {wire: bf16}", "job.yaml:1:15: train.wire: bf16 is not supported yet");
    config_free(good("train: {delay: 16}"));
    config_free(good("train: {mode: ssp, staleness: 64}"));
    config_free(good("train: {mode: asp}"));
    bad("train: {delay: 17}", "train.delay");
    bad("train: {mode: asp, delay: 1}", "train.delay: only with train.mode: bsp");
    bad("train: {mode: asp, staleness: 1}", "train.staleness: only with train.mode: ssp");
    bad("train: {staleness: 1}", "train.staleness: only with train.mode: ssp");
    config_free(good_set("checkpoint.copies=1"));
    config_free(good("checkpoint: {copies: 2}\ncluster: {servers: 2}"));
    bad("checkpoint: {copies: 2}",
        "job.yaml:1:22: checkpoint.copies: 2 copies need as many servers, "
        "cluster.servers is 1");
    bad_set("checkpoint.copies=2", "cluster.servers is 1");
    bad_set("checkpoint.copies=3", "checkpoint.copies");
    config_free(good_set("checkpoint.every=10m"));
    config_free(good_set("checkpoint.every=600s"));
}
END_TEST

START_TEST(a_limit_of_0_is_none)
{
    static const char *const sets[] = {"data.items.max_values=0",
                                       "data.users.max_values=0",
                                       "graph.max_items_per_user=0",
                                       "hgnn.fanout_total=0",
                                       "hgnn.patience=0",
                                       "history.max_items=0",
                                       "two_tower.positives_per_user=0",
                                       "validate.items=0",
                                       "validate.users=0"};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) config_free(good_set(sets[i]));
}
END_TEST

START_TEST(all_errors_are_reported)
{
    config *c;
    ck_assert_int_eq(parse("seed: x\nhgnn: {loss: y, dims: [1]}\nfoo: 1\n", NULL, 0, &c),
                     ERR_INVALID);
    ck_assert(strstr(captured, ":1:7: seed") && strstr(captured, ":2:14: hgnn.loss"));
    ck_assert(strstr(captured, ":3:1: foo: unknown key") && strstr(captured, "hgnn.fanout: has 2"));
}
END_TEST

START_TEST(a_refused_value_causes_no_second_error)
{
    bad("hgnn: {dims: [0, 1, 2]}", "hgnn.dims: expects");
    ck_assert_ptr_null(strstr(captured, "hgnn.fanout"));
}
END_TEST

START_TEST(set_goes_the_same_way_and_the_last_one_wins)
{
    const char *sets[] = {"hgnn.dims=[32]", "hgnn.fanout=[3]", "hgnn.optimizer={lr: 0.5}",
                          "seed=3",         "seed=4",          "data.items.columns.text=[a, b]",
                          "split.file="};
    config *c;
    ck_assert_int_eq(parse("seed: 2\nhgnn: {fanout: [1, 2]}", sets, 7, &c), ERR_OK);
    ck_assert_uint_eq(c->seed, 4);
    ck_assert_uint_eq(c->hgnn.dims[0], 32);
    ck_assert(c->hgnn.optimizer.lr == 0.5f);
    ck_assert_uint_eq(c->data.items.text.names.n, 2);
    config_free(c);
    bad_set("hgnn.dim=[1]", "--set hgnn.dim: unknown key; did you mean `hgnn.dims`?");
    bad_set("hgnn.batch=1x", "--set hgnn.batch: expects an integer");
    bad_set("hgnn.batch", "expects key=value");
    bad_set("=3", "expects key=value");
    bad_set("hgnn=3", "hgnn: expects a mapping");
    bad_set("hgnn.dims=[1, 2", "--set hgnn.dims: ");
    bad_set("hgnn.dims=[1]", "--set hgnn.dims: hgnn.fanout: has 2 values");
    bad_set("seed=*x", "aliases");
}
END_TEST

START_TEST(files_are_loaded_and_paths_start_there)
{
    char dir[] = "/tmp/test_config-XXXXXX", path[64], text[128];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/job.yaml", dir);
    FILE *file = fopen(path, "w");
    fputs("data: {items: {path: ../a/./items.tsv}, users: {path: /abs/users.tsv}}\n", file);
    fclose(file);
    config *c;
    ck_assert_int_eq(config_load(path, NULL, 0, &c), ERR_OK);
    ck_assert_str_eq(c->file, path);
    ck_assert_str_eq(c->data.items.path, "/tmp/a/items.tsv");
    ck_assert_str_eq(c->data.users.path, "/abs/users.tsv");
    snprintf(text, sizeof text, "%s/work/quickstart", dir);
    ck_assert_str_eq(c->work_dir, text);
    config_use_data_dir(c, dir);
    snprintf(text, sizeof text, "%s/interactions.tsv", dir);
    ck_assert_str_eq(c->data.interactions.path, text);
    ck_assert_str_eq(c->data.users.path, "");
    ck_assert(c->data.from_data_dir);
    snprintf(text, sizeof text, "%s/users.tsv", dir);
    fclose(fopen(text, "w"));
    config_use_data_dir(c, dir);
    ck_assert_str_eq(c->data.users.path, text);
    snprintf(text, sizeof text, "%s/items.csv.gz", dir);
    fclose(fopen(text, "w"));
    config_use_data_dir(c, dir);
    ck_assert_str_eq(c->data.items.path, text);
    snprintf(text, sizeof text, "%s/items.csv", dir);
    fclose(fopen(text, "w"));
    config_use_data_dir(c, dir);
    ck_assert_str_eq(c->data.items.path, text);
    config_free(c);
    ck_assert_int_eq(files_remove_tree(dir), ERR_OK);
    testing_capture_start();
    err_code missing = config_load(path, NULL, 0, &c), folder = config_load("/tmp", NULL, 0, &c);
    captured = testing_capture_end();
    ck_assert_int_eq(missing, ERR_NOT_FOUND);
    ck_assert_int_eq(folder, ERR_IO);
    ck_assert_ptr_nonnull(strstr(captured, "/job.yaml: cannot open: No such file"));
    ck_assert_int_eq(config_load(NULL, NULL, 0, &c), ERR_OK);
    config_free(c);
}
END_TEST

START_TEST(a_file_with_a_nul_byte_or_too_large_is_invalid)
{
    char path[] = "/tmp/test_config-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_eq(write(fd, "job: a\0b", 8), 8);
    config *c;
    testing_capture_start();
    err_code nul = config_load(path, NULL, 0, &c);
    ck_assert_int_eq(ftruncate(fd, 2 << 20), 0);
    err_code large = config_load(path, NULL, 0, &c);
    captured = testing_capture_end();
    close(fd);
    unlink(path);
    ck_assert_int_eq(nul, ERR_INVALID);
    ck_assert_int_eq(large, ERR_INVALID);
}
END_TEST

static const char rich[] =
    "job: \"a \\\"quoted\\\" job\"\nseed: 77\n"
    "data:\n  items: {path: i.tsv, columns: {item_type: {constant: movie}, text: [title, "
    "genres]}}\n"
    "  users: {attributes: [age, sex], vector: taste}\n"
    "  interactions: {columns: {weight: ''}}\n"
    "  kinds: {b: {roles: []}, a: {min_weight: 0.1}}\n  types: [movie, book]\n  order: time\n"
    "features: {openai: {template: \"q: {text}\\n\"}, storage: int8}\n"
    "graph: {relations: [[movie, book]], shrink: 0.30000000000000004}\n"
    "hgnn: {optimizer: {lr: 1.7e-4, clip: 3.5}, neighbour_drop: 0.1}\n"
    "two_tower: {targets: [book], negatives: all, skip: none}\n"
    "evaluate: {baselines: []}\nworker: {cache: 1536KiB}\ntrain: {stall_timeout: 90s}\n"
    "store: {verify: 'off'}\ncluster: {on_done: wait}\n";

START_TEST(printed_yaml_loads_back_to_the_same)
{
    config *c = good(rich);
    char *yaml = config_print(c, CONFIG_ALL), *flat = config_flat_json(c);
    config *again;
    /* Another base folder: the printed paths are absolute. */
    ck_assert_int_eq(config_parse("/elsewhere/x.yaml", yaml, NULL, 0, &again), ERR_OK);
    char *yaml_again = config_print(again, CONFIG_ALL), *flat_again = config_flat_json(again);
    ck_assert_str_eq(yaml, yaml_again);
    ck_assert_str_eq(flat, flat_again);
    char *plan = config_plan_json(c), *plan_again = config_plan_json(again);
    ck_assert_str_eq(plan, plan_again);
    ck_assert_ptr_nonnull(strstr(yaml, "\n    lr: 0.00017\n"));
    ck_assert_ptr_nonnull(strstr(yaml, "\n  stall_timeout: 90s\n"));
    ck_assert_ptr_nonnull(strstr(yaml, "text: [\"title\", \"genres\"]\n"));
    free(yaml), free(yaml_again), free(flat), free(flat_again), free(plan), free(plan_again);
    config_free(c);
    config_free(again);
}
END_TEST

START_TEST(the_plan_has_no_paths_and_loads_back_to_the_same_plan)
{
    config *c = good(rich);
    char *yaml = config_print(c, CONFIG_PLAN_ONLY);
    ck_assert_ptr_null(strstr(yaml, "/etc/"));
    ck_assert_ptr_null(strstr(yaml, "path"));
    ck_assert_ptr_null(strstr(yaml, "cluster"));
    ck_assert_ptr_null(strstr(yaml, "core_type"));
    config *again;
    ck_assert_int_eq(config_parse("/elsewhere/x.yaml", yaml, NULL, 0, &again), ERR_OK);
    char *plan = config_plan_json(c), *plan_again = config_plan_json(again);
    ck_assert_str_eq(plan, plan_again);
    free(yaml), free(plan), free(plan_again);
    config_free(c);
    config_free(again);
}
END_TEST

static void check_sorted(const char *text)
{
    json_t *plan = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_ptr_nonnull(plan);
    char *sorted = json_dumps(plan, JSON_SORT_KEYS | JSON_COMPACT | JSON_REAL_PRECISION(17));
    ck_assert_uint_eq(strlen(text) > 500, 1);
    const char *before = "", *key;
    json_t *value;
    json_object_foreach(plan, key, value)
    {
        ck_assert_msg(strcmp(before, key) < 0, "%s before %s", before, key);
        before = key;
    }
    free(sorted);
    json_decref(plan);
}

START_TEST(canonical_json_is_sorted_and_of_plan_keys)
{
    config *c = good(rich);
    char *plan = config_plan_json(c), *prepare = config_prepare_json(c);
    check_sorted(plan);
    check_sorted(prepare);
    ck_assert_ptr_nonnull(strstr(plan, "\"graph.shrink\":0.30000000000000004,"));
    ck_assert_ptr_nonnull(strstr(plan, "\"hgnn.neighbour_drop\":0.10000000000000001,"));
    ck_assert_ptr_nonnull(strstr(plan, "\"data.kinds\":{\"a\":{\"min_weight\":0.10000000000000001,"
                                       "\"roles\":[\"graph\",\"history\",\"positive\",\"seen\"]},"
                                       "\"b\":{\"roles\":[]}}"));
    ck_assert_ptr_null(strstr(plan, "cluster."));
    ck_assert_ptr_null(strstr(plan, "path"));
    ck_assert_ptr_null(strstr(prepare, "hgnn."));
    ck_assert_ptr_nonnull(strstr(prepare, "\"seed\":77"));
    free(plan), free(prepare);
    config_free(c);
}
END_TEST

START_TEST(deployment_keys_and_key_order_do_not_change_the_plan)
{
    config *a = good("seed: 5\ndata: {kinds: {x: {}, y: {roles: []}}}\n");
    config *b = good("data: {kinds: {y: {roles: []}, x: {}}}\ncluster: {workers: 9}\njob: other\n"
                     "work_dir: /x\nseed: 5\n");
    char *plan_a = config_plan_json(a), *plan_b = config_plan_json(b);
    ck_assert_str_eq(plan_a, plan_b);
    free(plan_a), free(plan_b);
    config_free(a);
    config_free(b);
}
END_TEST

START_TEST(plan_differences_are_named)
{
    config *a = good(""),
           *b = good("hgnn: {optimizer: {lr: 2e-3}}\nseed: 2\ntrain: {core_type: X}");
    char *plan_a = config_plan_json(a), *plan_b = config_plan_json(b);
    testing_capture_start();
    size_t same = config_plan_diff(plan_a, plan_a), n = config_plan_diff(plan_a, plan_b);
    size_t missing = config_plan_diff("{}", "{\"a\": 1}"), broken = config_plan_diff("{", "{}");
    captured = testing_capture_end();
    ck_assert_uint_eq(same, 0);
    ck_assert_uint_eq(n, 2);
    ck_assert_uint_eq(missing, 1);
    ck_assert_uint_ge(broken, 1);
    ck_assert_ptr_nonnull(strstr(captured, "plan: hgnn.optimizer.lr: 0.001 -> 0.002\n"));
    ck_assert_ptr_nonnull(strstr(captured, "plan: seed: 1 -> 2\n"));
    ck_assert_ptr_nonnull(strstr(captured, "plan: a: (absent) -> 1\n"));
    free(plan_a), free(plan_b);
    config_free(a);
    config_free(b);
}
END_TEST

START_TEST(flat_json_has_every_key)
{
    config *c = good("");
    char *flat = config_flat_json(c);
    json_t *object = json_loads(flat, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_uint_eq(json_object_size(object), config_keys_n);
    json_t *dims = json_object_get(object, "hgnn.dims");
    ck_assert_int_eq(json_integer_value(json_array_get(dims, 1)), 128);
    ck_assert_str_eq(json_string_value(json_object_get(object, "checkpoint.every")), "10m");
    json_decref(object);
    free(flat);
    config_free(c);
}
END_TEST

/* The schema's object at a dotted name. */
static json_t *schema_at(json_t *schema, const char *name)
{
    char part[64];
    for (;;) {
        size_t n = strcspn(name, ".");
        snprintf(part, sizeof part, "%.*s", (int)n, name);
        schema = json_object_get(json_object_get(schema, "properties"), part);
        if (!name[n]) return schema;
        name += n + 1;
    }
}

START_TEST(the_schema_describes_every_key)
{
    char *text = config_schema();
    json_error_t error;
    json_t *schema = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(schema != NULL, "%s", error.text);
    for (size_t i = 0; i < config_keys_n; i++) {
        json_t *key = schema_at(schema, config_keys[i].name);
        ck_assert_msg(json_is_object(key), "%s", config_keys[i].name);
        ck_assert_ptr_nonnull(json_object_get(key, "description"));
    }
    json_t *wire = json_object_get(schema_at(schema, "train.wire"), "enum");
    ck_assert_uint_eq(json_array_size(wire), 1); /* not what comes later */
    json_t *fraction = schema_at(schema, "split.holdout_fraction");
    ck_assert(json_number_value(json_object_get(fraction, "exclusiveMaximum")) == 1);
    ck_assert(json_is_false(json_object_get(schema, "additionalProperties")));
    json_decref(schema);
    free(text);
}
END_TEST

START_TEST(an_alias_does_not_hide_the_errors_in_the_rest)
{
    bad("seed: &a 1\nhgnn: {batch: *a, dims: 5}\nzzz: 1\n", "seed: anchors");
    testing_expect_part(captured, "job.yaml:2:15: hgnn.batch: aliases");
    testing_expect_part(captured, "job.yaml:2:25: hgnn.dims: expects a list");
    testing_expect_part(captured, "job.yaml:3:1: zzz: unknown key");
}
END_TEST

/* The line of `yaml` that `beginning` ends in has `ending`. */
static void line_ends(const char *yaml, const char *beginning, const char *ending)
{
    const char *at = strstr(yaml, beginning);
    ck_assert_msg(at != NULL, "no line begins with %s", beginning);
    at += strlen(beginning);
    size_t n = strcspn(at, "\n"), m = strlen(ending);
    ck_assert_msg(n >= m && strncmp(at + n - m, ending, m) == 0, "%s: %.*s", beginning, (int)n, at);
}

START_TEST(every_value_says_where_it_comes_from)
{
    config *c;
    const char *const sets[] = {"hgnn.batch=64", "history={max_items: 7}"};
    ck_assert_int_eq(parse("job: x\nhgnn:\n  dims: [64, 32]\n  batch: 9\n", sets, 2, &c), ERR_OK);
    config_use_data_dir(c, ".");
    char *yaml = config_print(c, CONFIG_SOURCES), *json = config_sources_json(c);
    line_ends(yaml, "\n  dims: [64, 32] ", " # job.yaml:3:9");
    line_ends(yaml, "\n  batch: 64 ", " # --set");
    line_ends(yaml, "\n  max_items: 7 ", " # --set");
    line_ends(yaml, "\nseed: 1 ", " # default");
    line_ends(yaml, "\n  interactions:\n    path: ", " # --data");
    ck_assert_ptr_nonnull(strstr(json, "\"hgnn.dims\": {\"value\": [64, 32], \"from\": "
                                       "\"job.yaml:3:9\", \"mark\": \"plan\"}"));
    config *again;
    ck_assert_int_eq(config_parse("/elsewhere/x.yaml", yaml, NULL, 0, &again), ERR_OK);
    char *plan = config_plan_json(c), *plan_again = config_plan_json(again);
    ck_assert_str_eq(plan, plan_again);
    free(yaml), free(json), free(plan), free(plan_again);
    config_free(c);
    config_free(again);
}
END_TEST

/* The configuration `text` loads, and lacks `message` where data are read. */
static void lacks(const char *text, const char *message)
{
    config *c = good(text);
    testing_capture_start();
    err_code rc = config_check_inputs(c);
    captured = testing_capture_end();
    ck_assert_int_eq(rc, ERR_INVALID);
    testing_expect_part(captured, message);
    config_free(c);
}

START_TEST(what_is_required_is_named)
{
    lacks("", "/etc/weft/job.yaml: data.items.path: is required");
    testing_expect_part(captured, "data.interactions.path: is required");
    const char *both = "data: {items: {path: a}, interactions: {path: b}}\n";
    char text[256];
    snprintf(text, sizeof text, "%sfeatures: {encoder: precomputed}\nsplit: {method: file}", both);
    lacks(text, "features.precomputed.path: is required by features.encoder: precomputed");
    testing_expect_part(captured, "split.file: is required by split.method: file");
    config *c = good(both);
    ck_assert_int_eq(config_check_inputs(c), ERR_OK);
    config_free(c);
}
END_TEST

START_TEST(every_file_in_configs_loads)
{
    glob_t found;
    int rc = glob(WEFT_SOURCE_DIR "/configs/*.yaml", 0, NULL, &found);
    ck_assert(rc == 0 || rc == GLOB_NOMATCH);
    for (size_t i = 0; rc == 0 && i < found.gl_pathc; i++) {
        config *c;
        ck_assert_msg(config_load(found.gl_pathv[i], NULL, 0, &c) == ERR_OK, "%s",
                      found.gl_pathv[i]);
        config_free(c);
    }
    if (rc == 0) globfree(&found);
}
END_TEST

START_TEST(the_table_is_in_order)
{
    for (size_t i = 0; i < config_keys_n; i++) {
        const config_key *key = &config_keys[i];
        ck_assert(key->mark == 'P' || key->mark == 'D');
        ck_assert_ptr_nonnull(key->help);
        ck_assert_ptr_eq(config_key_find(key->name), key);
        ck_assert(!config_key_is_section(key->name));
        if (key->type == KEY_U32) ck_assert(key->min <= key->max && key->max <= UINT32_MAX);
        if (key->type == KEY_PATH) ck_assert_int_eq(key->mark, 'D');
    }
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("config");
    tcase_add_checked_fixture(c, testing_enter_folder, testing_leave_folder);
    tcase_add_test(c, defaults_are_the_documented_ones);
    tcase_add_test(c, an_error_that_the_data_tells_names_key_and_place);
    tcase_add_test(c, values_of_every_type_are_read);
    tcase_add_test(c, an_unknown_key_names_the_one_that_was_meant);
    tcase_add_test(c, duplicates_aliases_tags_and_second_documents_are_refused);
    tcase_add_test(c, broken_yaml_has_a_place);
    tcase_add_test(c, numbers_are_read_to_the_last_character);
    tcase_add_test(c, bounds_hold);
    tcase_add_test(c, words_and_texts_are_checked);
    tcase_add_loop_test(c, addresses_have_a_form, 0, (int)(sizeof addresses / sizeof *addresses));
    tcase_add_test(c, the_path_of_a_socket_has_a_longest);
    tcase_add_test(c, addresses_that_can_be_used_are_taken);
    tcase_add_test(c, units_are_needed_and_read);
    tcase_add_test(c, columns_kinds_and_relations_are_checked);
    tcase_add_test(c, keys_must_fit_each_other);
    tcase_add_test(c, what_comes_later_is_refused);
    tcase_add_test(c, a_limit_of_0_is_none);
    tcase_add_test(c, all_errors_are_reported);
    tcase_add_test(c, an_alias_does_not_hide_the_errors_in_the_rest);
    tcase_add_test(c, every_value_says_where_it_comes_from);
    tcase_add_test(c, what_is_required_is_named);
    tcase_add_test(c, a_refused_value_causes_no_second_error);
    tcase_add_test(c, set_goes_the_same_way_and_the_last_one_wins);
    tcase_add_test(c, files_are_loaded_and_paths_start_there);
    tcase_add_test(c, a_file_with_a_nul_byte_or_too_large_is_invalid);
    tcase_add_test(c, printed_yaml_loads_back_to_the_same);
    tcase_add_test(c, the_plan_has_no_paths_and_loads_back_to_the_same_plan);
    tcase_add_test(c, canonical_json_is_sorted_and_of_plan_keys);
    tcase_add_test(c, deployment_keys_and_key_order_do_not_change_the_plan);
    tcase_add_test(c, plan_differences_are_named);
    tcase_add_test(c, flat_json_has_every_key);
    tcase_add_test(c, the_schema_describes_every_key);
    tcase_add_test(c, every_file_in_configs_loads);
    tcase_add_test(c, the_table_is_in_order);
    Suite *s = suite_create("config");
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
