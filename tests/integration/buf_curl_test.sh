#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Every RPC from `buf curl`, which knows of the protos only what the server's reflection tells it: JSON in, JSON out,
# errors with their details. The methods called are compared with the list that reflection gives. A test is a function
# test_*; a check that fails ends it.
set -euo pipefail
set +e # a check that fails ends its test, not the script

source_dir=${POLARYS_SOURCE:-$PWD}
build=${POLARYS_BUILD:-$source_dir/build}
server=${POLARYSD:-$build/polarysd}
scratch=$(mktemp -d "${TMPDIR:-/tmp}/polarys-buf-XXXXXX")
called=$scratch/called
touch "$called"

# The prefix of a sanitizer's build has no npm directory of its own.
buf=
for candidate in "$build/npm/node_modules/.bin/buf" "${build%/*}/npm/node_modules/.bin/buf" "$(command -v buf)"; do
    [[ -z $buf && -n $candidate && -x $candidate ]] && buf=$candidate
done
if [[ -z $buf ]]; then
    version=$(sed -n 's/^BUF_VERSION := *//p' "$source_dir/mk/deps.mk")
    npm install --prefix "$build/npm" --no-save --no-audit --no-fund --loglevel=error "@bufbuild/buf@$version" >/dev/null
    buf=$build/npm/node_modules/.bin/buf
fi

