/* Proves: the JSON writer's text is valid JSON, byte for byte what the files of a result are made of. */
#include "common/config.h"
#include "common/json.h"
#include "testing_files.h"

#include <check.h>
#include <jansson.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bytes_writer out;
static json_writer w;

static void start(json_style style)
{
    bytes_writer_init(&out);
    json_init_bytes(&w, &out, style);
}

static void ends_as(const char *text)
{
    ck_assert_int_eq(json_finish(&w), ERR_OK);
    bytes_put_u8(&out, 0);
    ck_assert_str_eq((const char *)out.data, text);
    bytes_writer_fini(&out);
}

static void sample(void)
{
    json_object_begin(&w);
    json_field_u64(&w, "a", 18446744073709551615u);
    json_key(&w, "b");
    json_array_begin(&w);
    json_i64(&w, -3);
    json_object_begin(&w);
    json_object_end(&w);
    json_array_begin(&w);
    json_array_end(&w);
    json_array_end(&w);
    json_field_bool(&w, "c", true);
    json_key(&w, "d");
    json_nil(&w);
    json_key(&w, "e");
    json_hex64(&w, 0xabc);
    json_object_end(&w);
}

START_TEST(compact_spaced_and_pretty_hold_the_same)
{
    start(JSON_STYLE_COMPACT);
    sample();
    ends_as("{\"a\":18446744073709551615,\"b\":[-3,{},[]],\"c\":true,\"d\":null,"
            "\"e\":\"0000000000000abc\"}");
    start(JSON_STYLE_SPACED);
    sample();
    ends_as("{\"a\": 18446744073709551615, \"b\": [-3, {}, []], \"c\": true, \"d\": null, "
            "\"e\": \"0000000000000abc\"}");
    start(JSON_STYLE_PRETTY);
    sample();
    ends_as("{\n  \"a\": 18446744073709551615,\n  \"b\": [\n    -3,\n    {},\n    []\n  ],\n"
            "  \"c\": true,\n  \"d\": null,\n  \"e\": \"0000000000000abc\"\n}");
}
END_TEST

START_TEST(strings_are_escaped)
{
    start(JSON_STYLE_COMPACT);
    json_str_n(&w, "a\"\\/\b\f\n\r\t\x01\x7f\0é", 14);
    ends_as("\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u007f\\u0000é\"");
    start(JSON_STYLE_COMPACT);
    json_str(&w, "");
    ends_as("\"\"");
    start(JSON_STYLE_COMPACT);
    json_str(&w, NULL);
    ends_as("null");
}
END_TEST

START_TEST(invalid_utf8_is_replaced_and_the_rest_kept)
{
    static const char *const bad[] = {"\xff",
                                      "\xc3",
                                      "\xc0\xaf",
                                      "\xed\xa0\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xe2\x82",
                                      "\xf0\x80\x80\x80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[32];
        snprintf(text, sizeof text, "x%sy", bad[i]);
        start(JSON_STYLE_COMPACT);
        json_str(&w, text);
        ck_assert_int_eq(json_finish(&w), ERR_OK);
        json_error_t error;
        json_t *value = json_loadb((const char *)out.data, out.len, JSON_DECODE_ANY, &error);
        ck_assert_msg(value != NULL, "case %zu: %s", i, error.text);
        const char *s = json_string_value(value);
        ck_assert(s[0] == 'x' && s[strlen(s) - 1] == 'y' && strstr(s, "\xef\xbf\xbd"));
        json_decref(value);
        bytes_writer_fini(&out);
    }
    start(JSON_STYLE_COMPACT);
    json_str(&w, "€ 𝄞");
    ends_as("\"€ 𝄞\"");
}
END_TEST

START_TEST(metrics_have_six_digits_and_no_negative_zero)
{
    char text[JSON_NUMBER_MAX];
    ck_assert_str_eq(json_format_metric(text, 0.0812344999), "0.081234");
    ck_assert_str_eq(json_format_metric(text, -0.0), "0.000000");
    ck_assert_str_eq(json_format_metric(text, -4e-7), "0.000000");
    ck_assert_str_eq(json_format_metric(text, -6e-7), "-0.000001");
    ck_assert_uint_lt(strlen(json_format_metric(text, -1.7e308)), JSON_NUMBER_MAX);
}
END_TEST

