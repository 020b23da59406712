// Package config reads the agent's configuration: one YAML file, strict.
//
// Every key is a field of [Config] or of a struct beneath it; the field's tags
// carry what is known of the key, and everything else is derived from them: the
// reader, the defaults, the comparison of two configurations on reload, and the
// reference in docs/configuration.md. The tags are
//
//	key      the key in the file
//	default  the value when the key is absent, written as in the file
//	range    "min..max", either side may be missing, in the key's own unit
//	oneof    the values allowed, separated by |
//	unit     what a plain number counts, for the reference
//	live     "yes": a reload applies a change; absent: it takes a restart.
//	         On a section it holds for every key in it.
//	required "yes": the key must be given, and not be empty
//	example  a value of a required key, for configs/full.yaml
//	doc      one line for the reference
//
// Reading a file reports all of its errors at once, in line order, each with
// file, line, key, what was found and what is allowed.
package config
