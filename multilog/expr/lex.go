package expr

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A tokenKind is the kind of a token.
type tokenKind uint8

const (
	tokEnd    tokenKind = iota
	tokWord             // names, numbers, addresses, times: whatever is written without blanks
	tokString           // "..."; text is what it stands for
	tokPunct            // operators and brackets
	tokBad              // a character that no token begins with, or a string without an end
)

type token struct {
	kind tokenKind
	text string
	pos  int // byte offset in the source
	end  int // byte offset behind it
}

// is reports whether t is the operator or bracket p.
func (t token) is(p string) bool { return t.kind == tokPunct && t.text == p }

// word reports whether t is the word w, in any case: AND is and.
func (t token) word(w string) bool { return t.kind == tokWord && strings.EqualFold(t.text, w) }

// puncts are the operators and brackets; a longer one comes before its prefix.
var puncts = []string{"==", "!=", "<=", ">=", "&&", "||", "..", "<", ">", "!", "&", "(", ")", "{", "}", ","}

// A lexer cuts a source into tokens. Values such as 10.0.0.0/8, 2001:db8::1,
// 02:00:5e:10:00:01, 2026-01-02T03:04:05+02:00 and 1.5KB are each one word: a
// word goes on while characters of any of them follow, and ends before "..".
type lexer struct {
	src string
	pos int
}

func (l *lexer) next() token {
	for l.pos < len(l.src) {
		r, n := utf8.DecodeRuneInString(l.src[l.pos:])
		if !unicode.IsSpace(r) {
			break
		}
		l.pos += n
	}
	start := l.pos
	if start == len(l.src) {
		return token{tokEnd, "", start, start}
	}
	if l.src[start] == '"' {
		return l.quoted(start)
	}
	rest := l.src[start:]
	if n := wordLen(rest); n > 0 {
		l.pos += n
		return token{tokWord, rest[:n], start, l.pos}
	}
	for _, p := range puncts {
		if strings.HasPrefix(rest, p) {
			l.pos += len(p)
			return token{tokPunct, p, start, l.pos}
		}
	}
	_, n := utf8.DecodeRuneInString(rest)
	l.pos += n
	return token{tokBad, rest[:n], start, l.pos}
}

// wordLen returns the length of the word at the start of s, 0 if there is none.
func wordLen(s string) int {
	for i, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		case r == '.':
			if strings.HasPrefix(s[i:], "..") {
				return i
			}
		case strings.ContainsRune("_:/+-%@", r), r == 'µ', r == 'μ':
		default:
			return i
		}
	}
	return len(s)
}

// quoted reads the string that begins at start: \" and \\ are escapes.
func (l *lexer) quoted(start int) token {
	var b strings.Builder
	for i := start + 1; i < len(l.src); i++ {
		switch c := l.src[i]; c {
		case '"':
			l.pos = i + 1
			return token{tokString, b.String(), start, l.pos}
		case '\\':
			if i+1 < len(l.src) && (l.src[i+1] == '"' || l.src[i+1] == '\\') {
				i++
			}
			b.WriteByte(l.src[i])
		default:
			b.WriteByte(c)
		}
	}
	l.pos = len(l.src)
	return token{tokBad, l.src[start:], start, l.pos}
}

func quote(s string) string { return strconv.Quote(s) }
func itoa(n int) string     { return strconv.Itoa(n) }
