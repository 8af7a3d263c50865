/* Proves: parts are got piece by piece with few of them on the way; from whoever has a good one;
 * and given up only when every server of the map has said no, again and again. */
#include "common/mem.h"
#include "common/plan.h"
#include "ps/copy_getter.h"
#include "testing_part.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { SERVERS = 4, SHARDS = 8, SELF = 0, PIECE = 64 };

static member m;
static requests *r;
static copy_getter *g;
static core_actions out;
static shard_map map;
static uint64_t now_us;
static blob *whole;
static part_id id; /* its owner is not SELF */
static uint32_t owner, second;

static void set_up(void)
{
    now_us = 1000000;
    core_actions_init(&out);
    requests_config rc = {.self = {WIRE_SERVER, SELF, 1}};
    r = requests_new(&rc);
    shard_map_init(&map, 1, SHARDS, SERVERS);
    m = (member){0};
    for (uint32_t i = 0; i < SERVERS; i++) {
        grow(&m.peers, &m.peers_cap, m.peers_n + 1, sizeof *m.peers);
        m.peers[m.peers_n++] = (member_peer){.peer = {WIRE_SERVER, i, 10 + i}};
    }
    copy_getter_config c = {SELF, &m, r, PIECE};
    g = copy_getter_new(&c);
    id = testing_part_id(5, 0, SHARDS);
    while (map.server_of[id.shard] == SELF || plan_vshard_second(id.shard, SERVERS) == SELF)
        id.shard++;
    owner = map.server_of[id.shard];
    second = plan_vshard_second(id.shard, SERVERS);
    whole = testing_part(&id);
}

static void tear_down(void)
{
    copy_getter_free(g);
    requests_free(r);
    free(m.peers);
    blob_unref(whole);
    core_actions_fini(&out);
}

static void start(bool being_made)
{
    part_id *part = xcalloc(1, sizeof *part);
    *part = id;
    copy_getter_start(g, part, 1, &map, being_made, now_us, &out);
}

/* The open PART requests, the oldest first. */
static uint32_t asked(core_action *a, uint32_t max)
{
    uint32_t n = 0;
    for (size_t i = 0; i < out.n; i++) {
        if (out.items[i].type == CORE_SEND && n < max) a[n++] = out.items[i];
    }
    return n;
}

static void reset(void)
{
    core_actions_reset(&out);
}

static void answer(const core_action *a, wire_status status, blob *body)
{
    wire_header h = wire_answer(&a->send.header, status);
    request_match match;
    core_event e = {.type = CORE_MESSAGE, .now_us = now_us};
    h.role = WIRE_SERVER;
    h.index = a->send.to.index;
    h.body_bytes = blob_size(body);
    e.message.header = &h;
    e.message.body = body;
    reset();
    ck_assert(requests_answer(r, now_us, &out, &h, &match));
    copy_getter_answer(g, &e, &match, &out);
    blob_unref(body);
}

static blob *piece_of(const blob *part, uint64_t offset)
{
    size_t left = blob_size(part) - (size_t)offset, n = left < PIECE ? left : PIECE;
    return part_piece_encode(blob_size(part), part_hash(part), blob_data(part) + offset, n);
}

/* Gives everything it asks for, the newest request first; the disk says `last` of the last one. */
static uint32_t give_all(err_code last, uint8_t *into)
{
    core_action open[64];
    uint32_t n = asked(open, 64), most = n;
    uint64_t offset[64] = {0}, next = PIECE;
    while (n) {
        core_action a = open[--n];
        uint64_t at = offset[n];
        answer(&a, WIRE_OK, piece_of(whole, at));
        core_action more[64];
        uint32_t k = asked(more, 64);
        for (uint32_t i = 0; i < k; i++, next += PIECE) {
            offset[n] = next;
            open[n++] = more[i];
        }
        shard_get *job = copy_getter_take(g);
        ck_assert_ptr_nonnull(job);
        ck_assert_ptr_null(copy_getter_take(g)); /* one at a time */
        ck_assert_uint_eq(job->offset, at);
        memcpy(into + at, job->piece.bytes, job->piece.n);
        reset();
        copy_getter_written(g, job->last ? last : ERR_OK, now_us, &out);
        if (copy_getter_state(g) != COPY_BUSY || (n == 0 && last != ERR_OK)) return most;
        k = asked(more, 64);
        for (uint32_t i = 0; i < k; i++, next += PIECE) {
            offset[n] = next;
            open[n++] = more[i];
        }
        most = n > most ? n : most;
    }
    return most;
}

