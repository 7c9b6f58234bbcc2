/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handlers that the table of methods names, one file a service. Each gets a call whose request
 * is unpacked, whose common fields are checked and which is authorized, and answers it or hands it
 * over.
 */
#ifndef SERVICE_RPC_HANDLERS_H
#define SERVICE_RPC_HANDLERS_H

#ifdef __cplusplus
extern "C" {
#endif

struct call;

/* KvService */
void kv_get(struct call *call);
void kv_batch_get(struct call *call);
void kv_put(struct call *call);
void kv_update(struct call *call);
void kv_delete(struct call *call);
void kv_batch_write(struct call *call);
void kv_list_documents(struct call *call);
void kv_delete_range(struct call *call);
void kv_scan(struct call *call);

/* BulkService */
void bulk_write(struct call *call);
void bulk_export(struct call *call);

/* TableService */
void table_create_database(struct call *call);
void table_list_databases(struct call *call);
void table_drop_database(struct call *call);
void table_create_table(struct call *call);
void table_get_table(struct call *call);
void table_list_tables(struct call *call);
void table_drop_table(struct call *call);
void table_truncate_table(struct call *call);
void table_create_index(struct call *call);
void table_drop_index(struct call *call);
void table_list_indexes(struct call *call);
void table_check_index(struct call *call);
void table_analyze_table(struct call *call);

/* QueryService */
void query_query(struct call *call);
void query_search(struct call *call);
void query_count(struct call *call);
void query_explain(struct call *call);

/* TransactionService */
void transaction_transact(struct call *call);
void transaction_begin(struct call *call);
void transaction_commit(struct call *call);
void transaction_rollback(struct call *call);
void transaction_get(struct call *call);

/* WatchService */
void watch_watch(struct call *call);

/* ReplicationService: the copy of the store */
void replication_bootstrap(struct call *call);

/* BackupService */
void backup_stream_backup(struct call *call);

/* ReplicationService */
void replication_handshake(struct call *call);
void replication_create_slot(struct call *call);
void replication_list_slots(struct call *call);
void replication_drop_slot(struct call *call);
void replication_list_members(struct call *call);
void replication_remove_member(struct call *call);
void replication_seal_term(struct call *call);
void replication_tail_log(struct call *call);

/* AdminService */
void admin_get_status(struct call *call);
void admin_get_server_info(struct call *call);
void admin_flush(struct call *call);
void admin_compact(struct call *call);
void admin_checkpoint(struct call *call);
void admin_drain(struct call *call);
void admin_promote(struct call *call);
void admin_switchover(struct call *call);
void admin_demote(struct call *call);
void admin_set_log_level(struct call *call);
void admin_report_backup(struct call *call);

/* grpc.health.v1 and reflection */
void health_check(struct call *call);
void health_watch(struct call *call);
void reflection_info(struct call *call);

#ifdef __cplusplus
}
#endif

#endif
