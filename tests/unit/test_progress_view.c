/* Successive statuses become one live line per stage on a terminal, and few plain lines elsewhere.
 */
#include "deploy/progress_view.h"

#include "common/mem.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { SECOND = 1000000 };

static progress_view *view;
static FILE *out;
static char *text;
static size_t text_bytes;

static void setup(void)
{
    out = open_memstream(&text, &text_bytes);
    view = progress_view_new(out, false);
}

static void teardown(void)
{
    progress_view_free(view);
    fclose(out);
    free(text);
}

static void update(const char *stage, int step, int steps, const char *more, uint64_t second)
{
    char *s = xprintf("{\"stage\": \"%s\", \"stages\": [\"prepare\", \"hgnn\", \"embed\", "
                      "\"two_tower\", \"evaluate\"], \"epoch\": 1, \"step\": %d, \"steps\": %d%s}",
                      stage, step, steps, more);
    json_t *j = json_loads(s, 0, NULL);
    ck_assert_ptr_nonnull(j);
    progress_view_update_at(view, j, second * SECOND);
    json_decref(j);
    free(s);
}

static void expect(const char *wanted)
{
    fflush(out);
    ck_assert_str_eq(text, wanted);
}

static const char training[] =
    ", \"loss\": 2.314, \"examples_per_s\": 4287.4, \"eta_s\": 125, \"validation\": {\"metric\": "
    "\"mrr_100\", \"last\": 0.05, \"best\": 0.051, \"best_step\": 200}";

START_TEST(without_a_terminal_there_is_a_line_every_ten_seconds)
{
    update("prepare", 0, 0, "", 100);
    update("hgnn", 0, 1500, "", 101);
    expect("");
    for (uint64_t s = 102; s < 113; s++) update("hgnn", (int)s, 1500, training, s);
    expect(
        "hgnn               102/1500  4287/s  2m05s left  loss 2.3140  mrr_100 0.0500 best 0.0510  "
        "epoch 1\n"
        "hgnn               112/1500  4287/s  2m05s left  loss 2.3140  mrr_100 0.0500 best 0.0510  "
        "epoch 1\n");
}
END_TEST

START_TEST(a_stage_ends_with_a_line_and_those_in_between_are_named)
{
    update("hgnn", 0, 1500, training, 100);
    update("two_tower", 0, 70, "", 107);
    expect("hgnn              done  best mrr_100 0.0510 at step 200  7 s\n"
           "embed             done\n");
    update("two_tower", 3, 70, "", 108);
    update("evaluate", 0, 0, "", 110);
    progress_view_end(view, NULL);
    fflush(out);
    ck_assert_str_eq(strstr(text, "two_tower"), "two_tower            3/70\n"
                                                "two_tower         done  3 s\n");
}
END_TEST

/* The last validation and the next stage may come between two looks. */
START_TEST(a_finished_stage_shows_what_it_came_to)
{
    static const char results[] =
        ", \"results\": [{\"stage\": \"hgnn\", \"steps\": 1500, \"metric\": \"mrr_100\", "
        "\"best\": 0.0625, \"best_step\": 1500}]";
    update("hgnn", 1499, 1500, training, 100);
    update("two_tower", 1, 70, results, 107);
    fflush(out);
    ck_assert_ptr_nonnull(strstr(text, "done  best mrr_100 0.0625 at step 1500  7 s\n"));
}
END_TEST

START_TEST(stages_that_were_over_before_the_first_look_are_named)
{
    static const char results[] =
        ", \"results\": [{\"stage\": \"hgnn\", \"steps\": 5, \"metric\": \"mrr_100\", "
        "\"best\": 0.5, \"best_step\": 5}]";
    update("prepare", 0, 0, "", 100);
    update("two_tower", 1, 70, results, 101);
    expect("hgnn              done  best mrr_100 0.5000 at step 5\n"
           "embed             done\n"
           "two_tower            1/70\n");
}
END_TEST

START_TEST(an_end_within_a_stage_says_where)
{
    update("hgnn", 5, 1500, "", 100);
    update("hgnn", 9, 1500, "", 104);
    progress_view_end(view, NULL);
    expect("hgnn                 5/1500\nhgnn              last seen at step 9 of 1500  4 s\n");
}
END_TEST

START_TEST(what_comes_after_the_last_stage_of_interest_is_not_shown)
{
    json_t *next = json_pack("{s:s, s:[s,s,s,s], s:i, s:i}", "stage", "two_tower", "stages",
                             "prepare", "hgnn", "embed", "two_tower", "step", 1, "steps", 70);
    update("hgnn", 5, 9, "", 100);
    update("hgnn", 9, 9, "", 104);
    progress_view_end_before(view, next);
    progress_view_end(view, NULL);
    json_decref(next);
    expect("hgnn                 5/9\nhgnn              done  4 s\nembed             done\n");
}
END_TEST

/* The driver has not yet said that it evaluates. */
START_TEST(stages_that_nobody_saw_are_shown_when_training_is_over)
{
    json_t *trained = json_pack("{s:s, s:[s,s,s,s,s,s], s:i, s:[{s:s, s:s, s:f, s:i}]}", "stage",
                                "prepare", "stages", "prepare", "hgnn", "embed", "two_tower",
                                "evaluate", "export", "steps", 0, "results", "stage", "two_tower",
                                "metric", "mrr", "best", 0.25, "best_step", 7);
    update("hgnn", 5, 9, "", 100);
    progress_view_end_before(view, trained);
    json_decref(trained);
    expect("hgnn                 5/9\nhgnn              done  0 s\nembed             done\n"
           "two_tower         done  best mrr 0.2500 at step 7\n");
}
END_TEST

