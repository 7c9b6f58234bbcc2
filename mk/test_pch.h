/* SPDX-License-Identifier: Apache-2.0 */
/* What every test includes anyway, compiled once. Only a help to speed: each test still names what it uses. */
#ifndef TEST_PCH_H
#define TEST_PCH_H

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#endif
