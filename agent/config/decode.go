package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Limits on what a file may ask the reader to do. No honest file comes near.
const (
	maxFileBytes  = 4 << 20
	maxAliasNodes = 10_000 // values read through aliases, in total
)

// A decoder reads one file into a Config, collecting every mistake.
type decoder struct {
	file string
	errs Errors
	at   map[string]*yaml.Node // where each key path that was given stands
	bad  map[string]bool       // key paths with a mistake

	inAlias    int // aliases around the value being read
	aliasNodes int // values read inside aliases so far
}

func (d *decoder) errorAt(n *yaml.Node, path, format string, args ...any) {
	e := &Error{File: d.file, Line: 1, Path: path, Msg: fmt.Sprintf(format, args...)}
	if n != nil && n.Line > 0 {
		e.Line, e.Col = n.Line, n.Column
	}
	d.errs = append(d.errs, e)
	d.bad[path] = true
}

// valid reports whether no mistake was found at path itself so far.
func (d *decoder) valid(path string) bool { return !d.bad[path] }

// errorf reports a mistake at the place of path, or of the nearest key above
// it when path is not in the file.
func (d *decoder) errorf(path, format string, args ...any) {
	for p := path; ; {
		if n := d.at[p]; n != nil || p == "" {
			d.errorAt(n, path, format, args...)
			return
		}
		p = parentPath(p)
	}
}

func parentPath(p string) string { return p[:max(0, strings.LastIndexAny(p, ".["))] }

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func item(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// parse turns the bytes of the file into a tree of nodes, nil when the file is
// empty. It reports at most one mistake: the YAML reader stops at the first.
func (d *decoder) parse(data []byte) *yaml.Node {
	if len(data) > maxFileBytes {
		d.errorAt(nil, "", "found %d bytes, expected at most %d", len(data), maxFileBytes)
		return nil
	}
	if line, what := unreadable(data); what != "" {
		d.errorAt(&yaml.Node{Line: line}, "", "found %s, expected UTF-8 text", what)
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		d.syntaxError(err, data)
		return nil
	}
	switch err := dec.Decode(&second); {
	case err == nil:
		d.errorAt(&second, "", "found a second YAML document, expected one")
		return nil
	case !errors.Is(err, io.EOF):
		d.syntaxError(err, data)
		return nil
	}
	return doc.Content[0]
}

// unreadable finds the first byte that YAML text may not have: the YAML reader
// would refuse it too, but without a line. It also finds the line breaks that
// YAML knows and editors do not, so that all count the same lines.
func unreadable(data []byte) (line int, what string) {
	line = 1
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			return line, fmt.Sprintf("byte 0x%02x", data[i])
		case r == '\n':
			line++
		case r == '\r' && i+1 < len(data) && data[i+1] == '\n', r == '\t':
		case r < ' ', r >= 0x7f && r < 0xa0, r == 0x2028, r == 0x2029, r == 0xfffe, r == 0xffff:
			return line, fmt.Sprintf("control character %U", r)
		}
		i += n
	}
	return 0, ""
}

// grammarError matches those errors of the YAML reader whose lines are counted
// from zero: what its parser says, not its scanner.
var grammarError = regexp.MustCompile(`^did not find expected (<|node|'-'|key$|',')|^found (undefined tag|duplicate %|incompatible)`)

// syntaxError reports an error of the YAML reader, whose text is all it gives.
func (d *decoder) syntaxError(err error, data []byte) {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if rest, ok := strings.CutPrefix(msg, "line "); ok {
		if num, text, ok := strings.Cut(rest, ": "); ok {
			if n, err := strconv.Atoi(num); err == nil {
				line, msg = n, text
				if grammarError.MatchString(text) {
					line++
				}
			}
		}
	}
	// This one has no line at all, but a word to look for.
	if rest, ok := strings.CutPrefix(msg, "unknown anchor '"); ok {
		name, _, _ := strings.Cut(rest, "'")
		if at := bytes.Index(data, []byte("*"+name)); at >= 0 {
			line = 1 + bytes.Count(data[:at], []byte("\n"))
		}
	}
	d.errorAt(&yaml.Node{Line: line}, "", "not YAML: %s", msg)
}

