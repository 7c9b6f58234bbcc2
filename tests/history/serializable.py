# SPDX-License-Identifier: Apache-2.0
"""Is a history of transactions on append-only lists strictly serializable? After the idea of Elle (Kingsbury and Alvaro, 2020).

Each element is appended once in the whole history, so what a read saw tells which transactions came before it, in which
order. From that come the dependencies: ww (appended right after), wr (read what it appended), rw (read the state that it
then changed), and rt (began after it had ended). A cycle means that no serial order explains the history.

`what` of a call is a list of ("append", key, value) and ("read", key); `saw` of an OK one is a list as long, of the list
that was read, or None for an append.
"""
from collections import defaultdict

from history import FAILED, OK

WW, WR, RW, RT = "ww", "wr", "rw", "rt"


def reads_of(call):
    return [(index, part[1], call.saw[index]) for index, part in enumerate(call.what) if part[0] == "read"]


def internal_faults(number, call):
    """A transaction sees its own appends, at the end of what it reads, and one state of what others did."""
    faults, own, others = [], defaultdict(list), {}
    for index, part in enumerate(call.what):
        if part[0] == "append":
            own[part[1]].append(part[2])
            continue
        seen, key = list(call.saw[index]), part[1]
        mine = own[key]
        if mine and seen[-len(mine):] != mine:
            faults.append(f"transaction {number} does not read its own appends to {key}: {seen} after {mine}")
            continue
        rest = seen[:len(seen) - len(mine)]
        if key in others and others[key] != rest:
            faults.append(f"transaction {number} reads {key} twice and differently: {others[key]}, then {rest}")
        others.setdefault(key, rest)
    return faults


def orders_infer(calls, final):
    """The elements of each key in order, and what is wrong with the reads themselves."""
    faults, orders = [], {key: list(value) for key, value in final.items()}
    for key, value in orders.items():
        if len(set(value)) != len(value):
            faults.append(f"an element of {key} stands twice: {value}")
    for number, call in enumerate(calls):
        if call.outcome != OK:
            continue
        for _, key, seen in reads_of(call):
            own = {part[2] for part in call.what if part[0] == "append" and part[1] == key}
            rest = [value for value in seen if value not in own]
            order = orders.get(key, [])
            if rest != order[:len(rest)]:
                faults.append(f"transaction {number} read {key} as {rest}, which is no beginning of {order}")
    return orders, faults


def writers_find(calls):
    writer, last = {}, {}
    for number, call in enumerate(calls):
        for part in call.what:
            if part[0] == "append":
                assert part[1:] not in writer, f"{part} is appended twice"
                writer[part[1:]] = number
                last[(number, part[1])] = part[2]
    return writer, last


def dirty_faults(calls, orders, writer, last):
    """G1a: a state holds what a failed transaction appended. G1b: a read ends within another's appends. Lost appends."""
    faults = []
    for key, order in orders.items():
        for value in order:
            number = writer.get((key, value))
            if number is None:
                faults.append(f"{value} in {key} was appended by nobody")
            elif calls[number].outcome == FAILED:
                faults.append(f"G1a: {value} in {key} comes from transaction {number}, which failed")
    for number, call in enumerate(calls):
        if call.outcome != OK:
            continue
        for part in call.what:
            if part[0] == "append" and part[2] not in orders.get(part[1], []):
                faults.append(f"lost: transaction {number} appended {part[2]} to {part[1]}, and it is gone")
        for _, key, seen in reads_of(call):
            if seen and writer.get((key, seen[-1])) not in (None, number):
                other = writer[(key, seen[-1])]
                if last[(other, key)] != seen[-1]:
                    faults.append(f"G1b: transaction {number} read {key} in the middle of transaction {other}")
    return faults


