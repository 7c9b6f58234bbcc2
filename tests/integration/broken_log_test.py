#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The disk fails under the log: the server says so, ends with status 1 by itself, and nothing acknowledged is lost."""
import os
import subprocess
import tempfile
import time
import unittest

from polarys_server import Server, refused

from polarys.v1 import common_pb2, kv_pb2, kv_pb2_grpc, table_pb2, table_pb2_grpc

# Writes and syncs below a directory named wal fail with EIO while the file that FAIL_WHEN names is there.
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static int fails(int fd)
{
    char name[64], path[4096];
    const char *when = getenv("FAIL_WHEN");
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    ssize_t size = readlink(name, path, sizeof(path) - 1);
    if (when == NULL || size < 0 || access(when, F_OK) != 0) {
        return 0;
    }
    path[size] = '\0';
    return strstr(path, "/wal/") != NULL;
}

#define WRAP(type, name, parameters, arguments)                                 \
    type name parameters                                                        \
    {                                                                           \
        if (fails(fd)) {                                                        \
            errno = EIO;                                                        \
            return -1;                                                          \
        }                                                                       \
        type (*real) parameters = (type(*) parameters)dlsym(RTLD_NEXT, #name);  \
        return real arguments;                                                  \
    }

WRAP(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
WRAP(ssize_t, pwrite64, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
WRAP(ssize_t, pwritev, (int fd, const struct iovec *parts, int count, off_t at), (fd, parts, count, at))
WRAP(ssize_t, pwritev64, (int fd, const struct iovec *parts, int count, off_t at), (fd, parts, count, at))
WRAP(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size))
WRAP(int, fdatasync, (int fd), (fd))
WRAP(int, fsync, (int fd), (fd))
"""


class BrokenLog(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.path = lambda name: os.path.join(self.directory.name, name)
        with open(self.path("shim.c"), "w", encoding="ascii") as file:
            file.write(SHIM)
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", self.path("shim.so"), self.path("shim.c"), "-ldl"], check=True)

    def put(self, key):
        return self.kv.Put(kv_pb2.PutRequest(table="t", key=key, value=common_pb2.Value(json="1")), timeout=10)

    def start(self):
        self.server.start()
        self.kv = kv_pb2_grpc.KvServiceStub(self.server.channel)

    def test_the_server_ends_when_its_log_fails(self):
        with open(self.path("log"), "ab") as log:
            self.server = Server(self.path("data"), log)
            self.addCleanup(self.server.stop)
            environment = {"LD_PRELOAD": self.path("shim.so"), "FAIL_WHEN": self.path("fail"),
                           "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
            kept = {name: os.environ.get(name) for name in environment}
            os.environ.update(environment)
            try:
                self.start()
            finally:
                for name, value in kept.items():
                    if value is None:
                        del os.environ[name]
                    else:
                        os.environ[name] = value
            table_pb2_grpc.TableServiceStub(self.server.channel).CreateTable(table_pb2.CreateTableRequest(table="t"))
            for i in range(100):
                self.put(b"k%02d" % i)
            with open(self.path("fail"), "w", encoding="ascii"):
                pass
            status, reason, _, message = refused(self.put, b"lost")
            self.assertEqual((status, reason), ("INTERNAL", "IO"), message)
            begun = time.monotonic()
            self.assertEqual(self.server.process.wait(timeout=30), 1)
            self.assertLess(time.monotonic() - begun, 20)
        with open(self.path("log"), encoding="utf-8") as file:
            text = file.read()
        self.assertIn('"level":"error"', text)
        self.assertIn("Input/output error", text)

        os.unlink(self.path("fail"))
        with open(self.path("log"), "ab") as log:
            self.server.log = log
            self.start()
            for i in range(100):
                self.assertEqual(self.kv.Get(kv_pb2.GetRequest(table="t", key=b"k%02d" % i)).value.json, "1")
            self.put(b"again")
            self.assertEqual(self.server.stop(), 0)


if __name__ == "__main__":
    unittest.main()
