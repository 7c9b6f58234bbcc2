/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules between settings, and what addresses mean. A server that would run unsafely is refused
 * here, before anything is opened.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "service/config/config.h"

static bool port_parse(const char *text, uint16_t *port)
{
    char *end;
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    long number = strtol(text, &end, 10);
    if (*end != '\0' || number < 0 || number > 65535) {
        return false;
    }
    *port = (uint16_t)number;
    return true;
}

enum polarys_code config_address_split(const char *address, char *host, uint16_t *port,
                                       struct polarys_error *err)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || !port_parse(colon + 1, port)) {
        return polarys_fail(
            err, POLARYS_BAD_ARGUMENT,
            "\"%.200s\" is not an address and port such as 127.0.0.1:7480 or [::1]:7480", address);
    }
    const char *start = address;
    size_t size = (size_t)(colon - address);
    if (size >= 2 && address[0] == '[' && colon[-1] == ']') {
        start++;
        size -= 2;
    } else if (memchr(address, ':', size) != NULL) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT,
                            "\"%.200s\": put an IPv6 address into brackets", address);
    }
    if (size >= CONFIG_TEXT_MAX) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "the address is too long");
    }
    memcpy(host, start, size);
    host[size] = '\0';
    return POLARYS_OK;
}

bool config_host_is_loopback(const char *host)
{
    struct in_addr four;
    struct in6_addr six;
    if (inet_pton(AF_INET, host, &four) == 1) {
        return (ntohl(four.s_addr) >> 24) == 127;
    }
    if (inet_pton(AF_INET6, host, &six) == 1) {
        return IN6_IS_ADDR_LOOPBACK(&six);
    }
    return strcmp(host, "localhost") == 0;
}

static enum polarys_code address_check(const struct config *config, const char *name,
                                       const char *address, struct polarys_error *err)
{
    char host[CONFIG_TEXT_MAX];
    uint16_t port;
    enum polarys_code code = config_address_split(address, host, &port, err);
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "%s", name);
    }
    if (config_host_is_loopback(host) || config->is_insecure) {
        return POLARYS_OK;
    }
    if (config->is_dev) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT,
                            "%s: --dev serves loopback only, and %s is not; --insecure allows it",
                            name, address);
    }
    return polarys_fail(
        err, POLARYS_BAD_ARGUMENT,
        "%s: %s is not loopback, and this server speaks plain text: listen on 127.0.0.1, "
        "or say --insecure if the network is trusted",
        name, address);
}

static enum polarys_code follow_check(const struct config *config, struct polarys_error *err)
{
    char host[CONFIG_TEXT_MAX];
    uint16_t port;
    if (config->follow[0] == '\0') {
        return config->is_observer
                   ? polarys_fail(err, POLARYS_BAD_ARGUMENT, "observer: only together with follow")
                   : POLARYS_OK;
    }
    enum polarys_code code = config_address_split(config->follow, host, &port, err);
    if (code == POLARYS_OK && (host[0] == '\0' || port == 0)) {
        code = polarys_fail(err, POLARYS_BAD_ARGUMENT, "\"%.200s\" names no host or no port",
                            config->follow);
    }
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "follow");
    }
    if (!polarys_name_is_valid(config->node_name, strlen(config->node_name))) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT,
                            "node_name: a node that follows needs a name of its own, a letter and "
                            "letters, digits, '_', '.' or '-': \"%.140s\" is none",
                            config->node_name);
    }
    return POLARYS_OK;
}

static enum polarys_code advertise_check(const struct config *config, struct polarys_error *err)
{
    char host[CONFIG_TEXT_MAX];
    uint16_t port;
    if (config->advertise[0] == '\0') {
        return POLARYS_OK;
    }
    enum polarys_code code = config_address_split(config->advertise, host, &port, err);
    if (code == POLARYS_OK && (host[0] == '\0' || port == 0)) {
        code = polarys_fail(err, POLARYS_BAD_ARGUMENT, "\"%.200s\" names no host or no port",
                            config->advertise);
    }
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "advertise");
}

enum polarys_code config_check(const struct config *config, struct polarys_error *err)
{
    enum polarys_code code = address_check(config, "listen", config->listen, err);
    if (code == POLARYS_OK) {
        code = advertise_check(config, err);
    }
    if (code == POLARYS_OK && config->admin_listen[0] != '\0') {
        code = address_check(config, "admin_listen", config->admin_listen, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    if (config->data_dir[0] == '\0') {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "data_dir: must not be empty");
    }
    code = follow_check(config, err);
    if (code != POLARYS_OK) {
        return code;
    }
    bool has_key = config->master_key_file[0] != '\0';
    bool has_passphrase = config->master_passphrase_file[0] != '\0';
    if (has_key && has_passphrase) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT,
                            "master_key_file and master_passphrase_file: give one of them");
    }
    if (!has_key && !has_passphrase) {
        return polarys_fail(
            err, POLARYS_BAD_ARGUMENT,
            "master_key_file: everything is stored encrypted, so a master key is needed: "
            "make one with `polarys keys generate FILE` and give --master-key-file FILE, "
            "or try out with --dev");
    }
    if (config->memtable_bytes != 0 && config->memtable_bytes > config->memory_limit / 2) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT,
                            "memtable_bytes: must be at most half of memory_limit");
    }
    return POLARYS_OK;
}

void config_engine_options(const struct config *config, struct polarys_db_options *options)
{
    polarys_db_options_init(options);
    options->master_key_file = config->master_key_file[0] == '\0' ? NULL : config->master_key_file;
    options->master_passphrase_file =
        config->master_passphrase_file[0] == '\0' ? NULL : config->master_passphrase_file;
    options->memory_limit = config->memory_limit;
    options->memtable_bytes = config->memtable_bytes;
    options->wal_segment_bytes = config->wal_segment_bytes;
    options->wal_keep_bytes = config->wal_keep_bytes;
    options->wal_sync_interval_ms = (uint32_t)config->wal_sync_interval_ms;
    options->wal_sync = (enum polarys_log_sync)config->wal_sync;
    options->log_role = (enum polarys_log_role)config->log_role;
    options->executor_threads = (uint32_t)config->executor_threads;
    options->block_bytes = (uint32_t)config->block_bytes;
    options->is_compression_on = config->is_compression_on;
    options->history_keep_ms = config->history_keep_ms;
    options->history_keep_bytes = config->history_keep_bytes;
    options->save_interval_ms = config->save_interval_ms;
    options->value_bytes_max = (uint32_t)config->value_bytes_max;
    options->request_ids_max = config->request_ids_max;
    options->request_id_keep_ms = (uint32_t)config->request_id_keep_ms;
    options->range_delete_max = (uint32_t)config->range_delete_max;
    options->disk_reserve_bytes = config->disk_reserve_bytes;
    options->slot_bytes_max = config->slot_bytes_max;
    options->slot_idle_timeout_ms = config->slot_idle_timeout_ms;
    options->min_version = config->min_version;
}
