#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The command line with the nodes of a group: it finds the primary, reads at replicas, and goes on importing when the
primary is killed and a replica takes its place."""
import json
import os
import subprocess
import sys
import tempfile

from polarys_server import BUILD
from replica_test import Node, until

POLARYS = os.environ.get("POLARYS", os.path.join(BUILD, "polarys"))
DOCUMENTS = 200000


def run(nodes, *words, text=None):
    """(status, standard output, standard error) of a command that is given the nodes."""
    endpoint = ",".join(node.address for node in nodes)
    done = subprocess.run([POLARYS, "--endpoint", endpoint, "-o", "json", *words], input=text, capture_output=True,
                          text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def gets(node):
    return sum(call.succeeded for call in node.status().calls if call.method.endswith("KvService/Get"))


def step_find(primary, replicas):
    """Whatever the order of the list is, writes find the primary; one endpoint is meant as it stands."""
    everyone = [*replicas, primary]
    assert run(everyone, "table", "create", "t")[0] == 0
    assert run(everyone, "put", "t", "k", "1")[0] == 0
    status, _, err = run(replicas[:1], "put", "t", "k", "2")
    assert status == 1 and "NOT_PRIMARY" in err, err
    status, _, err = run(replicas[:1], "put", "t", "k", "2", "--route")
    assert status == 0, err
    status, _, err = run(everyone, "replica", "promote")
    assert status == 2 and "give the one to promote" in err, err
    print("the primary is found", flush=True)


def step_read(primary, replicas):
    """Reads that are not strong go to the replicas; within a shell a session sees its own writes there."""
    everyone = [primary, *replicas]
    before = gets(primary)
    for _ in range(4):
        assert run(everyone, "get", "t", "k", "--consistency", "local", "--read-from", "replica")[0] == 0
    assert gets(primary) == before
    statements = "".join(f"put t s{i} {i}\nget t s{i} --consistency session --read-from replica\n" for i in range(20))
    status, out, err = run(everyone, "shell", "--read-from", "replica", text=statements)
    assert status == 0, err
    values = [json.loads(line)["value"] for line in out.splitlines() if '"value"' in line]
    assert values == list(range(20)), values
    print("reads go to the replicas", flush=True)


def step_move(primary, replicas, root):
    """An import goes on at the new primary, behind what that one has."""
    path = os.path.join(root, "documents.jsonl")
    with open(path, "w", encoding="utf-8") as file:
        for i in range(DOCUMENTS):
            file.write(json.dumps({"key": f"i{i:06}", "value": {"n": i}}) + "\n")
    everyone = [primary, *replicas]
    endpoint = ",".join(node.address for node in everyone)
    importing = subprocess.Popen([POLARYS, "--endpoint", endpoint, "import", "t", path, "--durability", "quorum",
                                  "--retry-for", "60s"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    start = primary.status().version
    until("documents come in", lambda: primary.status().version > start + 5)
    assert importing.poll() is None, "the import ended before the primary was killed"
    primary.kill()
    new, other = sorted(replicas, key=lambda node: -node.status().durable_version)
    status, _, err = run([new], "replica", "promote", "--allow-data-loss")
    assert status == 0, err
    other.stop()
    other.follow = new
    other.up().until_ready()
    said, _ = importing.communicate(timeout=120)
    assert importing.returncode == 0, said
    status, out, err = run(everyone, "count", "t")
    assert status == 0 and int(out) == DOCUMENTS + 21, (out, err)
    print("an import goes on when the primary is killed", flush=True)


def main():
    with tempfile.TemporaryDirectory(prefix="polarys-routing-") as root, open(os.path.join(root, "log"), "w+b") as log:
        key = os.path.join(root, "key")
        subprocess.run([POLARYS, "keys", "generate", key], check=True, stdout=log)
        primary = Node(root, "a", key, log)
        replicas = [Node(root, "b", key, log, primary), Node(root, "c", key, log, primary)]
        try:
            primary.up().until_ready()
            for node in replicas:
                node.up().until_ready()
            step_find(primary, replicas)
            step_read(primary, replicas)
            step_move(primary, replicas, root)
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace")[-10000:])
            raise
        finally:
            for node in [primary, *replicas]:
                if node.process is not None and node.process.poll() is None:
                    node.kill()


if __name__ == "__main__":
    main()
