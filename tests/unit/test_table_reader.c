/* Proves: TSV and CSV, plain and packed, read as written; every malformed row is named by file,
 * line and field, or counted when bad rows are skipped. */
#include "sampler/table_reader.h"

#include "common/hash.h"
#include "testing_files.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static table_reader *open_ok(const char *path, bool skip)
{
    table_reader *r;
    ck_assert_int_eq(table_reader_open(path, skip, &r), ERR_OK);
    return r;
}

static bool next_ok(table_reader *r)
{
    bool more;
    ck_assert_int_eq(table_reader_next(r, &more), ERR_OK);
    return more;
}

static void expect_row(table_reader *r, const char *a, const char *b)
{
    ck_assert(next_ok(r));
    ck_assert_uint_eq(table_reader_fields(r), 2);
    size_t n;
    ck_assert_str_eq(table_reader_field(r, 0, &n), a);
    ck_assert_uint_eq(n, strlen(a));
    ck_assert_str_eq(table_reader_field(r, 1, &n), b);
    ck_assert_uint_eq(n, strlen(b));
}

/* Reads the whole file and expects ERR_INVALID with `message` printed. */
static void expect_error(const char *path, const char *message)
{
    testing_capture_start();
    table_reader *r;
    err_code rc = table_reader_open(path, false, &r);
    bool more = true;
    while (rc == ERR_OK && more) rc = table_reader_next(r, &more);
    table_reader_close(r);
    const char *captured = testing_capture_end();
    ck_assert_int_eq(rc, ERR_INVALID);
    testing_expect_part(captured, message);
}

START_TEST(tsv_rows_come_back_as_written)
{
    testing_put_text("a.tsv", "id\ttext\n1\tone\r\n2\t\"two\", a\\tb\\\\c\\d\n3\t\n\n\n");
    table_reader *r = open_ok("a.tsv", false);
    ck_assert_uint_eq(table_reader_columns(r), 2);
    ck_assert_str_eq(table_reader_name(r, 1), "text");
    expect_row(r, "1", "one");
    ck_assert_uint_eq(table_reader_line(r), 2);
    expect_row(r, "2", "\"two\", a\tb\\c\\d");
    expect_row(r, "3", "");
    ck_assert_uint_eq(table_reader_row(r), 2);
    ck_assert(!next_ok(r));
    ck_assert(!next_ok(r));
    table_reader_close(r);
}
END_TEST

START_TEST(csv_quotes_hold_commas_quotes_and_lines)
{
    testing_put_text("a.csv",
                     "\xEF\xBB\xBFid,text\r\n1,\"a, \"\"b\"\"\nc\"\r\n\"2\",\"\"\r\n3,plain");
    table_reader *r = open_ok("a.csv", false);
    ck_assert_str_eq(table_reader_name(r, 0), "id");
    expect_row(r, "1", "a, \"b\"\nc");
    expect_row(r, "2", "");
    ck_assert_uint_eq(table_reader_line(r), 4);
    expect_row(r, "3", "plain");
    ck_assert(!next_ok(r));
    table_reader_close(r);
}
END_TEST

START_TEST(an_unknown_ending_is_decided_by_the_header)
{
    testing_put_text("a.txt", "id\tte,xt\n1\tx\n");
    testing_put_text("b", "id,text\n1,\"x,y\"\n");
    table_reader *r = open_ok("a.txt", false);
    expect_row(r, "1", "x");
    table_reader_close(r);
    r = open_ok("b", false);
    expect_row(r, "1", "x,y");
    table_reader_close(r);
}
END_TEST

static void put_gz(const char *path, const char *text, size_t n)
{
    gzFile f = gzopen(path, "wb");
    ck_assert_int_eq(gzwrite(f, text, (unsigned)n), (int)n);
    gzclose(f);
}

