# SPDX-License-Identifier: Apache-2.0
"""ReplicationService but for its copies: handshakes, slots, and the log as a feed, sealed and in plain."""
import os
import queue
import struct
import threading
import time

import grpc

from polarys.v1 import admin_pb2, bulk_pb2, common_pb2, kv_pb2, replication_pb2, replication_pb2_grpc, table_pb2

from world import World, check_failure, check_header, decode, duration, error_of, fails, until

TABLE = "replicated"
HEADER_BYTES, BLOCK, FRAME_OVERHEAD = 4096, 4096, 80
Handshake, Start, Ack = (replication_pb2.HandshakeRequest, replication_pb2.TailLogStart, replication_pb2.TailLogAck)
Position, Tail = replication_pb2.LogPosition, replication_pb2.TailLogRequest


def setup(world):
    world.table(TABLE)


def stub(world):
    return replication_pb2_grpc.ReplicationServiceStub(world.channel)


def members(world):
    return stub(world).ListMembers(replication_pb2.ListMembersRequest())


def handshake(world, **fields):
    return stub(world).Handshake(Handshake(**{"node": "follower", **fields}))


def end_of(world):
    return handshake(world).end


class Feed:
    """One tail of the log."""

    def __init__(self, world, slot="", timeout=30, node=None, **start):
        self.world, self.sent = world, queue.Queue()
        self.stream = stub(world).TailLog(iter(self.sent.get, None), timeout=timeout)
        start.setdefault("heartbeat_interval", duration(50))
        self.sent.put(Tail(start=Start(node=Handshake(**{"node": "follower", **(node or {})}), slot=slot, **start)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sent.put(None)
        self.stream.cancel()

    def __next__(self):
        return next(self.stream)

    def ack(self, position, applied=0, term=None):
        term = handshake(self.world).header.term if term is None else term
        self.sent.put(Tail(ack=Ack(durable=position, received_version=position.version, applied_version=applied,
                                   term=term)))

    def join(self, position):
        """Who follows and acknowledges becomes a member."""
        self.ack(position, applied=position.version)
        until(lambda: [each.state for each in members(self.world).members if each.name == "follower"] == [0], "a member")

    def pieces(self, until_version):
        """Whole pieces [segment, offset, bytes] up to the version, and the last end that was told."""
        got, open_piece = [], None
        while True:
            message = next(self.stream)
            assert sum(len(each.data) for each in message.pieces) <= 3 << 19, "a message holds too much"
            for piece in message.pieces:
                assert len(piece.data) <= 1 << 20
                if open_piece is None:
                    open_piece = [piece.segment_id, piece.offset, b""]
                assert open_piece[:2] == [piece.segment_id, piece.offset], piece.offset
                open_piece[2] += piece.data
                if not piece.is_continued:
                    got.append(open_piece)
                    open_piece = None
            if message.end.version >= until_version and message.behind_bytes == 0 and open_piece is None:
                return got, message.end

    def fails(self, reason, **checks):
        try:
            for _ in self.stream:
                pass
        except grpc.RpcError as error:
            return check_failure(decode(error), reason, **checks)
        raise AssertionError(f"the tail ended well, {reason} expected")


def check_pieces(pieces, position):
    """Each follows the one before it, from `position` on; returns where the last one ends."""
    segment, offset, tag = position.segment_id, position.offset, position.tag
    for piece_segment, piece_offset, data in pieces:
        if piece_offset == 0:
            assert len(data) == HEADER_BYTES and data[:8] == b"PLRSWALS", data[:16]
            before, valid = struct.unpack_from("<QQ", data, 112)
            assert (before, valid, data[128:144]) == (segment, offset, tag), "the segment follows something else"
            segment, offset, tag = piece_segment, HEADER_BYTES, data[160:176]
            continue
        size = struct.unpack_from("<I", data, 4)[0]
        assert (piece_segment, piece_offset) == (segment, offset), "a gap"
        assert len(data) == size + FRAME_OVERHEAD and data[40:56] == tag, "a frame of another chain"
        offset += -(-len(data) // BLOCK) * BLOCK
        tag = data[-16:]
    return Position(segment_id=segment, offset=offset, tag=tag)


def introduction(world):
    """What a node is told; and a node that can't go on from where it is."""
    answer = handshake(world, address="127.0.0.1:1")
    check_header(world, answer.header)
    assert answer.keyring[:8] == b"PLRSKEYS" and answer.earliest_segment >= 1, answer
    assert answer.end.segment_id >= answer.earliest_segment and len(answer.end.tag) == 16, answer.end
    version = world.put(TABLE, b"a", "1").version
    assert end_of(world).version >= version
    own = {"store_id": answer.header.store_id, "history_id": answer.header.history_id}
    assert handshake(world, position=answer.end, highest_term=answer.header.term, **own).end.version >= version
    fails("BAD_NAME", handshake, world, node="1x", field="node")
    fails("BAD_ARGUMENT", handshake, world, kind=77, field="kind")
    fails("BAD_ARGUMENT", handshake, world, store_id=b"short", field="store_id")
    fails("BAD_ARGUMENT", handshake, world, position=Position(segment_id=1, tag=b"x"), field="position")
    fails("WRONG_STORE", handshake, world, store_id=b"x" * 16)
    fails("NOT_PRIMARY", handshake, world, highest_term=answer.header.term + 1, metadata={"term": answer.header.term})
    wrong = Position(segment_id=answer.end.segment_id, offset=answer.end.offset, tag=b"x" * 16)
    fails("HISTORY_DIVERGED", handshake, world, position=wrong, metadata={"segment": None, "offset": None})
    wrong.offset += 1 << 30
    fails("HISTORY_DIVERGED", handshake, world, position=wrong, metadata={"common_version": None})


def slots(world):
    """Slots come in the order of their names, are given back as they are, and go."""
    service = stub(world)

    def create(name, **fields):
        return service.CreateSlot(replication_pb2.CreateSlotRequest(slot=name, **fields))
    made = create("slot-b", kind=replication_pb2.FOLLOWER_KIND_ARCHIVE, bytes_max=1 << 30)
    check_header(world, made.header)
    assert (made.slot.name, made.slot.bytes_max, made.slot.is_active) == ("slot-b", 1 << 30, False), made
    assert made.slot.state == replication_pb2.SLOT_STATE_RESERVED and len(made.slot.position.tag) == 16, made
    at = end_of(world)
    world.put(TABLE, b"behind", "1")
    observer = create("slot-a", kind=replication_pb2.FOLLOWER_KIND_OBSERVER, position=at).slot
    assert observer.position == at and observer.behind_bytes > 0 and observer.behind_versions == 1, observer
    assert observer.bytes_max == 16 << 30, observer
    assert create("slot-b").slot.bytes_max == 1 << 30, "made again, it is what it was"
    listed = service.ListSlots(replication_pb2.ListSlotsRequest())
    check_header(world, listed.header)
    names = [each.name for each in listed.slots if each.name.startswith("slot-")]
    assert names == ["slot-a", "slot-b"], names
    assert [each.kind for each in listed.slots if each.name.startswith("slot-")] == [1, 2], listed
    fails("BAD_NAME", create, "", field="slot")
    fails("BAD_ARGUMENT", create, "x", kind=9, field="kind")
    fails("HISTORY_DIVERGED", create, "x", position=Position(segment_id=at.segment_id, offset=at.offset, tag=b"y" * 16))
    for name in names:
        check_header(world, service.DropSlot(replication_pb2.DropSlotRequest(slot=name)).header)
    drop = service.DropSlot
    gone = fails("SLOT_NOT_FOUND", drop, replication_pb2.DropSlotRequest(slot="slot-a"), metadata={"slot": "slot-a"})
    assert gone.others["ResourceInfo"].resource_name == "slot-a", gone.others
    fails("BAD_NAME", drop, replication_pb2.DropSlotRequest(slot="-"), field="slot")
    assert not [each for each in service.ListSlots(replication_pb2.ListSlotsRequest()).slots
                if each.name.startswith("slot-")]


def sealed(world):
    """Every frame, once and in order, as it is written; and again from any position."""
    begin = end_of(world)
    versions = [world.put(TABLE, b"k%d" % i, '"%s"' % ("v" * 100)).version for i in range(20)]
    with Feed(world, node={"position": begin}) as feed:
        first = next(feed)
        check_header(world, first.header)
        got, end = feed.pieces(versions[-1])
        reached = check_pieces(got, begin)
        assert (reached.segment_id, reached.offset, reached.tag) == (end.segment_id, end.offset, end.tag), end
        live = world.put(TABLE, b"live", "1").version
        more, end = feed.pieces(live)
        reached = check_pieces(more, reached)
        assert (reached.offset, reached.tag) == (end.offset, end.tag) and len(more) >= 1, more
    with Feed(world, node={"position": begin}) as feed:
        again, _ = feed.pieces(live)
        assert again == got + more, "another log the second time"
    middle = check_pieces(got[:7], begin)
    with Feed(world, node={"position": middle}) as feed:
        rest, _ = feed.pieces(live)
        assert rest == (got + more)[7:], "another log from the middle"


def large_frames(world):
    """A frame above 1 MiB comes in parts."""
    begin = end_of(world)
    operations = [kv_pb2.WriteOperation(put=kv_pb2.PutOperation(
        key=b"large%d" % i, value=common_pb2.Value(raw=os.urandom(900000)))) for i in range(4)]
    version = world.kv.BatchWrite(kv_pb2.BatchWriteRequest(table=TABLE, operations=operations)).version
    with Feed(world, node={"position": begin}) as feed:
        got, end = feed.pieces(version)
    reached = check_pieces(got, begin)
    assert (reached.offset, reached.tag) == (end.offset, end.tag), end
    assert max(len(data) for _, _, data in got) > 3 << 20, "no large frame"


def heartbeats(world):
    """An idle log says so, as often as was asked for."""
    with Feed(world, node={"position": end_of(world)}, heartbeat_interval=duration(20)) as feed:
        next(feed)
        begin = time.monotonic()
        for _ in range(5):
            message = next(feed)
            assert message.behind_bytes == 0 and not message.HasField("header"), message
            assert message.end.version <= message.stable_version or message.stable_version > 0, message
            assert abs(message.send_time.ToMilliseconds() / 1000 - time.time()) < 60, message
        assert time.monotonic() - begin < 10, "heartbeats take too long"


def acknowledged(world):
    """Acknowledgements move the slot; one of what was never sent ends the tail."""
    service = stub(world)
    begin = end_of(world)
    service.CreateSlot(replication_pb2.CreateSlotRequest(slot="acked", position=begin,
                                                         kind=replication_pb2.FOLLOWER_KIND_OBSERVER))

    def slot():
        listed = service.ListSlots(replication_pb2.ListSlotsRequest()).slots
        return next(each for each in listed if each.name == "acked")
    version = world.put(TABLE, b"acked", "1").version
    with Feed(world, slot="acked", node={"position": begin, "kind": 1}) as feed:
        _, end = feed.pieces(version)
        assert slot().is_active and slot().behind_bytes > 0, slot()
        feed.ack(end, applied=version)
        until(lambda: slot().behind_bytes == 0 and slot().applied_version == version, "the acknowledgement")
        feed.ack(begin)
        world.put(TABLE, b"acked", "2")
        assert slot().position == end, "it fell back"
        beyond = Position(segment_id=end.segment_id + 1, offset=4096, tag=b"x" * 16)
        feed.ack(beyond)
        feed.fails("BAD_ARGUMENT", field="ack.durable")
    until(lambda: not slot().is_active, "the slot's release")
    with Feed(world, slot="acked", node={"position": slot().position}) as feed:
        next(feed)
        service.DropSlot(replication_pb2.DropSlotRequest(slot="acked"))
        feed.fails("SLOT_NOT_FOUND")


def quorum(first):
    """Writes wait for a quorum, say when it does not come, and are stable only then."""
    with World(first.scratch, "quorum", first.record) as world:
        setup(world)
        begin = end_of(world)

        def put(durability, timeout=20):
            return world.kv.Put(kv_pb2.PutRequest(table=TABLE, key=b"q", value=common_pb2.Value(json="1"),
                                                  durability=durability), timeout=timeout)
        put(common_pb2.DURABILITY_QUORUM)  # alone it is its own quorum
        with Feed(world, node={"position": begin, "kind": 1}):
            put(common_pb2.DURABILITY_QUORUM_APPLIED)  # observers do not count
        assert members(world).node_count == 1 and not members(world).members
        with Feed(world, node={"position": begin}) as feed:
            next(feed)
            feed.join(begin)
            got = members(world)
            check_header(world, got.header)
            assert (got.node_count, got.quorum, len(got.members)) == (2, 1, 2), got
            stable = world.get(TABLE, b"q").header.stable_version
            failure = fails("QUORUM_TIMEOUT", put, common_pb2.DURABILITY_QUORUM, timeout=2, metadata={"version": None})
            version = int(failure.metadata["version"])
            got = world.get(TABLE, b"q")
            assert got.version == version and got.header.stable_version == stable < version, got
            _, end = feed.pieces(version)
            feed.ack(end, term=got.header.term + 1)  # of another primary
            time.sleep(0.2)
            assert world.get(TABLE, b"q").header.stable_version == stable
            feed.ack(end)
            until(lambda: world.get(TABLE, b"q").header.stable_version == version, "the quorum")
            held = world.kv.Put.future(kv_pb2.PutRequest(table=TABLE, key=b"q", value=common_pb2.Value(json="2"),
                                                         durability=common_pb2.DURABILITY_QUORUM_APPLIED), timeout=20)
            _, end = feed.pieces(version + 1)
            feed.ack(end)
            time.sleep(0.2)
            assert not held.done(), "durable there, but not applied"
            feed.ack(end, applied=version + 1)
            assert held.result().version == version + 1, held
            remove(world, "BAD_ARGUMENT", field="name")  # it follows
        until(lambda: not any(each.is_active for each in members(world).members), "its leave")
        fails("QUORUM_TIMEOUT", put, common_pb2.DURABILITY_QUORUM, timeout=2, metadata={"version": None})
        remove(world, "QUORUM_TIMEOUT", timeout=2, metadata={"version": None})  # nobody else can know of it
        assert [each.state for each in members(world).members] == [replication_pb2.MEMBER_STATE_LEAVING, 0]
        check_header(world, remove(world, allow_data_loss=True).header)
        assert members(world).node_count == 1 and len(members(world).members) == 1
        put(common_pb2.DURABILITY_QUORUM)  # it is alone again
        remove(world, "BAD_ARGUMENT", field="name")
        remove(world, "BAD_NAME", name="-", field="name")
        remove(world, "BAD_ARGUMENT", name="node-quorum", field="name")


def remove(world, reason=None, name="follower", timeout=20, allow_data_loss=False, **checks):
    request = replication_pb2.RemoveMemberRequest(name=name, allow_data_loss=allow_data_loss)
    if reason is None:
        return stub(world).RemoveMember(request, timeout=timeout)
    return fails(reason, lambda: stub(world).RemoveMember(request, timeout=timeout), **checks)


def terms(first):
    """A primary that has seen a higher term is one no more; one that is only asked stays."""
    with World(first.scratch, "terms", first.record) as world:
        setup(world)
        seal = stub(world).SealTerm
        hello = handshake(world).header

        def request(**fields):
            return replication_pb2.SealTermRequest(**{"node": "other", "store_id": hello.store_id, **fields})
        fails("BAD_NAME", seal, request(node="1"), field="node")
        fails("BAD_ARGUMENT", seal, request(store_id=b"x"), field="store_id")
        fails("BAD_ARGUMENT", seal, request(primary_address="x" * 600), field="primary_address")
        fails("WRONG_STORE", seal, request(store_id=b"y" * 16))
        for asked in (request(), request(term=hello.term)):
            got = seal(asked)
            check_header(world, got.header)
            assert got.highest_term == hello.term and not got.is_follower and got.end.version > 0, got
        fails("NOT_PRIMARY", seal, request(term=hello.term, is_candidate=True), metadata={"term": hello.term})
        switch, demote = world.admin.Switchover, world.admin.Demote
        fails("BAD_NAME", switch, admin_pb2.SwitchoverRequest(name="-"), field="name")
        fails("BAD_ARGUMENT", switch, admin_pb2.SwitchoverRequest(name="nobody"), field="name")
        for wrong in ("", "x", "host:", ":1", "host:0", "host:99999", "h" * 600 + ":1"):
            fails("BAD_ARGUMENT", demote, admin_pb2.DemoteRequest(primary_address=wrong), field="primary_address")
        fails("BAD_ARGUMENT", demote, admin_pb2.DemoteRequest(primary_address=f"127.0.0.1:{world.server.port}"), field="address")
        fails("NO_PRIMARY", demote, admin_pb2.DemoteRequest(primary_address="127.0.0.1:1"))
        world.put(TABLE, b"t", "1")
        got = seal(request(term=hello.term + 5, is_candidate=True, primary_address="127.0.0.1:1"))
        assert got.highest_term == hello.term + 5 and got.end.version == world.get(
            TABLE, b"t", consistency=common_pb2.Consistency(local=True)).version, got
        fenced = {"term": hello.term + 5, "primary": "127.0.0.1:1"}
        fails("NOT_PRIMARY", world.put, TABLE, b"t", "2", metadata=fenced)
        fails("NOT_PRIMARY", world.get, TABLE, b"t", metadata=fenced)
        fails("NOT_PRIMARY", switch, admin_pb2.SwitchoverRequest(name="nobody"), metadata=fenced)
        fails("NOT_PRIMARY", stub(world).RemoveMember, replication_pb2.RemoveMemberRequest(name="nobody"))
        assert world.admin.GetStatus(admin_pb2.GetStatusRequest()).role == admin_pb2.NODE_ROLE_FENCED


def given_up(first):
    """A follower that leaves at once, before its tail is open, leaves nothing behind."""
    with World(first.scratch, "given-up", first.record) as world:
        setup(world)
        begin = end_of(world)
        for _ in range(200):
            with Feed(world, node={"position": begin}):
                pass
        world.put(TABLE, b"g", "1")
        with Feed(world, node={"position": begin}) as feed:
            next(feed)


def handover(first):
    """A primary hands over to its replica, takes the place back, and the other one is told to follow."""
    with World(first.scratch, "one", first.record) as one:
        setup(one)
        follow = ["--follow", f"127.0.0.1:{one.server.port}",
                  "--master-key-file", os.path.join(one.server.data_dir, "master.key")]
        with World(first.scratch, "two", first.record, follow) as two:
            until(lambda: any(each.name == "node-two" and each.is_active and each.state == 0
                              for each in members(one).members), "a member")
            fails("NOT_PRIMARY", two.admin.Switchover, admin_pb2.SwitchoverRequest(name="node-two"))
            version = one.put(TABLE, b"handed", "1").version
            got = one.admin.Switchover(admin_pb2.SwitchoverRequest(name="node-two"), timeout=60)
            check_header(one, got.header)
            assert got.term == 2 and got.version >= version, got
            assert got.primary_address == f"127.0.0.1:{two.server.port}", got
            assert two.put(TABLE, b"handed", "2").version > got.version
            until(lambda: role(one) == admin_pb2.NODE_ROLE_REPLICA, "a replica")
            assert one.get(TABLE, b"handed").value.json == "2"
            assert one.admin.Promote(admin_pb2.PromoteRequest(), timeout=60).term == 3
            assert role(two) == admin_pb2.NODE_ROLE_FENCED
            address = f"127.0.0.1:{one.server.port}"
            got = two.admin.Demote(admin_pb2.DemoteRequest(primary_address=address), timeout=60)
            check_header(two, got.header)
            assert got.term == 3, got
            until(lambda: role(two) == admin_pb2.NODE_ROLE_REPLICA, "a replica")
            fails("NOT_PRIMARY", two.admin.Demote, admin_pb2.DemoteRequest(primary_address=address))


def role(world):
    """Of a node that may be starting anew; None while it is."""
    try:
        return world.admin.GetStatus(admin_pb2.GetStatusRequest(), wait_for_ready=True, timeout=30).role
    except grpc.RpcError:
        return None


class Bulk:
    """A bulk stream at the durability of a quorum, a message at a time."""

    def __init__(self, world, timeout=20, durability=common_pb2.DURABILITY_QUORUM, **resumed):
        self.outbox, self.inbox = queue.Queue(), queue.Queue()
        self.stream = world.bulk.Write(iter(self.outbox.get, None), timeout=timeout)
        self.outbox.put(bulk_pb2.WriteRequest(open=bulk_pb2.WriteOpen(table=TABLE, durability=durability, **resumed)))
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        try:
            for answer in self.stream:
                self.inbox.put(answer)
            self.inbox.put(None)
        except Exception as error:  # pylint: disable=broad-except
            self.inbox.put(error)

    def send(self, number):
        records = [bulk_pb2.BulkRecord(key=b"bulk-%d" % number, value=common_pb2.Value(json=str(number)))]
        self.outbox.put(bulk_pb2.WriteRequest(batch=bulk_pb2.WriteBatch(number=number, records=records)))

    def answer(self, timeout=20):
        answer = self.inbox.get(timeout=timeout)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def is_silent(self):
        time.sleep(0.3)
        return self.inbox.empty()


def is_there(world, key):
    return len(world.kv.BatchGet(kv_pb2.BatchGetRequest(table=TABLE, keys=[key])).missing_keys) == 0


def quorum_bulk(first):
    """A bulk stream acknowledges each batch when the quorum has it, in order, also what it resumes; many are under way."""
    with World(first.scratch, "quorum-bulk", first.record) as world:
        setup(world)
        begin = end_of(world)
        early = Bulk(world)  # opened before anybody follows
        session = early.answer().opened.session_id
        early.send(1)
        assert early.answer().ack.version > 0
        with Feed(world, node={"position": begin}) as feed:
            next(feed)
            feed.join(begin)
            for number in range(2, 90):
                early.send(number)
            assert early.is_silent(), "acknowledged without a quorum"
            until(lambda: is_there(world, b"bulk-60"), "batches are committed while others wait")
            version = world.get(TABLE, b"bulk-60").version
            _, end = feed.pieces(version)
            feed.ack(end)
            numbers = [early.answer().ack.number for _ in range(2, 61)]
            assert numbers == list(range(2, 61)), numbers
            until(lambda: is_there(world, b"bulk-89"), "the last batch")
            late = Bulk(world, timeout=3, session_id=session, last_acked_number=60)
            fails("CURSOR_EXPIRED", lambda: [early.answer() for _ in range(90)])
            assert late.is_silent(), "resumed with batches that no quorum has"
            failure = fails("QUORUM_TIMEOUT", late.answer, metadata={"version": None})
            version = int(failure.metadata["version"])
            assert version > world.get(TABLE, b"bulk-60").version, failure
            applied = Bulk(world, durability=common_pb2.DURABILITY_QUORUM_APPLIED, session_id=session)
            _, end = feed.pieces(version)
            feed.ack(end)
            assert applied.is_silent(), "durable there, but not applied"
            feed.ack(end, applied=version)
            opened = applied.answer().opened
            assert opened.last_number == 89, opened
            applied.outbox.put(bulk_pb2.WriteRequest(close=bulk_pb2.WriteClose()))
            assert applied.answer().closed.last_number == opened.last_number


def refused_tails(world):
    """Streams that break the protocol, or ask for what is not there."""
    def start(reason, field=None, metadata=None, **fields):
        with Feed(world, **fields) as feed:
            feed.fails(reason, field=field, metadata=metadata)
    end = end_of(world)
    start("BAD_NAME", node={"node": "a b"}, field="node")
    start("BAD_NAME", slot="1", field="start.slot")
    start("SLOT_NOT_FOUND", slot="nosuch", node={"position": end})
    start("WRONG_STORE", node={"store_id": b"z" * 16})
    start("NOT_PRIMARY", node={"highest_term": 1 << 40}, metadata={"term": None})
    start("HISTORY_DIVERGED", node={"position": Position(segment_id=end.segment_id, offset=end.offset, tag=b"q" * 16)})
    start("BAD_ARGUMENT", heartbeat_interval=duration(1), field="start.heartbeat_interval")
    start("BAD_ARGUMENT", from_version=5, field="start.from_version")
    tail = stub(world).TailLog
    fails("BAD_ARGUMENT", tail, iter([Tail(ack=Ack())]), field="start")
    fails("BAD_ARGUMENT", tail, iter([]), field="start")
    fails("BAD_ARGUMENT", tail, iter([Tail(start=Start())]), field="start.node")
    node = Handshake(node="follower", position=end)
    with Feed(world, node={"position": end}) as feed:
        next(feed)
        feed.sent.put(Tail(start=Start(node=node)))
        feed.fails("BAD_ARGUMENT", field="ack")
    error = error_of(tail, iter([Tail(start=Start(node=node))]), timeout=1)
    assert error.code().name == "DEADLINE_EXCEEDED", error


def decoded(world):
    """Commits in plain with names, in order; internal records are left out."""
    world.table("captured")
    version = world.put("captured", b"a", '{"n":1}').version
    world.kv.Delete(kv_pb2.DeleteRequest(table="captured", key=b"a"))
    world.kv.DeleteRange(kv_pb2.DeleteRangeRequest(table="captured", range=common_pb2.KeyRange(start_key=b"b")))
    world.put("captured", b"b", "2")
    dropped = world.tables.DropTable(table_pb2.DropTableRequest(table="captured")).version
    last = world.put(TABLE, b"after", "3").version

    def commits(**fields):
        got = []
        with Feed(world, is_decoded=True, **fields) as feed:
            check_header(world, next(feed).header)
            while not got or got[-1].version < last:
                message = next(feed)
                assert not message.pieces, message
                got += message.commits
        return got
    got = commits(from_version=version - 1)
    assert [each.version for each in got] == list(range(version, last + 1)), got
    changes = [(each.table, each.WhichOneof("kind"), each.key) for commit in got for each in commit.changes]
    assert changes == [("captured", "put", b"a"), ("captured", "delete", b"a"), ("captured", "delete_range", b""),
                       ("captured", "put", b"b"), ("captured", "delete_range", b""), (TABLE, "put", b"after")], changes
    assert got[0].changes[0].put.value.json == '{"n":1}' and got[0].changes[0].database == "default", got[0]
    assert got[2].changes[0].delete_range.start_key == b"b", got[2]
    assert got[dropped - version].changes[0].delete_range == replication_pb2.LogDeleteRange(), got
    assert got[0].commit_time.ToMilliseconds() > 0
    end = end_of(world)
    last = world.put(TABLE, b"after", "4").version
    got = commits(node={"position": end})
    assert [each.version for each in got] == [last], got


def decoded_large(world):
    """A commit above a message's size goes on in the next."""
    version = world.put(TABLE, b"mark", "0").version
    operations = [kv_pb2.WriteOperation(put=kv_pb2.PutOperation(
        key=b"big%d" % i, value=common_pb2.Value(json='"%s"' % ("x" * 400000)))) for i in range(5)]
    last = world.kv.BatchWrite(kv_pb2.BatchWriteRequest(table=TABLE, operations=operations)).version
    parts = []
    with Feed(world, is_decoded=True, from_version=version) as feed:
        while not parts or parts[-1].is_continued:
            parts += next(feed).commits
    assert len(parts) > 1 and {each.version for each in parts} == {last}, parts
    assert [change.key for part in parts for change in part.changes] == [b"big%d" % i for i in range(5)]


def pruned(first):
    """What is not kept any more is refused by name; a slot keeps it, up to its cap."""
    arguments = ["--wal-segment-bytes", "1MiB", "--history-keep-bytes", "1MiB", "--history-keep", "1ms"]
    with World(first.scratch, "pruned", first.record, arguments) as world:
        setup(world)
        service = stub(world)
        begin = end_of(world)

        def churn():
            for i in range(30):
                world.kv.Put(kv_pb2.PutRequest(table=TABLE, key=b"churn%d" % i,
                                               value=common_pb2.Value(raw=os.urandom(100000))))
            world.admin.Flush(admin_pb2.FlushRequest())
        service.CreateSlot(replication_pb2.CreateSlotRequest(slot="keeper", bytes_max=5 << 20))
        churn()
        slot = service.ListSlots(replication_pb2.ListSlotsRequest()).slots[0]
        assert slot.behind_bytes > 3000000 and slot.state != replication_pb2.SLOT_STATE_LOST, slot
        with Feed(world, node={"position": begin}) as feed:
            feed.pieces(end_of(world).version)
        with Feed(world, slot="keeper", node={"position": begin}) as feed:
            feed.pieces(end_of(world).version)
            churn()
            feed.fails("LOG_PRUNED", metadata={"earliest_segment": None})
        slot = service.ListSlots(replication_pb2.ListSlotsRequest()).slots[0]
        assert slot.state == replication_pb2.SLOT_STATE_LOST, slot

        def is_gone():
            churn()
            failure = decode(error_of(handshake, world, position=begin)) if handshake(world).earliest_segment > \
                begin.segment_id else None
            return failure is not None and check_failure(failure, "LOG_PRUNED", {"earliest_segment": None})
        until(is_gone, "the log's pruning")
        with Feed(world, node={"position": begin}) as feed:
            feed.fails("LOG_PRUNED", metadata={"earliest_segment": None})


CASES = [introduction, slots, sealed, large_frames, heartbeats, acknowledged, given_up, quorum, terms, handover, quorum_bulk, refused_tails,
         decoded, decoded_large, pruned]
