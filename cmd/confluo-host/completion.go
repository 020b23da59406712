package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/confluo/confluo/api/render"
	"github.com/confluo/confluo/packet"
)

// completeCommand is how the completion scripts ask for words: it is followed by
// the number of the word under the cursor and by all words, the program's name
// first.
const completeCommand = "__complete"

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help implements kong.HelpProvider.
func (*completionCmd) Help() string {
	return `Examples:

  source <(confluo-host completion bash)

  confluo-host completion zsh > "${fpath[1]}/_confluo-host"

  confluo-host completion fish > ~/.config/fish/completions/confluo-host.fish`
}

var completionScripts = map[string]string{
	"bash": `_confluo_host() {
	local IFS=$'\n'
	COMPREPLY=($("${COMP_WORDS[0]}" __complete "$COMP_CWORD" "${COMP_WORDS[@]}" 2>/dev/null))
	[[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *, ]] && compopt -o nospace
}
complete -o default -F _confluo_host confluo-host
`,
	"zsh": `#compdef confluo-host
_confluo_host() {
	local -a found
	found=("${(@f)$("${words[1]}" __complete $((CURRENT - 1)) "${words[@]}" 2>/dev/null)}")
	if [[ -n "${found[1]}" ]]; then
		compadd -Q -- "${found[@]}"
	else
		_files
	fi
}
if [[ "${funcstack[1]}" == _confluo-host ]]; then
	_confluo_host
else
	compdef _confluo_host confluo-host
fi
`,
	"fish": `function __confluo_host
	set -l done (commandline -opc)
	$done[1] __complete (count $done) $done (commandline -ct) 2>/dev/null
end
complete -c confluo-host -a '(__confluo_host)'
`,
}

func (c *completionCmd) Run(a *app) error {
	_, err := fmt.Fprint(a.out, completionScripts[c.Shell])
	return err
}

// complete returns the words that fit the place of the cursor, in order; none
// where the shell's own completion of file names is as good.
func complete(args []string) []string {
	if len(args) < 2 {
		return nil
	}
	at, err := strconv.Atoi(args[0])
	words := args[1:]
	if err != nil || at < 1 || at > len(words) {
		return nil
	}
	word := ""
	if at < len(words) {
		word = words[at]
	}
	parser, err := newParser(new(grammar))
	if err != nil {
		return nil
	}
	node, flag := walk(parser.Model.Node, words[1:at])
	if name, value, ok := strings.Cut(word, "="); ok && strings.HasPrefix(word, "--") {
		if f := findFlag(node, name); f != nil {
			return withPrefix(flagValues(f, value), value, name+"=")
		}
		return nil
	}
	var fits []string
	switch {
	case flag != nil:
		fits = flagValues(flag, word)
	case strings.HasPrefix(word, "-"):
		for _, group := range node.AllFlags(true) {
			for _, f := range group {
				fits = append(fits, "--"+f.Name)
			}
		}
	case len(node.Children) > 0:
		for _, c := range node.Children {
			fits = append(fits, c.Name)
		}
	default:
		fits = argumentValues(node, word)
	}
	return withPrefix(fits, word, "")
}

// walk follows the words to the command that they name. It returns the flag too
// whose value comes next, if one does.
func walk(node *kong.Node, words []string) (*kong.Node, *kong.Flag) {
	for i := 0; i < len(words); i++ {
		w := words[i]
		if strings.HasPrefix(w, "-") {
			f := findFlag(node, w)
			if f == nil || f.IsBool() || strings.Contains(w, "=") {
				continue
			}
			if i++; i == len(words) {
				return node, f
			}
			continue
		}
		for _, c := range node.Children {
			if c.Name == w {
				node = c
				break
			}
		}
	}
	return node, nil
}

func findFlag(node *kong.Node, word string) *kong.Flag {
	for _, group := range node.AllFlags(false) {
		for _, f := range group {
			if word == "--"+f.Name || f.Short != 0 && word == "-"+string(f.Short) {
				return f
			}
		}
	}
	return nil
}

func flagValues(f *kong.Flag, word string) []string {
	switch {
	case f.Enum != "":
		return strings.FieldsFunc(f.Enum, func(r rune) bool { return r == ',' || r == ' ' })
	case f.Name == "fields":
		return listValues(render.FieldNames(), word)
	case f.Name == "decap":
		return listValues([]string{"all", "none", "vxlan", "geneve", "gre", "erspan", "ipip", "6in4", "gtpu"}, word)
	}
	return nil
}

// listValues are the words that complete the last element of a list.
func listValues(names []string, word string) []string {
	done := word[:strings.LastIndexByte(word, ',')+1]
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = done + n
	}
	return out
}

// argumentValues completes the last word of an expression, which starts with the
// name of an attribute or of a bit, and the names of attributes to index.
func argumentValues(node *kong.Node, word string) []string {
	for _, p := range node.Positional {
		switch {
		case p.Enum != "":
			return strings.Split(p.Enum, ",")
		case p.Name == "attr":
			return attributeNames()
		case p.Name == "expr":
			cut := strings.LastIndexAny(word, " (!&|'\"") + 1
			out := render.FieldNames()[2:] // without all and offset
			for i := range out {
				out[i] = word[:cut] + out[i]
			}
			return out
		}
	}
	return nil
}

func attributeNames() []string {
	var out []string
	for _, a := range packet.AllAttrs.Attrs() {
		out = append(out, a.String())
	}
	return out
}

func withPrefix(words []string, prefix, before string) []string {
	var out []string
	for _, w := range words {
		if strings.HasPrefix(w, prefix) {
			out = append(out, before+w)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
