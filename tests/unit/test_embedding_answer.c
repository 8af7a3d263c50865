/* Proves: answers of /v1/embeddings are placed by index, from lists and from base64, and each way
 * of being wrong is an error with its reason, before memory is taken. */
#include "sampler/embedding_answer.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DIM = 3, TEXTS = 2 };

static char why[EMBEDDING_WHY_MAX];

static err_code decode(const char *body, float *out)
{
    uint32_t dim = DIM;
    why[0] = 0;
    err_code rc = embedding_answer_decode(body, strlen(body), TEXTS, &dim, out, why);
    ck_assert_uint_eq(dim, DIM);
    return rc;
}

static void bad(const char *body, err_code rc, const char *reason)
{
    float out[TEXTS * DIM];
    ck_assert_int_eq(decode(body, out), rc);
    ck_assert_msg(strstr(why, reason) != NULL, "%s: %s", body, why);
}

static void check_rows(const char *body)
{
    static const float wanted[TEXTS * DIM] = {1, -2.5f, 0.125f, 4, 5, 6};
    float out[TEXTS * DIM];
    ck_assert_msg(decode(body, out) == ERR_OK, "%s: %s", body, why);
    ck_assert_mem_eq(out, wanted, sizeof wanted);
}

START_TEST(rows_are_placed_by_index)
{
    check_rows("{\"object\":\"list\",\"data\":["
               "{\"object\":\"embedding\",\"index\":1,\"embedding\":[4,5,6.0]},"
               "{\"object\":\"embedding\",\"index\":0,\"embedding\":[1,-25e-1,0.125]}],"
               "\"model\":\"m\",\"usage\":{\"prompt_tokens\":1,\"total_tokens\":1}}");
}
END_TEST

START_TEST(base64_is_little_endian_floats)
{
    check_rows("{\"data\":[{\"index\":0,\"embedding\":\"AACAPwAAIMAAAAA+\"},"
               "{\"index\":1,\"embedding\":\"AACAQAAAoEAAAMBA\"}]}");
    check_rows("{\"data\":[{\"index\":0,\"embedding\":[1,-2.5,0.125]},"
               "{\"index\":1,\"embedding\":\"AACAQAAAoEAAAMBA\"}]}");
}
END_TEST

START_TEST(the_first_answer_says_the_width)
{
    static float out[EMBEDDING_DIM_MAX];
    uint32_t dim = 0;
    const char *body = "{\"data\":[{\"index\":0,\"embedding\":[1,2,3,4,5]}]}";
    ck_assert_int_eq(embedding_answer_decode(body, strlen(body), 1, &dim, out, why), ERR_OK);
    ck_assert_uint_eq(dim, 5);
    ck_assert_float_eq(out[4], 5);
}
END_TEST

#define ROW0         "{\"index\":0,\"embedding\":[1,2,3]}"
#define ROWS(second) "{\"data\":[" ROW0 "," second "]}"

START_TEST(wrong_counts_and_indices_are_invalid)
{
    bad("{\"data\":[" ROW0 "]}", ERR_INVALID, "1 embeddings for 2 texts");
    bad("{\"data\":[" ROW0 "," ROW0 "," ROW0 "]}", ERR_INVALID, "3 embeddings for 2 texts");
    bad(ROWS(ROW0), ERR_INVALID, "index 0 stands there twice");
    bad(ROWS("{\"index\":2,\"embedding\":[1,2,3]}"), ERR_INVALID, "no \"index\" from 0 to 1");
    bad(ROWS("{\"index\":-1,\"embedding\":[1,2,3]}"), ERR_INVALID, "no \"index\"");
    bad(ROWS("{\"index\":1.0,\"embedding\":[1,2,3]}"), ERR_INVALID, "no \"index\"");
    bad(ROWS("{\"embedding\":[1,2,3]}"), ERR_INVALID, "no \"index\"");
    bad(ROWS("7"), ERR_INVALID, "no \"index\"");
}
END_TEST