START_TEST(a_packed_file_reads_like_the_plain_one)
{
    enum { ROWS = 60000 };
    char *text = malloc(ROWS * 32);
    size_t n = (size_t)sprintf(text, "id\ttext\n");
    for (int i = 0; i < ROWS; i++) n += (size_t)sprintf(text + n, "%d\tvalue of %d\n", i, i);
    testing_put("a.tsv", text, n);
    put_gz("a.tsv.gz", text, n);
    uint64_t plain = 0, packed = 0, hashed;
    for (int which = 0; which < 2; which++) {
        table_reader *r = open_ok(which ? "a.tsv.gz" : "a.tsv", false);
        for (int i = 0; i < ROWS; i++) {
            char id[16], value[32];
            sprintf(id, "%d", i);
            sprintf(value, "value of %d", i);
            expect_row(r, id, value);
        }
        ck_assert(!next_ok(r));
        *(which ? &packed : &plain) = table_reader_hash(r);
        table_reader_close(r);
    }
    ck_assert_uint_eq(plain, hash64(text, n, 0));
    ck_assert_uint_eq(plain, packed);
    ck_assert_int_eq(table_reader_hash_file("a.tsv.gz", &hashed), ERR_OK);
    ck_assert_uint_eq(plain, hashed);
    free(text);
}
END_TEST

START_TEST(a_packed_file_cut_short_is_an_io_error)
{
    char text[20000];
    size_t n = (size_t)sprintf(text, "id\ttext\n");
    for (unsigned i = 0; n < sizeof text - 32; i++) {
        n += (size_t)sprintf(text + n, "%u\t%u\n", i, i * 2654435761u);
    }
    put_gz("a.tsv.gz", text, n);
    struct stat st;
    ck_assert_int_eq(stat("a.tsv.gz", &st), 0);
    ck_assert_int_eq(truncate("a.tsv.gz", st.st_size / 2), 0);
    testing_capture_start();
    table_reader *r;
    bool more = true;
    err_code rc = table_reader_open("a.tsv.gz", true, &r);
    while (rc == ERR_OK && more) rc = table_reader_next(r, &more);
    table_reader_close(r);
    uint64_t hash;
    err_code hash_rc = table_reader_hash_file("a.tsv.gz", &hash);
    const char *captured = testing_capture_end();
    ck_assert_int_eq(rc, ERR_IO);
    ck_assert_int_eq(hash_rc, ERR_IO);
    testing_expect_part(captured, "a.tsv.gz: ");
}
END_TEST

START_TEST(a_missing_file_is_not_found_and_a_folder_an_io_error)
{
    testing_capture_start();
    table_reader *r;
    uint64_t hash;
    ck_assert_int_eq(table_reader_open("none.tsv", false, &r), ERR_NOT_FOUND);
    ck_assert_ptr_null(r);
    ck_assert_int_eq(table_reader_hash_file("none.tsv", &hash), ERR_NOT_FOUND);
    ck_assert_int_eq(table_reader_open("/tmp", false, &r), ERR_IO);
    const char *captured = testing_capture_end();
    testing_expect_part(captured, "none.tsv: No such file");
}
END_TEST

