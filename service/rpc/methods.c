/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of methods. A new RPC is a row here and a handler; a test compares the table with the
 * published descriptors, so that none is forgotten.
 */
#include "grpc/health/v1/health.pb-c.h"
#include "polarys/v1/admin.pb-c.h"
#include "polarys/v1/backup.pb-c.h"
#include "polarys/v1/bulk.pb-c.h"
#include "polarys/v1/kv.pb-c.h"
#include "polarys/v1/query.pb-c.h"
#include "polarys/v1/replication.pb-c.h"
#include "polarys/v1/table.pb-c.h"
#include "polarys/v1/transaction.pb-c.h"
#include "polarys/v1/watch.pb-c.h"
#include "service/rpc/handlers.h"
#include "service/rpc/method.h"

#define KV "/polarys.v1.KvService/"
#define BULK "/polarys.v1.BulkService/"
#define TABLE "/polarys.v1.TableService/"
#define QUERY "/polarys.v1.QueryService/"
#define WATCH "/polarys.v1.WatchService/"
#define TXN "/polarys.v1.TransactionService/"
#define REPLICATION "/polarys.v1.ReplicationService/"
#define BACKUP "/polarys.v1.BackupService/"
#define ADMIN "/polarys.v1.AdminService/"
#define HEALTH "/grpc.health.v1.Health/"

#define AT(message, name) offsetof(Polarys__V1__##message, name)

/* The common fields that requests of one sort have. */
#define FIELDS_READ_KEY(m)                                                                         \
    {                                                                                              \
        AT(m, database), AT(m, table), AT(m, key), AT(m, consistency), AT(m, transaction), 0, 0    \
    }
#define FIELDS_READ(m)                                                                             \
    {                                                                                              \
        AT(m, database), AT(m, table), 0, AT(m, consistency), AT(m, transaction), 0, 0             \
    }
#define FIELDS_WRITE_KEY(m)                                                                        \
    {                                                                                              \
        AT(m, database), AT(m, table), AT(m, key), 0, AT(m, transaction), AT(m, durability),       \
            AT(m, request_id)                                                                      \
    }
#define FIELDS_WRITE(m)                                                                            \
    {                                                                                              \
        AT(m, database), AT(m, table), 0, 0, AT(m, transaction), AT(m, durability),                \
            AT(m, request_id)                                                                      \
    }
#define FIELDS_DATABASE_CHANGE(m)                                                                  \
    {                                                                                              \
        AT(m, database), 0, 0, 0, 0, AT(m, durability), AT(m, request_id)                          \
    }
#define FIELDS_TABLE_CHANGE(m)                                                                     \
    {                                                                                              \
        AT(m, database), AT(m, table), 0, 0, 0, AT(m, durability), AT(m, request_id)               \
    }
#define FIELDS_TABLE(m)                                                                            \
    {                                                                                              \
        AT(m, database), AT(m, table), 0, 0, 0, 0, 0                                               \
    }
#define FIELDS_TXN(m)                                                                              \
    {                                                                                              \
        AT(m, database), 0, 0, 0, AT(m, transaction), 0, 0                                         \
    }
#define FIELDS_NONE                                                                                \
    {                                                                                              \
        0                                                                                          \
    }

