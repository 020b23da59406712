package expr

import (
	"strings"
	"unicode/utf8"
)

// An Error says what is wrong with the text of an expression, an aggregate or
// a trigger, and where.
type Error struct {
	Src      string // the text as given
	Col      int    // 1-based column of Found in Src, in characters
	Found    string // what stands there; empty at the end of the text
	Expected string // what would have been accepted
}

// longFound is how many characters of what was found are repeated in a message.
const longFound = 40

// Error returns the message on one line: `column 12: found "x", expected ...`.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("column ")
	b.WriteString(itoa(e.Col))
	b.WriteString(": found ")
	switch {
	case e.Found == "":
		b.WriteString("the end")
	case utf8.RuneCountInString(e.Found) > longFound:
		b.WriteString(quote(string([]rune(e.Found)[:longFound])))
		b.WriteString("...")
	default:
		b.WriteString(quote(e.Found))
	}
	b.WriteString(", expected ")
	b.WriteString(e.Expected)
	return b.String()
}

// Caret returns the line of the source that the column lies in, and below it
// a line with a caret under the column, for terminals. Neither line ends with
// a newline.
func (e *Error) Caret() string {
	rs := []rune(e.Src)
	at := min(max(e.Col-1, 0), len(rs))
	first, last := at, at
	for first > 0 && rs[first-1] != '\n' {
		first--
	}
	for last < len(rs) && rs[last] != '\n' {
		last++
	}
	line := []rune(strings.ToValidUTF8(string(rs[first:last]), "?"))
	pad := make([]rune, 0, at-first)
	for _, r := range rs[first:at] {
		if r != '\t' { // a tab moves the caret as far as it moves the text
			r = ' '
		}
		pad = append(pad, r)
	}
	return string(line) + "\n" + string(pad) + "^"
}

// column returns the 1-based column of byte offset off of src.
func column(src string, off int) int { return utf8.RuneCountInString(src[:off]) + 1 }
