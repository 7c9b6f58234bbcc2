# SPDX-License-Identifier: Apache-2.0
"""Scan, ListDocuments, Export and Count: bounds, limits, tokens, both directions, all at one version."""
import threading

from google.protobuf import duration_pb2
from polarys.v1 import bulk_pb2, common_pb2, kv_pb2, query_pb2

from world import check_header, duration, fails, snapshot, timestamp

TABLE = "scan"
COUNT = 2500
END_OF_RANGE, LIMIT, BYTES, TIME = 1, 2, 3, 4


def setup(world):
    world.table(TABLE)
    world.fill(TABLE, COUNT, '"' + "v" * 98 + '"')


def scan(world, **request):
    """(documents, first message, last message) of a scan."""
    request.setdefault("table", TABLE)
    bounds = {name: request.pop(name) for name in ("start_key", "end_key", "prefix") if name in request}
    if bounds:
        request["range"] = common_pb2.KeyRange(**bounds)
    messages = list(world.kv.Scan(kv_pb2.ScanRequest(**request)))
    check_header(world, messages[0].header, messages[0].version)
    for message in messages[1:]:
        assert not message.HasField("header") and message.version == 0, message
    for message in messages[:-1]:
        assert message.end_reason == 0 and not message.resume_token and message.documents, message
        assert message.ByteSize() <= (1 << 20) + 16384 or len(message.documents) == 1, message.ByteSize()
    assert messages[-1].end_reason != 0, messages[-1]
    assert (messages[-1].end_reason == END_OF_RANGE) == (not messages[-1].resume_token), messages[-1]
    return [each for message in messages for each in message.documents], messages[0], messages[-1]


def numbers(documents):
    return [int(each.key[3:]) for each in documents]


def every_bound(world):
    """All bounds hold together, each way; a list and a range scan give the same."""
    everything = list(range(COUNT))
    bounds = [({}, everything), ({"start_key": b"key000100"}, everything[100:]),
              ({"end_key": b"key000100"}, everything[:100]),
              ({"start_key": b"key000100", "end_key": b"key000200"}, everything[100:200]),
              ({"prefix": b"key0001"}, everything[100:200]),
              ({"prefix": b"key0001", "start_key": b"key000150"}, everything[150:200]),
              ({"prefix": b"key0001", "end_key": b"key000150"}, everything[100:150]),
              ({"prefix": b"key0001", "start_key": b"key0000", "end_key": b"key0009"}, everything[100:200]),
              ({"prefix": b"key0001", "start_key": b"key000150", "end_key": b"key000160"}, everything[150:160]),
              ({"start_key": b"b", "end_key": b"a"}, []), ({"start_key": b"key000007", "end_key": b"key000007"}, []),
              ({"prefix": b"none"}, []), ({"prefix": b"\xff"}, []),
              ({"start_key": b"key000007\x00", "end_key": b"key000009\x00"}, [8, 9])]
    for bound, expected in bounds:
        for is_reverse in (False, True):
            documents, first, last = scan(world, reverse=is_reverse, **bound)
            assert numbers(documents) == (expected[::-1] if is_reverse else expected), (bound, is_reverse)
            assert last.end_reason == END_OF_RANGE and first.version > 0, last
    for field in ({"start_key": b"k" * 4097}, {"end_key": b"k" * 4098}, {"prefix": b"k" * 4097}):
        fails("BAD_KEY", scan, world, field="range", **field)


def what_documents_hold(world):
    whole, first, _ = scan(world, limit=3)
    for document in whole:
        assert document.value.json == '"' + "v" * 98 + '"' and document.HasField("commit_time"), document
        assert 0 < document.version <= first.version and not document.HasField("expire_time"), document
    bare, _, _ = scan(world, limit=3, keys_only=True)
    for document, other in zip(bare, whole):
        assert document.key == other.key and not document.HasField("value"), document
        assert document.version == other.version, document


def keys_only_documents_have_their_times(world):
    """Only the value is left out where only keys are asked for."""
    world.table("times")
    world.put("times", b"k", "1", expire_time=timestamp(1000))
    whole, bare = scan(world, table="times")[0][0], scan(world, table="times", keys_only=True)[0][0]
    assert bare.expire_time == whole.expire_time, bare
    assert bare.commit_time == whole.commit_time, bare


def bounds_around_the_longest_keys(world):
    """A bound may be a byte longer than a key, and what stopped at the longest key goes on behind it."""
    world.table("longest")
    keys = [b"a" * 4096, b"b" * 4096, b"c" * 4096]
    for key in keys:
        world.put("longest", key, "1")
    documents, _, last = scan(world, table="longest", limit=1)
    assert [each.key for each in documents] == keys[:1]
    documents, _, _ = scan(world, table="longest", end_key=keys[1] + b"\0")
    assert [each.key for each in documents] == keys[:2]
    documents, _, _ = scan(world, table="longest", resume_token=last.resume_token)
    assert [each.key for each in documents] == keys[1:]