START_TEST(a_part_comes_in_pieces_of_which_few_are_on_the_way)
{
    uint8_t *got = xcalloc(blob_size(whole), 1);
    core_action a;
    uint32_t n;
    start(false);
    ck_assert_uint_eq(asked(&a, 1), 1);
    ck_assert_uint_eq(a.send.to.index, owner);
    ck_assert_uint_gt(blob_size(whole), 6 * PIECE);
    ck_assert_uint_eq(give_all(ERR_OK, got), COPY_WINDOW);
    ck_assert_int_eq(copy_getter_state(g), COPY_DONE);
    ck_assert_mem_eq(got, blob_data(whole), blob_size(whole));
    const saved_part *x = copy_getter_got(g, &n);
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_eq(x->shard, id.shard);
    ck_assert_uint_eq(x->hash, part_hash(whole));
    ck_assert_uint_eq(requests_open_count(r, 0), 0);
    free(got);
}
END_TEST

START_TEST(a_damaged_part_is_got_from_the_next_server)
{
    uint8_t *got = xcalloc(blob_size(whole), 1);
    core_action a;
    start(false);
    give_all(ERR_CORRUPT, got);
    ck_assert_int_eq(copy_getter_state(g), COPY_BUSY);
    ck_assert_uint_eq(asked(&a, 1), 1);
    ck_assert_uint_eq(a.send.to.index, second);
    give_all(ERR_OK, got);
    ck_assert_int_eq(copy_getter_state(g), COPY_DONE);
    free(got);
}
END_TEST

START_TEST(a_disk_that_takes_nothing_fails_at_once)
{
    uint8_t *got = xcalloc(blob_size(whole), 1);
    start(_i);
    give_all(ERR_LIMIT, got);
    ck_assert_int_eq(copy_getter_state(g), COPY_FAILED);
    free(got);
}
END_TEST

/* Everybody that is asked says no, for so long; returns how often. */
static uint32_t refuse_all(uint64_t us)
{
    uint32_t n = 0;
    core_action a;
    for (uint64_t end = now_us + us; now_us < end; now_us += 50000) {
        while (asked(&a, 1)) {
            answer(&a, WIRE_NOT_FOUND, NULL);
            n++;
        }
        reset();
        copy_getter_timer(g, now_us, &out);
    }
    return n;
}

START_TEST(a_part_that_nobody_has_is_given_up_after_a_while)
{
    start(false);
    ck_assert_uint_gt(refuse_all(COPY_PATIENCE_US - 1000000), 3 * (SERVERS - 1));
    ck_assert_int_eq(copy_getter_state(g), COPY_BUSY);
    refuse_all(2000000);
    ck_assert_int_eq(copy_getter_state(g), COPY_FAILED);
    ck_assert_ptr_nonnull(strstr(copy_getter_why(g), "no server has part"));
}
END_TEST

START_TEST(behind_is_not_taken_for_a_no)
{
    core_action a;
    start(false);
    for (uint64_t end = now_us + 4 * (uint64_t)COPY_PATIENCE_US; now_us < end; now_us += 50000) {
        while (asked(&a, 1))
            answer(&a, a.send.to.index == second ? WIRE_BEHIND : WIRE_NOT_FOUND, NULL);
        reset();
        copy_getter_timer(g, now_us, &out);
    }
    ck_assert_int_eq(copy_getter_state(g), COPY_BUSY);
}
END_TEST

START_TEST(a_server_that_is_not_there_yet_is_waited_for)
{
    core_action a;
    m.peers[second].peer.incarnation = 0;
    start(false);
    refuse_all(4 * (uint64_t)COPY_PATIENCE_US);
    ck_assert_int_eq(copy_getter_state(g), COPY_BUSY);
    m.peers[second].peer.incarnation = 77;
    for (int i = 0; i < 20; i++) {
        if (asked(&a, 1) && a.send.to.index == second) return;
        if (asked(&a, 1)) answer(&a, WIRE_NOT_FOUND, NULL);
        if (asked(&a, 1)) continue;
        now_us += COPY_AGAIN_US;
        copy_getter_timer(g, now_us, &out);
    }
    ck_abort_msg("it was not asked");
}
END_TEST

