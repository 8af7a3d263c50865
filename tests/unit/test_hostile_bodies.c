/* Proves: a body that claims huge counts is refused, or taken, without allocating more than a small
 * multiple of its own size.  Every number of every real body is replaced by large ones; what
 * common/mem.c asks the C library for is counted (the linker sends its calls here). */
#include "common/feature_row.h"
#include "common/job.h"
#include "common/mem.h"
#include "common/microbatch.h"
#include "common/npy.h"
#include "common/proto_alloc.h"
#include "common/safetensors.h"
#include "common/table_codec.h"
#include "proto/weft.pb-c.h"
#include "sampler/build.h"
#include "sampler/table_reader.h"
#include "testing_files.h"
#include "testing_fuzz.h"
#include "testing_microbatch.h"
#include "testing_plan.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { FACTOR = 32, FIXED_BYTES = 64 << 10 };

static size_t allocated;

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);

void *__wrap_malloc(size_t bytes)
{
    allocated += bytes;
    return __real_malloc(bytes);
}

void *__wrap_calloc(size_t n, size_t size)
{
    allocated += n * size;
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t bytes)
{
    allocated += bytes;
    return __real_realloc(p, bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    allocated += bytes;
    return __real_aligned_alloc(alignment, bytes);
}

/* Decodes and forgets. */
typedef void decoder(blob *body);

static size_t cost(decoder *decode, const uint8_t *data, size_t size)
{
    blob *body = blob_copy(data, size);
    allocated = 0;
    decode(body);
    size_t bytes = allocated;
    blob_unref(body);
    return bytes;
}

/* Takes `body`.  Replaces the 4 or 8 bytes at each multiple of `stride` by large numbers. */
static void try_numbers(decoder *decode, blob *body, size_t stride)
{
    static const uint64_t large[] = {UINT64_MAX, 0x7fffffffffffffff, 0x40000000,       0x00ffffff,
                                     0x7fffffff, 0xffffffff,         UINT64_C(1) << 60};
    size_t size = blob_size(body), most = FACTOR * size + FIXED_BYTES;
    uint8_t *copy = xmalloc(size + 8);
    testing_capture_start();
    for (size_t at = 0; at < size; at += stride) {
        for (size_t i = 0; i < 2 * sizeof large / sizeof *large; i++) {
            size_t width = i % 2 ? 8 : 4;
            memcpy(copy, blob_data(body), size);
            memcpy(copy + at, &large[i / 2], width);
            size_t bytes = cost(decode, copy, size);
            if (bytes <= most) continue;
            testing_capture_end();
            ck_abort_msg("%zu bytes for a body of %zu: %#lx at %zu", bytes, size,
                         (unsigned long)large[i / 2], at);
        }
    }
    testing_capture_end();
    free(copy);
    blob_unref(body);
}

/* --- Bodies of the wire --- */

static void decode_push(blob *body)
{
    push_view v;
    err_code rc = push_decode(body, &v);
    (void)rc;
}

START_TEST(a_push_cannot_claim_more_than_it_has)
{
    static const uint64_t keys[3] = {1, 2, 3};
    static const float rows[6] = {1, 2, 3, 4, 5, 6};
    push_section section = {.table = 1, .dim = 2, .n = 3, .keys = keys, .rows = rows};
    push_result r = {.examples = 3,
                     .stage = STAGE_TWO_TOWER,
                     .dense = rows,
                     .dense_floats = 6,
                     .section = &section,
                     .sections = 1};
    shard_map map;
    shard_map_init(&map, 1, 16, 1);
    try_numbers(decode_push, push_encode(&r, &map, 0), 4);
}
END_TEST

static manifest *plan_manifest;

static void decode_microbatch(blob *body)
{
    microbatch *b;
    if (microbatch_decode(plan_manifest, body, &b) == ERR_OK) microbatch_free(b);
}

START_TEST(a_microbatch_cannot_claim_more_than_it_has)
{
    plan_manifest = testing_plan_manifest();
    try_numbers(decode_microbatch, testing_graph_body(plan_manifest), 4);
    try_numbers(decode_microbatch, testing_tower_body(plan_manifest), 4);
    try_numbers(decode_microbatch, testing_items_body(), 4);
    manifest_free(plan_manifest);
}
END_TEST

static void decode_feature_reply(blob *body)
{
    feature_row_reply r;
    err_code rc = feature_row_decode_reply(plan_manifest, body, &r);
    (void)rc;
}

START_TEST(rows_of_features_cannot_claim_more_than_there_are)
{
    static const uint64_t key[2] = {7, 8};
    static const uint32_t positives[2] = {1, 2};
    static const uint16_t text[16] = {0};
    feature_row_reply r = {.nodes = 2,
                           .text_dim = 8,
                           .storage = STORAGE_F16,
                           .key = key,
                           .positives = positives,
                           .f16 = text};
    plan_manifest = testing_plan_manifest();
    try_numbers(decode_feature_reply, feature_row_encode_reply(&r), 4);
    manifest_free(plan_manifest);
}
END_TEST

static void decode_hello(blob *body)
{
    proto_alloc a;
    proto_alloc_init(&a, FACTOR * blob_size(body)); /* the bound: counted once */
    (void)proto_unpack(&a, &weft__hello__descriptor, body, 1 << 20);
    (void)proto_unpack(&a, &weft__view__descriptor, body, 1 << 20);
    (void)proto_unpack(&a, &weft__grants__descriptor, body, 1 << 20);
    (void)proto_unpack(&a, &weft__done__descriptor, body, 1 << 20);
    proto_alloc_fini(&a);
}

START_TEST(a_control_message_stays_within_its_block)
{
    /* Many empty repeated messages are the most that a byte can be turned into. */
    enum { PEERS = 20000 };
    uint8_t *body = xmalloc(2 * PEERS);
    for (size_t i = 0; i < PEERS; i++) memcpy(body + 2 * i, "\x42\x00", 2);
    ck_assert_uint_le(cost(decode_hello, body, 2 * PEERS), 2 * FACTOR * PEERS);
    proto_alloc a;
    blob *b = blob_copy(body, 2 * PEERS);
    proto_alloc_init(&a, 1 << 16);
    ck_assert_ptr_null(proto_unpack(&a, &weft__view__descriptor, b, 1 << 20));
    ck_assert_uint_le(a.len, a.cap);
    proto_alloc_fini(&a);
    blob_unref(b);
    free(body);
    Weft__Done done = WEFT__DONE__INIT;
    double sums[4] = {1, 2, 3, 4};
    done.sums = sums;
    done.n_sums = 4;
    done.examples = 1 << 20;
    try_numbers(decode_hello, proto_pack(&done.base), 1);
}
END_TEST

static void decode_job(blob *body)
{
    job *j;
    if (job_decode(body, &j) == ERR_OK) job_free(j);
}

START_TEST(the_lengths_in_an_answer_to_config_are_checked_first)
{
    uint8_t body[64] = {0};
    for (uint32_t length = 1; length; length *= 2) {
        memcpy(body, &length, sizeof length);
        testing_capture_start();
        size_t bytes = cost(decode_job, body, sizeof body);
        testing_capture_end();
        ck_assert_uint_le(bytes, FIXED_BYTES);
    }
}
END_TEST

/* --- Between samplers --- */

typedef struct samplers {
    manifest *m;
    plan *p;
    store *whole, *part;
    build_env *whole_env, *part_env;
    slot_name name;
    uint32_t leaf; /* names the question that decode_answer answers */
} samplers;

static samplers w;

static void open_samplers(void)
{
    const char *folder;
    plan_work work;
    const config *c = testing_fuzz_prepared(&folder);
    ck_assert_int_eq(manifest_load(folder, &w.m), ERR_OK);
    ck_assert_int_eq(manifest_count_positives(folder, c, w.m), ERR_OK);
    ck_assert_int_eq(plan_new(c, w.m, &w.p), ERR_OK);
    w.name = plan_name(w.p, STAGE_HGNN, 1, 0);
    ck_assert(plan_slot(w.p, w.name, &work));
    ck_assert_int_eq(store_open(folder, NULL, 0, VERIFY_OPEN, &w.whole), ERR_OK);
    ck_assert_int_eq(store_open(folder, &work.partition, 1, VERIFY_OPEN, &w.part), ERR_OK);
    ck_assert_int_eq(build_env_new(c, w.m, w.p, w.whole, &w.whole_env), ERR_OK);
    ck_assert_int_eq(build_env_new(c, w.m, w.p, w.part, &w.part_env), ERR_OK);
}

static void close_samplers(void)
{
    build_env_free(w.part_env);
    build_env_free(w.whole_env);
    store_close(w.part);
    store_close(w.whole);
    plan_free(w.p);
    manifest_free(w.m);
}

static void decode_question(blob *body)
{
    blob *reply = NULL;
    err_code rc = leaf_answer(w.whole_env, w.name, body, &reply);
    (void)rc;
    blob_unref(reply);
}

static void decode_features_request(blob *body)
{
    blob *reply = NULL;
    err_code rc = features_answer(w.whole_env, body, &reply);
    (void)rc;
    blob_unref(reply);
}

static void decode_answer(blob *body)
{
    build *b;
    build_result r;
    ck_assert_int_eq(build_new(w.part_env, w.name, &b), ERR_OK);
    ck_assert_int_eq(build_step(b, &r), ERR_OK);
    blob *copy = blob_copy(blob_data(body), blob_size(body));
    allocated = 0;
    err_code rc = build_leaf_reply(b, w.leaf, copy);
    size_t bytes = allocated;
    (void)rc;
    blob_unref(copy);
    build_free(b);
    allocated = bytes;
}

START_TEST(questions_and_answers_of_samplers_cannot_claim_more_than_they_have)
{
    build *b;
    build_result r;
    blob *reply;
    open_samplers();
    ck_assert_int_eq(build_new(w.part_env, w.name, &b), ERR_OK);
    ck_assert_int_eq(build_step(b, &r), ERR_OK);
    ck_assert_int_eq(r.state, BUILD_WAIT);
    w.leaf = r.leaf[0].part;
    ck_assert_int_eq(leaf_answer(w.whole_env, w.name, r.leaf[0].body, &reply), ERR_OK);
    try_numbers(decode_answer, reply, 4);
    try_numbers(decode_question, blob_ref(r.leaf[0].body), 4);
    build_free(b);
    uint32_t node[2] = {w.m->node_base[0], w.m->node_base[0] + 1};
    feature_row_request q = {.partition = 0, .nodes = 2, .node = node};
    try_numbers(decode_features_request, feature_row_encode_request(&q), 4);
    close_samplers();
}
END_TEST

/* --- Files --- */

static void decode_npy(blob *body)
{
    npy_array a;
    testing_put("a.npy", blob_data(body), blob_size(body));
    if (npy_read("a.npy", &a) == ERR_OK) npy_fini(&a);
}

static void decode_safetensors(blob *body)
{
    safetensors_file *f;
    testing_put("a.safetensors", blob_data(body), blob_size(body));
    if (safetensors_open("a.safetensors", &f) == ERR_OK) safetensors_close(f);
}

static void decode_manifest(blob *body)
{
    manifest *m;
    char *text = xstrndup((const char *)blob_data(body), blob_size(body));
    if (manifest_parse(text, &m) == ERR_OK) manifest_free(m);
    free(text);
}

static blob *file_body(const char *path)
{
    size_t n;
    char *bytes = testing_get_text(path, &n);
    blob *b = blob_copy(bytes, n);
    free(bytes);
    return b;
}

START_TEST(arrays_in_files_cannot_claim_more_than_the_file_has)
{
    static const float data[4] = {1, 2, 3, 4};
    static const uint64_t shape[2] = {2, 2};
    ck_assert_int_eq(npy_write("b.npy", NPY_F32, shape, 2, data), ERR_OK);
    try_numbers(decode_npy, file_body("b.npy"), 4);
    safetensors_writer *writer = safetensors_writer_new();
    safetensors_add(writer, "x", shape, 2, data);
    ck_assert_int_eq(safetensors_write(writer, "b.safetensors"), ERR_OK);
    safetensors_writer_free(writer);
    try_numbers(decode_safetensors, file_body("b.safetensors"), 4);
}
END_TEST

/* Every number in the text becomes a large one. */
START_TEST(a_manifest_cannot_claim_more_than_it_lists)
{
    static const char *const large[] = {"4294967295", "4096", "268435456", "9223372036854775807"};
    const char *folder;
    (void)testing_fuzz_prepared(&folder);
    char *path = xprintf("%s/manifest.json", folder), *text = testing_get_text(path, NULL);
    free(path);
    size_t n = strlen(text), most = FACTOR * n + FIXED_BYTES;
    testing_capture_start();
    for (size_t at = 0; at < n; at++) {
        size_t digits = strspn(text + at, "0123456789");
        for (size_t i = 0; digits && i < sizeof large / sizeof *large; i++) {
            char *changed = xprintf("%.*s%s%s", (int)at, text, large[i], text + at + digits);
            size_t bytes = cost(decode_manifest, (const uint8_t *)changed, strlen(changed));
            free(changed);
            if (bytes <= most) continue;
            testing_capture_end();
            ck_abort_msg("%zu bytes for a manifest of %zu: %s at %.30s", bytes, n, large[i],
                         text + at);
        }
        at += digits;
    }
    testing_capture_end();
    free(text);
}
END_TEST

START_TEST(a_packed_table_is_read_in_pieces)
{
    enum { LINES = 1 << 20 };
    table_reader *r;
    bool more = true;
    gzFile f = gzopen("t.tsv.gz", "wb9");
    ck_assert_int_gt(gzputs(f, "a\tb\n"), 0);
    for (size_t i = 0; i < LINES; i++) gzputs(f, "\t\n");
    ck_assert_int_eq(gzclose(f), Z_OK);
    size_t rows = 0;
    allocated = 0;
    err_code rc = table_reader_open("t.tsv.gz", false, &r);
    ck_assert_int_eq(rc, ERR_OK);
    while (more && rc == ERR_OK) {
        rc = table_reader_next(r, &more);
        rows++;
    }
    table_reader_close(r);
    size_t bytes = allocated;
    ck_assert_int_eq(rc, ERR_OK);
    ck_assert_uint_eq(rows, LINES + 1);
    ck_assert_uint_le(bytes, 1 << 20); /* of 2 MiB that come out */
}
END_TEST

int main(void)
{
    Suite *s = suite_create("hostile bodies");
    TCase *c = tcase_create("all");
    tcase_add_checked_fixture(c, testing_enter_folder, testing_leave_folder);
    tcase_add_test(c, a_push_cannot_claim_more_than_it_has);
    tcase_add_test(c, a_microbatch_cannot_claim_more_than_it_has);
    tcase_add_test(c, rows_of_features_cannot_claim_more_than_there_are);
    tcase_add_test(c, a_control_message_stays_within_its_block);
    tcase_add_test(c, the_lengths_in_an_answer_to_config_are_checked_first);
    tcase_add_test(c, questions_and_answers_of_samplers_cannot_claim_more_than_they_have);
    tcase_add_test(c, arrays_in_files_cannot_claim_more_than_the_file_has);
    tcase_add_test(c, a_manifest_cannot_claim_more_than_it_lists);
    tcase_add_test(c, a_packed_table_is_read_in_pieces);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
