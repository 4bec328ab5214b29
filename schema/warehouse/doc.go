// Package warehouse keeps kubevalue's tables in ClickHouse: on a server, or on the embedded engine of schema/chdb, through
// one driver and one SQL dialect. It is the only importer of clickhouse-go.
//
// [Open] takes a DSN, [DB.Migrate] makes the tables, the Insert methods write, the others read. A block of rows that is
// inserted again with the same token lands once, also after a restart of the engine.
//
// Errors are [*Error]: what failed, on which table, with ClickHouse's code. [Permanent] tells whether trying again can help.
//
// All of it is tested on the embedded engine over HTTP. The native transport (clickhouse://) and TLS use the same statements
// and settings, but the embedded engine does not speak them, so nothing here exercises their transport.
package warehouse
