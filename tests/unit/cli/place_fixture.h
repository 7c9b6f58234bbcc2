/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory with backups that were made without a server.
 */
#ifndef TESTS_UNIT_CLI_PLACE_FIXTURE_H
#define TESTS_UNIT_CLI_PLACE_FIXTURE_H

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "tests/unit/cli/backup_fixture.h"

#include "client/cli/backup_place.h"

class PlaceTest : public BackupTest {
  protected:
    const char *Dir() const
    {
        return directory_.path();
    }
    /* A backup of two files; `store` tells stores apart. */
    void Whole(const std::string &name, uint64_t version, uint64_t created_ms, uint8_t store = 1,
               uint64_t increments = 0)
    {
        struct backup_list list = {};
        memset(list.store_id, store, sizeof(list.store_id));
        list.version = version;
        list.created_unix_ms = created_ms;
        list.increments = increments;
        Write(Path(name + "/data/000001.sst"), "a table of " + name);
        Write(Path(name + "/data/keyring"), "keys");
        Add(&list, "000001.sst", "a table of " + name);
        Add(&list, "keyring", "keys");
        ASSERT_EQ(backup_list_write(&cli_, Path(name).c_str(), BACKUP_LIST_NAME, &list), CLI_DONE);
        backup_list_deinit(&list);
    }
    /* What lies in the directory, by name, without names that begin with a dot. */
    std::vector<std::string> Names() const
    {
        std::vector<std::string> names;
        for (const auto &entry : std::filesystem::directory_iterator(directory_.path())) {
            if (entry.path().filename().string()[0] != '.') {
                names.push_back(entry.path().filename().string());
            }
        }
        std::sort(names.begin(), names.end());
        return names;
    }
};

#endif