static const struct method methods[] = {
    {KV "Get", METHOD_UNARY, AUTHORIZE_READ, METHOD_HOT, &polarys__v1__get_request__descriptor,
     kv_get, FIELDS_READ_KEY(GetRequest)},
    {KV "BatchGet", METHOD_UNARY, AUTHORIZE_READ, 0, &polarys__v1__batch_get_request__descriptor,
     kv_batch_get, FIELDS_READ(BatchGetRequest)},
    {KV "Put", METHOD_UNARY, AUTHORIZE_WRITE, METHOD_HOT, &polarys__v1__put_request__descriptor,
     kv_put, FIELDS_WRITE_KEY(PutRequest)},
    {KV "Update", METHOD_UNARY, AUTHORIZE_WRITE, 0, &polarys__v1__update_request__descriptor,
     kv_update, FIELDS_WRITE_KEY(UpdateRequest)},
    {KV "Delete", METHOD_UNARY, AUTHORIZE_WRITE, 0, &polarys__v1__delete_request__descriptor,
     kv_delete, FIELDS_WRITE_KEY(DeleteRequest)},
    {KV "BatchWrite", METHOD_UNARY, AUTHORIZE_WRITE, METHOD_TABLE_OPTIONAL,
     &polarys__v1__batch_write_request__descriptor, kv_batch_write,
     FIELDS_WRITE(BatchWriteRequest)},
    {KV "ListDocuments", METHOD_UNARY, AUTHORIZE_READ, 0,
     &polarys__v1__list_documents_request__descriptor, kv_list_documents,
     FIELDS_READ(ListDocumentsRequest)},
    {KV "DeleteRange", METHOD_UNARY, AUTHORIZE_WRITE, 0,
     &polarys__v1__delete_range_request__descriptor, kv_delete_range,
     FIELDS_WRITE(DeleteRangeRequest)},
    {KV "Scan", METHOD_STREAM, AUTHORIZE_READ, 0, &polarys__v1__scan_request__descriptor, kv_scan,
     FIELDS_READ(ScanRequest)},

    {BULK "Write", METHOD_BIDI, AUTHORIZE_WRITE, 0, NULL, bulk_write, FIELDS_NONE},
    {BULK "Export",
     METHOD_STREAM,
     AUTHORIZE_READ,
     0,
     &polarys__v1__export_request__descriptor,
     bulk_export,
     {AT(ExportRequest, database), AT(ExportRequest, table), 0, AT(ExportRequest, consistency), 0,
      0, 0}},

    {TABLE "CreateDatabase", METHOD_BLOCKING, AUTHORIZE_SCHEMA, METHOD_DATABASE_REQUIRED,
     &polarys__v1__create_database_request__descriptor, table_create_database,
     FIELDS_DATABASE_CHANGE(CreateDatabaseRequest)},
    {TABLE "ListDatabases",
     METHOD_BLOCKING,
     AUTHORIZE_LIST,
     0,
     &polarys__v1__list_databases_request__descriptor,
     table_list_databases,
     {0, 0, 0, AT(ListDatabasesRequest, consistency), 0, 0, 0}},
    {TABLE "DropDatabase", METHOD_BLOCKING, AUTHORIZE_SCHEMA, METHOD_DATABASE_REQUIRED,
     &polarys__v1__drop_database_request__descriptor, table_drop_database,
     FIELDS_DATABASE_CHANGE(DropDatabaseRequest)},
    {TABLE "CreateTable", METHOD_BLOCKING, AUTHORIZE_SCHEMA, 0,
     &polarys__v1__create_table_request__descriptor, table_create_table,
     FIELDS_TABLE_CHANGE(CreateTableRequest)},
    {TABLE "GetTable",
     METHOD_BLOCKING,
     AUTHORIZE_LIST,
     0,
     &polarys__v1__get_table_request__descriptor,
     table_get_table,
     {AT(GetTableRequest, database), AT(GetTableRequest, table), 0,
      AT(GetTableRequest, consistency), 0, 0, 0}},
    {TABLE "ListTables",
     METHOD_BLOCKING,
     AUTHORIZE_LIST,
     0,
     &polarys__v1__list_tables_request__descriptor,
     table_list_tables,
     {AT(ListTablesRequest, database), 0, 0, AT(ListTablesRequest, consistency), 0, 0, 0}},
    {TABLE "DropTable", METHOD_BLOCKING, AUTHORIZE_SCHEMA, 0,
     &polarys__v1__drop_table_request__descriptor, table_drop_table,
     FIELDS_TABLE_CHANGE(DropTableRequest)},
    {TABLE "TruncateTable", METHOD_BLOCKING, AUTHORIZE_WRITE, 0,
     &polarys__v1__truncate_table_request__descriptor, table_truncate_table,
     FIELDS_TABLE_CHANGE(TruncateTableRequest)},

    {TABLE "CreateIndex", METHOD_UNARY, AUTHORIZE_SCHEMA, METHOD_WATCH_CLOSE,
     &polarys__v1__create_index_request__descriptor, table_create_index,
     FIELDS_TABLE_CHANGE(CreateIndexRequest)},
    {TABLE "DropIndex", METHOD_BLOCKING, AUTHORIZE_SCHEMA, 0,
     &polarys__v1__drop_index_request__descriptor, table_drop_index,
     FIELDS_TABLE_CHANGE(DropIndexRequest)},
    {TABLE "ListIndexes",
     METHOD_BLOCKING,
     AUTHORIZE_LIST,
     0,
     &polarys__v1__list_indexes_request__descriptor,
     table_list_indexes,
     {AT(ListIndexesRequest, database), AT(ListIndexesRequest, table), 0,
      AT(ListIndexesRequest, consistency), 0, 0, 0}},
    {TABLE "CheckIndex", METHOD_BLOCKING, AUTHORIZE_READ, METHOD_WATCH_CLOSE,
     &polarys__v1__check_index_request__descriptor, table_check_index,
     FIELDS_TABLE(CheckIndexRequest)},
    {TABLE "AnalyzeTable", METHOD_BLOCKING, AUTHORIZE_OPERATE, 0,
     &polarys__v1__analyze_table_request__descriptor, table_analyze_table,
     FIELDS_TABLE(AnalyzeTableRequest)},

    {QUERY "Query", METHOD_STREAM, AUTHORIZE_READ, METHOD_CLOSE_LATER,
     &polarys__v1__query_request__descriptor, query_query, FIELDS_READ(QueryRequest)},
    {QUERY "Search", METHOD_STREAM, AUTHORIZE_READ, 0, &polarys__v1__search_request__descriptor,
     query_search, FIELDS_READ(SearchRequest)},
    {QUERY "Count", METHOD_UNARY, AUTHORIZE_READ, METHOD_WATCH_CLOSE,
     &polarys__v1__count_request__descriptor, query_count, FIELDS_READ(CountRequest)},
    {QUERY "Explain", METHOD_UNARY, AUTHORIZE_READ, METHOD_WATCH_CLOSE,
     &polarys__v1__explain_request__descriptor, query_explain, FIELDS_READ(ExplainRequest)},

    {TXN "Transact",
     METHOD_UNARY,
     AUTHORIZE_READ, /* the handler checks each operation */
     METHOD_TABLE_OPTIONAL,
     &polarys__v1__transact_request__descriptor,
     transaction_transact,
     {AT(TransactRequest, database), AT(TransactRequest, table), 0, 0, 0,
      AT(TransactRequest, durability), AT(TransactRequest, request_id)}},
    {TXN "BeginTransaction",
     METHOD_UNARY,
     AUTHORIZE_READ,
     0,
     &polarys__v1__begin_transaction_request__descriptor,
     transaction_begin,
     {AT(BeginTransactionRequest, database), 0, 0, 0, 0, 0, 0}},
    {TXN "Commit",
     METHOD_UNARY,
     AUTHORIZE_READ,
     METHOD_TXN_ITSELF,
     &polarys__v1__commit_request__descriptor,
     transaction_commit,
     {AT(CommitRequest, database), 0, 0, 0, AT(CommitRequest, transaction),
      AT(CommitRequest, durability), 0}},
    {TXN "Rollback", METHOD_UNARY, AUTHORIZE_READ, METHOD_TXN_ITSELF,
     &polarys__v1__rollback_request__descriptor, transaction_rollback, FIELDS_TXN(RollbackRequest)},
    {TXN "GetTransaction", METHOD_BLOCKING, AUTHORIZE_READ, METHOD_TXN_ITSELF,
     &polarys__v1__get_transaction_request__descriptor, transaction_get,
     FIELDS_TXN(GetTransactionRequest)},

    {WATCH "Watch",
     METHOD_STREAM,
     AUTHORIZE_READ,
     0,
     &polarys__v1__watch_request__descriptor,
     watch_watch,
     {AT(WatchRequest, database), AT(WatchRequest, table), 0, 0, 0, 0, 0}},

    {REPLICATION "Bootstrap", METHOD_STREAM, AUTHORIZE_OPERATE, 0,
     &polarys__v1__bootstrap_request__descriptor, replication_bootstrap, FIELDS_NONE},

    {BACKUP "StreamBackup", METHOD_STREAM, AUTHORIZE_OPERATE, 0,
     &polarys__v1__stream_backup_request__descriptor, backup_stream_backup, FIELDS_NONE},

    {REPLICATION "Handshake", METHOD_BLOCKING, AUTHORIZE_REPLICATE, 0,
     &polarys__v1__handshake_request__descriptor, replication_handshake, FIELDS_NONE},
    {REPLICATION "CreateSlot", METHOD_BLOCKING, AUTHORIZE_REPLICATE, 0,
     &polarys__v1__create_slot_request__descriptor, replication_create_slot, FIELDS_NONE},
    {REPLICATION "ListSlots", METHOD_BLOCKING, AUTHORIZE_MONITOR, 0,
     &polarys__v1__list_slots_request__descriptor, replication_list_slots, FIELDS_NONE},
    {REPLICATION "DropSlot", METHOD_BLOCKING, AUTHORIZE_REPLICATE, 0,
     &polarys__v1__drop_slot_request__descriptor, replication_drop_slot, FIELDS_NONE},
    {REPLICATION "ListMembers", METHOD_BLOCKING, AUTHORIZE_MONITOR, 0,
     &polarys__v1__list_members_request__descriptor, replication_list_members, FIELDS_NONE},
    {REPLICATION "RemoveMember", METHOD_BLOCKING, AUTHORIZE_OPERATE, 0,
     &polarys__v1__remove_member_request__descriptor, replication_remove_member, FIELDS_NONE},
    {REPLICATION "SealTerm", METHOD_BLOCKING, AUTHORIZE_REPLICATE, 0,
     &polarys__v1__seal_term_request__descriptor, replication_seal_term, FIELDS_NONE},
    {REPLICATION "TailLog", METHOD_BIDI, AUTHORIZE_REPLICATE, 0, NULL, replication_tail_log,
     FIELDS_NONE},

    {ADMIN "GetStatus", METHOD_BLOCKING, AUTHORIZE_MONITOR, METHOD_WHILE_DRAINING,
     &polarys__v1__get_status_request__descriptor, admin_get_status, FIELDS_NONE},
    {ADMIN "GetServerInfo", METHOD_UNARY, AUTHORIZE_MONITOR, METHOD_WHILE_DRAINING,
     &polarys__v1__get_server_info_request__descriptor, admin_get_server_info, FIELDS_NONE},
    {ADMIN "Flush", METHOD_BLOCKING, AUTHORIZE_OPERATE, 0, &polarys__v1__flush_request__descriptor,
     admin_flush, FIELDS_NONE},
    {ADMIN "Compact",
     METHOD_BLOCKING,
     AUTHORIZE_OPERATE,
     METHOD_TABLE_OPTIONAL,
     &polarys__v1__compact_request__descriptor,
     admin_compact,
     {AT(CompactRequest, database), AT(CompactRequest, table), 0, 0, 0, 0, 0}},
    {ADMIN "Checkpoint", METHOD_BLOCKING, AUTHORIZE_OPERATE, 0,
     &polarys__v1__checkpoint_request__descriptor, admin_checkpoint, FIELDS_NONE},
    {ADMIN "Drain", METHOD_UNARY, AUTHORIZE_OPERATE, METHOD_WHILE_DRAINING,
     &polarys__v1__drain_request__descriptor, admin_drain, FIELDS_NONE},
    {ADMIN "Promote", METHOD_BLOCKING, AUTHORIZE_OPERATE, 0,
     &polarys__v1__promote_request__descriptor, admin_promote, FIELDS_NONE},
    {ADMIN "Switchover", METHOD_BLOCKING, AUTHORIZE_OPERATE, 0,
     &polarys__v1__switchover_request__descriptor, admin_switchover, FIELDS_NONE},
    {ADMIN "Demote", METHOD_BLOCKING, AUTHORIZE_OPERATE, 0,
     &polarys__v1__demote_request__descriptor, admin_demote, FIELDS_NONE},
    {ADMIN "SetLogLevel", METHOD_UNARY, AUTHORIZE_OPERATE, METHOD_WHILE_DRAINING,
     &polarys__v1__set_log_level_request__descriptor, admin_set_log_level, FIELDS_NONE},
    {ADMIN "ReportBackup", METHOD_UNARY, AUTHORIZE_OPERATE, 0,
     &polarys__v1__report_backup_request__descriptor, admin_report_backup, FIELDS_NONE},

    {HEALTH "Check", METHOD_UNARY, AUTHORIZE_PROBE, METHOD_WHILE_DRAINING,
     &grpc__health__v1__health_check_request__descriptor, health_check, FIELDS_NONE},
    {HEALTH "Watch", METHOD_STREAM, AUTHORIZE_PROBE, METHOD_WHILE_DRAINING,
     &grpc__health__v1__health_check_request__descriptor, health_watch, FIELDS_NONE},
    {"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", METHOD_BIDI, AUTHORIZE_PROBE, 0,
     NULL, reflection_info, FIELDS_NONE},
    {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", METHOD_BIDI, AUTHORIZE_PROBE,
     0, NULL, reflection_info, FIELDS_NONE},
};

_Static_assert(sizeof(methods) / sizeof(methods[0]) <= METHOD_COUNT_MAX,
               "room in the server's arrays");

const struct method *method_table(size_t *count)
{
    *count = sizeof(methods) / sizeof(methods[0]);
    return methods;
}
