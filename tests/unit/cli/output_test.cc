/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/output.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "client/cli/bench.h"
#include "client/cli/http.h"
#include "client/cli/line_reader.h"
#include "client/cli/progress.h"
#include "tests/unit/cli/cli_run.h"

namespace {

using testing::HasSubstr;

struct polarys_client_document Document(const std::string &key, enum polarys_client_value_kind kind,
                                        const std::string &value)
{
    struct polarys_client_document document;
    memset(&document, 0, sizeof(document));
    document.key = (uint8_t *)key.data();
    document.key_size = key.size();
    document.kind = kind;
    document.value = (uint8_t *)value.data();
    document.value_size = value.size();
    document.version = 7;
    return document;
}

template <typename Fill> std::string Output(enum output_format format, bool is_expanded, Fill fill)
{
    return Written([&](FILE *to) {
        struct cli cli;
        cli_init(&cli, to, to, to);
        cli.settings.format = format;
        cli.is_expanded = is_expanded;
        struct output *output = output_create(&cli);
        fill(output);
        EXPECT_EQ(output_finish(output, &cli, CLI_NOT_FOUND), CLI_NOT_FOUND);
    });
}

const std::string json_value = "{\"a\":\n 1}";
const std::string raw_value = std::string("\0\xff", 2);
const std::string control_value = "a\x1b";
const std::string text_key = "k\"1";
const std::string byte_key = "\xff";

TEST(Output, TableAlignsColumns)
{
    std::string text = Output(OUTPUT_TABLE, false, [](struct output *output) {
        for (const char *name : {"a", "longer", "\xc3\xa4"}) {
            const struct output_field fields[] = {field_text("name", name, strlen(name)),
                                                  field_number("size", 5)};
            output_row(output, fields, 2);
        }
    });
    EXPECT_EQ(text, "NAME    SIZE\na       5\nlonger  5\n\xc3\xa4       5\n");
}

TEST(Output, TableGoesOnBehindTheRowsThatItHolds)
{
    std::string text = Output(OUTPUT_TABLE, false, [](struct output *output) {
        for (uint64_t i = 0; i < OUTPUT_ROWS_HELD + 5; i++) {
            const struct output_field fields[] = {field_number("n", i), field_number("m", i)};
            output_row(output, fields, 2);
        }
    });
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), OUTPUT_ROWS_HELD + 6);
    EXPECT_THAT(text, HasSubstr("\n204  204\n"));
}

TEST(Output, JsonIsOneObjectALine)
{
    std::string text = Output(OUTPUT_JSON, false, [](struct output *output) {
        struct polarys_client_document document =
            Document(text_key, POLARYS_CLIENT_JSON, json_value);
        output_document(output, &document, false);
        document = Document(byte_key, POLARYS_CLIENT_RAW, raw_value);
        document.expires_at_ms = 1767323045678u;
        output_document(output, &document, false);
        output_document(output, &document, true);
    });
    EXPECT_EQ(
        text,
        "{\"key\":\"k\\\"1\",\"version\":7,\"value\":{\"a\":1}}\n"
        "{\"key_base64\":\"/w==\",\"version\":7,\"expires_at\":\"2026-01-02T03:04:05.678Z\","
        "\"raw\":\"AP8=\"}\n"
        "{\"key_base64\":\"/w==\",\"version\":7,\"expires_at\":\"2026-01-02T03:04:05.678Z\"}\n");
}

TEST(Output, RawIsTheStoredBytes)
{
    std::string text = Output(OUTPUT_RAW, false, [](struct output *output) {
        struct polarys_client_document document =
            Document(text_key, POLARYS_CLIENT_JSON, json_value);
        output_document(output, &document, false);
    });
    EXPECT_EQ(text, json_value);
    text = Output(OUTPUT_RAW, false, [](struct output *output) {
        struct polarys_client_document document = Document(byte_key, POLARYS_CLIENT_RAW, raw_value);
        output->has_line_ends = true;
        output_document(output, &document, false);
        output_document(output, &document, true);
    });
    EXPECT_EQ(text, raw_value + "\n" + byte_key + "\n");
}

TEST(Output, ExpandedIsAFieldALine)
{
    std::string text = Output(OUTPUT_TABLE, true, [](struct output *output) {
        struct polarys_client_document document =
            Document(text_key, POLARYS_CLIENT_RAW, control_value);
        output_document(output, &document, false);
    });
    EXPECT_THAT(text, HasSubstr("[1]\nkey          k\"1\nversion      7\n"));
    EXPECT_THAT(text, HasSubstr("value        a\\x1b\n"));
}

