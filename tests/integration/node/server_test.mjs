// SPDX-License-Identifier: Apache-2.0
// The server through another HTTP/2 stack: @grpc/grpc-js, with messages loaded from the .proto files as they are.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../../..");
const program = resolve(process.env.POLARYSD ?? join(process.env.POLARYS_BUILD ?? join(root, "build"), "polarysd"));
const START_MS = 30000;

function api() {
  const files = ["kv", "table", "bulk", "query", "admin"].map((name) => `polarys/v1/${name}.proto`);
  const options = { includeDirs: [join(root, "proto")], keepCase: true, longs: String, enums: String, oneofs: true };
  return grpc.loadPackageDefinition(loader.loadSync(files, options)).polarys.v1;
}

function start(dataDir) {
  const server = spawn(program, ["--dev", "--data-dir", dataDir, "--listen", "127.0.0.1:0", "--admin-listen="],
    { stdio: ["ignore", "ignore", "pipe"] });
  return new Promise((done, failed) => {
    let log = "";
    const timer = setTimeout(() => failed(new Error(`polarysd did not start:\n${log}`)), START_MS);
    server.on("exit", (status) => failed(new Error(`polarysd ended with ${status}:\n${log}`)));
    server.stderr.on("data", (chunk) => {
      log += chunk;
      const found = /serving gRPC on port (\d+)/.exec(log);
      if (found) {
        clearTimeout(timer);
        done({ server, target: `127.0.0.1:${found[1]}` });
      }
    });
  });
}

const soon = () => ({ deadline: Date.now() + 20000 });
const call = (client, method, request) => new Promise((done, failed) => {
  client[method](request, soon(), (error, answer) => (error ? failed(error) : done(answer)));
});
const collect = (stream) => new Promise((done, failed) => {
  const messages = [];
  stream.on("data", (message) => messages.push(message));
  stream.on("error", failed);
  stream.on("end", () => done(messages));
});

const tests = {
  async "a document comes back as it was"({ kv }) {
    const put = await call(kv, "Put", { table: "t", key: Buffer.from("k"), value: { json: '{"a": 1.0}' } });
    const got = await call(kv, "Get", { table: "t", key: Buffer.from("k"), consistency: { at_least: put.header.token } });
    assert.equal(got.value.json, '{"a": 1.0}');
    assert.equal(got.version, put.version);
  },
  async "an error has its details"({ kv }) {
    await assert.rejects(call(kv, "Get", { table: "t", key: Buffer.from("none") }), (error) => {
      assert.equal(error.code, grpc.status.NOT_FOUND);
      const [details] = error.metadata.get("grpc-status-details-bin");
      assert.ok(details.includes("KEY_NOT_FOUND") && details.includes("polarysdb.io"));
      return true;
    });
  },
  async "a bulk write is acknowledged in order and scanned back"({ bulk, kv, query }) {
    const stream = bulk.Write(soon());
    const answers = collect(stream);
    stream.write({ open: { table: "t" } });
    for (let number = 1; number <= 50; number++) {
      const records = Array.from({ length: 100 }, (_, i) => ({
        key: Buffer.from(`b-${String(number).padStart(3, "0")}-${String(i).padStart(3, "0")}`),
        value: { raw: Buffer.alloc(200, 120) },
      }));
      stream.write({ batch: { number, records } });
    }
    stream.write({ close: {} });
    stream.end();
    const messages = await answers;
    assert.deepEqual(messages.map((message) => message.message), ["opened", ...Array(50).fill("ack"), "closed"]);
    assert.deepEqual(messages.slice(1, -1).map((message) => message.ack.number), Array.from({ length: 50 }, (_, i) => `${i + 1}`));
    assert.equal((await call(query, "Count", { table: "t" })).count, "5001");
    const parts = await collect(kv.Scan({ table: "t", range: { prefix: Buffer.from("b-") } }, soon()));
    const keys = parts.flatMap((part) => part.documents.map((document) => document.key.toString()));
    assert.equal(keys.length, 5000);
    assert.deepEqual(keys, [...keys].sort());
    assert.equal(parts.at(-1).end_reason, "SCAN_END_REASON_END_OF_RANGE");
  },
  async "a reader that pauses gets everything"({ kv }) {
    const stream = kv.Scan({ table: "t" }, soon());
    let count = 0;
    for await (const part of stream) {
      count += part.documents.length;
      await new Promise((done) => setTimeout(done, 20));
    }
    assert.equal(count, 5001);
  },
  async "many calls share one connection"({ kv }) {
    const calls = Array.from({ length: 500 }, (_, i) => call(kv, "Put", { table: "t", key: Buffer.from(`m${i}`), value: { json: `${i}` } }));
    await Promise.all(calls);
    const got = await call(kv, "Get", { table: "t", key: Buffer.from("m499") });
    assert.equal(got.value.json, "499");
  },
};

const scratch = mkdtempSync(join(tmpdir(), "polarysd-node-"));
const { server, target } = await start(join(scratch, "data"));
server.removeAllListeners("exit");
const ended = new Promise((done) => server.on("exit", done));
let failures = 0;
try {
  const types = api();
  const credentials = grpc.credentials.createInsecure();
  const clients = {
    kv: new types.KvService(target, credentials),
    tables: new types.TableService(target, credentials),
    bulk: new types.BulkService(target, credentials),
    query: new types.QueryService(target, credentials),
  };
  await call(clients.tables, "CreateTable", { table: "t" });
  for (const [name, test] of Object.entries(tests)) {
    try {
      await test(clients);
      console.log(`ok     ${name}`);
    } catch (error) {
      failures++;
      console.log(`FAILED ${name}\n${error.stack}`);
    }
  }
  Object.values(clients).forEach((client) => client.close());
} finally {
  server.kill("SIGTERM");
  const status = await ended;
  if (status !== 0) {
    failures++;
    console.log(`FAILED polarysd ended with ${status}`);
  }
  rmSync(scratch, { recursive: true, force: true });
}
console.log(`${Object.keys(tests).length - failures} passed, ${failures} failed`);
process.exit(failures ? 1 : 0);
