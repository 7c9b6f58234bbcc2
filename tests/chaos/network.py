# SPDX-License-Identifier: Apache-2.0
"""A network of namespaces: one a node, joined by a bridge, with links that can be cut, made one-way, and made slow.

All of it lies in namespaces of the process that `inside` starts: network, mounts and processes. When that process ends, however it
ends, the kernel takes away every interface, every named namespace and every process in them. The machine's own network is not touched.

A one-way loss needs no filter in the kernel: the sender is given a wrong hardware address for the receiver, so what it sends
arrives nowhere, and nobody tells it.
"""
import os
import subprocess
import sys

BRIDGE = "hub"
PREFIX = "10.77.0."
CLIENTS = PREFIX + "1"
NOWHERE = "02:00:00:00:00:ff"
COMMAND_SECONDS = 20
MARK = "POLARYS_CHAOS_INSIDE"


def inside_command(words):
    """The command line that runs `words` within namespaces of its own."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *user, "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private", *words]


def why_not():
    """Why namespaces can't be made here; None when they can."""
    probe = "mount -t tmpfs none /run && mkdir /run/netns && ip netns add probe && ip link add probe type veth peer name probe1 && " \
            "ip link set probe1 netns probe && ip link add hub type bridge"
    try:
        run = subprocess.run(inside_command(["sh", "-c", probe]), capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if run.returncode == 0 else (run.stderr.strip() or f"status {run.returncode}")


def inside(arguments, **options):
    """Runs this program with `arguments` within namespaces of its own."""
    environment = dict(os.environ, **{MARK: "1"})
    return subprocess.run(inside_command([sys.executable, *arguments]), env=environment, check=False, **options)


def is_inside():
    return MARK in os.environ


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")


def attempt(*words):
    return subprocess.run(words, capture_output=True, timeout=COMMAND_SECONDS, check=False).returncode == 0


class Network:
    """REQUIRES: `inside`. Names are short; the n-th has the address PREFIX + (11 + n)."""

    def __init__(self, names):
        self.addresses = {name: f"{PREFIX}{11 + number}" for number, name in enumerate(names)}
        run("mount", "-t", "tmpfs", "none", "/run")
        os.mkdir("/run/netns")
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", BRIDGE, "type", "bridge")
        run("ip", "address", "add", CLIENTS + "/24", "dev", BRIDGE)
        run("ip", "link", "set", BRIDGE, "up")
        for name, address in self.addresses.items():
            self.node_make(name, address)
        self.has_netem = self.netem_probe(names[0])

    @staticmethod
    def node_make(name, address):
        run("ip", "netns", "add", name)
        run("ip", "link", "add", "to-" + name, "type", "veth", "peer", "name", "eth", "netns", name)
        run("ip", "link", "set", "to-" + name, "master", BRIDGE, "up")
        run("ip", "-n", name, "address", "add", address + "/24", "dev", "eth")
        run("ip", "-n", name, "link", "set", "eth", "up")
        run("ip", "-n", name, "link", "set", "lo", "up")

    @staticmethod
    def netem_probe(name):
        has = attempt("tc", "qdisc", "add", "dev", "to-" + name, "root", "netem", "delay", "1ms")
        attempt("tc", "qdisc", "del", "dev", "to-" + name, "root")
        return has

    @staticmethod
    def command(name, words):
        """The command line that runs `words` on a node; the process is the program itself."""
        return ["ip", "netns", "exec", name, *words]

    @staticmethod
    def link_set(name, is_up):
        """The cable of a node: everybody loses it."""
        run("ip", "link", "set", "to-" + name, "up" if is_up else "down")

    def deafen(self, sender, receiver):
        """What `sender` sends to `receiver` is lost from now on; the other way still works."""
        run("ip", "-n", sender, "neighbour", "replace", self.addresses[receiver], "lladdr", NOWHERE, "nud", "permanent", "dev", "eth")

    def hear(self, sender, receiver):
        attempt("ip", "-n", sender, "neighbour", "del", self.addresses[receiver], "dev", "eth")

    def slow(self, name):
        """Delay and loss both ways; where the kernel has no netem, a narrow link with a short queue, which has both."""
        how = ["netem", "delay", "20ms", "10ms", "loss", "2%"] if self.has_netem else \
              ["tbf", "rate", "3mbit", "burst", "8kb", "latency", "30ms"]
        run("tc", "qdisc", "replace", "dev", "to-" + name, "root", *how)
        run("ip", "netns", "exec", name, "tc", "qdisc", "replace", "dev", "eth", "root", *how)

    def fast(self, name):
        attempt("tc", "qdisc", "del", "dev", "to-" + name, "root")
        attempt("ip", "netns", "exec", name, "tc", "qdisc", "del", "dev", "eth", "root")

    def heal(self):
        """Everything as it was made."""
        for name in self.addresses:
            self.link_set(name, True)
            self.fast(name)
            for other in self.addresses:
                if other != name:
                    self.hear(name, other)
