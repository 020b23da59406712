package config

import (
	"reflect"
)

// A Change is one key that differs between two configurations. Elements of a
// list of sections are told apart by name: filters[web].where.
type Change struct {
	Key  string
	Old  string // as in the file; empty when the key or element is new
	New  string // as in the file; empty when the key or element is gone
	Live bool   // a reload applies it; otherwise it takes a restart
}

// Diff returns what changes from c to to, in the order of the reference.
func (c *Config) Diff(to *Config) []Change {
	var cs []Change
	diffSection(reflect.ValueOf(c).Elem(), reflect.ValueOf(to).Elem(), "", false, &cs)
	return cs
}

func diffSection(a, b reflect.Value, path string, live bool, cs *[]Change) {
	for _, f := range fieldsOf(a.Type()) {
		av, bv := a.Field(f.index), b.Field(f.index)
		p, live := join(path, f.key), live || f.live
		switch shapeOf(f.typ) {
		case shapeSection:
			diffSection(av, bv, p, live, cs)
		case shapeOptional:
			if !av.IsNil() && !bv.IsNil() {
				diffSection(av.Elem(), bv.Elem(), p, live, cs)
				continue
			}
			diffText(av, bv, p, live, cs)
		case shapeSections:
			diffSections(av, bv, p, live, cs)
		default:
			diffText(av, bv, p, live, cs)
		}
	}
}

func diffText(a, b reflect.Value, path string, live bool, cs *[]Change) {
	if !reflect.DeepEqual(a.Interface(), b.Interface()) {
		*cs = append(*cs, Change{path, format(a), format(b), live})
	}
}

// diffSections pairs the elements of two lists by their first key, which names
// them.
func diffSections(a, b reflect.Value, path string, live bool, cs *[]Change) {
	id := func(v reflect.Value) string { return format(v.Field(fieldsOf(v.Type())[0].index)) }
	there := map[string]reflect.Value{}
	for i := range b.Len() {
		there[id(b.Index(i))] = b.Index(i)
	}
	here := map[string]bool{}
	for i := range a.Len() {
		name := id(a.Index(i))
		here[name] = true
		p := path + "[" + name + "]"
		if bv, ok := there[name]; ok {
			diffSection(a.Index(i), bv, p, live, cs)
		} else {
			*cs = append(*cs, Change{p, format(a.Index(i)), "", live})
		}
	}
	for i := range b.Len() {
		if name := id(b.Index(i)); !here[name] {
			*cs = append(*cs, Change{path + "[" + name + "]", "", format(b.Index(i)), live})
		}
	}
}