START_TEST(who_is_silent_is_passed_over_and_not_taken_for_a_no)
{
    core_action a;
    start(false); /* the owner is silent */
    reset();
    now_us += COPY_SILENT_US;
    copy_getter_timer(g, now_us, &out);
    ck_assert_uint_eq(asked(&a, 1), 1);
    ck_assert_uint_eq(a.send.to.index, second);
    for (int i = 0; i < 3; i++) { /* all others say no, it is asked again */
        while (asked(&a, 1) && a.send.to.index != owner) answer(&a, WIRE_NOT_FOUND, NULL);
        now_us += COPY_PATIENCE_US;
        reset();
        copy_getter_timer(g, now_us, &out);
        ck_assert_int_eq(copy_getter_state(g), COPY_BUSY);
    }
}
END_TEST

START_TEST(what_is_being_made_is_asked_of_its_server_until_it_is_there)
{
    core_action a;
    start(true);
    for (int i = 0; i < 200; i++) {
        ck_assert_uint_eq(asked(&a, 1), 1);
        ck_assert_uint_eq(a.send.to.index, owner);
        answer(&a, i % 2 ? WIRE_BEHIND : WIRE_NOT_FOUND, NULL);
        ck_assert_uint_eq(asked(&a, 1), 0);
        now_us += COPY_AGAIN_US;
        copy_getter_timer(g, now_us, &out);
    }
    answer((asked(&a, 1), &a), WIRE_FAILED, blob_copy("bad sector", 10));
    ck_assert_int_eq(copy_getter_state(g), COPY_FAILED);
    ck_assert_ptr_nonnull(strstr(copy_getter_why(g), "bad sector"));
}
END_TEST

START_TEST(pieces_of_another_file_are_not_mixed_in)
{
    core_action a;
    part_id other = id;
    other.version++;
    blob *b = testing_part(&other);
    start(true);
    asked(&a, 1);
    answer(&a, WIRE_OK, piece_of(whole, 0));
    ck_assert_uint_eq(asked(&a, 1), 1);
    answer(&a, WIRE_OK, piece_of(b, PIECE));
    ck_assert_ptr_null(copy_getter_take(g)); /* what came is dropped */
    now_us += COPY_AGAIN_US;
    copy_getter_timer(g, now_us, &out);
    uint8_t *got = xcalloc(blob_size(whole), 1);
    give_all(ERR_OK, got);
    ck_assert_int_eq(copy_getter_state(g), COPY_DONE);
    free(got);
    blob_unref(b);
}
END_TEST

START_TEST(after_a_stop_nothing_is_asked_and_late_answers_are_nothing)
{
    core_action a;
    start(false);
    asked(&a, 1);
    answer(&a, WIRE_OK, piece_of(whole, 0));
    ck_assert_ptr_nonnull(copy_getter_take(g)); /* with the disk */
    copy_getter_stop(g, now_us, &out);
    ck_assert_uint_eq(requests_open_count(r, 0), 0);
    reset();
    copy_getter_written(g, ERR_OK, now_us, &out);
    ck_assert_int_eq(copy_getter_state(g), COPY_IDLE);
    ck_assert_uint_eq(asked(&a, 1), 0);
    ck_assert_uint_eq(copy_getter_timer(g, now_us, &out), UINT64_MAX);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("copy_getter");
    TCase *c = tcase_create("copy_getter");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, a_part_comes_in_pieces_of_which_few_are_on_the_way);
    tcase_add_test(c, a_damaged_part_is_got_from_the_next_server);
    tcase_add_loop_test(c, a_disk_that_takes_nothing_fails_at_once, 0, 2);
    tcase_add_test(c, a_part_that_nobody_has_is_given_up_after_a_while);
    tcase_add_test(c, behind_is_not_taken_for_a_no);
    tcase_add_test(c, a_server_that_is_not_there_yet_is_waited_for);
    tcase_add_test(c, who_is_silent_is_passed_over_and_not_taken_for_a_no);
    tcase_add_test(c, what_is_being_made_is_asked_of_its_server_until_it_is_there);
    tcase_add_test(c, pieces_of_another_file_are_not_mixed_in);
    tcase_add_test(c, after_a_stop_nothing_is_asked_and_late_answers_are_nothing);
    suite_add_tcase(s, c);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
