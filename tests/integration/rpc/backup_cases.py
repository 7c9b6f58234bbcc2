# SPDX-License-Identifier: Apache-2.0
"""BackupService and ReplicationService.Bootstrap: the copy of a store, whole, in parts, and gone on with."""
import base64
import hashlib
import os
import random

from polarys.v1 import admin_pb2, backup_pb2, backup_pb2_grpc, common_pb2, kv_pb2, replication_pb2, replication_pb2_grpc

from world import World, check_header, fails

TABLE = "backup"
PIECE_BYTES_MAX = 1 << 20


def fill(world, first=0, count=6000):
    """Documents that hardly shrink, so that a copy does not fit into what the transport takes at once."""
    made = random.Random(first)
    for start in range(first, first + count, 1000):
        operations = [kv_pb2.WriteOperation(put=kv_pb2.PutOperation(
            key=b"key%06d" % i,
            value=common_pb2.Value(json='"%s"' % base64.b64encode(made.randbytes(900)).decode())))
                      for i in range(start, start + 1000)]
        world.kv.BatchWrite(kv_pb2.BatchWriteRequest(table=TABLE, operations=operations))


def setup(world):
    world.table(TABLE)
    fill(world)
    world.admin.Flush(admin_pb2.FlushRequest())


def backup(world):
    return backup_pb2_grpc.BackupServiceStub(world.channel)


def replication(world):
    return replication_pb2_grpc.ReplicationServiceStub(world.channel)


def take(stream, files=None):
    """(manifest, path -> bytes, end) of a whole stream; `files` are those that were there before."""
    manifest, end, got, pieces = None, None, dict(files or {}), 0
    for message in stream:
        assert end is None, "something follows the end"
        if manifest is None:
            assert message.HasField("header") and message.HasField("manifest"), "the first message has no list"
            manifest = message.manifest
        else:
            assert not message.HasField("header") and not message.HasField("manifest"), "a second list"
        for piece in message.pieces:
            assert len(piece.data) <= PIECE_BYTES_MAX, len(piece.data)
            assert len(got.setdefault(piece.path, b"")) == piece.offset, (piece.path, piece.offset)
            got[piece.path] += piece.data
            pieces += 1
        assert sum(len(piece.data) for piece in message.pieces) <= PIECE_BYTES_MAX
        if message.HasField("end"):
            end = message.end
    assert end is not None and end.segment_id > 0 and len(end.tag) == 16 and end.version == manifest.version, end
    assert pieces > 0
    return manifest, got, end


def check_files(manifest, got, left_out=()):
    """Every file, filled up with zeros, has its length and digest."""
    assert [each.path for each in manifest.files][-1] == "keyring", "a store without its keyring is refused"
    for each in manifest.files:
        assert not each.path.startswith("/") and ".." not in each.path, each.path
        if each.path in left_out:
            assert each.path not in got, f"{each.path} was sent although it is there"
            continue
        whole = got[each.path].ljust(each.size, b"\0")
        assert len(whole) == each.size and hashlib.sha256(whole).digest() == each.sha256, each.path
    assert set(got) == {each.path for each in manifest.files} - set(left_out)


def whole_backup(world):
    version = world.put(TABLE, b"last", "1").version
    stream = backup(world).StreamBackup(backup_pb2.StreamBackupRequest())
    manifest, got, end = take(stream)
    assert manifest.version >= version and len(manifest.copy_id) == 16, manifest.version
    check_files(manifest, got)
    assert any(each.path.startswith("wal/") for each in manifest.files), manifest.files
    assert end.version == manifest.version


def incremental(world):
    store_id = world.get(TABLE, b"last").header.store_id
    first, _, _ = take(backup(world).StreamBackup(backup_pb2.StreamBackupRequest()))
    world.put(TABLE, b"one more", "1")
    request = backup_pb2.StreamBackupRequest(base_store_id=store_id, base_files=first.files)
    # Files that nobody has, or of another length or digest, change nothing.
    wrong = replication_pb2.CopyFile(path="keyring", size=1, sha256=b"x" * 32)
    request.base_files.extend([wrong, replication_pb2.CopyFile(path="../keyring"), replication_pb2.CopyFile()])
    second, got, _ = take(backup(world).StreamBackup(request))
    known = {(each.path, each.size, each.sha256) for each in first.files}
    left_out = {each.path for each in second.files if (each.path, each.size, each.sha256) in known}
    assert any(path.endswith(".sst") for path in left_out), left_out
    check_files(second, got, left_out)


