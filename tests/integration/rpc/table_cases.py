# SPDX-License-Identifier: Apache-2.0
"""Databases and tables: how they come, are told and go."""
from polarys.v1 import common_pb2, kv_pb2, table_pb2

from world import check_header, fails, json_value, request_id, snapshot


def databases(world):
    made = world.tables.CreateDatabase(table_pb2.CreateDatabaseRequest(database="Db-1.a_b"))
    check_header(world, made.header, made.version)
    assert (made.info.database, made.info.create_version) == ("Db-1.a_b", made.version), made
    assert made.info.HasField("create_time"), made
    failure = fails("DATABASE_EXISTS", world.tables.CreateDatabase,
                    table_pb2.CreateDatabaseRequest(database="Db-1.a_b"))
    resource = failure.others["ResourceInfo"]
    assert (resource.resource_type, resource.resource_name) == ("database", "Db-1.a_b"), resource
    fails("DATABASE_EXISTS", world.tables.CreateDatabase, table_pb2.CreateDatabaseRequest(database="default"))
    fails("BAD_NAME", world.tables.CreateDatabase, table_pb2.CreateDatabaseRequest(), field="database")
    world.table("inner", "Db-1.a_b")
    world.kv.Put(kv_pb2.PutRequest(database="Db-1.a_b", table="inner", key=b"k", value=json_value("1")))
    fails("TABLE_NOT_FOUND", world.get, "inner", b"k")
    dropped = world.tables.DropDatabase(table_pb2.DropDatabaseRequest(database="Db-1.a_b"))
    check_header(world, dropped.header, dropped.version)
    assert dropped.version > made.version, dropped
    fails("DATABASE_NOT_FOUND", world.get, "inner", b"k", database="Db-1.a_b")
    fails("DATABASE_NOT_FOUND", world.tables.DropDatabase, table_pb2.DropDatabaseRequest(database="Db-1.a_b"))
    again = world.tables.CreateDatabase(table_pb2.CreateDatabaseRequest(database="Db-1.a_b"))
    assert again.version > dropped.version
    fails("TABLE_NOT_FOUND", world.get, "inner", b"k", database="Db-1.a_b")


def the_default_database_stays(world):
    fails("BAD_ARGUMENT", world.tables.DropDatabase, table_pb2.DropDatabaseRequest(database="default"),
          field="database")


def database_ids_differ(world):
    """A number names a database for good."""
    ids = []
    for _ in range(2):
        ids.append(world.tables.CreateDatabase(table_pb2.CreateDatabaseRequest(database="numbered")).info.database_id)
        world.tables.DropDatabase(table_pb2.DropDatabaseRequest(database="numbered"))
    assert ids[0] != 0 and ids[0] != ids[1], ids


def lists_of_databases(world):
    for i in range(5):
        world.tables.CreateDatabase(table_pb2.CreateDatabaseRequest(database=f"list{i}"))
    got = world.tables.ListDatabases(table_pb2.ListDatabasesRequest())
    check_header(world, got.header, got.version)
    names = [each.database for each in got.databases]
    assert names == sorted(names) and "default" in names and not got.next_page_token, names
    by_name = {each.database: each for each in got.databases}
    assert by_name["default"].create_version == 0 and not by_name["default"].HasField("create_time"), by_name
    assert by_name["list3"].create_version > 0, by_name
    paged, token = [], ""
    while True:
        got = world.tables.ListDatabases(table_pb2.ListDatabasesRequest(page_size=2, page_token=token))
        assert len(got.databases) <= 2
        paged += [each.database for each in got.databases]
        token = got.next_page_token
        if not token:
            break
    assert paged == names, paged
    fails("BAD_PAGE_TOKEN", world.tables.ListDatabases, table_pb2.ListDatabasesRequest(page_token="9 wrong"),
          field="page_token")


def lists_tell_when_databases_came(world):
    made = world.tables.CreateDatabase(table_pb2.CreateDatabaseRequest(database="timed"))
    listed = {each.database: each for each in
              world.tables.ListDatabases(table_pb2.ListDatabasesRequest()).databases}["timed"]
    assert listed == made.info, listed