TEST(Output, RecordsAreWhatImportReads)
{
    std::string text = Written([](FILE *to) {
        struct polarys_client_document document =
            Document(byte_key, POLARYS_CLIENT_JSON, json_value);
        document.expires_at_ms = 1767323045678u;
        output_record_members(to, &document);
    });
    EXPECT_EQ(
        text,
        "\"key_base64\":\"/w==\",\"value\":{\"a\":1},\"expires_at\":\"2026-01-02T03:04:05.678Z\"");
}

TEST(Cli, ErrorsHaveStatusAndReason)
{
    struct polarys_client_error err;
    memset(&err, 0, sizeof(err));
    err.status = POLARYS_CLIENT_NOT_FOUND;
    snprintf(err.reason, sizeof(err.reason), "TABLE_NOT_FOUND");
    snprintf(err.message, sizeof(err.message), "there is no table \"x\x1b\"");
    std::string text = Written([&](FILE *to) {
        struct cli cli;
        cli_init(&cli, to, to, to);
        EXPECT_EQ(cli_fail_call(&cli, &err), CLI_NOT_FOUND);
        err.status = POLARYS_CLIENT_UNAVAILABLE;
        err.reason[0] = '\0';
        EXPECT_EQ(cli_fail_call(&cli, &err), CLI_FAILED);
    });
    EXPECT_EQ(text, "polarys: NOT_FOUND/TABLE_NOT_FOUND: there is no table \"x\\x1b\"\n"
                    "polarys: UNAVAILABLE: there is no table \"x\\x1b\"\n");
}

TEST(Progress, ShowsShareRateAndTimeLeft)
{
    char line[200];
    struct progress_state state = {50, 200, 1000, 4096, 2000};
    progress_line_format(line, sizeof(line), &state, "documents");
    EXPECT_STREQ(line,
                 "[######..................]  25%  1000 documents, 500/s, 2.0 KiB/s, 0:06 left");
    state.total = 0;
    progress_line_format(line, sizeof(line), &state, "documents");
    EXPECT_STREQ(line, "1000 documents, 500/s, 2.0 KiB/s");
    state = {0, 100, 0, 0, 0};
    progress_line_format(line, sizeof(line), &state, "documents");
    EXPECT_THAT(line, HasSubstr("  0%  0 documents, 0/s"));
    state = {300, 200, 1, 1, 1000};
    progress_line_format(line, sizeof(line), &state, "documents");
    EXPECT_THAT(line, HasSubstr("100%"));
}

TEST(Histogram, QuantilesAreNearAndNeverAboveTheLargest)
{
    auto histogram = std::make_unique<struct bench_histogram>();
    memset(histogram.get(), 0, sizeof(*histogram));
    EXPECT_EQ(bench_histogram_quantile(histogram.get(), 0.5), 0u);
    for (uint64_t i = 1; i <= 100000; i++) {
        bench_histogram_add(histogram.get(), i * 1000);
    }
    EXPECT_NEAR((double)bench_histogram_quantile(histogram.get(), 0.5), 5e7, 5e7 * 0.016);
    EXPECT_NEAR((double)bench_histogram_quantile(histogram.get(), 0.99), 9.9e7, 9.9e7 * 0.016);
    EXPECT_EQ(bench_histogram_quantile(histogram.get(), 1), 100000000u);
    bench_histogram_add(histogram.get(), UINT64_MAX);
    EXPECT_EQ(histogram->max, UINT64_MAX);
    EXPECT_EQ(bench_histogram_quantile(histogram.get(), 1), UINT64_MAX);
    auto other = std::make_unique<struct bench_histogram>();
    memset(other.get(), 0, sizeof(*other));
    bench_histogram_add(other.get(), 0);
    bench_histogram_merge(other.get(), histogram.get());
    EXPECT_EQ(other->count, 100002u);
    EXPECT_EQ(bench_histogram_quantile(other.get(), 0), 0u);
}

TEST(Bench, ValuesAreJsonOfTheSizeAsked)
{
    struct bench_plan plan;
    memset(&plan, 0, sizeof(plan));
    uint64_t random = 1;
    for (uint64_t size : {(uint64_t)BENCH_VALUE_BYTES_MIN, (uint64_t)100, (uint64_t)4096}) {
        plan.value_size = size;
        std::string value((size_t)size, '?');
        bench_value_write(value.data(), &plan, UINT64_C(999999999999), &random);
        struct polarys_slice text = {(const uint8_t *)value.data(), value.size()};
        EXPECT_EQ(polarys_json_check(text, nullptr), POLARYS_OK) << value;
    }
    char key[BENCH_KEY_SIZE + 1];
    bench_key_write(key, 42);
    EXPECT_STREQ(key, "key000000000042");
}

