/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds google.rpc.Status. All text in it is bounded before it is packed: a message of the engine
 * has at most 447 bytes, a detail 135, a subject 299; the sum stays below ERROR_DETAILS_BYTES_MAX,
 * which is asserted. It packs with stack memory only, so that an error about memory can still be
 * told.
 */
#include "service/errors/error_details.h"

#include <stdio.h>

#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "service/errors/error_table.h"
#include "service/server/check.h"

enum {
    DETAIL_COUNT_MAX = 5,     /* one of each type */
    DETAIL_PACKED_MAX = 1600, /* bytes of the largest: ErrorInfo with four details */
    METADATA_COUNT_MAX = POLARYS_ERROR_DETAILS_MAX,
};

/* Everything that the packed status points to until it is packed. */
struct details_builder {
    Google__Protobuf__Any anys[DETAIL_COUNT_MAX];
    Google__Protobuf__Any *pointers[DETAIL_COUNT_MAX];
    uint8_t packed[DETAIL_COUNT_MAX][DETAIL_PACKED_MAX];
    size_t count;
};

static ProtobufCBinaryData text_borrow(const char *text)
{
    ProtobufCBinaryData bytes = {strlen(text), (uint8_t *)(uintptr_t)text};
    return bytes;
}

static void detail_add(struct details_builder *builder, const char *type,
                       const ProtobufCMessage *message)
{
    SERVICE_ASSERT(builder->count < DETAIL_COUNT_MAX);
    SERVICE_ASSERT(protobuf_c_message_get_packed_size(message) <= DETAIL_PACKED_MAX);
    size_t i = builder->count++;
    google__protobuf__any__init(&builder->anys[i]);
    builder->anys[i].type_url = text_borrow(type);
    builder->anys[i].value.data = builder->packed[i];
    builder->anys[i].value.len = protobuf_c_message_pack(message, builder->packed[i]);
    builder->pointers[i] = &builder->anys[i];
}

static void error_info_add(struct details_builder *builder, const struct polarys_error *err)
{
    Google__Rpc__ErrorInfo__MetadataEntry entries[METADATA_COUNT_MAX];
    Google__Rpc__ErrorInfo__MetadataEntry *pointers[METADATA_COUNT_MAX];
    Google__Rpc__ErrorInfo info = GOOGLE__RPC__ERROR_INFO__INIT;
    info.reason = text_borrow(polarys_code_name(err->code));
    info.domain = text_borrow(ERROR_DOMAIN);
    SERVICE_ASSERT(err->detail_count <= METADATA_COUNT_MAX);
    for (uint32_t i = 0; i < err->detail_count; i++) {
        google__rpc__error_info__metadata_entry__init(&entries[i]);
        entries[i].key = text_borrow(err->details[i].name);
        entries[i].value = text_borrow(err->details[i].value);
        pointers[i] = &entries[i];
    }
    info.n_metadata = err->detail_count;
    info.metadata = pointers;
    detail_add(builder, "type.googleapis.com/google.rpc.ErrorInfo", &info.base);
}

static void retry_info_add(struct details_builder *builder, uint32_t delay_ms)
{
    Google__Protobuf__Duration delay = GOOGLE__PROTOBUF__DURATION__INIT;
    delay.seconds = delay_ms / 1000;
    delay.nanos = (int32_t)(delay_ms % 1000) * 1000000;
    Google__Rpc__RetryInfo info = GOOGLE__RPC__RETRY_INFO__INIT;
    info.retry_delay = &delay;
    detail_add(builder, "type.googleapis.com/google.rpc.RetryInfo", &info.base);
}

static void bad_request_add(struct details_builder *builder, const struct polarys_error *err,
                            const struct error_rule *rule)
{
    const char *field = polarys_error_detail_find(err, "field");
    if (field == NULL) {
        field = rule->field;
    }
    if (field == NULL) {
        return;
    }
    Google__Rpc__BadRequest__FieldViolation violation =
        GOOGLE__RPC__BAD_REQUEST__FIELD_VIOLATION__INIT;
    violation.field = text_borrow(field);
    violation.description = text_borrow(err->message);
    Google__Rpc__BadRequest__FieldViolation *violations[1] = {&violation};
    Google__Rpc__BadRequest request = GOOGLE__RPC__BAD_REQUEST__INIT;
    request.n_field_violations = 1;
    request.field_violations = violations;
    detail_add(builder, "type.googleapis.com/google.rpc.BadRequest", &request.base);
}

static void precondition_add(struct details_builder *builder, const struct polarys_error *err,
                             const char *key_text)
{
    Google__Rpc__PreconditionFailure__Violation violation =
        GOOGLE__RPC__PRECONDITION_FAILURE__VIOLATION__INIT;
    violation.type = text_borrow(polarys_code_name(err->code));
    violation.subject = text_borrow(key_text);
    violation.description = text_borrow(err->message);
    Google__Rpc__PreconditionFailure__Violation *violations[1] = {&violation};
    Google__Rpc__PreconditionFailure failure = GOOGLE__RPC__PRECONDITION_FAILURE__INIT;
    failure.n_violations = 1;
    failure.violations = violations;
    detail_add(builder, "type.googleapis.com/google.rpc.PreconditionFailure", &failure.base);
}

