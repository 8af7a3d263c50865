/* Proves: `weft doctor` finds what would stop a job, and lets a healthy machine pass. */
#include "deploy/doctor.h"

#include "common/files.h"
#include "testing_files.h"
#include "testing_prepare.h"

#include <arpa/inet.h>
#include <check.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static doctor examined;
static config *examined_config;

static void examine(const char *extra)
{
    char *text = NULL;
    ck_assert_int_gt(asprintf(&text, "features: {encoder: hash, ngram_dim: 16}\n%s\n", extra), 0);
    testing_put_text("job.yaml", text);
    ck_assert_int_eq(config_load("job.yaml", NULL, 0, &examined_config), ERR_OK);
    doctor_init(&examined, examined_config);
    testing_capture_start();
    doctor_run(&examined);
    testing_capture_end();
    free(text);
}

static void done(void)
{
    doctor_fini(&examined);
    config_free(examined_config);
}

/* The worst of the checks of that name. */
static const doctor_check *find(const char *name)
{
    const doctor_check *worst = NULL;
    for (size_t i = 0; i < examined.n; i++) {
        const doctor_check *c = &examined.check[i];
        if (strcmp(c->name, name) == 0 && (!worst || c->status > worst->status)) worst = c;
    }
    return worst;
}

static void expect(const char *name, doctor_status status, const char *part)
{
    const doctor_check *c = find(name);
    ck_assert_msg(c != NULL, "no check %s", name);
    ck_assert_msg(c->status == status, "%s: %s", name, c->detail);
    testing_expect_part(c->detail, part);
}

START_TEST(a_healthy_machine_passes)
{
    testing_prepare_write(60, 40, 900, 1);
    examine("data: {items: {path: items.tsv}, interactions: {path: interactions.tsv}}");
    for (size_t i = 0; i < examined.n; i++)
        ck_assert_msg(examined.check[i].status != DOCTOR_FAIL, "%s: %s", examined.check[i].name,
                      examined.check[i].detail);
    ck_assert(!doctor_failed(&examined));
    expect("fsync", find("fsync")->status, "fsync ");
    expect("memory", DOCTOR_OK, "all roles together need about");
    expect("disk", DOCTOR_OK, "free, about");
    expect("encoder", DOCTOR_OK, "16 numbers a text");
    done();
}
END_TEST

START_TEST(a_port_in_use_is_found)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    char text[256];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, n), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    snprintf(text, sizeof text,
             "cluster: {scheduler: 'tcp://127.0.0.1:%u'}\nhttp: {bind: '127.0.0.1:%u'}",
             ntohs(a.sin_port), ntohs(a.sin_port));
    examine(text);
    expect("scheduler", DOCTOR_FAIL, "is in use");
    expect("http", DOCTOR_FAIL, "is in use");
    ck_assert(doctor_failed(&examined));
    close(fd);
    done();
}
END_TEST

START_TEST(an_open_network_needs_keys)
{
    examine("cluster: {scheduler: 'tcp://0.0.0.0:1'}");
    expect("security", DOCTOR_FAIL, "no loopback address");
    done();
    examine("cluster: {scheduler: 'tcp://0.0.0.0:1'}\nsecurity: {insecure: true}");
    expect("security", DOCTOR_WARN, "whoever reaches");
    done();
    examine("cluster: {scheduler: 'tcp://127.0.0.1:1'}");
    ck_assert_ptr_null(find("security"));
    done();
}
END_TEST

START_TEST(keys_that_others_can_read_are_found)
{
    ck_assert_int_eq(files_make_dirs("keys"), ERR_OK);
    examine("security: {keys: keys}");
    expect("keys", DOCTOR_FAIL, "holds no key of any role");
    done();
    testing_put_text("keys/worker.key", "public 0123456789\n");
    ck_assert_int_eq(chmod("keys/worker.key", 0644), 0);
    examine("security: {keys: keys}");
    expect("keys", DOCTOR_FAIL, "of worker; what is wrong is printed above");
    done();
}
END_TEST

/* Looks at the configuration under a lower limit of this process. */
static void expect_limited(int resource, rlim_t limit, const char *text, const char *what,
                           const char *says)
{
    struct rlimit old, small;
    ck_assert_int_eq(getrlimit((__rlimit_resource_t)resource, &old), 0);
    small = (struct rlimit){limit, old.rlim_max};
    ck_assert_int_eq(setrlimit((__rlimit_resource_t)resource, &small), 0);
    examine(text);
    expect(what, DOCTOR_FAIL, says);
    done();
    ck_assert_int_eq(setrlimit((__rlimit_resource_t)resource, &old), 0);
}

