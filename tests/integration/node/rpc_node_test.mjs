// SPDX-License-Identifier: Apache-2.0
//
// Every RPC from Node: the stubs and the error details come from the protos of the tree, 64-bit numbers arrive as
// text, streams are read and written at the pace of the other side. At the end the methods called are compared with
// those that reflection lists.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import protobuf from "protobufjs";

// Node 18, which Debian 12 has, does not know import.meta.dirname.
const here = path.dirname(fileURLToPath(import.meta.url));
const source = process.env.POLARYS_SOURCE ?? path.resolve(here, "../../..");
const build = process.env.POLARYS_BUILD ?? path.join(source, "build");
const server = process.env.POLARYSD ?? path.join(build, "polarysd");
const files = ["kv", "bulk", "table", "query", "transaction", "watch", "replication", "backup", "admin"].map((name) => `polarys/v1/${name}.proto`).concat(
  ["grpc/health/v1/health.proto", "grpc/reflection/v1/reflection.proto", "grpc/reflection/v1alpha/reflection.proto",
    "google/rpc/status.proto", "google/rpc/error_details.proto"]);
const definition = loader.loadSync(files, {
  includeDirs: [path.join(source, "proto"), "/usr/include"], keepCase: true, longs: String, enums: String,
  oneofs: true, defaults: true,
});
const protos = grpc.loadPackageDefinition(definition);
const called = new Set();
const clients = {};
let listed = []; // services, as reflection names them
let scratch;
let address;
let child;

// Decodes google.rpc messages, which are of no service, with protobufjs, the loader's own base.
const errorTypes = new protobuf.Root();
errorTypes.resolvePath = (_, target) => (path.isAbsolute(target) ? target
  : path.join(target.startsWith("google/protobuf/") ? "/usr/include" : path.join(source, "proto"), target));
errorTypes.loadSync(["google/rpc/status.proto", "google/rpc/error_details.proto"], { keepCase: true });

function decode(type, bytes) {
  const found = errorTypes.lookupType(type);
  return found.toObject(found.decode(bytes), { longs: String, defaults: true });
}

function detailsOf(error) {
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  assert.ok(bytes, `no details: ${error.message}`);
  const status = decode("google.rpc.Status", bytes);
  const details = {};
  for (const each of status.details) {
    const name = each.type_url.split("/")[1];
    details[name.split(".").pop()] = decode(name, each.value);
  }
  return { code: grpc.status[status.code], message: status.message, ...details };
}

function metadataOf(details) {
  const { metadata } = details.ErrorInfo;
  return Array.isArray(metadata) ? Object.fromEntries(metadata.map((each) => [each.key, each.value])) : metadata;
}