static const char *text_or_default(const char *text, const char *otherwise)
{
    return text == NULL || text[0] == '\0' ? otherwise : text;
}

/*
 * What the error is about: an error about another document or table than the call's names them in
 * its details. Shown like every key: what the engine tells of a key is text already.
 */
static int resource_name_print(char *name, size_t size, const char *type,
                               const struct polarys_error *err, const struct error_subject *subject,
                               const char *key_text)
{
    const char *database = text_or_default(subject->database, "default");
    const char *table = text_or_default(subject->table, "");
    const char *part = text_or_default(subject->part, "");
    if (err->code == POLARYS_UNIQUE_VIOLATION) {
        table = text_or_default(polarys_error_detail_find(err, "table"), table);
        key_text = text_or_default(polarys_error_detail_find(err, "key"), key_text);
    } else if (err->code == POLARYS_INDEX_NOT_FOUND || err->code == POLARYS_INDEX_BUILDING) {
        part = text_or_default(polarys_error_detail_find(err, "index"), part);
    }
    if (strcmp(type, "database") == 0) {
        return snprintf(name, size, "%s", database);
    }
    if (strcmp(type, "document") == 0) {
        return snprintf(name, size, "%s/%s/%s", database, table, key_text);
    }
    if (strcmp(type, "transaction") == 0) {
        return snprintf(name, size, "%s/%s", database, part);
    }
    if (strcmp(type, "slot") == 0) {
        return snprintf(name, size, "%s",
                        text_or_default(polarys_error_detail_find(err, "slot"), ""));
    }
    if (strcmp(type, "index") == 0) {
        return snprintf(name, size, "%s/%s/%s", database, table, part);
    }
    return snprintf(name, size, "%s/%s", database, table);
}

static void resource_add(struct details_builder *builder, const struct polarys_error *err,
                         const struct error_rule *rule, const struct error_subject *subject,
                         const char *key_text)
{
    char name[2 * (POLARYS_NAME_BYTES_MAX + POLARYS_ERROR_DETAIL_VALUE_MAX) +
              ERROR_SUBJECT_BYTES_MAX];
    int size = resource_name_print(name, sizeof(name), rule->resource_type, err, subject, key_text);
    SERVICE_ASSERT(size >= 0 && (size_t)size < sizeof(name));
    Google__Rpc__ResourceInfo info = GOOGLE__RPC__RESOURCE_INFO__INIT;
    info.resource_type = text_borrow(rule->resource_type);
    info.resource_name = text_borrow(name);
    detail_add(builder, "type.googleapis.com/google.rpc.ResourceInfo", &info.base);
}

void error_key_show(struct polarys_slice key, char *text)
{
    size_t shown = key.size > ERROR_SUBJECT_SHOWN ? ERROR_SUBJECT_SHOWN : key.size;
    char *at = text;
    for (size_t i = 0; i < shown; i++) {
        uint8_t byte = key.data[i];
        if (byte >= 0x20 && byte < 0x7f && byte != '\\') {
            *at++ = (char)byte;
        } else {
            static const char digits[] = "0123456789abcdef";
            *at++ = '\\';
            *at++ = 'x';
            *at++ = digits[byte >> 4];
            *at++ = digits[byte & 15];
        }
    }
    if (shown < key.size) {
        memcpy(at, "...", 3);
        at += 3;
    }
    *at = '\0';
    SERVICE_ASSERT(at - text < ERROR_SUBJECT_BYTES_MAX);
}

size_t error_details_encode(const struct polarys_error *err, const struct error_subject *subject,
                            uint8_t *bytes)
{
    SERVICE_ASSERT(err->code != POLARYS_OK);
    const struct error_rule *rule = error_rule_get(err->code);
    uint32_t retry_ms = err->retry_after_ms != 0 ? err->retry_after_ms : rule->retry_after_ms;
    char key_text[ERROR_SUBJECT_BYTES_MAX];
    error_key_show(subject->key, key_text);

    struct details_builder builder;
    builder.count = 0;
    error_info_add(&builder, err);
    if ((rule->details & ERROR_DETAIL_RETRY) != 0 || err->retry_after_ms != 0) {
        retry_info_add(&builder, retry_ms);
    }
    if ((rule->details & ERROR_DETAIL_BAD_REQUEST) != 0) {
        bad_request_add(&builder, err, rule);
    }
    if ((rule->details & ERROR_DETAIL_PRECONDITION) != 0) {
        precondition_add(&builder, err, key_text);
    }
    if ((rule->details & ERROR_DETAIL_RESOURCE) != 0) {
        resource_add(&builder, err, rule, subject, key_text);
    }

    Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
    status.code = (int32_t)rule->status;
    status.message = text_borrow(err->message);
    status.n_details = builder.count;
    status.details = builder.pointers;
    SERVICE_ASSERT(google__rpc__status__get_packed_size(&status) < ERROR_DETAILS_BYTES_MAX);
    return google__rpc__status__pack(&status, bytes);
}
