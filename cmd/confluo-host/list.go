package main

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/confluo/confluo/api/render"
)

// listFlags are those of commands that list things of the agent.
type listFlags struct {
	agentFlags
	rowFlags
}

// A column is one property of the things of a list, as a table and CSV show it.
type column[T any] struct {
	name   string
	number bool // stands right in a table
	usual  int  // width of most values, for tables written line by line
	text   func(*T) string
}

// list writes things with the columns and as many rows as asked for.
func list[T any](a *app, f *listFlags, items []T, columns []column[T]) error {
	columns, err := choose(&f.rowFlags, columns)
	if err != nil {
		return err
	}
	if f.Limit > 0 && len(items) > f.Limit {
		items = items[:f.Limit]
	}
	return writeList(a, f.Output, items, columns)
}

// choose returns the columns that --fields names, in that order.
func choose[T any](f *rowFlags, columns []column[T]) ([]column[T], error) {
	switch {
	case f.Limit < 0:
		return nil, usagef("--limit %d: want a number of rows, or 0 for all", f.Limit)
	case len(f.Fields) == 0:
		return columns, nil
	case f.Output == "json" || f.Output == "ndjson":
		return nil, usagef("--fields goes with -o table and csv here; JSON has them all")
	}
	chosen := make([]column[T], 0, len(f.Fields))
	for _, name := range f.Fields {
		i := slices.IndexFunc(columns, func(c column[T]) bool { return c.name == name })
		if i < 0 {
			var names []string
			for _, c := range columns {
				names = append(names, c.name)
			}
			return nil, usagef("--fields: %q is not known: want %s", name, strings.Join(names, ", "))
		}
		chosen = append(chosen, columns[i])
	}
	return chosen, nil
}

// writeList writes things in one of the formats.
func writeList[T any](a *app, format string, items []T, columns []column[T]) error {
	var b strings.Builder
	switch format {
	case "json":
		if items == nil {
			items = []T{}
		}
		return a.writeJSON(format, items)
	case "ndjson":
		for i := range items {
			if err := a.writeJSON(format, &items[i]); err != nil {
				return err
			}
		}
		return nil
	case "csv":
		csvHeader(&b, columns)
		for i := range items {
			csvLine(&b, columns, &items[i])
		}
	default:
		writeTable(&b, items, columns, a.colour)
	}
	_, err := a.out.Write([]byte(b.String()))
	return err
}

func csvHeader[T any](b *strings.Builder, columns []column[T]) {
	for i, c := range columns {
		csvField(b, i, c.name)
	}
	b.WriteByte('\n')
}

func csvLine[T any](b *strings.Builder, columns []column[T], item *T) {
	for i, c := range columns {
		csvField(b, i, c.text(item))
	}
	b.WriteByte('\n')
}

func csvField(b *strings.Builder, i int, text string) {
	if i > 0 {
		b.WriteByte(',')
	}
	b.Write(render.AppendCSV(nil, []byte(text)))
}

func writeTable[T any](b *strings.Builder, items []T, columns []column[T], colour bool) {
	width := make([]int, len(columns))
	for k, c := range columns {
		width[k] = utf8.RuneCountInString(c.name)
		for i := range items {
			width[k] = max(width[k], utf8.RuneCountInString(c.text(&items[i])))
		}
	}
	b.WriteString(bold(tableLine(columns, width, func(c *column[T]) string { return c.name }), colour) + "\n")
	for i := range items {
		b.WriteString(tableLine(columns, width, func(c *column[T]) string { return dash(c.text(&items[i])) }) + "\n")
	}
}

func tableLine[T any](columns []column[T], width []int, text func(*column[T]) string) string {
	var b strings.Builder
	for k := range columns {
		if k > 0 {
			b.WriteString("  ")
		}
		t := text(&columns[k])
		pad := strings.Repeat(" ", max(0, width[k]-utf8.RuneCountInString(t)))
		if columns[k].number {
			b.WriteString(pad + t)
		} else {
			b.WriteString(t + pad)
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// dash stands for what is empty.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func bold(s string, colour bool) string {
	if !colour {
		return s
	}
	return "\x1b[1m" + s + "\x1b[0m"
}

// installed says on a terminal from where on something installed sees headers.
func (a *app) installed(what string, from uint64) error {
	_, err := fmt.Fprintf(a.out, "%s installed; it sees headers from offset %d on\n", what, from)
	return err
}
