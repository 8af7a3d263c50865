/* Proves: the options every command has reach the configuration in the order given, and a usage
 * error ends with code 2. */
#include "common/cli.h"

#include "common/files.h"
#include "deploy/command_config.h"
#include "testing_files.h"

#include <check.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A writable argv of these texts; at most 15 of 63 bytes. */
static char **args(const char *const *texts)
{
    static char *argv[16], storage[16][64];
    size_t n = 0;
    for (; texts[n]; n++) {
        snprintf(storage[n], sizeof storage[n], "%s", texts[n]);
        argv[n] = storage[n];
    }
    argv[n] = NULL;
    return argv;
}

#define ARGS(...) args((const char *const[]){"weft", __VA_ARGS__, NULL})

static int count(char **argv)
{
    int n = 0;
    while (argv[n]) n++;
    return n;
}

static cli_options parse(char **argv)
{
    cli_options o = {0};
    cli_parse_simple("A test.", &cli_argp_all, count(argv), argv, &o);
    return o;
}

static void quiet(void)
{
    ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
    ck_assert_ptr_nonnull(freopen("/dev/null", "w", stdout));
}

START_TEST(options_are_collected_in_order)
{
    char **argv = ARGS("-c", "a.yaml", "--workers", "3", "--set", "seed=4", "--json",
                       "--set=cluster.workers=5", "--data=d", "--out", "o", "--servers=2");
    cli_options o = parse(argv);
    ck_assert_str_eq(o.config_file, "a.yaml");
    ck_assert_str_eq(o.data_dir, "d");
    ck_assert_str_eq(o.out_dir, "o");
    ck_assert(o.json);
    ck_assert_uint_eq(o.sets_n, 4);
    ck_assert_str_eq(o.sets[0], "cluster.workers=3");
    ck_assert_str_eq(o.sets[1], "seed=4");
    ck_assert_str_eq(o.sets[2], "cluster.workers=5");
    ck_assert_str_eq(o.sets[3], "cluster.servers=2");
    cli_options_fini(&o);
}
END_TEST

START_TEST(the_configuration_is_loaded_with_them)
{
    config *c;
    testing_put_text("job.yaml", "seed: 2\ncluster: {workers: 7}\n");
    ck_assert_int_eq(files_make_dirs("data"), ERR_OK);
    testing_put_text("data/users.tsv", "");
    cli_options o = parse(ARGS("-c", "job.yaml", "--samplers=4", "--data", "data"));
    ck_assert_int_eq(cli_load_config(&o, &c), ERR_OK);
    ck_assert(c->cluster.workers == 7 && c->cluster.samplers == 4 && c->seed == 2);
    ck_assert(c->data.from_data_dir && c->data.users.path[0] == '/');
    ck_assert_ptr_nonnull(strstr(c->data.items.path, "/data/items.tsv"));
    config_free(c);
    cli_options_fini(&o);
}
END_TEST

static void load_fails(char **argv, const char *message)
{
    config *c;
    cli_options o = parse(argv);
    testing_capture_start();
    err_code rc = cli_load_config(&o, &c);
    testing_expect_part(testing_capture_end(), message);
    ck_assert_int_eq(rc, ERR_INVALID);
    ck_assert_ptr_null(c);
    cli_options_fini(&o);
}

START_TEST(what_cannot_be_loaded_is_invalid)
{
    testing_put_text("job.yaml", "");
    load_fails(ARGS("--json"), "give -c FILE");
    load_fails(ARGS("-c", "none.yaml"), "none.yaml: cannot open");
    load_fails(ARGS("-c", "job.yaml", "--data", "none"), "--data none: not a folder");
    load_fails(ARGS("-c", "job.yaml", "--workers", "many"),
               "--set cluster.workers: expects an integer");
}
END_TEST

START_TEST(an_unknown_option_exits_with_2)
{
    quiet();
    parse(ARGS("--nonsense"));
}
END_TEST

START_TEST(an_argument_too_many_exits_with_2)
{
    quiet();
    parse(ARGS("-c", "x", "extra"));
}
END_TEST

START_TEST(a_missing_value_exits_with_2)
{
    quiet();
    parse(ARGS("--set"));
}
END_TEST