# A directory of its own: buf reads no configuration and no schema but the server's.
cd "$scratch" || exit 1
port=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
base=http://127.0.0.1:$port
"$server" --dev --data-dir "$scratch/data" --listen "127.0.0.1:$port" --admin-listen "" >"$scratch/server.log" 2>&1 &
server_pid=$!
trap 'kill "$server_pid" 2>/dev/null; wait "$server_pid" 2>/dev/null; rm -rf "$scratch"' EXIT
for ((tries = 0; tries < 600; tries++)); do
    (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
    kill -0 "$server_pid" 2>/dev/null || { cat "$scratch/server.log"; exit 1; }
    sleep 0.1
done

curl_buf() { "$buf" curl --protocol grpc --http2-prior-knowledge "$@"; }

# call METHOD JSON: the answer on standard output.
call() {
    echo "$1" >>"$called"
    curl_buf --data "$2" "$base/$1"
}

# check JQ-EXPRESSION JSON
check() {
    jq -e -s "$1" <<<"$2" >/dev/null || { echo "    not so: $1"; echo "    in: ${2:0:600}"; return 1; }
}

# fails CODE REASON METHOD JSON: the call must end with this code and this reason in its details.
fails() {
    local answer status
    answer=$(call "$3" "$4" 2>&1)
    status=$?
    # buf's exit status is the code of gRPC times eight, of which a shell sees the lowest byte.
    [[ $status -ne 0 && $answer == *"\"code\": \"$1\""* ]] || { echo "    $3: status $status, ${answer:0:400}"; return 1; }
    check '.[0].details[] | select(.type == "google.rpc.ErrorInfo") | .debug.reason == "'"$2"'"' "$answer" ||
        check '[.[0].details[] | select(.type == "google.rpc.ErrorInfo") | .value | @base64d | contains("'"$2"'")] | any' \
            "$answer"
}

b64() { printf '%s' "$1" | base64 -w0; }

test_list_services() {
    local listed
    listed=$(curl_buf --list-services "$base") || return 1
    curl_buf --list-methods "$base" | sort -u >"$scratch/listed" || return 1
    for service in polarys.v1.{Kv,Bulk,Table,Query,Transaction,Watch,Replication,Backup,Admin}Service grpc.health.v1.Health; do
        grep -qx "$service" <<<"$listed" || { echo "    $service is not listed: $listed"; return 1; }
    done
}

test_databases() {
    local answer
    answer=$(call polarys.v1.TableService/CreateDatabase '{"database": "curldb"}') || return 1
    check '.[0].info.database == "curldb" and (.[0].version | tonumber) > 0 and (.[0].header.token | length) > 0' \
        "$answer" || return 1
    answer=$(call polarys.v1.TableService/ListDatabases '{"pageSize": 50}') || return 1
    check '[.[0].databases[].database] == ["curldb", "default"]' "$answer" || return 1
    fails already_exists DATABASE_EXISTS polarys.v1.TableService/CreateDatabase '{"database": "curldb"}' || return 1
    call polarys.v1.TableService/DropDatabase '{"database": "curldb"}' >/dev/null || return 1
    fails not_found DATABASE_NOT_FOUND polarys.v1.TableService/DropDatabase '{"database": "curldb"}'
}

test_tables() {
    local answer
    answer=$(call polarys.v1.TableService/CreateTable '{"table": "curl"}') || return 1
    check '.[0].info.table == "curl" and .[0].info.database == "default" and .[0].info.tableId > 0' "$answer" || return 1
    answer=$(call polarys.v1.TableService/GetTable '{"table": "curl", "consistency": {"strong": true}}') || return 1
    check '.[0].info.createTime | test("^20")' "$answer" || return 1
    answer=$(call polarys.v1.TableService/ListTables '{}') || return 1
    check '[.[0].tables[].table] == ["curl"]' "$answer" || return 1
    call polarys.v1.TableService/CreateTable '{"table": "dropped"}' >/dev/null || return 1
    call polarys.v1.TableService/TruncateTable '{"table": "dropped"}' >/dev/null || return 1
    call polarys.v1.TableService/DropTable '{"table": "dropped"}' >/dev/null || return 1
    fails not_found TABLE_NOT_FOUND polarys.v1.TableService/TruncateTable '{"table": "dropped"}' || return 1
    fails invalid_argument BAD_NAME polarys.v1.TableService/CreateTable '{"table": "9"}'
}

test_documents() {
    local answer key version
    key=$(b64 'user:1')
    answer=$(call polarys.v1.KvService/Put '{"table": "curl", "key": "'"$key"'", "value": {"json": "{\"n\":9007199254740993}"},
        "durability": "DURABILITY_LOCAL_SYNC", "expireTime": "2100-01-01T00:00:00Z", "requestId": "MDEyMzQ1Njc4OWFiY2RlZg=="}') ||
        return 1
    version=$(jq -r .version <<<"$answer")
    answer=$(call polarys.v1.KvService/Get '{"table": "curl", "key": "'"$key"'"}') || return 1
    check '.[0].value.json == "{\"n\":9007199254740993}" and .[0].version == "'"$version"'"
        and .[0].expireTime == "2100-01-01T00:00:00Z"' "$answer" || return 1
    answer=$(call polarys.v1.KvService/Update '{"table": "curl", "key": "'"$key"'", "jsonPatch": "{\"m\":1}",
        "precondition": {"versionEquals": "'"$version"'"}, "clearExpireTime": true}') || return 1
    fails aborted VERSION_MISMATCH polarys.v1.KvService/Update '{"table": "curl", "key": "'"$key"'", "jsonPatch": "{}",
        "precondition": {"versionEquals": "'"$version"'"}}' || return 1
    answer=$(call polarys.v1.KvService/BatchWrite '{"table": "curl", "operations": [
        {"put": {"key": "'"$(b64 'user:2')"'", "value": {"raw": "AAEC/w=="}}},
        {"put": {"key": "'"$(b64 'user:3')"'", "value": {"json": "3"}}},
        {"delete": {"key": "'"$(b64 'user:9')"'"}}]}') || return 1
    answer=$(call polarys.v1.KvService/BatchGet '{"table": "curl", "keys": ["'"$key"'", "'"$(b64 'user:2')"'", "'"$(b64 no)"'"]}') ||
        return 1
    check '(.[0].documents | length) == 2 and .[0].documents[1].value.raw == "AAEC/w==" and .[0].missingKeys == ["'"$(b64 no)"'"]' \
        "$answer" || return 1
    answer=$(call polarys.v1.KvService/ListDocuments '{"table": "curl", "pageSize": 2, "reverse": true, "keysOnly": true}') ||
        return 1
    check '[.[0].documents[].key | @base64d] == ["user:3", "user:2"] and (.[0].nextPageToken | length) > 0' "$answer" || return 1
    answer=$(call polarys.v1.KvService/ListDocuments '{"table": "curl", "pageSize": 2, "reverse": true, "keysOnly": true,
        "pageToken": "'"$(jq -r .nextPageToken <<<"$answer")"'"}') || return 1
    check '[.[0].documents[].key | @base64d] == ["user:1"] and (.[0] | has("nextPageToken") | not)' "$answer" || return 1
    answer=$(call polarys.v1.QueryService/Count '{"table": "curl"}') || return 1
    check '.[0].count == "3"' "$answer" || return 1
    call polarys.v1.KvService/Delete '{"table": "curl", "key": "'"$key"'", "precondition": {"mustExist": true}}' >/dev/null || return 1
    call polarys.v1.KvService/DeleteRange '{"table": "curl", "range": {"prefix": "'"$(b64 'user:3')"'"}}' >/dev/null || return 1
    answer=$(call polarys.v1.QueryService/Count '{"table": "curl", "consistency": {"maxStaleness": "1s"}}') || return 1
    check '.[0].count == "1"' "$answer"
}

