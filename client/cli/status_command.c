/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status: the whole of GetStatus, as one JSON object or as lines for people.
 */
#include <string.h>

#include "client/cli/command.h"
#include "client/cli/rpc.h"
#include "client/cli/text.h"
#include "polarys/v1/admin.pb-c.h"

/* Where the members go: JSON's, or lines of name and value. */
struct status_writer {
    FILE *to;
    enum output_format format;
    const char *separator;
};

/* The name of a member, and what stands before it. */
static void name_write(struct status_writer *writer, const char *name)
{
    if (writer->format == OUTPUT_JSON) {
        (void)fprintf(writer->to, "%s\"%s\":", writer->separator, name);
        writer->separator = ",";
    } else if (writer->format == OUTPUT_RAW) {
        (void)fprintf(writer->to, "%s\t", name);
    } else {
        (void)fprintf(writer->to, "%-26s", name);
    }
}

static void line_end(const struct status_writer *writer)
{
    if (writer->format != OUTPUT_JSON) {
        (void)putc('\n', writer->to);
    }
}

static void number_write(struct status_writer *writer, const char *name, uint64_t number)
{
    name_write(writer, name);
    (void)fprintf(writer->to, "%llu", (unsigned long long)number);
    line_end(writer);
}

/* A number of bytes; people see a rounded one as well. */
static void size_write(struct status_writer *writer, const char *name, uint64_t bytes)
{
    char text[32];
    name_write(writer, name);
    (void)fprintf(writer->to, "%llu", (unsigned long long)bytes);
    if (writer->format == OUTPUT_TABLE && bytes >= 1024) {
        text_size_format(text, sizeof(text), (double)bytes);
        (void)fprintf(writer->to, " (%s)", text);
    }
    line_end(writer);
}

static void text_write(struct status_writer *writer, const char *name, const void *text,
                       size_t size)
{
    name_write(writer, name);
    if (writer->format == OUTPUT_JSON) {
        text_json_string_write(writer->to, text, size);
    } else {
        text_printable_write(writer->to, text, size);
    }
    line_end(writer);
}

static void flag_write(struct status_writer *writer, const char *name, bool is_set)
{
    name_write(writer, name);
    if (writer->format == OUTPUT_JSON) {
        (void)fputs(is_set ? "true" : "false", writer->to);
    } else {
        (void)fputs(is_set ? "yes" : "no", writer->to);
    }
    line_end(writer);
}

static uint64_t duration_ms(const Google__Protobuf__Duration *duration)
{
    if (duration == NULL || duration->seconds < 0 || duration->nanos < 0) {
        return 0;
    }
    return (uint64_t)duration->seconds * 1000 + (uint64_t)duration->nanos / 1000000;
}

/* The name of a value, in small letters and without the prefix that all values of its enum share. */
static void enum_write(struct status_writer *writer, const char *name,
                       const ProtobufCEnumDescriptor *type, int number)
{
    char text[64];
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(type, number);
    const ProtobufCEnumValue *first = protobuf_c_enum_descriptor_get_value(type, 0);
    size_t skip = first == NULL ? 0 : strlen(first->name) - strlen("UNSPECIFIED");
    size_t size = 0;

    for (const char *c = value == NULL ? "?" : value->name + skip;
         *c != '\0' && size + 1 < sizeof(text); c++) {
        text[size++] = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
    }
    text_write(writer, name, text, size);
}

static void header_print(struct status_writer *writer, const Polarys__V1__ResponseHeader *header)
{
    char hex[96];

    if (header == NULL) {
        return;
    }
    text_write(writer, "node", header->node.data, header->node.len);
    FILE *memory = fmemopen(hex, sizeof(hex), "w");
    if (memory != NULL) {
        text_hex_write(memory, header->store_id.data,
                       header->store_id.len < 32 ? header->store_id.len : 32);
        (void)fclose(memory);
        text_write(writer, "store_id", hex, strnlen(hex, sizeof(hex)));
    }
    number_write(writer, "term", header->term);
    number_write(writer, "stable_version", header->stable_version);
}