def pages_around_the_longest_keys(world):
    got = world.kv.ListDocuments(kv_pb2.ListDocumentsRequest(table="longest", page_size=1))
    got = world.kv.ListDocuments(
        kv_pb2.ListDocumentsRequest(table="longest", page_size=5, page_token=got.next_page_token))
    assert [each.key[:1] for each in got.documents] == [b"b", b"c"], got
    messages = list(world.bulk.Export(bulk_pb2.ExportRequest(table="longest", resume_after_key=b"a" * 4096)))
    assert [each.key[:1] for message in messages for each in message.documents] == [b"b", b"c"]
    world.kv.DeleteRange(kv_pb2.DeleteRangeRequest(table="longest", range=common_pb2.KeyRange(
        start_key=b"b" * 4096, end_key=b"b" * 4096 + b"\0")))
    got = world.kv.ListDocuments(kv_pb2.ListDocumentsRequest(table="longest", keys_only=True))
    assert [each.key[:1] for each in got.documents] == [b"a", b"c"], got


def limits_and_tokens(world):
    """A scan that ends early goes on without a gap, at its version, whatever is written meanwhile."""
    for is_reverse in (False, True):
        for ends in ({"limit": 700}, {"max_bytes": 70000}):
            keys, token, version = [], b"", None
            while True:
                documents, first, last = scan(world, reverse=is_reverse, resume_token=token, **ends)
                keys += numbers(documents)
                version = version or first.version
                assert first.version == version, "a scan went on at another version"
                world.put(TABLE, b"key%06d" % (len(keys) % COUNT), '"' + "v" * 98 + '"')
                if last.end_reason == END_OF_RANGE:
                    break
                assert last.end_reason == (LIMIT if "limit" in ends else BYTES), last
                assert len(documents) == 700 if "limit" in ends else 0 < len(documents) < 700, len(documents)
                token = last.resume_token
                assert len(token) <= 8192, len(token)
            assert keys == (list(range(COUNT))[::-1] if is_reverse else list(range(COUNT))), len(keys)
    documents, _, last = scan(world, max_bytes=1)
    assert len(documents) == 1 and last.end_reason == BYTES, last
    documents, _, last = scan(world, limit=COUNT)
    assert len(documents) == COUNT and last.end_reason in (LIMIT, END_OF_RANGE), last


def max_time(world):
    """A scan of no time ends at once with a token that goes on."""
    documents, _, last = scan(world, max_time=duration(0))
    assert last.end_reason == TIME and len(documents) < COUNT, last
    rest, _, last = scan(world, resume_token=last.resume_token)
    assert numbers(documents) + numbers(rest) == list(range(COUNT)), len(rest)
    for wrong in (duration_pb2.Duration(seconds=-1), duration_pb2.Duration(nanos=-1),
                  duration_pb2.Duration(nanos=10**9)):
        fails("BAD_ARGUMENT", scan, world, max_time=wrong, field="max_time")


def wrong_tokens(world):
    """A token is for the request that it came from."""
    _, _, last = scan(world, limit=1)
    token = last.resume_token
    _, _, last = scan(world, limit=1, reverse=True, prefix=b"key")
    other = last.resume_token
    for request in ({"resume_token": token, "reverse": True}, {"resume_token": token, "keys_only": True},
                    {"resume_token": token, "prefix": b"key"}, {"resume_token": other},
                    {"resume_token": token[:-1]}, {"resume_token": token + b"x"}, {"resume_token": b"x"},
                    {"resume_token": bytes([token[0] ^ 1]) + token[1:]}, {"resume_token": b"x" * 9000}):
        fails("BAD_PAGE_TOKEN", scan, world, field="resume_token", **request)
    world.table("scan2")
    fails("BAD_PAGE_TOKEN", scan, world, table="scan2", resume_token=token, field="resume_token")


def snapshots(world):
    """An old version is read as it was; what is not there yet and what is gone is refused."""
    world.table("old")
    world.fill("old", 5)
    version = world.put("old", b"key000000", "1").version
    world.put("old", b"key000000", "2")
    world.kv.Delete(kv_pb2.DeleteRequest(table="old", key=b"key000001"))
    documents, first, _ = scan(world, table="old", consistency=snapshot(version))
    assert [each.value.json for each in documents] == ["1"] + ['"x"'] * 4 and first.version == version, documents
    assert len(scan(world, table="old")[0]) == 4
    got = world.get("old", b"key000001", consistency=snapshot(version))
    assert got.value.json == '"x"', got
    got = world.query.Count(query_pb2.CountRequest(table="old", consistency=snapshot(version)))
    assert (got.count, got.version) == (5, version), got
    ahead = first.version + 10**12
    fails("FUTURE_VERSION", scan, world, table="old", consistency=snapshot(ahead), metadata={"version": None})