// resolve follows an alias. It returns nil once aliases have led to too many
// values, which it reports once. (How deep they lead is bounded by the keys:
// none holds itself.) done must be called when n has been read.
func (d *decoder) resolve(n *yaml.Node, path string) (_ *yaml.Node, done func()) {
	done = func() {}
	if n.Kind == yaml.AliasNode {
		d.inAlias++
		done = func() { d.inAlias-- }
	}
	if d.inAlias > 0 {
		if d.aliasNodes++; d.aliasNodes > maxAliasNodes {
			if d.aliasNodes == maxAliasNodes+1 {
				d.errorAt(n, path, "found more than %d values given through aliases, expected fewer", maxAliasNodes)
			}
			return nil, done
		}
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n, done
}

// section reads mapping n into v, a struct that has its defaults.
func (d *decoder) section(n *yaml.Node, v reflect.Value, path string) {
	n, done := d.resolve(n, path)
	defer done()
	if n == nil {
		return
	}
	fields := fieldsOf(v.Type())
	d.at[path] = n
	seen := map[string]*yaml.Node{}
	if isNull(n) {
		d.missing(fields, seen, path)
		return
	}
	if n.Kind != yaml.MappingNode || n.ShortTag() != "!!map" {
		d.errorAt(n, path, "found %s, expected a section with keys of %s", describe(n), strings.Join(keysOf(fields), ", "))
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		kn, vn := n.Content[i], n.Content[i+1]
		key, ok := d.key(kn, path, seen)
		if !ok {
			continue
		}
		f := find(fields, key)
		if f == nil {
			d.errorAt(kn, join(path, key), "unknown key%s, expected one of %s", didYouMean(key, keysOf(fields)), strings.Join(keysOf(fields), ", "))
			continue
		}
		d.value(f, vn, v.Field(f.index), join(path, key))
	}
	d.missing(fields, seen, path)
}

// key reads the key of a mapping entry, refusing what is no plain word and
// what was there before.
func (d *decoder) key(n *yaml.Node, path string, seen map[string]*yaml.Node) (string, bool) {
	switch {
	case n.Kind != yaml.ScalarNode:
		d.errorAt(n, path, "found %s as a key, expected a word", describe(n))
		return "", false
	case n.ShortTag() == "!!merge":
		d.errorAt(n, path, "found a merge key (<<), expected the keys written out")
		return "", false
	}
	if first := seen[n.Value]; first != nil {
		d.errorAt(n, join(path, n.Value), "duplicate key; first given in line %d", first.Line)
		return "", false
	}
	seen[n.Value] = n
	return n.Value, true
}

func (d *decoder) missing(fields []field, seen map[string]*yaml.Node, path string) {
	for _, f := range fields {
		if f.required && seen[f.key] == nil {
			d.errorf(join(path, f.key), "missing, expected a value: %s", f.doc)
		}
	}
}

// value reads n into v, the value of key f.
func (d *decoder) value(f *field, n *yaml.Node, v reflect.Value, path string) {
	switch shapeOf(f.typ) {
	case shapeSection:
		d.section(n, v, path)
		return
	case shapeOptional:
		v.Set(reflect.New(f.typ.Elem()))
		setDefaults(v.Elem())
		d.section(n, v.Elem(), path)
		return
	}
	n, done := d.resolve(n, path)
	defer done()
	if n == nil {
		return
	}
	d.at[path] = n
	switch shapeOf(f.typ) {
	case shapeScalar:
		d.scalar(f, n, v, path)
	case shapeList, shapeSections:
		d.list(f, n, v, path)
	case shapeMap:
		d.mapping(n, v, path)
	}
}

func (d *decoder) scalar(f *field, n *yaml.Node, v reflect.Value, path string) {
	ok := false
	if n.Kind == yaml.ScalarNode {
		switch n.ShortTag() {
		case "!!str", "!!int", "!!float", "!!timestamp":
			ok = true // all are text; whether it is the right one is for the type to say
		case "!!bool":
			ok = v.Kind() == reflect.Bool
		}
	}
	if !ok {
		d.errorAt(n, path, "found %s, expected %s", describe(n), wanted(f, v.Type()))
		return
	}
	// Only what takes effect is stored: a wrong value leaves the default.
	nv := reflect.New(v.Type()).Elem()
	if err := setScalar(f, nv, n.Value); err != nil {
		d.errorAt(n, path, "%v", err)
		return
	}
	v.Set(nv)
}

func (d *decoder) list(f *field, n *yaml.Node, v reflect.Value, path string) {
	if isNull(n) {
		return // nothing but comments under the key: as if it were not there
	}
	if n.Kind != yaml.SequenceNode || n.ShortTag() != "!!seq" {
		d.errorAt(n, path, "found %s, expected a list", describe(n))
		return
	}
	out := reflect.MakeSlice(f.typ, 0, len(n.Content))
	for i, en := range n.Content {
		ev := reflect.New(f.typ.Elem()).Elem()
		p := item(path, i)
		if shapeOf(f.typ) == shapeSections {
			setDefaults(ev)
			d.section(en, ev, p)
		} else if en, done := d.resolve(en, p); en != nil {
			d.at[p] = en
			d.scalar(f, en, ev, p)
			done()
		}
		// A wrong element keeps its place, so that the checks that follow name
		// elements by the index they have in the file.
		out = reflect.Append(out, ev)
	}
	if f.required && out.Len() == 0 {
		d.errorAt(n, path, "found an empty list, expected at least one: %s", f.doc)
	}
	if out.Len() == 0 {
		out = reflect.Zero(f.typ) // as it is by default
	}
	v.Set(out)
}

// mapping reads a mapping of free keys to text.
func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode || n.ShortTag() != "!!map" {
		d.errorAt(n, path, "found %s, expected names with texts, such as {team: network}", describe(n))
		return
	}
	out := map[string]string{}
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, ok := d.key(n.Content[i], path, seen)
		if !ok {
			continue
		}
		p := join(path, key)
		vn, done := d.resolve(n.Content[i+1], p)
		if vn == nil {
			done()
			continue
		}
		d.at[p] = vn
		var text string
		d.scalar(&field{key: key}, vn, reflect.ValueOf(&text).Elem(), p)
		out[key] = text
		done()
	}
	if len(out) > 0 {
		v.Set(reflect.ValueOf(out))
	}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// describe says what a node is, for "found ...".
func describe(n *yaml.Node) string {
	switch tag := n.ShortTag(); tag {
	case "!!map":
		return "a section"
	case "!!seq":
		return "a list"
	case "!!null":
		return "nothing"
	case "!!bool":
		return "the truth value " + n.Value
	case "!!str", "!!int", "!!float", "!!timestamp":
	default:
		return "a value with the tag " + tag
	}
	return strconv.Quote(n.Value)
}

func keysOf(fields []field) []string {
	out := make([]string, len(fields))
	for i := range fields {
		out[i] = fields[i].key
	}
	return out
}

func find(fields []field, key string) *field {
	for i := range fields {
		if fields[i].key == key {
			return &fields[i]
		}
	}
	return nil
}
