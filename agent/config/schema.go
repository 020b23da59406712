package config

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
)

// A field is what the tags of one struct field say of its key.
type field struct {
	key      string
	def      string // default as text
	hasDef   bool
	oneof    []string
	min, max string // limits as text, empty: none
	unit     string
	live     bool
	required bool
	example  string // for the reference, of a required key
	doc      string

	index int // of the struct field
	typ   reflect.Type
}

var schemas sync.Map // reflect.Type -> []field

// fieldsOf returns the keys of section type t, a struct, in their order in the
// source. Struct fields without a key tag are results of the checks, not keys.
func fieldsOf(t reflect.Type) []field {
	if fs, ok := schemas.Load(t); ok {
		return fs.([]field)
	}
	var fs []field
	for i := range t.NumField() {
		sf := t.Field(i)
		key, ok := sf.Tag.Lookup("key")
		if !ok {
			continue
		}
		f := field{
			key:      key,
			unit:     sf.Tag.Get("unit"),
			live:     sf.Tag.Get("live") == "yes",
			required: sf.Tag.Get("required") == "yes",
			example:  sf.Tag.Get("example"),
			doc:      sf.Tag.Get("doc"),
			index:    i,
			typ:      sf.Type,
		}
		f.def, f.hasDef = sf.Tag.Lookup("default")
		if s := sf.Tag.Get("oneof"); s != "" {
			f.oneof = strings.Split(s, "|")
		}
		f.min, f.max, _ = strings.Cut(sf.Tag.Get("range"), "..")
		fs = append(fs, f)
	}
	schemas.Store(t, fs)
	return fs
}

// A shape is how a field's value is written in YAML.
type shape uint8

const (
	shapeScalar   shape = iota
	shapeList           // list of scalars
	shapeSection        // mapping with known keys, always there
	shapeOptional       // mapping with known keys, nil when absent
	shapeSections       // list of mappings with known keys
	shapeMap            // mapping of text to text
)

func shapeOf(t reflect.Type) shape {
	switch {
	case isText(t):
		return shapeScalar
	case t.Kind() == reflect.Struct:
		return shapeSection
	case t.Kind() == reflect.Pointer:
		return shapeOptional
	case t.Kind() == reflect.Map:
		return shapeMap
	case t.Kind() == reflect.Slice && !isText(t.Elem()) && t.Elem().Kind() == reflect.Struct:
		return shapeSections
	case t.Kind() == reflect.Slice:
		return shapeList
	}
	return shapeScalar
}

// section returns the struct type beneath a field that is a section of
// whatever shape.
func (f *field) section() reflect.Type {
	if f.typ.Kind() == reflect.Struct {
		return f.typ
	}
	return f.typ.Elem()
}

// setDefaults gives every key of section v, a struct, its default.
func setDefaults(v reflect.Value) {
	for _, f := range fieldsOf(v.Type()) {
		fv := v.Field(f.index)
		switch shapeOf(f.typ) {
		case shapeSection:
			setDefaults(fv)
		case shapeScalar:
			if f.hasDef {
				mustSet(&f, fv, f.def)
			}
		case shapeList:
			for item := range strings.SplitSeq(f.def, ",") {
				if item = strings.TrimSpace(item); item != "" {
					ev := reflect.New(f.typ.Elem()).Elem()
					mustSet(&f, ev, item)
					fv.Set(reflect.Append(fv, ev))
				}
			}
		}
	}
}

// mustSet is setScalar for the texts of the tags, where a mistake is ours.
func mustSet(f *field, v reflect.Value, text string) {
	if err := setScalar(f, v, text); err != nil {
		panic(fmt.Sprintf("config: the default of %s: %v", f.key, err))
	}
}
