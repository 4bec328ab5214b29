package chdb

import "strings"

// tokenKind tells apart what the front needs to tell apart in a statement.
type tokenKind uint8

const (
	tokenEnd    tokenKind = iota // end of the text
	tokenCut                     // the text ends inside a comment or quotes
	tokenWord                    // keyword, bare identifier or number
	tokenQuoted                  // string or quoted identifier
	tokenPunct                   // a single other character
)

// token is a piece of a statement.
type token struct {
	kind  tokenKind
	text  string
	start int
	end   int
	depth int // of brackets around it; an opening one counts the outside
}

// is says whether the token is this keyword or punctuation.
func (t token) is(word string) bool {
	return (t.kind == tokenWord || t.kind == tokenPunct) && strings.EqualFold(t.text, word)
}

const (
	noBreakSpace  = "\u00a0"
	byteOrderMark = "\ufeff"
)

// lexer splits ClickHouse SQL far enough to find clauses outside of quotes,
// comments and brackets.
type lexer struct {
	sql   string
	pos   int
	depth int
}

// next returns the next token, skipping white space and comments.
func (l *lexer) next() token {
	if !l.skip() {
		return token{kind: tokenCut, start: l.pos, end: l.pos}
	}
	start := l.pos
	if start == len(l.sql) {
		return token{kind: tokenEnd, start: start, end: start}
	}
	t := token{kind: tokenPunct, start: start, depth: l.depth}
	switch c := l.sql[start]; {
	case wordByte(c):
		t.kind = tokenWord
		for l.pos < len(l.sql) && wordByte(l.sql[l.pos]) {
			l.pos++
		}
	case c == '\'' || c == '"' || c == '`':
		t.kind = tokenQuoted
		if !l.quoted(c) {
			t.kind = tokenCut
		}
	case c == '$':
		t.kind = l.dollar()
	default:
		switch c {
		case '(', '[', '{':
			l.depth++
		case ')', ']', '}':
			l.depth--
			t.depth--
		}
		l.pos++
	}
	t.end = l.pos
	t.text = l.sql[start:t.end]
	return t
}

// skip passes white space and comments; it is false when a comment is cut off.
func (l *lexer) skip() bool {
	for l.pos < len(l.sql) {
		rest := l.sql[l.pos:]
		switch {
		case strings.IndexByte(" \t\n\r\f\v", rest[0]) >= 0:
			l.pos++
		case strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "#!"), strings.HasPrefix(rest, "# "):
			line := strings.IndexByte(rest, '\n')
			if line < 0 {
				l.pos = len(l.sql)
				return true
			}
			l.pos += line + 1
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				return false
			}
			l.pos += 2 + end + 2
		case strings.HasPrefix(rest, noBreakSpace):
			l.pos += len(noBreakSpace)
		case strings.HasPrefix(rest, byteOrderMark):
			l.pos += len(byteOrderMark)
		default:
			return true
		}
	}
	return true
}

// quoted passes a quoted text, in which a backslash and a doubled quote escape.
func (l *lexer) quoted(quote byte) bool {
	for l.pos++; l.pos < len(l.sql); l.pos++ {
		switch l.sql[l.pos] {
		case '\\':
			l.pos++
		case quote:
			l.pos++
			if l.pos < len(l.sql) && l.sql[l.pos] == quote {
				continue
			}
			return true
		}
	}
	l.pos = len(l.sql)
	return false
}

// dollar passes a heredoc ($tag$text$tag$), or a lone dollar sign.
func (l *lexer) dollar() tokenKind {
	rest := l.sql[l.pos:]
	tag := 1
	for tag < len(rest) && wordByte(rest[tag]) {
		tag++
	}
	if tag == len(rest) || rest[tag] != '$' {
		l.pos++
		return tokenPunct
	}
	mark := rest[:tag+1]
	end := strings.Index(rest[len(mark):], mark)
	if end < 0 {
		l.pos = len(l.sql)
		return tokenCut
	}
	l.pos += end + 2*len(mark)
	return tokenQuoted
}

func wordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