def pages(world):
    """ListDocuments: pages that join, both ways, all at one version; the page size and its bound."""
    def page(**request):
        got = world.kv.ListDocuments(kv_pb2.ListDocumentsRequest(table=TABLE, **request))
        check_header(world, got.header, got.version)
        return got
    assert len(page().documents) == 100 and len(page(page_size=5000).documents) == 1000
    for is_reverse in (False, True):
        keys, token, versions, size = [], "", set(), 300
        while True:
            got = page(page_size=size, page_token=token, reverse=is_reverse,
                       range=common_pb2.KeyRange(prefix=b"key"))
            keys += numbers(got.documents)
            versions.add(got.version)
            world.put(TABLE, b"key000000", '"' + "v" * 98 + '"')
            token, size = got.next_page_token, 900
            if not token:
                break
        assert keys == sorted(range(COUNT), reverse=is_reverse) and len(versions) == 1, (len(keys), versions)
    token = page(page_size=1).next_page_token
    got = page(page_size=1, keys_only=True)
    assert not got.documents[0].HasField("value"), got
    for request in ({"reverse": True}, {"keys_only": True}, {"range": common_pb2.KeyRange(prefix=b"k")}):
        fails("BAD_PAGE_TOKEN", page, page_token=token, field="page_token", **request)
    for wrong in ("x", token[:-1], token + "A", "é", "A" * 9000):
        fails("BAD_PAGE_TOKEN", page, page_token=wrong, field="page_token")
    fails("BAD_KEY", page, range=common_pb2.KeyRange(prefix=b"k" * 4097), field="range")
    fails("FUTURE_VERSION", page, consistency=snapshot(1 << 62))
    exact = page(range=common_pb2.KeyRange(end_key=b"key000100"), page_size=100)
    assert len(exact.documents) == 100, len(exact.documents)


def large_documents(world):
    """A document larger than a message goes alone, in streams and in pages."""
    world.table("large")
    for i in range(5):
        world.put("large", b"l%d" % i, '"' + "L" * ((1 << 20) - 2) + '"')
    for messages in (list(world.kv.Scan(kv_pb2.ScanRequest(table="large"))),
                     list(world.bulk.Export(bulk_pb2.ExportRequest(table="large")))):
        assert [len(each.documents) for each in messages if each.documents] == [1] * 5, len(messages)
    got = world.kv.ListDocuments(kv_pb2.ListDocumentsRequest(table="large"))
    assert len(got.documents) == 1 and got.next_page_token, len(got.documents)


def export(world):
    """An export is whole, at one version, and goes on after the last key received."""
    def run(**request):
        messages = list(world.bulk.Export(bulk_pb2.ExportRequest(table=TABLE, **request)))
        check_header(world, messages[0].header, messages[0].version)
        for message in messages[1:]:
            assert not message.HasField("header") and message.version == 0, message
        return [each for message in messages for each in message.documents], messages[0].version
    documents, version = run()
    assert numbers(documents) == list(range(COUNT)) and documents[0].value.json, len(documents)
    world.put(TABLE, b"key000000", '"' + "v" * 98 + '"')
    rest, again = run(resume_after_key=b"key000999", consistency=snapshot(version))
    assert rest == documents[1000:] and again == version, len(rest)
    part, _ = run(range=common_pb2.KeyRange(prefix=b"key00001", end_key=b"key000015"))
    assert numbers(part) == [10, 11, 12, 13, 14], part
    assert run(range=common_pb2.KeyRange(prefix=b"none"))[0] == []
    fails("BAD_KEY", run, resume_after_key=b"k" * 4097, field="resume_after_key")
    fails("FUTURE_VERSION", run, consistency=snapshot(1 << 62))


def count(world):
    got = world.query.Count(query_pb2.CountRequest(table=TABLE))
    check_header(world, got.header, got.version)
    assert got.count == COUNT and got.version > 0, got


def count_is_exact_under_writes(world):
    """A count and its version go together. The store makes commits of its own too, such as the deletes of
    what has expired, so the versions of the documents written here are what counts."""
    world.table("counted")
    versions = [world.put("counted", b"%06d" % 0, "1").version]
    is_over = threading.Event()

    def write():
        while not is_over.is_set():
            versions.append(world.put("counted", b"%06d" % len(versions), "1").version)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        counts = [world.query.Count(query_pb2.CountRequest(table="counted")) for _ in range(300)]
    finally:
        is_over.set()
        writer.join()
    for got in counts:
        there = sum(version <= got.version for version in versions)
        assert got.count == there, f"{got.count} counted at version {got.version}, where {there} were written"


CASES = [every_bound, what_documents_hold, keys_only_documents_have_their_times, bounds_around_the_longest_keys,
         pages_around_the_longest_keys, limits_and_tokens, max_time, wrong_tokens, snapshots, pages,
         large_documents, export, count, count_is_exact_under_writes]