test_indexes_and_queries() {
    local answer
    call polarys.v1.TableService/CreateTable '{"table": "asked"}' >/dev/null || return 1
    call polarys.v1.KvService/BatchWrite '{"table": "asked", "operations": [
        {"put": {"key": "YQ==", "value": {"json": "{\"n\": 1, \"text\": \"a red fox\"}"}}},
        {"put": {"key": "Yg==", "value": {"json": "{\"n\": 2, \"text\": \"a red hen\"}"}}},
        {"put": {"key": "Yw==", "value": {"json": "{\"n\": 3, \"text\": \"a dog\"}"}}}]}' >/dev/null || return 1
    answer=$(call polarys.v1.TableService/CreateIndex '{"table": "asked", "index": "by_n", "fields": ["n"],
        "kind": "INDEX_KIND_ORDERED", "unique": true, "wait": true}') || return 1
    check '.[0].info.state == "INDEX_STATE_READY" and .[0].info.fields == ["n"] and .[0].info.unique' "$answer" || return 1
    call polarys.v1.TableService/CreateIndex '{"table": "asked", "index": "words", "fields": ["text"],
        "kind": "INDEX_KIND_TEXT", "wait": true}' >/dev/null || return 1
    fails already_exists INDEX_EXISTS polarys.v1.TableService/CreateIndex '{"table": "asked", "index": "words",
        "fields": ["n"], "kind": "INDEX_KIND_HASH"}' || return 1
    fails already_exists UNIQUE_VIOLATION polarys.v1.KvService/Put '{"table": "asked", "key": "ZA==",
        "value": {"json": "{\"n\": 2}"}}' || return 1
    answer=$(call polarys.v1.TableService/ListIndexes '{"table": "asked"}') || return 1
    check '[.[0].indexes[].index] == ["by_n", "words"]' "$answer" || return 1
    answer=$(call polarys.v1.TableService/CheckIndex '{"table": "asked", "index": "by_n"}') || return 1
    check '.[0].documentCount == "3" and .[0].entryCount == "3" and (.[0] | has("missingCount") | not)' "$answer" || return 1
    call polarys.v1.TableService/AnalyzeTable '{"table": "asked"}' >/dev/null || return 1
    answer=$(call polarys.v1.QueryService/Query '{"table": "asked", "filter": "n >= 2", "orderBy": "n desc",
        "readMask": ["n"]}') || return 1
    check '[.[].documents[]?.value.json | fromjson] == [{"n": 3}, {"n": 2}]
        and .[-1].endReason == "QUERY_END_REASON_END_OF_RESULTS"' "$answer" || return 1
    fails invalid_argument BAD_FILTER polarys.v1.QueryService/Query '{"table": "asked", "filter": "n >="}' || return 1
    answer=$(call polarys.v1.QueryService/Search '{"table": "asked", "text": "red", "withHighlights": true}') || return 1
    check '([.[].hits[]?.document.key | @base64d] | sort) == ["a", "b"] and .[0].total == "2"
        and ([.[].hits[]?.highlights[0]] | all(contains("red")))' "$answer" || return 1
    fails invalid_argument BAD_FILTER polarys.v1.QueryService/Search '{"table": "asked", "text": "\"open"}' || return 1
    answer=$(call polarys.v1.QueryService/Explain '{"table": "asked", "filter": "n = 2", "run": true}') || return 1
    check '.[0].wasRun and .[0].actualRows == "1" and (.[0].steps | length) > 0' "$answer" || return 1
    answer=$(call polarys.v1.QueryService/Count '{"table": "asked", "filter": "n < 3"}') || return 1
    check '.[0].count == "2"' "$answer" || return 1
    call polarys.v1.TableService/DropIndex '{"table": "asked", "index": "by_n"}' >/dev/null || return 1
    fails not_found INDEX_NOT_FOUND polarys.v1.TableService/DropIndex '{"table": "asked", "index": "by_n"}'
}