START_TEST(malformed_rows_are_named_by_file_line_and_field)
{
    testing_put_text("a.tsv", "id\ttext\n1\tx\n2\n");
    expect_error("a.tsv", "a.tsv:3:2: too few fields: 1, the header has 2");
    testing_put_text("a.tsv", "id\ttext\n1\tx\ty\n");
    expect_error("a.tsv", "a.tsv:2:3: too many fields: 3, the header has 2");
    testing_put_text("a.tsv", "id\ttext\n1\t\xC3\x28\n");
    expect_error("a.tsv", "a.tsv:2:2: invalid UTF-8");
    testing_put_text("a.tsv", "id\ttext\n\xED\xA0\x80\tx\n");
    expect_error("a.tsv", "a.tsv:2:1: invalid UTF-8");
    testing_put_text("a.tsv", "id\ttext\n1\tcut \xE2\x82\n");
    expect_error("a.tsv", "a.tsv:2:2: invalid UTF-8");
    testing_put("a.tsv", "id\ttext\n1\ta\0b\n", 14);
    expect_error("a.tsv", "a.tsv:2:2: a NUL byte");
    testing_put_text("a.tsv", "id\ttext\n1\tx\n\n\n2\ty\n");
    expect_error("a.tsv", "a.tsv:3:1: a blank line");
    testing_put_text("a.csv", "id,text\n1,\"x\" y\n");
    expect_error("a.csv", "a.csv:2:2: text after the closing quote");
    testing_put_text("a.csv", "id,text\n1,5\" disk\n");
    expect_error("a.csv", "a.csv:2:2: a quote inside a field that is not quoted");
    testing_put_text("a.csv", "id,text\n1,x\n2,\"open\n3,y\n");
    expect_error("a.csv", "a.csv:3:2: the quote is not closed");
    testing_put_text("a.tsv", "");
    expect_error("a.tsv", "a.tsv:1:1: no header line");
    testing_put_text("a.tsv", "i\xFF\ttext\n");
    expect_error("a.tsv", "a.tsv:1:1: invalid UTF-8");
}
END_TEST

START_TEST(too_many_columns_or_bytes_in_a_row_are_refused)
{
    char *text = malloc(TABLE_ROW_BYTES_MAX + (2 << 20));
    size_t n = (size_t)sprintf(text, "id");
    for (int i = 0; i < TABLE_COLUMNS_MAX; i++) n += (size_t)sprintf(text + n, "\tc");
    testing_put("a.tsv", text, n);
    expect_error("a.tsv", "a.tsv:1:1: too many columns");
    n = (size_t)sprintf(text, "id,text\n1,\"");
    memset(text + n, 'x', TABLE_ROW_BYTES_MAX + (1 << 20));
    testing_put("a.csv", text, n + TABLE_ROW_BYTES_MAX + (1 << 20));
    expect_error("a.csv", "a.csv:2:1: the row is longer than");
    free(text);
}
END_TEST

START_TEST(skipped_rows_are_counted_and_the_first_is_kept)
{
    testing_put_text("a.tsv", "id\ttext\n1\tx\n\n2\n3\t\xFF\n4\ty\n5\tz\n");
    table_reader *r = open_ok("a.tsv", true);
    expect_row(r, "1", "x");
    ck_assert_ptr_null(table_reader_first_bad(r));
    expect_row(r, "4", "y");
    ck_assert_uint_eq(table_reader_bad_rows(r), 3);
    ck_assert_uint_eq(table_reader_row(r), 1);
    ck_assert_int_eq(table_reader_reject(r, NULL, "no %s", "good"), ERR_OK);
    expect_row(r, "5", "z");
    ck_assert_uint_eq(table_reader_row(r), 1);
    ck_assert(!next_ok(r));
    ck_assert_uint_eq(table_reader_bad_rows(r), 4);
    ck_assert_str_eq(table_reader_first_bad(r), "3:1: a blank line");
    table_reader_close(r);
}
END_TEST

static config_column named(const char *a, const char *b)
{
    static char *names[8][2];
    static int used;
    char **at = names[used++ % 8];
    at[0] = (char *)a;
    at[1] = (char *)b;
    return (config_column){.names = {at, b ? 2 : 1}};
}

