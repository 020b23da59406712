package config

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/confluo/confluo/multilog/expr"
)

var (
	durationType    = reflect.TypeFor[time.Duration]()
	bytesType       = reflect.TypeFor[Bytes]()
	unmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// isText reports whether values of t read themselves from text.
func isText(t reflect.Type) bool { return reflect.PointerTo(t).Implements(unmarshalerType) }

// setScalar parses text into v, a field or an element of the list that f is.
// The error says what was found and what is expected.
func setScalar(f *field, v reflect.Value, text string) error {
	if isText(v.Type()) {
		if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil {
			return fmt.Errorf("found %q, expected %w", text, err)
		}
		return nil
	}
	if f.oneof != nil && !slices.Contains(f.oneof, text) {
		return fmt.Errorf("found %q%s, expected %s", text, didYouMean(text, f.oneof), wanted(f, v.Type()))
	}
	if f.required && text == "" || !parseScalar(v, text) || !f.within(v) {
		return fmt.Errorf("found %q, expected %s", text, wanted(f, v.Type()))
	}
	return nil
}

// parseScalar reports whether text is a value of v's type.
func parseScalar(v reflect.Value, text string) bool {
	switch v.Type() {
	case durationType:
		d, err := expr.ParseDuration(text)
		v.SetInt(int64(d))
		return err == nil
	case bytesType:
		n, err := expr.ParseBytes(text)
		v.SetInt(int64(n))
		return err == nil && n <= math.MaxInt64
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
		return true
	case reflect.Bool:
		v.SetBool(text == "true")
		return text == "true" || text == "false"
	case reflect.Float64:
		n, err := strconv.ParseFloat(text, 64)
		v.SetFloat(n)
		return err == nil && !math.IsInf(n, 0) && !math.IsNaN(n)
	case reflect.Int:
		n, err := strconv.ParseInt(text, 10, 64)
		v.SetInt(n)
		return err == nil
	case reflect.Uint32:
		n, err := strconv.ParseUint(text, 0, 32) // tags are written in hexadecimal too
		v.SetUint(n)
		return err == nil
	}
	panic("config: no way to read a " + v.Type().String())
}

// wanted says for people what a value of type t, that of f or of its elements,
// may be.
func wanted(f *field, t reflect.Type) string {
	var s string
	switch {
	case f.oneof != nil:
		return listOf(f.oneof)
	case t == durationType:
		s = "a duration such as 10ms, 1.5s or 1m30s"
	case t == bytesType:
		s = "a size such as 256MiB or 1.5GB"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.String && f.required:
		return "a text that is not empty: " + f.doc
	case t.Kind() == reflect.String:
		return "a text"
	case t.Kind() == reflect.Float64:
		s = "a number"
	case t.Kind() == reflect.Uint32:
		s = "a whole number of 32 bits"
	case isText(t):
		return f.doc
	default:
		s = "a whole number"
	}
	if l := f.limits(); l != "" {
		s += ", " + l
	}
	return s
}

// limits says the range of a field for people, empty when it has none.
func (f *field) limits() string {
	var s string
	switch {
	case f.min != "" && f.max != "":
		s = f.min + " to " + f.max
	case f.min != "":
		s = "at least " + f.min
	case f.max != "":
		s = "at most " + f.max
	}
	if s != "" && f.unit != "" {
		s += " " + f.unit
	}
	return s
}

func (f *field) within(v reflect.Value) bool {
	for _, l := range []struct {
		text string
		sign float64
	}{{f.min, 1}, {f.max, -1}} {
		if l.text == "" {
			continue
		}
		lim := reflect.New(v.Type()).Elem()
		if !parseScalar(lim, l.text) {
			panic(fmt.Sprintf("config: limit %q of %s", l.text, f.key))
		}
		if (number(v)-number(lim))*l.sign < 0 {
			return false
		}
	}
	return true
}

func number(v reflect.Value) float64 {
	switch {
	case v.CanInt():
		return float64(v.Int())
	case v.CanUint():
		return float64(v.Uint())
	}
	return v.Float()
}

// format writes a value as it could stand in the file, in one line.
func format(v reflect.Value) string {
	switch m := v.Interface().(type) {
	case time.Duration:
		return formatDuration(m)
	case fmt.Stringer:
		return m.String()
	}
	switch v.Kind() {
	case reflect.Slice:
		items := make([]string, v.Len())
		for i := range items {
			items[i] = format(v.Index(i))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case reflect.Map:
		var items []string
		for _, k := range v.MapKeys() {
			items = append(items, k.String()+": "+v.MapIndex(k).String())
		}
		slices.Sort(items)
		return "{" + strings.Join(items, ", ") + "}"
	case reflect.Pointer:
		if v.IsNil() {
			return ""
		}
		return format(v.Elem())
	case reflect.Struct:
		var items []string
		for _, f := range fieldsOf(v.Type()) {
			if s := format(v.Field(f.index)); s != "" && s != "[]" && s != "{}" {
				items = append(items, f.key+": "+s)
			}
		}
		return "{" + strings.Join(items, ", ") + "}"
	}
	return fmt.Sprint(v.Interface())
}
