/* Proves: a server names what it should have and has not, its copies of others' parts, too; gives
 * pieces of what it has to servers and nobody else, each request once; and of a snapshot that is
 * not written gives nothing. */
#include "common/mem.h"
#include "common/plan.h"
#include "ps/shard.h"
#include "ps/shard_copies.h"
#include "sim/sim_disk.h"
#include "sim/sim_model.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { SERVERS = 3, SHARDS = 16 };

static sim_disk disk[SERVERS];
static shard_map map;
static part_id snapshot;

/* ---- The disk ---- */

static void save(uint32_t server)
{
    shard_save *x = xcalloc(1, sizeof *x);
    x->id = snapshot;
    x->server = server;
    x->map = map;
    x->keep = xcalloc(1, sizeof *x->keep);
    x->tables = stage_tables_new(sim_shard_model(), &map, server, STAGE_HGNN, NULL);
    ck_assert_int_eq(sim_disk_write(&disk[server], 1, x, 0), ERR_OK);
    sim_disk_sync(&disk[server], 1);
    shard_save_free(x);
}

static shard_load *load(uint32_t server, uint32_t copies, err_code want)
{
    shard_load *l = xcalloc(1, sizeof *l);
    part_store store = sim_disk_store(&disk[server]);
    l->model = sim_shard_model();
    l->server = server;
    l->map = map;
    l->from = xcalloc(1, sizeof *l->from);
    l->from[0] = snapshot;
    l->n = 1;
    l->copies = copies;
    ck_assert_int_eq(shard_disk_load(&store, l), want);
    return l;
}

static uint32_t own_parts(uint32_t server)
{
    uint32_t n = 0;
    for (uint32_t v = 0; v < SHARDS; v++) n += map.server_of[v] == server;
    return n;
}

/* Copies a part from one disk to another in pieces of 1000 bytes. */
static err_code copy(uint32_t from, uint32_t to, const part_id *id)
{
    part_store a = sim_disk_store(&disk[from]), b = sim_disk_store(&disk[to]);
    err_code rc = ERR_OK;
    for (uint64_t at = 0, total = 1; at < total && rc == ERR_OK; at += 1000) {
        shard_give give = {.id = *id, .want = {at, 1000}};
        shard_get get = {.id = *id, .offset = at};
        rc = shard_disk_give(&a, &give);
        if (rc == ERR_OK) rc = part_piece_decode(give.answer, give.want, &get.piece);
        total = get.piece.total;
        get.last = at + get.piece.n == total;
        if (rc == ERR_OK) rc = shard_disk_get(&b, &get);
        blob_unref(give.answer);
    }
    return rc;
}

static void set_up(void)
{
    memset(disk, 0, sizeof disk);
    shard_map_init(&map, 1, SHARDS, SERVERS);
    snapshot = (part_id){.plan_hash = SIM_PLAN_HASH,
                         .stage = STAGE_HGNN,
                         .generation = 1,
                         .version = 2,
                         .shards = SHARDS};
}

static void tear_down(void)
{
    for (uint32_t i = 0; i < SERVERS; i++) sim_disk_fini(&disk[i]);
}

START_TEST(a_server_names_its_parts_and_copies_that_are_not_there)
{
    part_id *second;
    for (uint32_t i = 0; i < SERVERS; i++) save(i);
    uint32_t n = shard_disk_seconds(&map, 0, &snapshot, &second);
    ck_assert_uint_gt(n, 0);
    shard_load *l = load(0, 2, ERR_OK);
    ck_assert_uint_eq(l->missing_n, n);
    shard_load_free(l);
    for (uint32_t i = 0; i < n; i++) {
        ck_assert_uint_ne(map.server_of[second[i].shard], 0);
        ck_assert_int_eq(copy(map.server_of[second[i].shard], 0, &second[i]), ERR_OK);
    }
    l = load(0, 2, ERR_OK);
    ck_assert_uint_eq(l->missing_n, 0);
    ck_assert_ptr_nonnull(l->tables[STAGE_HGNN]);
    shard_load_free(l);
    sim_disk_wipe(&disk[0]);
    l = load(0, 2, ERR_OK);
    ck_assert_uint_eq(l->missing_n, n + own_parts(0));
    shard_load_reset(l);
    ck_assert_uint_eq(l->missing_n, 0);
    shard_load_free(l);
    shard_load_free(load(0, 1, ERR_NOT_FOUND)); /* without copies there is nobody to ask */
    free(second);
}
END_TEST

START_TEST(a_part_that_is_damaged_is_missing)
{
    save(0);
    ck_assert(sim_disk_rot(&disk[0], 12345));
    shard_load *l = load(0, 2, ERR_OK);
    bool named = false;
    for (size_t i = 0; i < l->missing_n; i++)
        named = named || map.server_of[l->missing[i].shard] == 0;
    ck_assert(named);
    shard_load_free(l);
    shard_load_free(load(0, 1, ERR_CORRUPT));
}
END_TEST

