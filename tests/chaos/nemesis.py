# SPDX-License-Identifier: Apache-2.0
"""What is done to the group: kills, stops, cut and one-way links, slow links, and replicas that take over from their primary.

One thing at a time is broken, but for takeovers, in which the primary is down, stopped or cut off while a replica is promoted.
"""
import collections
import json
import os
import random
import shutil
import time

import grpc
from nodes import until
from polarys.v1 import admin_pb2

HOLD_SECONDS = (0.3, 2.5)
PROMOTE_SECONDS = 60
LONG_HOLD_SECONDS = 12  # past the silence after which a connection is given up


class Nemesis:
    """`until_time` ends it; `heal` makes everything well."""

    def __init__(self, network, group, oracle, seed):
        self.network, self.group, self.oracle = network, group, oracle
        self.random = random.Random(seed)
        self.counts = collections.Counter()
        self.term = 1

    def run(self, until_time):
        faults = [self.kill, self.stop, self.cable, self.one_way, self.slow, self.kill_two]
        takeovers = ["killed", "stopped", "cut off from replicas", "cut off from all"]
        while time.monotonic() < until_time:
            if not faults or self.counts["faults"] % 12 == 0:
                faults = self.random.sample(faults, len(faults))
            self.hold(0.2, 0.8)
            faults[self.counts["faults"] % len(faults)]()
            self.counts["faults"] += 1
            self.joined()
            if time.monotonic() < until_time:
                how = takeovers[self.counts["promotions"] % len(takeovers)] if self.counts["promotions"] % 8 < 4 else \
                    self.random.choice(takeovers)
                self.hold(0.2, 0.8)
                self.takeover(how)

    def hold(self, least=HOLD_SECONDS[0], most=HOLD_SECONDS[1]):
        time.sleep(self.random.uniform(least, most))

    def replicas(self):
        return [node for node in self.group.nodes if node is not self.group.primary]

    def any_node(self):
        return self.random.choice(self.group.nodes)

    # ---- single faults ----

    def kill(self):
        node = self.any_node()
        self.counts["kills"] += 1
        node.kill()
        self.hold(0, 1.5)
        node.start()

    def kill_two(self):
        """A primary and a replica at once: nothing is promoted, both come back."""
        victims = [self.group.primary, self.random.choice(self.replicas())]
        self.counts["kills"] += 2
        for node in victims:
            node.kill()
        self.hold(0, 0.5)
        for node in self.random.sample(victims, 2):
            node.start()

    def stop(self):
        node = self.any_node()
        self.counts["stops"] += 1
        node.stop()
        self.hold()
        if self.counts["stops"] % 4 == 0:
            time.sleep(LONG_HOLD_SECONDS)
        node.resume()

    def cable(self):
        node = self.any_node()
        self.counts["cut links"] += 1
        self.network.link_set(node.name, False)
        self.hold()
        if self.counts["cut links"] % 4 == 0:
            time.sleep(LONG_HOLD_SECONDS)
        self.network.link_set(node.name, True)

    def one_way(self):
        """A node hears another one that does not hear it."""
        sender, receiver = self.random.sample(self.group.nodes, 2)
        self.counts["one-way links"] += 1
        self.network.deafen(sender.name, receiver.name)
        self.hold()
        self.network.hear(sender.name, receiver.name)

    def slow(self):
        node = self.any_node()
        self.counts["slow links"] += 1
        self.network.slow(node.name)
        self.hold()
        self.network.fast(node.name)

    # ---- takeovers ----

    def away(self, old, how):
        """The primary goes, in one of four ways; with a connection to clients it goes on answering them."""
        if how == "killed":
            old.kill()
        elif how == "stopped":
            old.stop()
        elif how == "cut off from all":
            self.network.link_set(old.name, False)
        else:
            for other in self.replicas():
                self.network.deafen(old.name, other.name)
                self.network.deafen(other.name, old.name)

    def takeover(self, how):
        old, replicas = self.group.primary, self.replicas()
        self.counts["primary " + how] += 1
        self.oracle.event(f"{old.name} is to be {how}")
        self.away(old, how)
        self.hold(0, 1.2)
        new = self.random.choice(replicas)
        other = replicas[1 - replicas.index(new)]
        if self.random.random() < 0.3:
            other.kill()
            other.start()
            self.counts["kills"] += 1
        self.promote(new)
        self.rejoin(old, new)
        self.joined(new)
        self.group.announce(new, self.term)
        self.oracle.event(f"{new.name} was announced")

    def promote(self, new):
        """Whichever replica it is: it takes over what a quorum has. A node that starts, or a link that heals, may take a moment."""
        self.oracle.promotion_begin(self.term + 1)
        end = time.monotonic() + PROMOTE_SECONDS
        while True:
            status, out, err = new.command("replica", "promote")
            if status == 0:
                break
            assert time.monotonic() < end, f"promote {new.name}: {err}"
            self.counts["promotions refused"] += 1
            time.sleep(0.2)
        self.term = json.loads(out)["term"]
        self.counts["promotions"] += 1
        self.oracle.event(f"{new.name} was promoted to term {self.term}")

    def rejoin(self, old, new):
        """The old primary comes back, for a while as one that was not told; then it is made a replica, or started as one."""
        self.network.heal()
        if old.is_up():
            old.resume()
            self.hold(0.1, 1.0)
        else:
            old.start()
        if self.random.random() < 0.5:
            # One that was started and finds the node that it once followed at a later term follows that by itself.
            until(f"{old.name} is made a replica", lambda: self.look_for_ended() or
                  old.command("replica", "demote", new.target)[0] == 0 or
                  old.status().role == admin_pb2.NODE_ROLE_REPLICA)
            self.counts["demotions"] += 1
        else:
            old.kill()
            old.follows = new
            old.start()

    # ---- being well ----

    def joined(self, primary=None):
        """Waits until everybody follows the primary and has all that it had: from then on a quorum is two of three."""
        primary = primary or self.group.primary
        names = {node.name for node in self.group.nodes if node is not primary}

        def has_joined(version):
            self.look_for_ended()
            if not names <= {slot.name for slot in primary.slots()}:
                return False
            return all(node.status().version >= version for node in self.group.nodes)
        until(f"{primary.name} answers as primary", lambda: self.look_for_ended() or
              primary.status().role == admin_pb2.NODE_ROLE_PRIMARY)
        try:
            version = primary.status().version
        except grpc.RpcError:
            version = 0
        until(f"{sorted(names)} follow {primary.name} to version {version}", lambda: has_joined(version))
        for node in self.group.nodes:
            self.aside_remove(node)

    def look_for_ended(self):
        for node in self.group.nodes:
            status = node.ended_by_itself()
            assert status is None, f"{node.name} ended by itself with status {status}"

    def aside_remove(self, node):
        """What a replica set aside, because its primary never had it, is of no use here."""
        for name in os.listdir(node.data_dir):
            if name.startswith("diverged-"):
                shutil.rmtree(os.path.join(node.data_dir, name), ignore_errors=True)
                self.counts["stores set aside"] += 1

    def heal(self):
        self.network.heal()
        for node in self.group.nodes:
            node.resume()
            if not node.is_up():
                node.start()
