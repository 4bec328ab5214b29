// Package chdb is kubevalue's embedded ClickHouse: libchdb, loaded without cgo
// into a child process that serves ClickHouse's HTTP interface on a unix socket.
//
// [Start] runs the child and keeps it running, [Serve] is the child's main,
// [Install] fetches libchdb and [FindLibrary] finds it. Any ClickHouse client
// that speaks HTTP works on [Socket], clickhouse-go among them, so that the
// embedded engine and a ClickHouse server share one SQL dialect, one driver and
// one set of tests.
//
// # What the HTTP front does
//
// POST and GET with the statement in the URL's query, in the body, or split
// between both; param_<name>; database; query_id; default_format; settings in
// the URL; gzip both ways; /ping. Errors carry ClickHouse's codes. Inserts are
// streamed into the engine, and results of SELECT in the formats of
// [streamable] are streamed out of it, one block at a time. Results in other
// formats are built in memory first, because the engine would write their
// header anew with each block; the engine's memory limit bounds them.
//
// # How it differs from a ClickHouse server
//
//   - Statements run on a connection of their own each. There are no sessions
//     and no temporary tables that outlive a request (session_id is refused).
//   - ClickHouse's own block compression (compress=1, decompress=1) and external
//     tables (multipart bodies) are refused; gzip works.
//   - The engine names its queries itself: query_id is echoed in the answer but
//     KILL QUERY does not know it. Closing the connection cancels the query.
//   - Native blocks are of revision 0, what libchdb writes; the answer to
//     clickhouse-go's first request says so.
//   - There are no users: whoever may open the socket (mode 0600) may do all.
//
// The native transport of ClickHouse (clickhouse:// addresses) does not exist
// here, so nothing in this package exercises it.
package chdb