START_TEST(what_is_not_a_list_of_finite_numbers_is_invalid)
{
    bad(ROWS("{\"index\":1,\"embedding\":[1,null,3]}"), ERR_INVALID, "is null");
    bad(ROWS("{\"index\":1,\"embedding\":[1,\"2\",3]}"), ERR_INVALID, "is no number");
    bad(ROWS("{\"index\":1,\"embedding\":[1,1e39,3]}"), ERR_INVALID, "not finite");
    bad(ROWS("{\"index\":1,\"embedding\":[1,NaN,3]}"), ERR_INVALID, "NaN");
    bad(ROWS("{\"index\":1,\"embedding\":[[1,2,3]]}"), ERR_INVALID, "is no number");
    bad(ROWS("{\"index\":1,\"embedding\":\"AACAPwAAIMAAAMB/\"}"), ERR_INVALID, "not finite");
    bad(ROWS("{\"index\":1,\"embedding\":\"AACAPwAAIMAAAAA\"}"), ERR_INVALID, "not base64");
    bad(ROWS("{\"index\":1,\"embedding\":\"AACAPwAAIMA*AAA+\"}"), ERR_INVALID, "not base64");
    bad(ROWS("{\"index\":1,\"embedding\":[]}"), ERR_INVALID, "0 numbers");
    bad(ROWS("{\"index\":1}"), ERR_INVALID, "no \"embedding\"");
}
END_TEST

START_TEST(another_width_is_a_mismatch)
{
    bad(ROWS("{\"index\":1,\"embedding\":[1,2]}"), ERR_MISMATCH, "2 numbers where others have 3");
    bad(ROWS("{\"index\":1,\"embedding\":[1,2,3,4]}"), ERR_MISMATCH, "4 numbers");
    bad(ROWS("{\"index\":1,\"embedding\":\"AACAPw==\"}"), ERR_MISMATCH, "1 numbers");
    bad(ROWS("{\"index\":1,\"embedding\":\"AACAQAAAoEAAAMBAAACAPw==\"}"), ERR_MISMATCH,
        "4 numbers");
}
END_TEST

START_TEST(what_is_no_answer_is_invalid)
{
    bad("", ERR_INVALID, "not JSON");
    bad("<html>", ERR_INVALID, "not JSON");
    bad("[]", ERR_INVALID, "no list \"data\"");
    bad("{\"data\":{}}", ERR_INVALID, "no list \"data\"");
    bad("{\"data\":[" ROW0, ERR_INVALID, "not JSON");
}
END_TEST

START_TEST(too_many_values_are_not_parsed)
{
    enum { N = 100000 };
    char *body = malloc(2 * N + 2);
    ck_assert_ptr_nonnull(body);
    for (size_t i = 0; i < N; i++) memcpy(body + 2 * i, i ? ",1" : "[1", 2);
    memcpy(body + (size_t)2 * N, "]", 2);
    bad(body, ERR_INVALID, "more than");
    free(body);
}
END_TEST

static void says(const char *body, const char *reason)
{
    embedding_answer_error(body, strlen(body), why);
    ck_assert_str_eq(why, reason);
}

START_TEST(errors_of_all_servers_are_found)
{
    says("{\"error\":{\"code\":500,\"message\":\"too large\",\"type\":\"server_error\"}}",
         "too large");
    says("{\"object\":\"error\",\"message\":\"maximum context length\",\"code\":400}",
         "maximum context length");
    says("{\"message\":\"batch size\",\"code\":413,\"type\":\"Validation\"}", "batch size");
    says("{\"error\":\"overloaded\",\"error_type\":\"Overloaded\"}", "overloaded");
    says("{\"detail\":\"Not Found\"}", "Not Found");
    says("{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"field required\"}]}", "field required");
    says("bad gateway", "bad gateway");
    says("", "");
}
END_TEST

START_TEST(errors_are_printable_and_cut)
{
    says("{\"error\":\"a\\u001b[31mb\\n\\\"c\\\" \"}", "a [31mb 'c'");
    char text[2 * EMBEDDING_WHY_MAX];
    memset(text, 'x', sizeof text);
    memcpy(text + EMBEDDING_WHY_MAX - 2, "\xc3\xa9", 2); /* a character across the end */
    embedding_answer_error(text, sizeof text, why);
    ck_assert_uint_eq(strlen(why), EMBEDDING_WHY_MAX - 2);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("embedding_answer");
    TCase *c = tcase_create("embedding_answer");
    tcase_add_test(c, rows_are_placed_by_index);
    tcase_add_test(c, base64_is_little_endian_floats);
    tcase_add_test(c, the_first_answer_says_the_width);
    tcase_add_test(c, wrong_counts_and_indices_are_invalid);
    tcase_add_test(c, what_is_not_a_list_of_finite_numbers_is_invalid);
    tcase_add_test(c, another_width_is_a_mismatch);
    tcase_add_test(c, what_is_no_answer_is_invalid);
    tcase_add_test(c, too_many_values_are_not_parsed);
    tcase_add_test(c, errors_of_all_servers_are_found);
    tcase_add_test(c, errors_are_printable_and_cut);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failures = srunner_ntests_failed(r);
    srunner_free(r);
    return failures ? 1 : 0;
}