static void storage_print(struct status_writer *writer,
                          const Polarys__V1__GetStatusResponse *status)
{
    size_write(writer, "memtable_bytes", status->memtable_bytes);
    if (status->cache != NULL) {
        size_write(writer, "cache_used_bytes", status->cache->used_bytes);
        size_write(writer, "cache_limit_bytes", status->cache->limit_bytes);
        number_write(writer, "cache_hits", status->cache->hits);
        number_write(writer, "cache_misses", status->cache->misses);
    }
    if (status->memory != NULL) {
        size_write(writer, "memory_used_bytes", status->memory->used_bytes);
        size_write(writer, "memory_limit_bytes", status->memory->limit_bytes);
    }
    if (status->disk != NULL) {
        size_write(writer, "disk_used_bytes", status->disk->used_bytes);
        size_write(writer, "disk_free_bytes", status->disk->free_bytes);
    }
    if (status->log != NULL) {
        size_write(writer, "log_bytes", status->log->bytes);
        number_write(writer, "log_segments", status->log->segments);
    }
}

static void pressure_print(struct status_writer *writer,
                           const Polarys__V1__GetStatusResponse *status)
{
    if (status->write_stall != NULL) {
        enum_write(writer, "write_stall", &polarys__v1__write_stall_state__descriptor,
                   (int)status->write_stall->state);
        number_write(writer, "write_delay_ms", duration_ms(status->write_stall->delay));
    }
    if (status->snapshots != NULL) {
        number_write(writer, "snapshots_open", status->snapshots->open);
        number_write(writer, "snapshots_oldest_age_ms", duration_ms(status->snapshots->oldest_age));
        number_write(writer, "snapshots_oldest_version", status->snapshots->oldest_version);
    }
}

/* Of a node that follows another. */
static void replica_print(struct status_writer *writer, const Polarys__V1__ReplicaStatus *replica)
{
    if (replica == NULL) {
        return;
    }
    text_write(writer, "follows", replica->follows.data, replica->follows.len);
    text_write(writer, "primary", replica->primary.data, replica->primary.len);
    flag_write(writer, "connected", replica->connected);
    flag_write(writer, "caught_up", replica->caught_up);
    number_write(writer, "end_version", replica->end_version);
    number_write(writer, "behind_versions", replica->behind_versions);
    size_write(writer, "behind_bytes", replica->behind_bytes);
    if (replica->behind_time != NULL) {
        number_write(writer, "behind_ms", duration_ms(replica->behind_time));
    }
    number_write(writer, "connections", replica->connections);
    size_write(writer, "received_bytes", replica->received_bytes);
    number_write(writer, "highest_term", replica->highest_term);
    if (replica->error.len > 0) {
        text_write(writer, "replica_error", replica->error.data, replica->error.len);
    }
}

/* Lists: objects in JSON, a line each for people. */
static void levels_print(struct status_writer *writer, const Polarys__V1__GetStatusResponse *status)
{
    char name[32];
    char size[32];
    bool is_json = writer->format == OUTPUT_JSON;

    if (is_json) {
        name_write(writer, "levels");
        (void)putc('[', writer->to);
    }
    for (size_t i = 0; i < status->n_levels; i++) {
        const Polarys__V1__LevelStatus *level = status->levels[i];
        if (is_json) {
            (void)fprintf(writer->to, "%s{\"level\":%u,\"files\":%llu,\"bytes\":%llu}",
                          i == 0 ? "" : ",", level->level, (unsigned long long)level->files,
                          (unsigned long long)level->bytes);
        } else {
            (void)snprintf(name, sizeof(name), "level_%u", level->level);
            text_size_format(size, sizeof(size), (double)level->bytes);
            name_write(writer, name);
            (void)fprintf(writer->to, "%llu files, %s\n", (unsigned long long)level->files, size);
        }
    }
    if (is_json) {
        (void)putc(']', writer->to);
    }
}

