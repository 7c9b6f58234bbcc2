/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the configuration file: one YAML mapping of setting names to scalars. What is not in the
 * table of settings, stands there twice, or is no scalar is an error that names file, line and key.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <yaml.h>

#include "service/config/config.h"

struct yaml_place {
    const char *path;
    char text[CONFIG_TEXT_MAX + 32]; /* "path:line" */
};

static const char *place_at(struct yaml_place *place, const yaml_mark_t *mark)
{
    (void)snprintf(place->text, sizeof(place->text), "%s:%zu", place->path, mark->line + 1);
    return place->text;
}

static enum polarys_code pair_apply(struct config *config, struct yaml_place *place,
                                    const yaml_node_t *key, const yaml_node_t *value, bool *is_seen,
                                    struct polarys_error *err)
{
    const char *where = place_at(place, &key->start_mark);
    if (key->type != YAML_SCALAR_NODE) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "%s: a key must be the name of a setting",
                            where);
    }
    const char *name = (const char *)key->data.scalar.value;
    const struct config_setting *setting = config_setting_find(name, key->data.scalar.length);
    if (setting == NULL) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT,
                            "%s: unknown key \"%.60s\": polarysd --help lists the settings", where,
                            name);
    }
    if (value->type != YAML_SCALAR_NODE) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "%s: %s: the value must be one word or text",
                            where, name);
    }
    size_t count;
    bool *seen = &is_seen[setting - config_settings(&count)];
    if (*seen) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "%s: %s: set twice", where, name);
    }
    *seen = true;
    return config_set(config, setting,
                      slice_make(value->data.scalar.value, value->data.scalar.length),
                      CONFIG_FROM_FILE, where, err);
}

static enum polarys_code document_apply(struct config *config, struct yaml_place *place,
                                        yaml_document_t *document, struct polarys_error *err)
{
    const yaml_node_t *root = yaml_document_get_root_node(document);
    if (root == NULL) {
        return POLARYS_OK; /* nothing but comments */
    }
    if (root->type == YAML_SCALAR_NODE && root->data.scalar.length == 0) {
        return POLARYS_OK;
    }
    if (root->type != YAML_MAPPING_NODE) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT,
                            "%s: the file must have lines `setting: value`",
                            place_at(place, &root->start_mark));
    }
    bool is_seen[CONFIG_SETTINGS_MAX] = {false};
    for (const yaml_node_pair_t *pair = root->data.mapping.pairs.start;
         pair < root->data.mapping.pairs.top; pair++) {
        enum polarys_code code =
            pair_apply(config, place, yaml_document_get_node(document, pair->key),
                       yaml_document_get_node(document, pair->value), is_seen, err);
        if (code != POLARYS_OK) {
            return code;
        }
    }
    return POLARYS_OK;
}

enum polarys_code config_yaml_read(struct config *config, const char *path,
                                   struct polarys_slice text, struct polarys_error *err)
{
    struct yaml_place place = {.path = path};
    yaml_parser_t parser;
    if (yaml_parser_initialize(&parser) == 0) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "read configuration %s: no memory", path);
    }
    yaml_parser_set_input_string(&parser, text.data, text.size);
    yaml_document_t document;
    enum polarys_code code;
    if (yaml_parser_load(&parser, &document) == 0) {
        const char *problem = parser.problem == NULL ? "bad YAML" : parser.problem;
        code = polarys_fail(err, POLARYS_BAD_ARGUMENT, "%s: %s",
                            place_at(&place, &parser.problem_mark), problem);
    } else {
        code = document_apply(config, &place, &document, err);
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    return code;
}

static enum polarys_code file_load(const char *path, char **text, size_t *size,
                                   struct polarys_error *err)
{
    *text = NULL;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return polarys_fail_errno(err, errno, "open configuration %s", path);
    }
    enum polarys_code code = POLARYS_OK;
    char *bytes = malloc(CONFIG_FILE_BYTES_MAX + 1);
    if (bytes == NULL) {
        code = polarys_fail(err, POLARYS_NO_MEMORY, "read configuration %s: no memory", path);
        goto done;
    }
    *size = fread(bytes, 1, CONFIG_FILE_BYTES_MAX + 1, file);
    if (ferror(file) != 0) {
        code = polarys_fail_errno(err, errno, "read configuration %s", path);
        goto done;
    }
    if (*size > CONFIG_FILE_BYTES_MAX) {
        code = polarys_fail(err, POLARYS_BAD_ARGUMENT, "%s: larger than %d bytes", path,
                            CONFIG_FILE_BYTES_MAX);
        goto done;
    }
    *text = bytes;
    bytes = NULL;

done:
    free(bytes);
    (void)fclose(file); /* opened for reading */
    return code;
}

enum polarys_code config_file_read(struct config *config, const char *path,
                                   struct polarys_error *err)
{
    char *text;
    size_t size = 0;
    enum polarys_code code = file_load(path, &text, &size, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = config_yaml_read(config, path, slice_make(text, size), err);
    free(text);
    return code;
}