test_transactions() {
    local answer id
    call polarys.v1.TableService/CreateTable '{"table": "moved"}' >/dev/null || return 1
    answer=$(call polarys.v1.TransactionService/Transact '{"table": "moved",
        "compares": [{"key": "YQ==", "precondition": {"mustNotExist": true}}],
        "thenOperations": [{"put": {"key": "YQ==", "value": {"json": "1"}}}, {"get": {"key": "YQ=="}}],
        "elseOperations": [{"get": {"key": "YQ=="}}]}') || return 1
    check '.[0].succeeded and .[0].results[1].document.value.json == "1"' "$answer" || return 1
    answer=$(call polarys.v1.TransactionService/BeginTransaction '{"isolation": "ISOLATION_SERIALIZABLE",
        "mode": "TRANSACTION_MODE_PESSIMISTIC", "idleTimeout": "60s"}') || return 1
    id=$(jq -r .transaction <<<"$answer")
    call polarys.v1.KvService/Put '{"table": "moved", "key": "YQ==", "value": {"json": "2"}, "transaction": "'"$id"'"}' \
        >/dev/null || return 1
    answer=$(call polarys.v1.TransactionService/GetTransaction '{"transaction": "'"$id"'"}') || return 1
    check '.[0].state == "TRANSACTION_STATE_ACTIVE" and .[0].writeCount == "1"' "$answer" || return 1
    answer=$(call polarys.v1.TransactionService/Commit '{"transaction": "'"$id"'"}') || return 1
    check '(.[0].version | tonumber) > 0' "$answer" || return 1
    fails not_found TXN_NOT_FOUND polarys.v1.TransactionService/Rollback '{"transaction": "'"$id"'"}' || return 1
    id=$(call polarys.v1.TransactionService/BeginTransaction '{}' | jq -r .transaction)
    call polarys.v1.TransactionService/Rollback '{"transaction": "'"$id"'"}' >/dev/null || return 1
    fails not_found TXN_NOT_FOUND polarys.v1.KvService/Get '{"table": "moved", "key": "YQ==", "transaction": "'"$id"'"}'
}

test_watch() {
    local answer
    call polarys.v1.TableService/CreateTable '{"table": "watched"}' >/dev/null || return 1
    call polarys.v1.KvService/Put '{"table": "watched", "key": "YQ==", "value": {"json": "1"}}' >/dev/null || return 1
    # It has no end: it is given up by its reader.
    echo polarys.v1.WatchService/Watch >>"$called"
    answer=$(timeout 3 "$buf" curl --protocol grpc --http2-prior-knowledge --data '{"table": "watched", "withSnapshot": true}' \
        "$base/polarys.v1.WatchService/Watch")
    check '[.[].events[]? | select(.snapshotPut) | .snapshotPut.key | @base64d] == ["a"]' "$answer" || return 1
    fails not_found TABLE_NOT_FOUND polarys.v1.WatchService/Watch '{"table": "nosuch"}'
}