/* The last look was before the end. */
START_TEST(a_stage_that_was_stopped_ends_at_the_step_of_its_last_status)
{
    update("hgnn", 5, 1500, "", 100);
    json_t *last = json_pack("{s:s, s:i, s:i}", "stage", "hgnn", "step", 12, "steps", 1500);
    progress_view_end(view, last);
    json_decref(last);
    fflush(out);
    ck_assert_ptr_nonnull(strstr(text, "hgnn              stopped at step 12 of 1500  "));
}
END_TEST

START_TEST(a_scheduler_that_is_away_is_said_once)
{
    progress_view_away_at(view, 90 * SECOND); /* Not before the first stage. */
    update("hgnn", 5, 1500, "", 100);
    progress_view_away_at(view, 101 * SECOND);
    update("hgnn", 6, 1500, "", 102); /* It was back soon. */
    for (uint64_t s = 103; s < 120; s++) progress_view_away_at(view, s * SECOND);
    update("hgnn", 7, 1500, "", 120);
    expect("hgnn                 5/1500\n"
           "hgnn              waiting 2 s for the scheduler, which starts again\n"
           "hgnn                 7/1500\n");
}
END_TEST

START_TEST(on_a_terminal_the_line_is_rewritten_and_cut)
{
    progress_view_options o = {.terminal = true, .columns = 40};
    progress_view_configure(view, &o);
    update("hgnn", 1, 1500, training, 100);
    update("hgnn", 2, 1500, training, 101);
    expect("\r\033[Khgnn                 1/1500  4287/s  2m"
           "\r\033[Khgnn                 2/1500  4287/s  2m");
    update("evaluate", 0, 0, "", 102);
    fflush(out);
    ck_assert_ptr_nonnull(
        strstr(text, "\r\033[Khgnn              done  best mrr_100 0.0510 at step 200  2 s\n"));
}
END_TEST

START_TEST(colors_are_only_used_when_wanted)
{
    progress_view_options o = {.terminal = true, .color = true, .columns = 80};
    progress_view_configure(view, &o);
    update("hgnn", 1, 2, "", 100);
    expect("\r\033[K\033[1mhgnn              \033[0m   1/2");
}
END_TEST

START_TEST(long_waits_and_validation_are_shown)
{
    update("hgnn", 1, 2, ", \"state\": \"VALIDATING\"", 100);
    update("hgnn", 1, 2,
           ", \"waiting\": {\"for\": \"push\", \"whom\": \"worker-1\", \"since_s\": 30}", 120);
    update("hgnn", 1, 2,
           ", \"waiting\": {\"for\": \"push\", \"whom\": \"worker-1\", \"since_s\": 1}", 140);
    expect("hgnn                 1/2  validating\n"
           "hgnn                 1/2  waiting 30 s for push of worker-1\n"
           "hgnn                 1/2\n");
}
END_TEST

START_TEST(a_silent_view_prints_nothing)
{
    progress_view_free(view);
    view = progress_view_new(out, true);
    update("hgnn", 1, 2, training, 100);
    update("evaluate", 0, 0, "", 120);
    progress_view_end(view, NULL);
    expect("");
}
END_TEST

START_TEST(statuses_without_members_are_harmless)
{
    json_t *empty = json_object();
    progress_view_update_at(view, empty, SECOND);
    update("a-stage-with-a-name-that-is-far-too-long-for-any-line", 1, 2, "", 5);
    update("a-stage-with-a-name-that-is-far-too-long-for-any-line", 2, 2, "", 6);
    progress_view_update_at(view, empty, 7 * SECOND);
    progress_view_end(view, NULL);
    json_decref(empty);
    expect("a-stage-with-a-name-that-is-far    1/2\na-stage-with-a-name-that-is-far done  2 s\n");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("progress_view");
    TCase *t = tcase_create("progress_view");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, without_a_terminal_there_is_a_line_every_ten_seconds);
    tcase_add_test(t, a_stage_ends_with_a_line_and_those_in_between_are_named);
    tcase_add_test(t, a_finished_stage_shows_what_it_came_to);
    tcase_add_test(t, stages_that_were_over_before_the_first_look_are_named);
    tcase_add_test(t, an_end_within_a_stage_says_where);
    tcase_add_test(t, a_stage_that_was_stopped_ends_at_the_step_of_its_last_status);
    tcase_add_test(t, what_comes_after_the_last_stage_of_interest_is_not_shown);
    tcase_add_test(t, stages_that_nobody_saw_are_shown_when_training_is_over);
    tcase_add_test(t, a_scheduler_that_is_away_is_said_once);
    tcase_add_test(t, on_a_terminal_the_line_is_rewritten_and_cut);
    tcase_add_test(t, colors_are_only_used_when_wanted);
    tcase_add_test(t, long_waits_and_validation_are_shown);
    tcase_add_test(t, a_silent_view_prints_nothing);
    tcase_add_test(t, statuses_without_members_are_harmless);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