static void keys_print(struct status_writer *writer, const Polarys__V1__GetStatusResponse *status)
{
    bool is_json = writer->format == OUTPUT_JSON;

    if (is_json) {
        name_write(writer, "keys");
        (void)putc('[', writer->to);
    }
    for (size_t i = 0; i < status->n_keys; i++) {
        const Polarys__V1__KeyStatus *key = status->keys[i];
        if (is_json) {
            (void)fprintf(writer->to, "%s{\"key_id\":%llu,\"current\":%s}", i == 0 ? "" : ",",
                          (unsigned long long)key->key_id, key->current ? "true" : "false");
        } else {
            name_write(writer, "data_key");
            (void)fprintf(writer->to, "%llu%s\n", (unsigned long long)key->key_id,
                          key->current ? " (current)" : "");
        }
    }
    if (is_json) {
        (void)putc(']', writer->to);
    }
}

static void calls_print(struct status_writer *writer, const Polarys__V1__GetStatusResponse *status)
{
    bool is_json = writer->format == OUTPUT_JSON;

    if (is_json) {
        name_write(writer, "calls");
        (void)putc('[', writer->to);
    }
    for (size_t i = 0; i < status->n_calls; i++) {
        const Polarys__V1__CallCount *call = status->calls[i];
        if (is_json) {
            (void)fprintf(writer->to, "%s{\"method\":", i == 0 ? "" : ",");
            text_json_string_write(writer->to, call->method.data, call->method.len);
            (void)fprintf(writer->to, ",\"succeeded\":%llu,\"failed\":%llu,\"active\":%llu}",
                          (unsigned long long)call->succeeded, (unsigned long long)call->failed,
                          (unsigned long long)call->active);
        } else {
            name_write(writer, "calls");
            text_printable_write(writer->to, call->method.data, call->method.len);
            (void)fprintf(writer->to, ": %llu succeeded, %llu failed, %llu active\n",
                          (unsigned long long)call->succeeded, (unsigned long long)call->failed,
                          (unsigned long long)call->active);
        }
    }
    if (is_json) {
        (void)putc(']', writer->to);
    }
}

static void status_print(struct cli *cli, const Polarys__V1__GetStatusResponse *status)
{
    struct status_writer writer = {cli->out, cli->settings.format, ""};

    if (writer.format == OUTPUT_JSON) {
        (void)putc('{', cli->out);
    }
    enum_write(&writer, "role", &polarys__v1__node_role__descriptor, (int)status->role);
    header_print(&writer, status->header);
    number_write(&writer, "version", status->version);
    number_write(&writer, "durable_version", status->durable_version);
    number_write(&writer, "flushed_version", status->flushed_version);
    number_write(&writer, "uptime_ms", duration_ms(status->uptime));
    flag_write(&writer, "draining", status->draining);
    replica_print(&writer, status->replica);
    storage_print(&writer, status);
    pressure_print(&writer, status);
    levels_print(&writer, status);
    keys_print(&writer, status);
    calls_print(&writer, status);
    if (writer.format == OUTPUT_JSON) {
        (void)fputs("}\n", cli->out);
    }
}

enum cli_status command_status(struct cli *cli, const struct arguments *arguments)
{
    Polarys__V1__GetStatusRequest request = POLARYS__V1__GET_STATUS_REQUEST__INIT;
    const struct rpc rpc = {"/polarys.v1.AdminService/GetStatus", &request.base,
                            &polarys__v1__get_status_response__descriptor, CLI_TIMEOUT_DEFAULT_MS,
                            true};
    enum cli_status result;

    (void)arguments;
    Polarys__V1__GetStatusResponse *response =
        (Polarys__V1__GetStatusResponse *)rpc_invoke(cli, &rpc, &result);
    if (response != NULL) {
        status_print(cli, response);
        polarys__v1__get_status_response__free_unpacked(response, NULL);
    }
    return result;
}