START_TEST(too_few_open_files_are_found)
{
    expect_limited(RLIMIT_NOFILE, 256, "cluster: {workers: 200}", "nofile", "256 open files");
}
END_TEST

START_TEST(more_threads_than_cores_are_worth_knowing)
{
    examine("cluster: {workers: 64, threads: 64}");
    expect("cores", DOCTOR_WARN, "workers compute on 4096 threads: fewer");
    done();
    examine("cluster: {scheduler: 'tcp://10.255.255.1:7700', workers: 64, threads: 64}");
    expect("cores", DOCTOR_OK, "4096 threads"); /* they are elsewhere */
    expect("scheduler", DOCTOR_WARN, "another machine's");
    done();
}
END_TEST

START_TEST(a_file_size_limit_is_found)
{
    expect_limited(RLIMIT_FSIZE, 100 << 20, "", "file size", "105 MB");
}
END_TEST

START_TEST(files_that_are_not_there_are_named)
{
    examine("data: {items: {path: none.tsv}, interactions: {path: none.tsv}}");
    expect("data", DOCTOR_FAIL, "none.tsv: No such file or directory (data.");
    done();
    examine("");
    expect("data", DOCTOR_WARN, "--data DIR");
    done();
    examine("http: {token_file: none}");
    expect("token", DOCTOR_FAIL, "/none: what is wrong is printed above");
    done();
}
END_TEST

START_TEST(a_folder_that_cannot_be_written_is_found)
{
    testing_put_text("file", "");
    examine("work_dir: /proc/weft");
    expect("fsync", DOCTOR_FAIL, "/proc: cannot write");
    done();
}
END_TEST

START_TEST(a_folder_in_memory_is_worth_knowing)
{
    struct statfs s;
    if (statfs("/dev/shm", &s) != 0 || s.f_type != 0x01021994) return; /* none here */
    examine("work_dir: /dev/shm/weft-test");
    expect("work_dir", DOCTOR_WARN, "tmpfs: gone after a restart");
    done();
}
END_TEST

START_TEST(network_file_systems_are_known)
{
    /* linux/magic.h: NFS, CIFS, Lustre's own, ext4, and one of nobody. */
    static const struct {
        long type;
        const char *name;
        bool network;
    } known[] = {{0x6969, "nfs", true},
                 {0xff534d42, "cifs", true},
                 {0x0bd00bd0, "lustre", true},
                 {0xef53, "ext4", false},
                 {0x12345, NULL, false}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        bool network = true;
        const char *name = doctor_file_system(known[i].type, &network);
        ck_assert_int_eq(network, known[i].network);
        if (known[i].name)
            ck_assert_str_eq(name, known[i].name);
        else
            ck_assert_ptr_null(name);
    }
}
END_TEST

START_TEST(the_json_form_has_every_check)
{
    examine("");
    FILE *out = fopen("json", "w");
    ck_assert_int_eq(doctor_print(&examined, true, out), ERR_OK);
    fclose(out);
    json_t *json = json_load_file("json", JSON_REJECT_DUPLICATES, NULL);
    ck_assert(json_is_true(json_object_get(json, "ok")));
    ck_assert_uint_eq(json_array_size(json_object_get(json, "checks")), examined.n);
    json_decref(json);
    done();
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("doctor");
    tcase_add_checked_fixture(c, testing_enter_folder, testing_leave_folder);
    tcase_add_test(c, a_healthy_machine_passes);
    tcase_add_test(c, a_port_in_use_is_found);
    tcase_add_test(c, an_open_network_needs_keys);
    tcase_add_test(c, keys_that_others_can_read_are_found);
    tcase_add_test(c, too_few_open_files_are_found);
    tcase_add_test(c, more_threads_than_cores_are_worth_knowing);
    tcase_add_test(c, a_file_size_limit_is_found);
    tcase_add_test(c, files_that_are_not_there_are_named);
    tcase_add_test(c, a_folder_that_cannot_be_written_is_found);
    tcase_add_test(c, a_folder_in_memory_is_worth_knowing);
    tcase_add_test(c, network_file_systems_are_known);
    tcase_add_test(c, the_json_form_has_every_check);
    Suite *s = suite_create("doctor");
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