START_TEST(other_numbers_come_back)
{
    char text[JSON_NUMBER_MAX];
    ck_assert_str_eq(json_format_number9(text, 2.31415927), "2.31415927");
    ck_assert_str_eq(json_format_number9(text, -0.0), "0");
    ck_assert_str_eq(json_format_shortest(text, (double)0.001f, true), "0.001");
    ck_assert_str_eq(json_format_shortest(text, 0.1, false), "0.1");
    double third = 1.0 / 3;
    ck_assert(strtod(json_format_shortest(text, third, false), NULL) == third);
    start(JSON_STYLE_COMPACT);
    json_number17(&w, 0.1);
    ends_as("0.10000000000000001");
}
END_TEST

/* Compiles a locale with a decimal comma into the current folder; false where localedef or its
 * sources are missing. */
static bool enter_comma_locale(void)
{
    char here[256];
    if (system("localedef --no-archive -i de_DE -f UTF-8 ./de_DE.UTF-8 >/dev/null 2>&1") != 0 ||
        !getcwd(here, sizeof here) || setenv("LOCPATH", here, 1) != 0 ||
        !setlocale(LC_ALL, "de_DE.UTF-8")) {
        return false;
    }
    char text[16];
    snprintf(text, sizeof text, "%.1f", 0.5);
    return strcmp(text, "0,5") == 0;
}

START_TEST(the_locale_does_not_matter)
{
    testing_enter_folder();
    if (enter_comma_locale()) {
        char text[JSON_NUMBER_MAX];
        ck_assert_str_eq(json_format_metric(text, -1234.5), "-1234.500000");
        ck_assert_str_eq(json_format_shortest(text, 0.25, false), "0.25");
        ck_assert_str_eq(json_format_shortest(text, (double)0.001f, true), "0.001");
        start(JSON_STYLE_COMPACT);
        json_number17(&w, 2.5e-300);
        ck_assert_int_eq(json_finish(&w), ERR_OK);
        ck_assert_ptr_nonnull(memchr(out.data, '.', out.len));
        ck_assert_ptr_null(memchr(out.data, ',', out.len));
        bytes_writer_fini(&out);
        config *c;
        const char *set = "hgnn.neighbour_drop=0.25";
        ck_assert_int_eq(config_load(NULL, &set, 1, &c), ERR_OK);
        ck_assert(c->hgnn.neighbour_drop == 0.25);
        config_free(c);
    }
    testing_leave_folder();
}
END_TEST

START_TEST(lines_follow_each_other)
{
    start(JSON_STYLE_COMPACT);
    json_u64(&w, 1);
    json_newline(&w);
    json_metric(&w, 0.5);
    ends_as("1\n0.500000");
}
END_TEST

START_TEST(a_failed_write_is_io)
{
    FILE *full = fopen("/dev/full", "w");
    ck_assert_ptr_nonnull(full);
    setvbuf(full, NULL, _IONBF, 0);
    json_init_file(&w, full, JSON_STYLE_COMPACT);
    json_u64(&w, 1);
    ck_assert_int_eq(json_finish(&w), ERR_IO);
    fclose(full);
}
END_TEST

START_TEST(nan_aborts)
{
    start(JSON_STYLE_COMPACT);
    json_metric(&w, NAN);
}
END_TEST

START_TEST(infinity_aborts)
{
    start(JSON_STYLE_COMPACT);
    json_number9(&w, INFINITY);
}
END_TEST

START_TEST(a_value_without_its_key_aborts)
{
    start(JSON_STYLE_COMPACT);
    json_object_begin(&w);
    json_u64(&w, 1);
}
END_TEST

START_TEST(a_missing_end_aborts)
{
    start(JSON_STYLE_COMPACT);
    json_array_begin(&w);
    ck_assert_int_eq(json_finish(&w), ERR_OK);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("json");
    tcase_add_test(c, compact_spaced_and_pretty_hold_the_same);
    tcase_add_test(c, strings_are_escaped);
    tcase_add_test(c, invalid_utf8_is_replaced_and_the_rest_kept);
    tcase_add_test(c, metrics_have_six_digits_and_no_negative_zero);
    tcase_add_test(c, other_numbers_come_back);
    tcase_add_test(c, the_locale_does_not_matter);
    tcase_add_test(c, lines_follow_each_other);
    tcase_add_test(c, a_failed_write_is_io);
    tcase_add_test_raise_signal(c, nan_aborts, SIGABRT);
    tcase_add_test_raise_signal(c, infinity_aborts, SIGABRT);
    tcase_add_test_raise_signal(c, a_value_without_its_key_aborts, SIGABRT);
    tcase_add_test_raise_signal(c, a_missing_end_aborts, SIGABRT);
    Suite *s = suite_create("json");
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