function call(service, method, request, deadlineMs = 30000) {
  const client = clients[service];
  called.add(client[method].path.slice(1));
  return new Promise((resolve, reject) => {
    client[method](request, { deadline: Date.now() + deadlineMs },
      (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

function open(service, method, ...request) {
  const client = clients[service];
  called.add(client[method].path.slice(1));
  return client[method](...request);
}

async function read(stream) {
  const messages = [];
  for await (const each of stream) {
    messages.push(each);
  }
  return messages;
}

async function fails(code, reason, promise) {
  const error = await promise.then(() => assert.fail(`succeeded, and ${reason} was expected`), (failed) => failed);
  assert.equal(grpc.status[error.code], code, error.message);
  const details = detailsOf(error);
  assert.equal(details.code, code);
  assert.equal(details.ErrorInfo.reason, reason);
  assert.equal(details.ErrorInfo.domain, "polarysdb.io");
  assert.equal(details.message, error.details);
  return details;
}

function checkHeader(answer) {
  assert.equal(answer.header.store_id.length, 16);
  assert.equal(answer.header.history_id.length, 16);
  assert.ok(BigInt(answer.header.version) > 0n && answer.header.token.length > 0 && answer.header.node.length > 0);
}

function freePort() {
  return new Promise((resolve) => {
    const probe = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

const key = (text) => Buffer.from(text);

before(async () => {
  scratch = mkdtempSync(path.join(os.tmpdir(), "polarys-node-"));
  const port = await freePort();
  const log = openSync(path.join(scratch, "server.log"), "w");
  child = spawn(server, ["--dev", "--data-dir", path.join(scratch, "data"), "--listen", `127.0.0.1:${port}`,
    "--admin-listen", ""], { stdio: ["ignore", log, log] });
  address = `127.0.0.1:${port}`;
  const polarys = protos.polarys.v1;
  for (const name of ["KvService", "BulkService", "TableService", "QueryService", "TransactionService", "WatchService",
    "ReplicationService", "BackupService", "AdminService"]) {
    clients[name] = new polarys[name](address, grpc.credentials.createInsecure());
  }
  clients.Health = new protos.grpc.health.v1.Health(address, grpc.credentials.createInsecure());
  for (const version of ["v1", "v1alpha"]) {
    clients[version] = new protos.grpc.reflection[version].ServerReflection(address, grpc.credentials.createInsecure());
  }
  await new Promise((resolve, reject) => {
    clients.KvService.waitForReady(Date.now() + 60000, (error) => (error ? reject(error) : resolve()));
  });
});

after(async () => {
  for (const each of Object.values(clients)) {
    each.close();
  }
  const ended = new Promise((resolve) => { child.once("exit", (code) => resolve(code)); });
  child.kill("SIGTERM");
  const status = await ended;
  rmSync(scratch, { recursive: true });
  assert.equal(status, 0, "the server did not end well");
});

test("databases come, are listed and go", async () => {
  const made = await call("TableService", "CreateDatabase", { database: "nodedb" });
  checkHeader(made);
  assert.equal(made.info.database, "nodedb");
  assert.equal(made.info.create_version, made.version);
  const details = await fails("ALREADY_EXISTS", "DATABASE_EXISTS",
    call("TableService", "CreateDatabase", { database: "nodedb" }));
  assert.equal(details.ResourceInfo.resource_name, "nodedb");
  const listed = await call("TableService", "ListDatabases", {});
  assert.deepEqual(listed.databases.map((each) => each.database), ["default", "nodedb"]);
  await call("TableService", "DropDatabase", { database: "nodedb" });
  await fails("NOT_FOUND", "DATABASE_NOT_FOUND", call("TableService", "DropDatabase", { database: "nodedb" }));
});

test("tables come, are told, emptied and go", async () => {
  for (const table of ["node", "short"]) {
    checkHeader(await call("TableService", "CreateTable", { table }));
  }
  const got = await call("TableService", "GetTable", { table: "node", consistency: { strong: true } });
  assert.equal(got.info.table, "node");
  assert.ok(Math.abs(Number(got.info.create_time.seconds) - Date.now() / 1000) < 60);
  assert.deepEqual((await call("TableService", "ListTables", {})).tables.map((each) => each.table), ["node", "short"]);
  await call("TableService", "TruncateTable", { table: "short" });
  await call("TableService", "DropTable", { table: "short" });
  const details = await fails("NOT_FOUND", "TABLE_NOT_FOUND", call("TableService", "GetTable", { table: "short" }));
  assert.deepEqual([details.ResourceInfo.resource_type, details.ResourceInfo.resource_name],
    ["table", "default/short"]);
});

test("documents are written, read, changed and deleted", async () => {
  const table = "node";
  const put = await call("KvService", "Put", { table, key: key("a"), value: { json: '{"n":9007199254740993}' } });
  checkHeader(put);
  const got = await call("KvService", "Get", { table, key: key("a"), consistency: { at_least: put.header.token } });
  assert.equal(got.value.kind, "json");
  assert.equal(got.value.json, '{"n":9007199254740993}');
  assert.equal(got.version, put.version);
  assert.equal(got.expire_time, null);
  await call("KvService", "Update", { table, key: key("a"), json_patch: '{"m":[1]}',
    precondition: { version_equals: put.version } });
  const mismatch = await fails("ABORTED", "VERSION_MISMATCH", call("KvService", "Update",
    { table, key: key("a"), json_patch: "{}", precondition: { version_equals: put.version } }));
  assert.ok(BigInt(metadataOf(mismatch).version) > BigInt(put.version));
  assert.equal(mismatch.PreconditionFailure.violations[0].type, "VERSION_MISMATCH");
  const raw = Buffer.from([0, 255, 10]);
  const batch = await call("KvService", "BatchWrite", { table, operations: [
    { put: { key: key("b"), value: { raw }, expire_time: { seconds: "4102444800", nanos: 5000000 } } },
    { put: { key: key("c"), value: { json: "3" } } }, { delete: { key: key("none") } }] });
  const many = await call("KvService", "BatchGet", { table, keys: [key("b"), key("z"), key("c")] });
  assert.deepEqual(many.documents.map((each) => each.key.toString()), ["b", "c"]);
  assert.deepEqual(many.documents[0].value.raw, raw);
  assert.deepEqual(many.documents[0].expire_time, { seconds: "4102444800", nanos: 5000000 });
  assert.equal(many.documents[1].version, batch.version);
  assert.equal(many.missing_keys[0].toString(), "z");
  const page = await call("KvService", "ListDocuments", { table, page_size: 2, keys_only: true });
  assert.deepEqual(page.documents.map((each) => each.key.toString()), ["a", "b"]);
  const rest = await call("KvService", "ListDocuments",
    { table, page_size: 2, keys_only: true, page_token: page.next_page_token });
  assert.deepEqual(rest.documents.map((each) => each.key.toString()), ["c"]);
  assert.equal((await call("QueryService", "Count", { table })).count, "3");
  await call("KvService", "Delete", { table, key: key("a"), precondition: { must_exist: true } });
  await call("KvService", "DeleteRange", { table, range: { prefix: key("b") } });
  assert.equal((await call("QueryService", "Count", { table, consistency: { max_staleness: { seconds: 1 } } })).count, "1");
});

test("indexes are made, used by queries and searches, and kept unique", async () => {
  const table = "asked";
  await call("TableService", "CreateTable", { table });
  await call("KvService", "BatchWrite", { table, operations: [["a", 1, "a red fox"], ["b", 2, "a red hen"], ["c", 3, "a dog"]]
    .map(([name, n, text]) => ({ put: { key: key(name), value: { json: JSON.stringify({ n, text }) } } })) });
  const made = await call("TableService", "CreateIndex",
    { table, index: "by_n", fields: ["n"], kind: "INDEX_KIND_ORDERED", unique: true, wait: true });
  checkHeader(made);
  assert.deepEqual([made.info.state, made.info.fields, made.info.unique], ["INDEX_STATE_READY", ["n"], true]);
  await call("TableService", "CreateIndex",
    { table, index: "words", fields: ["text"], kind: "INDEX_KIND_TEXT", language: "english", wait: true });
  const taken = await fails("ALREADY_EXISTS", "INDEX_EXISTS",
    call("TableService", "CreateIndex", { table, index: "words", fields: ["n"], kind: "INDEX_KIND_HASH" }));
  assert.equal(taken.ResourceInfo.resource_name, "default/asked/words");
  const twice = await fails("ALREADY_EXISTS", "UNIQUE_VIOLATION",
    call("KvService", "Put", { table, key: key("d"), value: { json: '{"n": 2}' } }));
  assert.equal(metadataOf(twice).index, "by_n");
  const listed = await call("TableService", "ListIndexes", { table });
  assert.deepEqual(listed.indexes.map((each) => each.index), ["by_n", "words"]);
  const checked = await call("TableService", "CheckIndex", { table, index: "by_n" });
  assert.deepEqual([checked.document_count, checked.missing_count, checked.stray_count], ["3", "0", "0"]);
  checkHeader(await call("TableService", "AnalyzeTable", { table }));
  const pages = [];
  let cursor = Buffer.alloc(0);
  do {
    const messages = await read(open("QueryService", "Query", { table, filter: "n > 0", order_by: "n desc", limit: 2, cursor }));
    pages.push(messages.flatMap((each) => each.documents.map((document) => document.key.toString())));
    cursor = messages.at(-1).cursor;
  } while (cursor.length > 0);
  assert.deepEqual(pages, [["c", "b"], ["a"]]);
  const wrong = await fails("INVALID_ARGUMENT", "BAD_FILTER", read(open("QueryService", "Query", { table, filter: "n >" })));
  assert.equal(wrong.BadRequest.field_violations[0].field, "filter");
  assert.equal(metadataOf(wrong).position, "3");
  const found = await read(open("QueryService", "Search", { table, text: "red", with_highlights: true }));
  assert.equal(found[0].total, "2");
  assert.deepEqual(found.flatMap((each) => each.hits.map((hit) => hit.document.key.toString())).sort(), ["a", "b"]);
  await fails("NOT_FOUND", "INDEX_NOT_FOUND", read(open("QueryService", "Search", { table, text: "red", field: "n" })));
  const plan = await call("QueryService", "Explain", { table, filter: "n = 2", run: true });
  assert.ok(plan.was_run && plan.actual_rows === "1" && plan.steps.length > 0);
  await call("TableService", "DropIndex", { table, index: "by_n" });
  await fails("NOT_FOUND", "INDEX_NOT_FOUND", call("TableService", "DropIndex", { table, index: "by_n" }));
});

test("transactions take effect whole, or not at all", async () => {
  const table = "moved";
  await call("TableService", "CreateTable", { table });
  const done = await call("TransactionService", "Transact", { table,
    compares: [{ key: key("a"), precondition: { must_not_exist: true } }],
    then_operations: [{ put: { key: key("a"), value: { json: "1" } } }, { get: { key: key("a") } }] });
  checkHeader(done);
  assert.ok(done.succeeded && done.results[1].document.value.json === "1");
  const begin = async (fields) => (await call("TransactionService", "BeginTransaction", fields)).transaction;
  const [first, second] = [await begin({}), await begin({ isolation: "ISOLATION_SERIALIZABLE" })];
  for (const transaction of [first, second]) {
    await call("KvService", "Get", { table, key: key("a"), transaction });
    const put = await call("KvService", "Put", { table, key: key("a"), value: { json: "2" }, transaction });
    assert.equal(put.version, "0");
  }
  const committed = await call("TransactionService", "Commit", { transaction: first });
  const again = await call("TransactionService", "Commit", { transaction: first });
  assert.deepEqual([again.version, again.replayed], [committed.version, true]);
  const conflict = await fails("ABORTED", "TXN_CONFLICT", call("TransactionService", "Commit", { transaction: second }));
  assert.equal(metadataOf(conflict).table, table);
  const status = await call("TransactionService", "GetTransaction", { transaction: first });
  assert.deepEqual([status.state, status.commit_version], ["TRANSACTION_STATE_COMMITTED", committed.version]);
  const third = await begin({ mode: "TRANSACTION_MODE_PESSIMISTIC" });
  checkHeader(await call("TransactionService", "Rollback", { transaction: third }));
  await fails("NOT_FOUND", "TXN_NOT_FOUND", call("TransactionService", "Rollback", { transaction: third }));
});

test("a watch tells of changes until it is given up", async () => {
  const table = "moved";
  const stream = open("WatchService", "Watch", { table });
  stream.on("error", () => {});
  const events = [];
  const seen = new Promise((resolve) => {
    stream.on("data", (message) => {
      events.push(...message.events.filter((each) => each.kind !== "progress"));
      if (events.length > 0) {
        resolve();
      }
    });
  });
  const first = new Promise((resolve) => { stream.once("data", resolve); });
  checkHeader(await first);
  const put = await call("KvService", "Put", { table, key: key("w"), value: { json: "1" } });
  await seen;
  assert.deepEqual([events[0].kind, events[0].version, events[0].put.key.toString()], ["put", put.version, "w"]);
  stream.cancel();
  await fails("NOT_FOUND", "TABLE_NOT_FOUND", read(open("WatchService", "Watch", { table: "nosuch" })));
});

test("64-bit numbers keep every digit", async () => {
  const big = "9007199254740993";
  const details = await fails("OUT_OF_RANGE", "FUTURE_VERSION",
    call("KvService", "Get", { table: "node", key: key("c"), consistency: { snapshot: big } }));
  assert.match(details.message, new RegExp(big));
  const put = await call("KvService", "Put", { table: "node", key: key("c"), value: { json: "4" } });
  assert.equal(typeof put.version, "string");
  const old = await call("KvService", "Get", { table: "node", key: key("c"),
    consistency: { snapshot: (BigInt(put.version) - 1n).toString() } });
  assert.equal(old.value.json, "3");
});

test("errors carry the detail that helps", async () => {
  const table = "node";
  const missing = await fails("NOT_FOUND", "KEY_NOT_FOUND", call("KvService", "Get", { table, key: key("no") }));
  assert.equal(missing.ResourceInfo.resource_name, "default/node/no");
  const json = await fails("INVALID_ARGUMENT", "BAD_JSON",
    call("KvService", "Put", { table, key: key("x"), value: { json: '{"a":}' } }));
  assert.equal(json.BadRequest.field_violations[0].field, "value.json");
  assert.equal(metadataOf(json).offset, "5");
  await fails("ALREADY_EXISTS", "KEY_EXISTS", call("KvService", "Put",
    { table, key: key("c"), value: { json: "1" }, precondition: { must_not_exist: true } }));
  await fails("FAILED_PRECONDITION", "FIELD_MISMATCH", call("KvService", "Put",
    { table, key: key("c"), value: { json: "1" }, precondition: { field_equals: { path: "a", json_value: "1" } } }));
  const id = Buffer.from("0123456789abcdef");
  const first = await call("KvService", "Put", { table, key: key("i"), value: { json: "1" }, request_id: id });
  const again = await call("KvService", "Put", { table, key: key("i"), value: { json: "1" }, request_id: id });
  assert.equal(again.version, first.version);
  await fails("INVALID_ARGUMENT", "REQUEST_ID_REUSED",
    call("KvService", "Put", { table, key: key("i"), value: { json: "2" }, request_id: id }));
});

test("a bulk write is held back by its window, resumed, and refused where it is wrong", async () => {
  const stream = open("BulkService", "Write");
  const answers = stream[Symbol.asyncIterator]();
  const next = async () => (await answers.next()).value;
  stream.write({ open: { table: "node" } });
  const { opened } = await next();
  checkHeader(opened);
  const record = (name, text) => ({ key: key(name), value: { json: text } });
  const text = JSON.stringify("w".repeat(100000));
  const count = Math.ceil(Number(opened.window_bytes) * 2 / text.length);
  let sent = 0;
  let acked = 0;
  let underWay = 0;
  while (acked < count) {
    while (sent < count && underWay + text.length < Number(opened.window_bytes)) {
      sent += 1;
      underWay += text.length;
      if (!stream.write({ batch: { number: sent, records: [record(`bulk${sent}`, text)] } })) {
        await new Promise((resolve) => { stream.once("drain", resolve); });
      }
    }
    const { ack } = await next();
    acked += 1;
    underWay -= text.length;
    assert.equal(ack.number, String(acked));
    assert.equal(ack.result, "version");
  }
  stream.write({ batch: { number: count + 1, records: [record("bad", "{")] } });
  const refused = (await next()).ack;
  assert.equal(refused.error.reason, "BAD_JSON");
  assert.equal(refused.error.code, grpc.status.INVALID_ARGUMENT);
  stream.write({ close: {} });
  assert.equal((await next()).closed.last_number, String(count));
  stream.end();
  assert.equal(await next(), undefined);

  const resumed = open("BulkService", "Write");
  resumed.write({ open: { table: "node", session_id: opened.session_id, last_acked_number: count } });
  resumed.write({ close: {} });
  resumed.end();
  const messages = await read(resumed);
  assert.deepEqual(messages.map((each) => each.message), ["opened", "closed"]);
  assert.equal(messages[0].opened.last_number, String(count));

  const unknown = open("BulkService", "Write");
  unknown.write({ open: { table: "node", session_id: Buffer.alloc(16, 7) } });
  unknown.end();
  await fails("OUT_OF_RANGE", "CURSOR_EXPIRED", read(unknown));
});

test("scans and exports give every document to a reader that is slow", async () => {
  const count = Number((await call("QueryService", "Count", { table: "node" })).count);
  for (const [service, method] of [["KvService", "Scan"], ["BulkService", "Export"]]) {
    const stream = open(service, method, { table: "node" });
    const keys = [];
    let version;
    let endReason;
    for await (const message of stream) {
      version ??= message.version;
      endReason = message.end_reason;
      keys.push(...message.documents.map((each) => each.key.toString()));
      if (keys.length < 60) {
        await sleep(20);
      }
    }
    assert.equal(keys.length, count);
    assert.deepEqual(keys, [...keys].sort());
    assert.ok(BigInt(version) > 0n);
    if (method === "Scan") {
      assert.equal(endReason, "SCAN_END_REASON_END_OF_RANGE");
    }
  }
  const part = await read(open("KvService", "Scan",
    { table: "node", reverse: true, limit: 2, range: { prefix: key("bulk") } }));
  const last = part.at(-1);
  assert.equal(last.end_reason, "SCAN_END_REASON_LIMIT_REACHED");
  const rest = await read(open("KvService", "Scan", { table: "node", reverse: true, keys_only: true,
    range: { prefix: key("bulk") }, resume_token: last.resume_token }).on("error", () => {}))
    .then(() => assert.fail("a token of another request was taken"), (error) => error);
  assert.equal(detailsOf(rest).ErrorInfo.reason, "BAD_PAGE_TOKEN");
});

test("a stream that is given up is over", async () => {
  const stream = open("KvService", "Scan", { table: "node" });
  const error = await new Promise((resolve) => {
    stream.once("data", () => stream.cancel());
    stream.on("error", resolve);
  });
  assert.equal(error.code, grpc.status.CANCELLED);
});

test("the server tells how it does and does what it is told", async () => {
  const status = await call("AdminService", "GetStatus", {});
  checkHeader(status);
  assert.equal(status.role, "NODE_ROLE_PRIMARY");
  assert.ok(status.calls.some((each) => each.method === "polarys.v1.KvService/Put" && Number(each.succeeded) > 0));
  const info = await call("AdminService", "GetServerInfo", {});
  assert.equal(info.limits.find((each) => each.name === "value_bytes_max").value, String(1 << 20));
  const flushed = await call("AdminService", "Flush", {});
  assert.ok(BigInt(flushed.flushed_version) > 0n);
  checkHeader(await call("AdminService", "Compact", { table: "node" }));
  assert.ok(BigInt((await call("AdminService", "Checkpoint", { directory: "checkpoints/node" })).version) > 0n);
  const wrong = await fails("INVALID_ARGUMENT", "BAD_ARGUMENT",
    call("AdminService", "Checkpoint", { directory: "checkpoints/node" }));
  assert.equal(wrong.BadRequest.field_violations[0].field, "directory");
  const level = await call("AdminService", "SetLogLevel", { level: "LOG_LEVEL_WARN" });
  assert.equal(level.previous_level, "LOG_LEVEL_INFO");
  const report = { place: "node", result: "BACKUP_RESULT_FAILED", attempt_time: { seconds: 1700000000 } };
  checkHeader(await call("AdminService", "ReportBackup", report));
  const nameless = await fails("INVALID_ARGUMENT", "BAD_ARGUMENT",
    call("AdminService", "ReportBackup", { ...report, place: "" }));
  assert.equal(nameless.BadRequest.field_violations[0].field, "place");
});

test("the log can be followed, slot by slot", async () => {
  const hello = await call("ReplicationService", "Handshake", { node: "node" });
  checkHeader(hello);
  assert.equal(hello.keyring.subarray(0, 8).toString(), "PLRSKEYS");
  checkHeader(await call("ReplicationService", "CreateSlot", { slot: "node" }));
  const tail = open("ReplicationService", "TailLog");
  tail.on("error", () => {});
  const first = new Promise((resolve) => { tail.once("data", resolve); });
  tail.write({ start: { node: { node: "node", position: hello.end }, slot: "node", is_decoded: true } });
  checkHeader(await first);
  const found = new Promise((resolve) => {
    tail.on("data", (message) => message.commits.forEach((commit) => commit.changes.forEach((change) => {
      if (change.table === "node" && change.key.toString() === "followed") resolve(change);
    })));
  });
  await call("KvService", "Put", { table: "node", key: Buffer.from("followed"), value: { json: "[1]" } });
  assert.equal((await found).put.value.json, "[1]");
  tail.cancel();
  const { slots } = await call("ReplicationService", "ListSlots", {});
  assert.deepEqual(slots.map((each) => each.name), ["node"]);
  checkHeader(await call("ReplicationService", "DropSlot", { slot: "node" }));
  await fails("NOT_FOUND", "SLOT_NOT_FOUND", call("ReplicationService", "DropSlot", { slot: "node" }));
  assert.ok(BigInt((await call("AdminService", "Promote", {})).term) > 0n);
  assert.deepEqual((await call("ReplicationService", "ListMembers", {})).members, []);
  await fails("INVALID_ARGUMENT", "BAD_ARGUMENT", call("ReplicationService", "RemoveMember", { name: "nobody" }));
  const sealed = await call("ReplicationService", "SealTerm", { node: "node", store_id: hello.header.store_id });
  assert.equal(sealed.highest_term, hello.header.term);
  await fails("INVALID_ARGUMENT", "BAD_ARGUMENT", call("AdminService", "Switchover", { name: "nobody" }));
  await fails("UNAVAILABLE", "NO_PRIMARY", call("AdminService", "Demote", { primary_address: "127.0.0.1:1" }));
});

test("copies of the store come whole", async () => {
  for (const [service, method, request] of [["ReplicationService", "Bootstrap", { node: "node" }],
    ["BackupService", "StreamBackup", {}]]) {
    const messages = await read(open(service, method, request));
    const { files: listedFiles } = messages[0].manifest;
    const sent = new Set(messages.flatMap((each) => each.pieces.map((piece) => piece.path)));
    assert.deepEqual(listedFiles.map((each) => each.path).filter((each) => !sent.has(each)), []);
    assert.ok(sent.has("keyring") && BigInt(messages.at(-1).end.segment_id) > 0n);
  }
});

test("health and both reflections answer", async () => {
  assert.equal((await call("Health", "Check", { service: "polarys.v1.KvService" })).status, "SERVING");
  const watch = open("Health", "Watch", {});
  watch.on("error", () => {});
  const seen = await new Promise((resolve) => { watch.once("data", resolve); });
  assert.equal(seen.status, "SERVING");
  watch.cancel();
  for (const version of ["v1", "v1alpha"]) {
    const stream = open(version, "ServerReflectionInfo");
    stream.write({ list_services: "*" });
    stream.end();
    const [answer] = await read(stream);
    const names = answer.list_services_response.service.map((each) => each.name);
    listed = names;
    assert.ok(names.includes("polarys.v1.KvService") && names.includes("grpc.health.v1.Health"), names.join());
  }
});

test("the snippets of docs/clients.md run", async () => {
  const text = readFileSync(path.join(source, "docs/clients.md"), "utf8");
  const code = [...text.matchAll(/^```js\n(.*?)^```$/gms)].map((each) => each[1]);
  assert.ok(code.length > 0, "no snippet for Node");
  const directory = path.join(scratch, "snippets");
  mkdirSync(directory);
  symlinkSync(path.join(source, "proto"), path.join(directory, "proto"));
  symlinkSync(path.join(here, "node_modules"), path.join(directory, "node_modules"));
  writeFileSync(path.join(directory, "snippets.mjs"), code.join("\n").replaceAll("127.0.0.1:7480", address));
  const { stdout } = await promisify(execFile)("node", ["snippets.mjs"], { cwd: directory, timeout: 60000 });
  assert.match(stdout, /\{"name":"Grace"\} \d+\n1 documents/);
  assert.match(stdout, /grace \{"name":"Grace","born":1906\}\ngrace She wrote the first \[compiler\]/);
});

test("draining makes the server unhealthy", async () => {
  checkHeader(await call("AdminService", "Drain", { grace: { seconds: 2 } }));
  assert.equal((await call("Health", "Check", {})).status, "NOT_SERVING");
});

test("every method that the server lists was called", () => {
  const methods = listed.flatMap((name) => {
    assert.ok(definition[name], `${name} is in no proto that this test loads`);
    return Object.values(definition[name]).map((each) => each.path.slice(1));
  });
  assert.ok(methods.length > 20, methods.join());
  assert.deepEqual(methods.filter((each) => !called.has(each)), []);
});