def resumed(world):
    stub = backup(world)
    stream = stub.StreamBackup(backup_pb2.StreamBackupRequest())
    manifest = next(stream).manifest
    pieces = next(stream).pieces
    stream.cancel()
    fill(world, 5000, 1000)  # the copy stays what it was
    got = {}
    for piece in pieces:
        got[piece.path] = got.get(piece.path, b"") + piece.data
    path = pieces[-1].path
    request = backup_pb2.StreamBackupRequest(copy_id=manifest.copy_id, file=path, offset=len(got[path]))
    again, whole, _ = take(stub.StreamBackup(request), got)
    assert again == manifest, "another list for the same copy"
    check_files(manifest, whole)
    # From the middle of a file, and from the end of the last.
    large = max(manifest.files, key=lambda each: len(whole[each.path]))
    part = {large.path: whole[large.path][:1000]}
    request = backup_pb2.StreamBackupRequest(copy_id=manifest.copy_id, file=large.path, offset=1000)
    _, rest, _ = take(stub.StreamBackup(request), part)
    assert rest[large.path] == whole[large.path]
    last = manifest.files[-1]
    request = backup_pb2.StreamBackupRequest(copy_id=manifest.copy_id, file=last.path, offset=last.size)
    messages = list(stub.StreamBackup(request))
    assert not any(message.pieces for message in messages) and messages[-1].HasField("end"), messages


def bootstrap(world):
    stub = replication(world)
    stream = stub.Bootstrap(replication_pb2.BootstrapRequest(node="copier"))
    manifest, got, end = take(stream)
    check_files(manifest, got)
    request = replication_pb2.BootstrapRequest(node="copier", copy_id=manifest.copy_id, file="keyring")
    again, rest, end_again = take(stub.Bootstrap(request))
    assert again == manifest and end_again == end and set(rest) == {"keyring"}, rest.keys()


def bad_requests(world):
    stub, copies = replication(world), backup(world)
    for node in ("", "1st", "a b", "n" * 129):
        fails("BAD_ARGUMENT", stub.Bootstrap, replication_pb2.BootstrapRequest(node=node), field="node")
    fails("BAD_ARGUMENT", stub.Bootstrap, replication_pb2.BootstrapRequest(node="n", copy_id=b"x"), field="copy_id")
    fails("BAD_ARGUMENT", stub.Bootstrap, replication_pb2.BootstrapRequest(node="n", file="keyring"), field="copy_id")
    fails("BAD_ARGUMENT", copies.StreamBackup, backup_pb2.StreamBackupRequest(offset=1), field="copy_id")
    fails("CURSOR_EXPIRED", stub.Bootstrap, replication_pb2.BootstrapRequest(node="n", copy_id=b"x" * 16))
    fails("CURSOR_EXPIRED", copies.StreamBackup, backup_pb2.StreamBackupRequest(copy_id=b"x" * 16, file="keyring"))
    fails("BAD_ARGUMENT", copies.StreamBackup, backup_pb2.StreamBackupRequest(base_store_id=b"x"),
          field="base_store_id")
    fails("BAD_ARGUMENT", copies.StreamBackup,
          backup_pb2.StreamBackupRequest(base_files=[replication_pb2.CopyFile(path="keyring")]), field="base_store_id")
    fails("WRONG_STORE", copies.StreamBackup, backup_pb2.StreamBackupRequest(base_store_id=b"x" * 16))
    manifest, _, _ = take(copies.StreamBackup(backup_pb2.StreamBackupRequest()))
    size = manifest.files[0].size
    for path, offset, field in (("nosuch", 0, "file"), ("../keyring", 0, "file"), ("", 1, "offset"),
                                (manifest.files[0].path, size + 1, "offset")):
        request = backup_pb2.StreamBackupRequest(copy_id=manifest.copy_id, file=path, offset=offset)
        fails("BAD_ARGUMENT", copies.StreamBackup, request, field=field)


def few_at_once(world):
    """Copies that somebody may go on with are not given up for others."""
    with World(world.scratch, "copies", world.record) as other:
        other.table(TABLE)
        fill(other, count=24000)  # more than four streams take unread
        other.admin.Flush(admin_pb2.FlushRequest())
        stub = backup(other)
        streams, lists = [], []
        for _ in range(4):
            streams.append(stub.StreamBackup(backup_pb2.StreamBackupRequest()))
            lists.append(next(streams[-1]))
        check_header(other, lists[0].header)
        fails("TOO_MANY_CALLS", stub.StreamBackup, backup_pb2.StreamBackupRequest())
        copies = os.path.join(other.server.data_dir, "copies")
        assert len(os.listdir(copies)) == 4, os.listdir(copies)
        for _ in streams[0]:
            pass
        take(stub.StreamBackup(backup_pb2.StreamBackupRequest()))  # the one that was sent made room
        for stream in streams[1:]:
            stream.cancel()
        request = backup_pb2.StreamBackupRequest(copy_id=lists[1].manifest.copy_id)
        check_files(*take(stub.StreamBackup(request))[:2])
    assert not os.path.exists(copies) or not os.listdir(copies), "a server that ended left copies"


CASES = [whole_backup, incremental, resumed, bootstrap, bad_requests, few_at_once]
