package chdb

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParseStatement(t *testing.T) {
	for _, tc := range []struct {
		text string
		want statement
		err  string
	}{
		{"SELECT 1", statement{kind: kindSelect, sql: "SELECT 1"}, ""},
		{"select 1 format JSON", statement{kind: kindSelect, sql: "select 1 format JSON", format: "JSON"}, ""},
		{"SELECT 'FORMAT CSV' /* FORMAT TSV */ -- FORMAT XML", statement{kind: kindSelect, sql: "SELECT 'FORMAT CSV' /* FORMAT TSV */ -- FORMAT XML"}, ""},
		{"SELECT (SELECT 1 FORMAT Null)", statement{kind: kindSelect, sql: "SELECT (SELECT 1 FORMAT Null)"}, ""},
		{"SELECT 1 FORMAT CSV SETTINGS x = 1", statement{kind: kindSelect, sql: "SELECT 1 FORMAT CSV SETTINGS x = 1", format: "CSV"}, ""},
		{"SELECT $q$ ; ' $q$, $1", statement{kind: kindSelect, sql: "SELECT $q$ ; ' $q$, $1"}, ""},
		{"SELECT 'it''s; \\'; ', `a\\`;`", statement{kind: kindSelect, sql: "SELECT 'it''s; \\'; ', `a\\`;`"}, ""},
		{"\ufeff/* a */ # b\n\u00a0WITH 1 AS x SELECT x;", statement{kind: kindSelect, sql: "\ufeff/* a */ # b\n\u00a0WITH 1 AS x SELECT x;"}, ""},
		{"SHOW TABLES", statement{kind: kindOther, sql: "SHOW TABLES"}, ""},
		{"SELECT 1;;", statement{kind: kindSelect, sql: "SELECT 1;;"}, ""},
		{"SELECT 1; SELECT 2", statement{}, "Multi-statements"},
		{"SELECT 'cut", statement{kind: kindSelect, sql: "SELECT 'cut"}, ""},
		{"", statement{}, "Empty query"},
		{" -- nothing", statement{}, "Empty query"},
		{"SELECT '\x00'", statement{}, "NUL"},
		{"INSERT INTO t VALUES (1)", statement{kind: kindInsert, sql: "INSERT INTO t ", format: "Values", data: "(1)"}, ""},
		{"INSERT INTO values VALUES (';')", statement{kind: kindInsert, sql: "INSERT INTO values ", format: "Values", data: "(';')"}, ""},
		{"INSERT INTO format.select FORMAT CSV \t\r\n\n1", statement{kind: kindInsert, sql: "INSERT INTO format.select ", format: "CSV", data: "\n1"}, ""},
		{"INSERT INTO t (a, format, `values`) FORMAT RowBinary\n\x00;", statement{kind: kindInsert, sql: "INSERT INTO t (a, format, `values`) ", format: "RowBinary", data: "\x00;"}, ""},
		{"INSERT INTO t SETTINGS a = 'FORMAT x' FORMAT TSV\n", statement{kind: kindInsert, sql: "INSERT INTO t SETTINGS a = 'FORMAT x' ", format: "TSV"}, ""},
		{"INSERT INTO FUNCTION null('x') VALUES (1)", statement{kind: kindInsert, sql: "INSERT INTO FUNCTION null('x') ", format: "Values", data: "(1)"}, ""},
		{"INSERT INTO t", statement{kind: kindInsert, sql: "INSERT INTO t", format: "Values"}, ""},
		{"INSERT t FORMAT CSV 1", statement{kind: kindInsert, sql: "INSERT t ", format: "CSV", data: "1"}, ""},
		{"INSERT INTO t SELECT 'VALUES'", statement{kind: kindOther, sql: "INSERT INTO t SELECT 'VALUES'"}, ""},
		{"INSERT INTO t (a) (WITH 1 AS x SELECT x)", statement{kind: kindOther, sql: "INSERT INTO t (a) (WITH 1 AS x SELECT x)"}, ""},
		{"INSERT INTO t SELECT 1; SELECT 2", statement{}, "Multi-statements"},
		{"INSERT INTO t SELECT * FROM input('a Int8')", statement{}, "input()"},
		{"INSERT INTO t FROM INFILE 'x' FORMAT CSV", statement{}, "INFILE"},
		{"INSERT INTO `t\x00` VALUES (1)", statement{}, "NUL"},
	} {
		got, err := parseStatement(tc.text, false)
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%q: got error %v, want %q", tc.text, err, tc.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", tc.text, err)
		}
		if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(statement{})); diff != "" {
			t.Errorf("%q: %s", tc.text, diff)
		}
	}
}

// TestACutStatementIsNeverMistaken feeds beginnings of a statement: each asks for
// more of it, or finds what the whole has.
func TestACutStatementIsNeverMistaken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom([]string{
			"INSERT INTO db.t (a, `b`) SETTINGS x = 'FORMAT' /* VALUES */ FORMAT JSONEachRow\n{\"a\":1}",
			"INSERT INTO t -- (SELECT\n VALUES (1), ('FORMAT CSV')",
			"INSERT INTO t (a) (SELECT 1)", "INSERT INTO t SELECT 1", "SELECT 'INSERT INTO t VALUES'", "(((SELECT 1)))", "/* INSERT */ OPTIMIZE TABLE t",
		}).Draw(t, "text")
		whole, err := parseStatement(text, false)
		if err != nil {
			t.Fatal(err)
		}
		cut := rapid.IntRange(0, len(text)).Draw(t, "cut")
		part, err := parseStatement(text[:cut], true)
		if errors.Is(err, errCut) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		whole.data, part.data = "", ""
		if part != whole {
			t.Fatalf("%q is %+v, its beginning %q is %+v", text, whole, text[:cut], part)
		}
	})
}

func TestNewExceptionUnwrapsLayers(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"Code: 36. DB::Exception: Code: 36. DB::Exception: Code: 36. DB::Exception: Column. (BAD_ARGUMENTS) (version 26.7.2.1). (BAD_ARGUMENTS) (version 26.7.2.1). (BAD_ARGUMENTS)",
			"Code: 36. DB::Exception: Column. (BAD_ARGUMENTS)"},
		{"Code: 117. DB::Exception: Expected (x). (INCORRECT_DATA) (version 26.7.2.1)", "Code: 117. DB::Exception: Expected (x). (INCORRECT_DATA)"},
		{"Error: Code: 60. DB::Exception: No", "Code: 60. DB::Exception: No"},
		{"no code at all", "Code: 1002. DB::Exception: no code at all"},
		{"Code: 395. DB::Exception: Code: 1 is what the user wrote", "Code: 395. DB::Exception: Code: 1 is what the user wrote"},
	} {
		if got := newException(tc.text).Error(); got != tc.want {
			t.Errorf("%q:\ngot  %s\nwant %s", tc.text, got, tc.want)
		}
	}
}