test_errors() {
    local answer
    fails not_found KEY_NOT_FOUND polarys.v1.KvService/Get '{"table": "curl", "key": "'"$(b64 none)"'"}' || return 1
    fails invalid_argument BAD_JSON polarys.v1.KvService/Put '{"table": "curl", "key": "eA==", "value": {"json": "{"}}' || return 1
    fails out_of_range FUTURE_VERSION polarys.v1.QueryService/Count '{"table": "curl", "consistency": {"snapshot": "99999999999"}}' ||
        return 1
    fails invalid_argument BAD_PAGE_TOKEN polarys.v1.KvService/ListDocuments '{"table": "curl", "pageToken": "wrong"}' || return 1
    answer=$(call polarys.v1.KvService/Get '{"table": "curl", "key": "'"$(b64 none)"'"}' 2>&1)
    check '[.[0].details[].type] | contains(["google.rpc.ErrorInfo", "google.rpc.ResourceInfo"])' "$answer"
}

test_streams() {
    local answer session
    answer=$(call polarys.v1.KvService/Scan '{"table": "curl", "limit": "10"}') || return 1
    check '.[0].documents[0].value.raw == "AAEC/w==" and .[-1].endReason == "SCAN_END_REASON_END_OF_RANGE"' "$answer" || return 1
    answer=$(call polarys.v1.BulkService/Write '{"open": {"table": "curl"}}
        {"batch": {"number": "1", "records": [{"key": "YQ==", "value": {"json": "1"}}, {"key": "Yg==", "value": {"json": "2"}}]}}
        {"batch": {"number": "3", "records": []}}
        {"batch": {"number": "2", "records": [{"key": "YQ==", "delete": true}]}}
        {"close": {}}') || return 1
    check '(.[0].opened.windowBytes | tonumber) > 0 and (.[1].ack.version | tonumber) > 0
        and .[2].ack.error.reason == "BAD_ARGUMENT" and .[3].ack.number == "2" and .[4].closed.lastNumber == "2"' "$answer" || return 1
    session=$(jq -r -s '.[0].opened.sessionId' <<<"$answer")
    answer=$(call polarys.v1.BulkService/Write '{"open": {"table": "curl", "sessionId": "'"$session"'", "lastAckedNumber": "2"}}
        {"close": {}}') || return 1
    check '.[0].opened.lastNumber == "2"' "$answer" || return 1
    fails out_of_range CURSOR_EXPIRED polarys.v1.BulkService/Write '{"open": {"table": "curl", "sessionId": "MDEyMzQ1Njc4OWFiY2RlZg=="}}' ||
        return 1
    answer=$(call polarys.v1.BulkService/Export '{"table": "curl", "range": {"startKey": "Yg=="}}') || return 1
    check '[.[].documents[].key | @base64d] == ["b", "user:2"]' "$answer"
}

test_admin() {
    local answer
    answer=$(call polarys.v1.AdminService/GetStatus '{}') || return 1
    check '.[0].role == "NODE_ROLE_PRIMARY" and (.[0].levels | length) > 0' "$answer" || return 1
    answer=$(call polarys.v1.AdminService/GetServerInfo '{}') || return 1
    check '[.[0].limits[] | select(.name == "value_bytes_max") | .value] == ["1048576"]' "$answer" || return 1
    answer=$(call polarys.v1.AdminService/Flush '{}') || return 1
    check '(.[0].flushedVersion | tonumber) > 0' "$answer" || return 1
    call polarys.v1.AdminService/Compact '{"table": "curl"}' >/dev/null || return 1
    answer=$(call polarys.v1.AdminService/Checkpoint '{"directory": "checkpoints/curl"}') || return 1
    check '(.[0].version | tonumber) > 0' "$answer" || return 1
    [[ -d $scratch/data/checkpoints/curl ]] || { echo "    no checkpoint"; return 1; }
    answer=$(call polarys.v1.AdminService/SetLogLevel '{"level": "LOG_LEVEL_WARN"}') || return 1
    check '.[0].previousLevel == "LOG_LEVEL_INFO"' "$answer" || return 1
    fails invalid_argument BAD_ARGUMENT polarys.v1.AdminService/SetLogLevel '{}' || return 1
    answer=$(call polarys.v1.AdminService/ReportBackup '{"place": "curl", "result": "BACKUP_RESULT_DONE",
        "attemptTime": "2026-01-02T03:04:05Z", "newest": {"createTime": "2026-01-02T03:04:06Z", "version": "7"}}') || return 1
    check '(.[0].header.storeId | length) > 0' "$answer" || return 1
    fails invalid_argument BAD_ARGUMENT polarys.v1.AdminService/ReportBackup '{"place": "curl"}'
}

test_replication() {
    local answer end
    answer=$(call polarys.v1.ReplicationService/Handshake '{"node": "curl"}') || return 1
    check '(.[0].keyring | @base64d | startswith("PLRSKEYS")) and (.[0].end.segmentId | tonumber) > 0' "$answer" || return 1
    end=$(jq -c '.end' <<<"$answer")
    fails invalid_argument BAD_NAME polarys.v1.ReplicationService/Handshake '{"node": "-"}' || return 1
    call polarys.v1.ReplicationService/CreateSlot '{"slot": "curl"}' >/dev/null || return 1
    answer=$(call polarys.v1.ReplicationService/ListSlots '{}') || return 1
    check '[.[0].slots[].name] == ["curl"]' "$answer" || return 1
    # It has no end either.
    echo polarys.v1.ReplicationService/TailLog >>"$called"
    answer=$({ printf '%s' '{"start": {"node": {"node": "curl", "position": '"$end"'}, "slot": "curl", "heartbeatInterval": "0.1s"}}'; sleep 3; } |
        timeout 3 "$buf" curl --protocol grpc --http2-prior-knowledge --data @- "$base/polarys.v1.ReplicationService/TailLog")
    check '(.[0].header.storeId | length) > 0 and ([.[].sendTime | select(.)] | length) > 1' "$answer" || return 1
    call polarys.v1.ReplicationService/DropSlot '{"slot": "curl"}' >/dev/null || return 1
    fails not_found SLOT_NOT_FOUND polarys.v1.ReplicationService/DropSlot '{"slot": "curl"}' || return 1
    answer=$(call polarys.v1.AdminService/Promote '{}') || return 1
    check '(.[0].term | tonumber) > 0' "$answer" || return 1
    answer=$(call polarys.v1.ReplicationService/ListMembers '{}') || return 1
    check '.[0].nodeCount == 1 and (.[0].members | length) == 0' "$answer" || return 1
    fails invalid_argument BAD_ARGUMENT polarys.v1.ReplicationService/RemoveMember '{"name": "nobody"}' || return 1
    fails failed_precondition WRONG_STORE polarys.v1.ReplicationService/SealTerm \
        '{"node": "curl", "storeId": "AAAAAAAAAAAAAAAAAAAAAA=="}' || return 1
    fails invalid_argument BAD_ARGUMENT polarys.v1.AdminService/Switchover '{"name": "nobody"}' || return 1
    fails unavailable NO_PRIMARY polarys.v1.AdminService/Demote '{"primaryAddress": "127.0.0.1:1"}'
}

test_copies() {
    local method node answer
    for method in ReplicationService/Bootstrap BackupService/StreamBackup; do
        node=
        [[ $method == */Bootstrap ]] && node='"node": "curl"'
        answer=$(call "polarys.v1.$method" "{$node}") || return 1
        check '([.[0].manifest.files[].path] | contains(["keyring"])) and (.[-1].end.segmentId | tonumber) > 0
            and ([.[].pieces[]?.data | select(.) | length] | add) > 4000' "$answer" || return 1
        fails out_of_range CURSOR_EXPIRED "polarys.v1.$method" \
            "{${node:+$node, }"'"copyId": "MDEyMzQ1Njc4OWFiY2RlZg==", "file": "keyring"}' || return 1
    done
}

test_health_and_reflection() {
    local answer version
    answer=$(call grpc.health.v1.Health/Check '{"service": "polarys.v1.KvService"}') || return 1
    check '.[0].status == "SERVING"' "$answer" || return 1
    # A watch has no end: it is given up by its reader.
    echo grpc.health.v1.Health/Watch >>"$called"
    answer=$(timeout 3 "$buf" curl --protocol grpc --http2-prior-knowledge --data '{}' "$base/grpc.health.v1.Health/Watch")
    check '.[0].status == "SERVING"' "$answer" || return 1
    for version in v1 v1alpha; do
        answer=$(call "grpc.reflection.$version.ServerReflection/ServerReflectionInfo" '{"listServices": "*"}
            {"fileContainingSymbol": "polarys.v1.KvService"}') || return 1
        check '([.[0].listServicesResponse.service[].name] | index("polarys.v1.KvService")) != null
            and (.[1].fileDescriptorResponse.fileDescriptorProto | length) > 1' "$answer" || return 1
        curl_buf --reflect-protocol "grpc-$version" --list-methods "$base" >/dev/null || return 1
    done
}

# The snippets of docs/clients.md for the shell, in a directory that has the protos.
test_snippets() {
    local answer
    mkdir -p "$scratch/snippets" && ln -sfn "$source_dir/proto" "$scratch/snippets/proto"
    sed -n '/^```sh$/,/^```$/ { /^```/d; p }' "$source_dir/docs/clients.md" |
        sed "s/127\.0\.0\.1:7480/127.0.0.1:$port/" >"$scratch/snippets/run.sh"
    [[ $(wc -l <"$scratch/snippets/run.sh") -gt 10 ]] || { echo "    no snippets for the shell"; return 1; }
    answer=$(cd "$scratch/snippets" && PATH=${buf%/*}:$PATH bash -eu run.sh) || { echo "    $answer"; return 1; }
    [[ -f $scratch/snippets/gen/polarys/v1/kv_pb2_grpc.py ]] || { echo "    no modules were made"; return 1; }
    grep -q '^polarys.v1.KvService/Scan$' <<<"$answer" || { echo "    not listed: $answer"; return 1; }
    answer=$(sed -n '/^{/,$p' <<<"$answer")
    check '[.[] | select(.value) | .value.json] == ["{\"text\":\"hello\"}"] and (.[-1].count // "0") == "0"' "$answer"
}

# After all others: what is drained takes no more calls.
test_drain() {
    local answer
    fails invalid_argument BAD_ARGUMENT polarys.v1.AdminService/Drain '{"grace": "-1s"}' || return 1
    answer=$(call polarys.v1.AdminService/Drain '{"grace": "2s"}') || return 1
    check '(.[0].header.storeId | length) > 0' "$answer" || return 1
    answer=$(call grpc.health.v1.Health/Check '{}') || return 1
    check '.[0].status == "NOT_SERVING"' "$answer"
}

test_every_method_was_called() {
    local lacking
    [[ $(wc -l <"$scratch/listed") -gt 20 ]] || { echo "    only: $(<"$scratch/listed")"; return 1; }
    lacking=$(comm -23 "$scratch/listed" <(sort -u "$called"))
    [[ -z $lacking ]] || { echo "    never called: $lacking"; return 1; }
}

passed=0
failed=0
for name in test_list_services test_databases test_tables test_documents \
    test_indexes_and_queries test_transactions test_watch test_errors test_streams test_admin test_replication test_copies \
    test_health_and_reflection test_snippets test_drain test_every_method_was_called; do
    if output=$("$name" 2>&1); then
        passed=$((passed + 1))
        echo "ok      $name"
    else
        failed=$((failed + 1))
        echo "FAILED  $name"
        echo "$output"
    fi
done
echo "$passed passed, $failed failed"
[[ $failed -eq 0 && $passed -gt 0 ]]
