# SPDX-License-Identifier: Apache-2.0
"""Full-text search: what is found, in which order, with what around it, and what is refused."""
import json

from polarys.v1 import kv_pb2, query_pb2, table_pb2

from world import check_header, fails, json_value, snapshot

TABLE = "books"
TEXTS = {b"fox": "The quick brown fox jumps over the lazy dog",
         b"foxes": "Foxes are small; a fox lives in a burrow, and foxes hunt at night",
         b"dog": "A dog sleeps all day", b"bear": "The brown bear eats fish", b"empty": ""}


def setup(world):
    world.table(TABLE)
    for key, text in TEXTS.items():
        world.put(TABLE, key, json.dumps({"text": text, "length": len(text), "pages": [1, 2]}))
    world.tables.CreateIndex(table_pb2.CreateIndexRequest(
        table=TABLE, fields=["text"], kind=table_pb2.INDEX_KIND_TEXT, index="words", wait=True))


def frames(world, text, **fields):
    messages = list(world.query.Search(query_pb2.SearchRequest(**{"table": TABLE, "text": text, **fields})))
    check_header(world, messages[0].header)
    assert messages[0].version > 0, messages[0]
    for message in messages[1:]:
        assert not message.HasField("header") and not message.version and not message.total, message
    return messages


def search(world, text, **fields):
    """(hits, total)."""
    messages = frames(world, text, **fields)
    return [each for message in messages for each in message.hits], messages[0].total


def found(world, text, **fields):
    return [each.document.key for each in search(world, text, **fields)[0]]


def finds(world):
    """Words, phrases, prefixes, exclusions and alternatives; best first."""
    hits, total = search(world, "fox")
    assert [each.document.key for each in hits] == [b"foxes", b"fox"] and total == 2, (hits, total)
    assert hits[0].score > hits[1].score > 0, hits
    document = hits[1].document
    assert json.loads(document.value.json)["text"] == TEXTS[b"fox"] and document.version > 0, document
    assert document.HasField("commit_time"), document
    for text, expected in (("brown fox", {b"fox"}), ("brown", {b"fox", b"bear"}), ('"brown bear"', {b"bear"}),
                           ('"bear brown"', set()), ("sle*", {b"dog"}), ("brown -fox", {b"bear"}),
                           ("bear OR dog", {b"bear", b"dog", b"fox"}), ("unicorn", set()), ("BROWN", {b"fox", b"bear"})):
        assert set(found(world, text)) == expected, (text, found(world, text))
    assert set(found(world, "fox", field="text")) == {b"fox", b"foxes"}
    assert found(world, "brown", filter="length < 30") == [b"bear"]


def windows(world):
    whole = found(world, "fox OR dog OR bear")
    assert len(whole) == 4, whole
    for offset in range(5):
        hits, total = search(world, "fox OR dog OR bear", offset=offset, limit=2)
        assert [each.document.key for each in hits] == whole[offset:offset + 2] and total == 4, (offset, hits, total)
    for fields in ({"limit": 10001}, {"limit": 10000, "offset": 1}, {"offset": 10000}, {"offset": 1 << 63}):
        fails("BAD_ARGUMENT", world.query.Search, query_pb2.SearchRequest(table=TABLE, text="fox", **fields))


def highlights_and_masks(world):
    hits, _ = search(world, "fox", with_highlights=True, read_mask=["length"])
    for hit in hits:
        assert json.loads(hit.document.value.json) == {"length": len(TEXTS[hit.document.key])}, hit
        assert any("\x01" in each and "\x02" in each for each in hit.highlights), hit.highlights
    assert "\x01fox\x02" in hits[1].highlights[0], hits[1].highlights
    assert not search(world, "fox")[0][0].highlights
    fails("BAD_ARGUMENT", world.query.Search, query_pb2.SearchRequest(table=TABLE, text="fox", read_mask=[""]),
          field="read_mask")


def versions(world):
    before = world.get(TABLE, b"fox").header.token
    version = world.put(TABLE, b"late", '{"text": "a late zebra"}').version
    assert found(world, "zebra") == [b"late"]
    assert found(world, "zebra", consistency=snapshot(version - 1)) == [] and before
    world.kv.Delete(kv_pb2.DeleteRequest(table=TABLE, key=b"late"))
    assert found(world, "zebra") == [] and found(world, "zebra", consistency=snapshot(version)) == [b"late"]


def large_answers(world):
    """Many messages, the order kept over all of them, nothing twice."""
    world.table("thick")
    world.tables.CreateIndex(table_pb2.CreateIndexRequest(
        table="thick", fields=["title"], kind=table_pb2.INDEX_KIND_TEXT, wait=True))
    for i in range(12):
        world.put("thick", b"%03d" % i, json.dumps({"title": "word " * (i % 4 + 1), "body": "x" * 900_000}))
    messages = frames(world, "word", table="thick", limit=1000)
    hits = [each for message in messages for each in message.hits]
    assert messages[0].total == 12 and len({each.document.key for each in hits}) == len(hits) == 12, len(hits)
    scores = [each.score for each in hits]
    assert scores == sorted(scores, reverse=True), scores
    for message in messages:
        size = sum(len(each.document.value.json) for each in message.hits)
        assert size <= 1 << 20 or len(message.hits) == 1, size
    world.fill("thick", 3000, text='{"title": "another word", "pad": "' + "y" * 2000 + '"}')
    hits, total = search(world, "another", table="thick", limit=3000)
    assert total == 3000 and [each.document.key for each in hits] == [b"key%06d" % i for i in range(3000)], total
    world.tables.DropTable(table_pb2.DropTableRequest(table="thick"))


def refused(world):
    for text in ('"open', "", "-only", "*"):
        fails("BAD_FILTER", world.query.Search, query_pb2.SearchRequest(table=TABLE, text=text), field="text",
              metadata={"position": None})
    failure = fails("BAD_FILTER", world.query.Search, query_pb2.SearchRequest(table=TABLE, text="fox", filter="= 1"),
                    metadata={"position": 0}, field="filter")
    assert failure.metadata["expected"], failure.metadata
    fails("INDEX_NOT_FOUND", world.query.Search, query_pb2.SearchRequest(table=TABLE, text="fox", field="length"))
    for path in ("x" * 1025, "a\0b"):
        fails("BAD_ARGUMENT", world.query.Search, query_pb2.SearchRequest(table=TABLE, text="fox", field=path),
              field="field")
    world.table("plain")
    fails("INDEX_NOT_FOUND", world.query.Search, query_pb2.SearchRequest(table="plain", text="fox"))
    fails("TABLE_NOT_FOUND", world.query.Search, query_pb2.SearchRequest(table="nosuch", text="fox"))
    fails("FUTURE_VERSION", world.query.Search,
          query_pb2.SearchRequest(table=TABLE, text="fox", consistency=snapshot(1 << 60)))


CASES = [finds, windows, highlights_and_masks, versions, large_answers, refused]