def tables(world):
    made = world.table("Tab.le-1")
    check_header(world, made.header, made.version)
    assert (made.info.database, made.info.table) == ("default", "Tab.le-1"), made
    assert made.info.table_id > 0 and made.info.create_version == made.version, made
    assert made.info.HasField("create_time"), made
    got = world.tables.GetTable(table_pb2.GetTableRequest(table="Tab.le-1"))
    check_header(world, got.header, got.version)
    assert got.info == made.info and got.version >= made.version, got
    failure = fails("TABLE_EXISTS", world.table, "Tab.le-1")
    resource = failure.others["ResourceInfo"]
    assert (resource.resource_type, resource.resource_name) == ("table", "default/Tab.le-1"), resource
    world.fill("Tab.le-1", 10)
    cut = world.tables.TruncateTable(table_pb2.TruncateTableRequest(table="Tab.le-1"))
    check_header(world, cut.header, cut.version)
    fails("KEY_NOT_FOUND", world.get, "Tab.le-1", b"key000000")
    assert world.get("Tab.le-1", b"key000000", consistency=snapshot(cut.version - 1)).value.json == '"x"'
    dropped = world.tables.DropTable(table_pb2.DropTableRequest(table="Tab.le-1"))
    check_header(world, dropped.header, dropped.version)
    for call, request in ((world.tables.GetTable, table_pb2.GetTableRequest),
                          (world.tables.DropTable, table_pb2.DropTableRequest),
                          (world.tables.TruncateTable, table_pb2.TruncateTableRequest)):
        fails("TABLE_NOT_FOUND", call, request(table="Tab.le-1"))
    again = world.table("Tab.le-1")
    assert again.info.table_id != made.info.table_id, again
    fails("KEY_NOT_FOUND", world.get, "Tab.le-1", b"key000000")


def lists_of_tables(world):
    world.tables.CreateDatabase(table_pb2.CreateDatabaseRequest(database="lists"))
    empty = world.tables.ListTables(table_pb2.ListTablesRequest(database="lists"))
    assert not empty.tables and not empty.next_page_token, empty
    names = sorted(f"t{i:02d}" for i in range(7))
    made = {name: world.table(name, "lists").info for name in reversed(names)}
    got = world.tables.ListTables(table_pb2.ListTablesRequest(database="lists"))
    check_header(world, got.header, got.version)
    assert [each.table for each in got.tables] == names and got.tables[0] == made["t00"], got
    first = world.tables.ListTables(table_pb2.ListTablesRequest(database="lists", page_size=7))
    assert len(first.tables) == 7 and not first.next_page_token, first
    first = world.tables.ListTables(table_pb2.ListTablesRequest(database="lists", page_size=4))
    rest = world.tables.ListTables(
        table_pb2.ListTablesRequest(database="lists", page_size=4, page_token=first.next_page_token))
    assert [each.table for each in [*first.tables, *rest.tables]] == names and not rest.next_page_token
    fails("BAD_PAGE_TOKEN", world.tables.ListTables,
          table_pb2.ListTablesRequest(database="lists", page_token="9 wrong"), field="page_token")


def names_of_the_server(world):
    """Tables that the server keeps for itself can't be named, and are not listed."""
    fails("BAD_NAME", world.table, "polarys.mine", field="table")
    fails("BAD_NAME", world.get, "polarys.bulk_sessions", b"k", field="table")
    for name in ("", "1a", "a b", "a/b", "é", "a" * 129):
        fails("BAD_NAME", world.table, name, field="table")
    world.table("a" * 128)
    listed = [each.table for each in world.tables.ListTables(table_pb2.ListTablesRequest()).tables]
    assert not [each for each in listed if each.startswith("polarys.")], listed


def request_ids(world):
    """Changes of tables replay too."""
    calls = [(world.tables.CreateDatabase, table_pb2.CreateDatabaseRequest(database="ids")),
             (world.tables.CreateTable, table_pb2.CreateTableRequest(database="ids", table="ids")),
             (world.tables.TruncateTable, table_pb2.TruncateTableRequest(database="ids", table="ids")),
             (world.tables.DropTable, table_pb2.DropTableRequest(database="ids", table="ids"))]
    for number, (call, request) in enumerate(calls, 100):
        request.request_id = request_id(number)
        first = call(request)
        again = call(request)
        assert again.version == first.version, f"{call.path}: {again.version} after {first.version}"
    reused = table_pb2.CreateTableRequest(table="ids", request_id=request_id(100))
    fails("REQUEST_ID_REUSED", world.tables.CreateTable, reused, field="request_id")


def replays_of_what_is_gone(world):
    """A replayed creation gives its first answer although the thing was dropped since."""
    request = table_pb2.CreateTableRequest(table="shortlived", request_id=request_id(200))
    first = world.tables.CreateTable(request)
    world.tables.DropTable(table_pb2.DropTableRequest(table="shortlived"))
    assert world.tables.CreateTable(request).version == first.version


def old_versions(world):
    """GetTable and lists answer from the version that was asked for."""
    before = world.table("early").version
    world.table("late")
    consistency = common_pb2.Consistency(snapshot=before)
    got = world.tables.ListTables(table_pb2.ListTablesRequest(consistency=consistency))
    names = [each.table for each in got.tables]
    assert got.version == before and "early" in names and "late" not in names, (got.version, before, names)
    fails("TABLE_NOT_FOUND", world.tables.GetTable, table_pb2.GetTableRequest(table="late", consistency=consistency))


CASES = [databases, the_default_database_stays, database_ids_differ, lists_of_databases,
         lists_tell_when_databases_came, tables, lists_of_tables, names_of_the_server, request_ids,
         replays_of_what_is_gone, old_versions]
