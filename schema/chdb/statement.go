package chdb

import (
	"errors"
	"strings"
)

// statementKind is how a statement is run.
type statementKind uint8

const (
	kindOther  statementKind = iota // run to its end, then answered
	kindSelect                      // may be streamed
	kindInsert                      // an INSERT with data, run by an insertion
)

// statement is one SQL statement, split where the engine's interface needs it.
type statement struct {
	kind   statementKind
	sql    string // of an INSERT: what stands before VALUES or FORMAT
	format string // of the FORMAT clause: of the result, or of an INSERT's data
	data   string // what of an INSERT's data follows in the text
}

// errCut says that the text ends before the statement can be told.
var errCut = errors.New("the statement is cut off")

// errNUL refuses what the engine would cut.
var errNUL = exceptionf(codeSyntaxError, "Syntax error: the statement holds a NUL byte, which only the data of an INSERT may")

// parseStatement tells what kind of statement text is. With more set, text is
// only the beginning of what a client sends, and errCut means that more of it
// is needed. What is wrong with a statement is otherwise left to the engine to
// say, which does so better.
func parseStatement(text string, more bool) (statement, error) {
	l := &lexer{sql: text}
	first := l.next()
	for first.is("(") {
		first = l.next()
	}
	if first.is("INSERT") {
		return parseInsert(l, more)
	}
	if more {
		return statement{}, errCut
	}
	if first.kind == tokenEnd {
		return statement{}, exceptionf(codeSyntaxError, "Syntax error: Empty query")
	}
	if strings.IndexByte(text, 0) >= 0 {
		return statement{}, errNUL
	}
	s := statement{kind: kindOther, sql: text}
	if first.is("SELECT") || first.is("WITH") || first.is("FROM") {
		s.kind = kindSelect
	}
	for t := first; t.kind != tokenEnd && t.kind != tokenCut; t = l.next() {
		switch {
		case t.is(";"):
			if next := l.next(); next.kind != tokenEnd && !next.is(";") {
				return statement{}, exceptionf(codeSyntaxError, "Syntax error (Multi-statements are not allowed): failed at position %d (end of query): ;", t.end)
			}
			return s, nil
		case t.is("FORMAT") && t.depth == 0:
			if name := peek(l); name.kind == tokenWord {
				s.format = name.text
			}
		}
	}
	return s, nil
}

// parseInsert reads an INSERT after its first word, up to its data.
func parseInsert(l *lexer, more bool) (statement, error) {
	t := insertTarget(l)
	for ; ; t = l.next() {
		switch {
		case t.kind == tokenEnd || t.kind == tokenCut:
			if more {
				return statement{}, errCut
			}
			if t.kind == tokenCut {
				return statement{kind: kindOther, sql: l.sql}, nil // the engine says what is wrong
			}
			return insertStatement(l.sql, "Values", "")
		case t.is("(") && selectFollows(l), t.depth == 0 && (t.is("SELECT") || t.is("WITH") || t.is("FROM") || t.is("WATCH")):
			return insertFromQuery(l, more)
		case t.depth == 0 && t.is("VALUES"):
			return insertStatement(l.sql[:t.start], "Values", l.sql[t.end:])
		case t.depth == 0 && t.is("FORMAT"):
			name := l.next()
			if more && name.end == len(l.sql) {
				return statement{}, errCut
			}
			if name.kind != tokenWord {
				return statement{kind: kindOther, sql: l.sql}, nil
			}
			return insertStatement(l.sql[:t.start], name.text, l.sql[name.end:])
		}
	}
}

// insertTarget passes INTO, TABLE, FUNCTION and the name of the table, which
// may be spelled like a keyword, and returns the token after them.
func insertTarget(l *lexer) token {
	t := l.next()
	for _, word := range []string{"INTO", "TABLE", "FUNCTION"} {
		if t.is(word) {
			t = l.next()
		}
	}
	for t = l.next(); t.is("."); t = l.next() {
		l.next()
	}
	return t
}

// insertStatement is an INSERT with data, which starts after one line break.
func insertStatement(sql, format, data string) (statement, error) {
	if strings.IndexByte(sql, 0) >= 0 {
		return statement{}, errNUL
	}
	data = strings.TrimLeft(data, " \t\f")
	data = strings.TrimPrefix(data, "\r")
	data = strings.TrimPrefix(data, "\n")
	return statement{kind: kindInsert, sql: sql, format: format, data: data}, nil
}

// insertFromQuery is an INSERT ... SELECT. Its data comes from the engine, so
// the table function input, which would read this process's standard input, is
// refused.
func insertFromQuery(l *lexer, more bool) (statement, error) {
	if more {
		return statement{}, errCut
	}
	rest := &lexer{sql: l.sql}
	for t := rest.next(); t.kind != tokenEnd && t.kind != tokenCut; t = rest.next() {
		if t.is("input") && peek(rest).is("(") || t.is("INFILE") {
			return statement{}, exceptionf(codeNotImplemented, "INSERT from input() or INFILE is not supported by the embedded engine; send the rows as the INSERT's data")
		}
		if t.is(";") && peek(rest).kind != tokenEnd {
			return statement{}, exceptionf(codeSyntaxError, "Syntax error (Multi-statements are not allowed): failed at position %d (end of query): ;", t.end)
		}
	}
	if strings.IndexByte(l.sql, 0) >= 0 {
		return statement{}, errNUL
	}
	return statement{kind: kindOther, sql: l.sql}, nil
}

// selectFollows says whether a bracket that was just opened holds a query.
func selectFollows(l *lexer) bool {
	t := peek(l)
	return t.is("SELECT") || t.is("WITH") || t.is("(")
}

// peek returns the next token without passing it.
func peek(l *lexer) token {
	ahead := *l
	return ahead.next()
}