std::vector<std::string> Lines(const std::string &text, enum line_event *last)
{
    struct line_reader reader;
    std::vector<std::string> lines;
    const char *line;
    size_t size;
    std::string kept = text;
    FILE *from = fmemopen(kept.data(), kept.size(), "r");
    line_reader_init(&reader, from);
    while ((*last = line_reader_next(&reader, &line, &size)) == LINE_READ) {
        lines.emplace_back(size == 0 ? "" : line, size);
    }
    EXPECT_EQ(reader.line_number, lines.size());
    line_reader_deinit(&reader);
    fclose(from);
    return lines;
}

TEST(LineReader, GivesLinesOfAnyLength)
{
    enum line_event last;
    EXPECT_EQ(Lines("a\n\nbc", &last), (std::vector<std::string>{"a", "", "bc"}));
    EXPECT_EQ(last, LINE_END);
    EXPECT_EQ(Lines("a\n", &last), std::vector<std::string>{"a"});
    std::string text;
    std::vector<std::string> lines;
    for (size_t size : {100u, 300000u, 0u, 262143u, 262144u, 700000u, 1u}) {
        lines.push_back(std::string(size, (char)('a' + lines.size())));
        text += lines.back() + "\n";
    }
    EXPECT_EQ(Lines(text, &last), lines);
}

TEST(LineReader, HasALimit)
{
    enum line_event last;
    std::string text = "first\n" + std::string(LINE_BYTES_MAX + 10, 'x') + "\n";
    struct line_reader reader;
    const char *line;
    size_t size;
    FILE *from = fmemopen(text.data(), text.size(), "r");
    line_reader_init(&reader, from);
    EXPECT_EQ(line_reader_next(&reader, &line, &size), LINE_READ);
    last = line_reader_next(&reader, &line, &size);
    EXPECT_EQ(last, LINE_TOO_LONG);
    EXPECT_EQ(reader.line_number, 2u);
    line_reader_deinit(&reader);
    fclose(from);
}

bool ParseHttp(const std::string &text, struct http_response *response)
{
    static std::string kept;
    kept = text;
    memset(response, 0, sizeof(*response));
    response->bytes = kept.data();
    response->size = kept.size();
    return http_response_parse(response);
}

TEST(Http, FindsStatusAndBody)
{
    struct http_response response;
    ASSERT_TRUE(ParseHttp("HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody\n", &response));
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(std::string(response.body, response.body_size), "body\n");
    ASSERT_TRUE(ParseHttp("HTTP/1.0 503 \r\n\r\n", &response));
    EXPECT_EQ(response.status, 503);
    EXPECT_EQ(response.body_size, 0u);
    for (const char *bad :
         {"", "HTTP/1.1 200 OK\r\n", "hello\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "\r\n\r\n"}) {
        EXPECT_FALSE(ParseHttp(bad, &response)) << bad;
    }
}

TEST(Shell, ReadsStatementsFromAStreamAndStopsAtTheFirstFailure)
{
    CliOutcome outcome =
        RunCli({"shell"}, "help put\n# nothing\n\n\\timing\ncompletion\nfrob\nhelp get\n");
    EXPECT_EQ(outcome.status, CLI_USAGE);
    EXPECT_THAT(outcome.out, HasSubstr("polarys put: "));
    EXPECT_THAT(outcome.err, HasSubstr("too few words"));
    EXPECT_THAT(outcome.out, testing::Not(HasSubstr("polarys get: ")));
    EXPECT_EQ(RunCli({}, "\\q\nfrob\n").status, CLI_DONE);
    EXPECT_EQ(RunCli({"shell"}, "put t k {\n").status, CLI_USAGE);
    EXPECT_EQ(RunCli({"shell"}, "shell\n").status, CLI_USAGE);
    EXPECT_EQ(RunCli({"shell"}, "\\nothing\n").status, CLI_USAGE);
    EXPECT_EQ(RunCli({"shell"}, "put t k -\n").status, CLI_USAGE);
    EXPECT_EQ(RunCli({"shell"}, "import t -\n").status, CLI_USAGE);
    EXPECT_THAT(RunCli({"shell"}, "help").out, HasSubstr("\\timing"));
}

} // namespace