START_TEST(what_was_damaged_at_its_source_is_no_copy)
{
    part_id *second;
    save(1);
    uint32_t n = shard_disk_seconds(&map, 0, &snapshot, &second), corrupt = 0;
    while (disk[1].n > 1) { /* one is left, which is ours to copy */
        size_t k = plan_vshard_second(disk[1].part[0].id.shard, SERVERS) == 0;
        blob_unref(disk[1].part[k].bytes);
        disk[1].part[k] = disk[1].part[--disk[1].n];
    }
    ck_assert(sim_disk_rot(&disk[1], 999));
    for (uint32_t i = 0; i < n; i++) corrupt += copy(1, 0, &second[i]) == ERR_CORRUPT;
    ck_assert_uint_eq(corrupt, 1);
    ck_assert_uint_eq(disk[0].n, 0);
    free(second);
}
END_TEST

/* ---- The server ---- */

static core_actions out;

static const core_action *find(core_action_type type)
{
    for (size_t i = 0; i < out.n; i++) {
        bool hello = type == CORE_SEND && out.items[i].send.header.op == WIRE_HELLO;
        if (out.items[i].type == type && !hello) return &out.items[i];
    }
    return NULL;
}

static bool making; /* what ask asks for */

static void ask(shard *s, wire_role role, uint32_t generation, uint64_t tag)
{
    blob *body;
    part_id id = snapshot;
    core_event e = {.type = CORE_MESSAGE, .now_us = 1000000 + tag};
    id.generation = generation;
    wire_header h = part_piece_ask(&id, (part_piece){0, 1000}, &body);
    h.flags |= making ? WIRE_MAKING : 0;
    h.role = (uint8_t)role;
    h.index = 1;
    h.incarnation = 9;
    h.tag = tag;
    h.body_bytes = blob_size(body);
    e.message.route = 1;
    e.message.header = &h;
    e.message.body = body;
    core_actions_reset(&out);
    shard_step(s, &e, &out);
    blob_unref(body);
}

static int status(void)
{
    const core_action *a = find(CORE_SEND);
    return a ? a->send.header.status : -1;
}

START_TEST(only_servers_are_given_parts_that_are_written_and_once)
{
    shard_config c = {.incarnation = 5,
                      .plan_hash = SIM_PLAN_HASH,
                      .numerics = "n",
                      .address = "a",
                      .model = sim_shard_model()};
    core_actions_init(&out);
    shard *s = shard_new(&c);
    making = true;
    ask(s, WIRE_WORKER, 0, 1);
    ck_assert_int_eq(status(), WIRE_REFUSED);
    ask(s, WIRE_SERVER, 1, 2); /* of a generation that is to come */
    ck_assert_int_eq(status(), WIRE_BEHIND);
    ask(s, WIRE_SERVER, 0, 3); /* without a generation, as everything: not made by us yet */
    ck_assert_int_eq(status(), WIRE_BEHIND);
    making = false; /* what was recorded is looked for, though we have not heard of it */
    ask(s, WIRE_SERVER, 1, 4);
    ck_assert_int_eq(status(), -1);
    ck_assert_uint_eq(find(CORE_COMPUTE)->compute.kind, SHARD_GIVE);
    shard_free(s);
    core_actions_fini(&out);
}
END_TEST

START_TEST(a_request_that_is_repeated_is_answered_once)
{
    member m = {0};
    requests_config rc = {.self = {WIRE_SERVER, 0, 5}};
    requests *r = requests_new(&rc);
    copy_getter_config g = {0, &m, r, 1000};
    shard_copies *c = shard_copies_new(&g, 5);
    wire_header h = wire_request(WIRE_PART);
    h.incarnation = 9;
    h.tag = 1;
    core_event e = {.type = CORE_MESSAGE, .now_us = 1, .message = {.route = 1, .header = &h}};
    core_actions_init(&out);
    for (int i = 0; i < 3; i++) shard_copies_asked(c, &e, &snapshot, (part_piece){0, 1000}, &out);
    ck_assert_uint_eq(out.n, 1);
    ck_assert_uint_eq(out.items[0].compute.kind, SHARD_GIVE);
    core_event result = {.type = CORE_RESULT, .now_us = 2};
    result.result.token = out.items[0].compute.token;
    result.result.status = ERR_NOT_FOUND;
    core_actions_reset(&out);
    shard_copies_result(c, &result, &out);
    ck_assert_uint_eq(out.n, 1);
    ck_assert_int_eq(status(), WIRE_NOT_FOUND);
    shard_copies_result(c, &result, &out); /* once */
    ck_assert_uint_eq(out.n, 1);
    shard_copies_free(c);
    requests_free(r);
    core_actions_fini(&out);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("shard_copies");
    TCase *c = tcase_create("shard_copies");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, a_server_names_its_parts_and_copies_that_are_not_there);
    tcase_add_test(c, a_part_that_is_damaged_is_missing);
    tcase_add_test(c, what_was_damaged_at_its_source_is_no_copy);
    tcase_add_test(c, only_servers_are_given_parts_that_are_written_and_once);
    tcase_add_test(c, a_request_that_is_repeated_is_answered_once);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