START_TEST(an_option_that_does_not_apply_exits_with_2)
{
    static const struct argp *const argps[] = {
        &cli_argp_data, &cli_argp_process, &cli_argp_job,   &cli_argp_scale, &cli_argp_json,
        &cli_argp_out,  &cli_argp_input,   &cli_argp_scale, &cli_argp_role,  &cli_argp_result};
    static const char *const other[] = {"--out",     "--data",   "--workers", "--data",
                                        "--set",     "-c",       "--workers", "--samplers",
                                        "--servers", "--workers"};
    cli_options o = {0};
    char **argv = ARGS(other[_i], "x");
    quiet();
    cli_parse_simple("A test.", argps[_i], count(argv), argv, &o);
}
END_TEST

START_TEST(help_exits_with_0)
{
    quiet();
    parse(ARGS("--help"));
}
END_TEST

START_TEST(version_exits_with_0)
{
    quiet();
    parse(ARGS("--version"));
}
END_TEST

/* Runs command_config with stdout in the file "stdout"; returns its exit code. */
static int run_config(char **argv)
{
    fflush(stdout);
    int saved = dup(1), fd = open("stdout", O_CREAT | O_TRUNC | O_WRONLY, 0644);
    ck_assert_int_ge(dup2(fd, 1), 0);
    int code = command_config(count(argv), argv);
    fflush(stdout);
    dup2(saved, 1);
    close(saved);
    close(fd);
    return code;
}

START_TEST(config_prints_yaml_that_loads_back)
{
    testing_put_text("job.yaml", "seed: 12\n");
    char **argv = ARGS("-c", "job.yaml", "--set", "job=other");
    ck_assert_int_eq(run_config(argv), 0);
    config *c;
    ck_assert_int_eq(config_load("stdout", NULL, 0, &c), ERR_OK);
    ck_assert_uint_eq(c->seed, 12);
    ck_assert_str_eq(c->job, "other");
    config_free(c);
    argv = ARGS("-c", "job.yaml", "--print", "--json");
    ck_assert_int_eq(run_config(argv), 0);
    json_t *flat = json_load_file("stdout", 0, NULL);
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(flat, "seed"), "value")),
                     12);
    json_decref(flat);
}
END_TEST

START_TEST(config_prints_the_schema_without_a_file)
{
    char **argv = ARGS("--schema");
    ck_assert_int_eq(run_config(argv), 0);
    json_t *schema = json_load_file("stdout", 0, NULL);
    ck_assert(json_is_object(json_object_get(schema, "properties")));
    json_decref(schema);
}
END_TEST

START_TEST(config_returns_2_for_an_error_in_the_file)
{
    testing_put_text("job.yaml", "sed: 12\n");
    testing_capture_start();
    char **argv = ARGS("-c", "job.yaml");
    int code = run_config(argv);
    testing_expect_part(testing_capture_end(),
                        "job.yaml:1:1: sed: unknown key; did you mean `seed`?");
    ck_assert_int_eq(code, 2);
}
END_TEST

START_TEST(print_and_schema_together_exit_with_2)
{
    quiet();
    char **argv = ARGS("--print", "--schema");
    command_config(count(argv), argv);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("cli");
    tcase_add_checked_fixture(c, testing_enter_folder, testing_leave_folder);
    tcase_add_test(c, options_are_collected_in_order);
    tcase_add_test(c, the_configuration_is_loaded_with_them);
    tcase_add_test(c, what_cannot_be_loaded_is_invalid);
    tcase_add_test(c, config_prints_yaml_that_loads_back);
    tcase_add_test(c, config_prints_the_schema_without_a_file);
    tcase_add_test(c, config_returns_2_for_an_error_in_the_file);
    TCase *exits = tcase_create("exits"); /* no fixture: the process does not come back */
    tcase_add_exit_test(exits, an_unknown_option_exits_with_2, 2);
    tcase_add_exit_test(exits, an_argument_too_many_exits_with_2, 2);
    tcase_add_exit_test(exits, a_missing_value_exits_with_2, 2);
    tcase_add_exit_test(exits, help_exits_with_0, 0);
    tcase_add_loop_exit_test(exits, an_option_that_does_not_apply_exits_with_2, 2, 0, 10);
    tcase_add_exit_test(exits, version_exits_with_0, 0);
    tcase_add_exit_test(exits, print_and_schema_together_exit_with_2, 2);
    Suite *s = suite_create("cli");
    suite_add_tcase(s, c);
    suite_add_tcase(s, exits);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