START_TEST(columns_are_mapped_joined_or_constant)
{
    testing_put_text("a.csv", "movieId,title,genres\n1,Toy Story,Comedy\n2,,Drama\n3,,\n");
    table_reader *r = open_ok("a.csv", false);
    table_column text, type, absent;
    config_column both = named("title", "genres"), constant = {.constant = (char *)"movie"};
    config_column kind = named("kind", NULL);
    ck_assert_int_eq(table_reader_map(r, &both, "data.items.columns.text", false, &text), ERR_OK);
    ck_assert_int_eq(table_reader_map(r, &constant, "x.item_type", false, &type), ERR_OK);
    ck_assert_int_eq(table_reader_map(r, &kind, "x.kind", true, &absent), ERR_OK);
    ck_assert(!table_column_mapped(&absent));
    ck_assert(table_column_mapped(&type));
    static const char *const expected[] = {"Toy Story. Comedy", "Drama", ""};
    for (int i = 0; i < 3; i++) {
        ck_assert(next_ok(r));
        size_t n;
        ck_assert_str_eq(table_reader_value(r, &text, &n), expected[i]);
        ck_assert_uint_eq(n, strlen(expected[i]));
        ck_assert_str_eq(table_reader_value(r, &type, &n), "movie");
        ck_assert_str_eq(table_reader_value(r, &absent, &n), "");
    }
    table_column_fini(&text);
    table_column_fini(&type);
    table_column_fini(&absent);
    table_reader_close(r);
}
END_TEST

START_TEST(columns_that_are_not_there_are_errors_naming_the_key)
{
    testing_put_text("a.tsv", "id\ttext\ttext\n");
    table_reader *r = open_ok("a.tsv", false);
    table_column out;
    testing_capture_start();
    config_column c = named("title", NULL), none = {0};
    ck_assert_int_eq(table_reader_map(r, &c, "data.items.columns.text", false, &out), ERR_INVALID);
    ck_assert_int_eq(table_reader_map(r, &c, "x.timestamp", true, &out), ERR_INVALID);
    c = named("text", NULL);
    ck_assert_int_eq(table_reader_map(r, &c, "x.text", false, &out), ERR_INVALID);
    ck_assert_int_eq(table_reader_map(r, &none, "x.item_id", false, &out), ERR_INVALID);
    const char *captured = testing_capture_end();
    testing_expect_part(captured, "a.tsv:1: no column \"title\" (data.items.columns.text)");
    testing_expect_part(captured, "no column \"title\" (x.timestamp)");
    testing_expect_part(captured, "more than one column \"text\" (x.text)");
    testing_expect_part(captured, "x.item_id: a column must be named");
    table_reader_close(r);
}
END_TEST

START_TEST(rows_may_be_longer_when_that_is_allowed)
{
    testing_put_text("a.tsv", "user_id\tattributes\n1\ta=1\tb=2\n2\t\n3\n");
    table_reader *r = open_ok("a.tsv", true);
    table_reader_allow_more(r);
    ck_assert(next_ok(r));
    ck_assert_uint_eq(table_reader_fields(r), 3);
    ck_assert_str_eq(table_reader_field(r, 2, NULL), "b=2");
    expect_row(r, "2", "");
    ck_assert(!next_ok(r));
    ck_assert_uint_eq(table_reader_bad_rows(r), 1);
    table_reader_close(r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("table_reader");
    TCase *c = tcase_create("table_reader");
    tcase_add_checked_fixture(c, testing_enter_folder, testing_leave_folder);
    tcase_add_test(c, tsv_rows_come_back_as_written);
    tcase_add_test(c, csv_quotes_hold_commas_quotes_and_lines);
    tcase_add_test(c, an_unknown_ending_is_decided_by_the_header);
    tcase_add_test(c, a_packed_file_reads_like_the_plain_one);
    tcase_add_test(c, a_packed_file_cut_short_is_an_io_error);
    tcase_add_test(c, a_missing_file_is_not_found_and_a_folder_an_io_error);
    tcase_add_test(c, malformed_rows_are_named_by_file_line_and_field);
    tcase_add_test(c, too_many_columns_or_bytes_in_a_row_are_refused);
    tcase_add_test(c, skipped_rows_are_counted_and_the_first_is_kept);
    tcase_add_test(c, columns_are_mapped_joined_or_constant);
    tcase_add_test(c, columns_that_are_not_there_are_errors_naming_the_key);
    tcase_add_test(c, rows_may_be_longer_when_that_is_allowed);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