def edges_build(calls, orders, writer, took_effect):
    edges = defaultdict(dict)  # from -> {to: kind}

    def add(a, b, kind):
        if a != b and a is not None and b is not None:
            edges[a].setdefault(b, kind)

    for key, order in orders.items():
        for before, after in zip(order, order[1:]):
            add(writer.get((key, before)), writer.get((key, after)), WW)
    for number, call in enumerate(calls):
        if call.outcome != OK:
            continue
        for _, key, seen in reads_of(call):
            order = orders.get(key, [])
            own = {part[2] for part in call.what if part[0] == "append" and part[1] == key}
            others = [value for value in seen if value not in own]
            if others:
                add(writer.get((key, others[-1])), number, WR)
            after = order.index(others[-1]) + 1 if others and others[-1] in order else 0
            while after < len(order) and order[after] in own:
                after += 1
            if after < len(order):
                add(number, writer.get((key, order[after])), RW)
    # Real time through a chain of returns, so that the edges are as many as the calls.
    moments = [(call.returned, 0, number) for number, call in enumerate(calls) if call.outcome == OK]
    moments += [(call.called, 1, number) for number, call in enumerate(calls) if number in took_effect]
    latest = None
    for place, (_, is_call, number) in enumerate(sorted(moments)):
        if is_call:
            add(latest, number, RT)
            continue
        node = ("returned", place)
        edges[number][node] = RT
        if latest is not None:
            edges[latest][node] = RT
        latest = node
    return edges


def components(edges):
    """Strongly connected components of more than one node (Tarjan, without recursion)."""
    index, low, on_stack, stack, found, counter = {}, {}, set(), [], [], 0
    for root in list(edges):
        if root in index:
            continue
        work = [(root, iter(edges.get(root, ())))]
        index[root] = low[root] = counter
        counter += 1
        stack.append(root)
        on_stack.add(root)
        while work:
            node, children = work[-1]
            for child in children:
                if child not in index:
                    index[child] = low[child] = counter
                    counter += 1
                    stack.append(child)
                    on_stack.add(child)
                    work.append((child, iter(edges.get(child, ()))))
                    break
                if child in on_stack:
                    low[node] = min(low[node], index[child])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    group = []
                    while True:
                        member = stack.pop()
                        on_stack.discard(member)
                        group.append(member)
                        if member == node:
                            break
                    if len(group) > 1:
                        found.append(group)
    return found


def cycle_name(edges, group):
    """A shortest cycle within the group, with its kind."""
    inside = set(group)
    start = next(node for node in group if isinstance(node, int))
    came, frontier = {start: None}, [start]
    while frontier:
        following = []
        for node in frontier:
            for child in edges.get(node, ()):
                if child == start:
                    path = [node]
                    while came[path[-1]] is not None:
                        path.append(came[path[-1]])
                    path = path[::-1] + [start]
                    kinds = [edges[a][b] for a, b in zip(path, path[1:])]
                    return name_of(kinds) + ": " + " ".join(
                        f"{a if isinstance(a, int) else '.'} -{kind}->" for a, kind in zip(path, kinds)) + f" {start}"
                if child in inside and child not in came:
                    came[child] = node
                    following.append(child)
        frontier = following
    return f"a cycle among {group}"


def name_of(kinds):
    suffix = " (real time)" if RT in kinds else ""
    if kinds.count(RW) == 0:
        return ("G0" if WR not in kinds else "G1c") + suffix
    return ("G-single" if kinds.count(RW) == 1 else "G2") + suffix


def check(calls, final):
    """Faults found, as text. `final`: key -> list, read after everything had ended."""
    faults = []
    for number, call in enumerate(calls):
        if call.outcome == OK:
            faults += internal_faults(number, call)
    orders, wrong = orders_infer(calls, final)
    writer, last = writers_find(calls)
    faults += wrong + dirty_faults(calls, orders, writer, last)
    if faults:
        return faults
    took_effect = {number for number, call in enumerate(calls) if call.outcome == OK}
    took_effect |= {writer[(key, value)] for key, order in orders.items() for value in order}
    edges = edges_build(calls, orders, writer, took_effect)
    return [cycle_name(edges, group) for group in components(edges)]
