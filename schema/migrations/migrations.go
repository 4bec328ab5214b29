// Package migrations holds the statements that make the tables, in the order of their file names. Files are append-only: a
// file that has been released is never changed, and every statement in it can be repeated.
package migrations

import "embed"

// FS holds the files NNNN_name.sql.
//
//go:embed *.sql
var FS embed.FS
