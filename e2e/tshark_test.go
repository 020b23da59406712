package e2e

import (
	"encoding/csv"
	"fmt"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A column is one attribute as confluo-host prints it, with the tshark fields
// that hold the same, the first that is there counting, and how to bring
// tshark's text into our form.
type column struct {
	name   string
	fields []string
	norm   func(string) string
}

func decimal(s string) string {
	if v, err := strconv.ParseUint(s, 0, 64); err == nil {
		return strconv.FormatUint(v, 10)
	}
	return s
}

func flag(s string) string { return strconv.FormatBool(s == "1" || s == "True") }

var columns = []column{
	{"pkt_len", []string{"frame.len"}, decimal},
	{"cap_len", []string{"frame.cap_len"}, decimal},
	{"src_ip", []string{"ip.src", "ipv6.src"}, nil},
	{"dst_ip", []string{"ip.dst", "ipv6.dst"}, nil},
	{"src_port", []string{"tcp.srcport", "udp.srcport", "sctp.srcport"}, decimal},
	{"dst_port", []string{"tcp.dstport", "udp.dstport", "sctp.dstport"}, decimal},
	{"ttl", []string{"ip.ttl", "ipv6.hlim"}, decimal},
	{"vlan", []string{"vlan.id", "ieee8021ad.id"}, decimal},
	{"vni", []string{"vxlan.vni", "geneve.vni", "gre.key", "erspan.spanid", "gtp.teid"}, decimal},
	{"tcp.syn", []string{"tcp.flags.syn"}, flag},
	{"tcp.fin", []string{"tcp.flags.fin"}, flag},
	{"tcp.rst", []string{"tcp.flags.reset"}, flag},
}

var tsharkOptions = []string{"-n", "-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE",
	"-o", "tcp.desegment_tcp_streams:FALSE", "-T", "fields", "-E", "occurrence=l", "-E", "separator=/t"}

// A frame is one row of a file: the values of columns, then which headers
// there are, as tshark names them.
type frame struct {
	values    []string
	protocols string
}

func readTshark(file string) ([]frame, error) {
	args := append([]string{"-r", file}, tsharkOptions...)
	args = append(args, "-e", "frame.protocols", "-e", "_ws.col.Protocol")
	for _, c := range columns {
		for _, f := range c.fields {
			args = append(args, "-e", f)
		}
	}
	out, err := exec.Command("tshark", args...).Output()
	if err != nil && len(out) == 0 {
		return nil, fmt.Errorf("tshark: %w", err)
	}
	var frames []frame
	for line := range strings.Lines(string(out)) {
		cells := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if cells[1] == "PCAPNG" {
			continue // a custom block of the file, which tshark lists among the frames
		}
		f := frame{protocols: cells[0]}
		at := 2
		for _, c := range columns {
			v, last := "", -1
			for _, field := range c.fields {
				if cells[at] != "" {
					// The last header counts. tshark gives one of each family; with
					// both there, the one that comes last in the stack does.
					if p := place(f.protocols, field); p >= last {
						v, last = cells[at], p
					}
				}
				at++
			}
			if v != "" && c.norm != nil {
				v = c.norm(v)
			}
			f.values = append(f.values, v)
		}
		frames = append(frames, f)
	}
	return frames, nil
}

// place returns where in the stack the last header is that a field may be of.
func place(protocols, field string) int {
	family, _, _ := strings.Cut(field, ".")
	return strings.LastIndex(":"+protocols+":", ":"+family+":")
}

// decap returns how a file must be read for tunnels to be stripped as tshark
// does: it does not look for VXLAN on the port that Linux used first.
func decap(file string) []string {
	if strings.HasSuffix(file, "vxlan_port_8472.pcap") {
		return []string{"--decap", "none"}
	}
	return nil
}

func readConfluo(file string) ([][]string, error) {
	var names []string
	for _, c := range columns {
		names = append(names, c.name)
	}
	args := append([]string{"query", "--pcap", file, "-o", "csv", "--fields", strings.Join(names, ",")}, decap(file)...)
	out, err := confluo(append(args, "")...)
	rows, perr := csv.NewReader(strings.NewReader(out)).ReadAll()
	if perr != nil {
		return nil, fmt.Errorf("%w; output: %w", err, perr)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("no header line: %w", err)
	}
	if got := strings.Join(rows[0], ","); got != strings.Join(names, ",") {
		return nil, fmt.Errorf("header line is %q", got)
	}
	return rows[1:], nil // an error beside rows: a damaged file, read up to the damage
}

// accepted lists the differences between the last occurrence of a field in
// tshark and the innermost header in confluo-host.
var accepted = []struct {
	why       string
	file      string // path.Match pattern; empty: any
	columns   string // comma-separated; empty: any
	protocols string // one of these, comma-separated, is in tshark's protocol stack; empty: any
	empty     bool   // only where confluo-host has no value
}{
	{why: "tshark's last occurrence is the packet quoted in an ICMP error; we describe the packet that was sent",
		protocols: "icmp:ip,icmpv6:ipv6"},
	{why: "the innermost packet has no such attribute (ARP, ICMP, a protocol without IP in a tunnel); tshark's last occurrence is the outer header's",
		protocols: "vxlan,geneve,gre,erspan,gtp", empty: true},
	{why: "encapsulations that are not in the list of tunnels: 802.11, GRE over UDP, Teredo, sFlow samples, MACsec",
		protocols: "wlan,udp:gre,teredo,sflow,macsec,gtpprime"},
	{why: "a slice holds 65,535 bytes at most", file: "offload-gso/*", columns: "cap_len"},
	{why: "UDP length 0 around a segment over 64 KiB: tshark stops there, tcpdump and we go on", file: "offload-gso/*"},
	{why: "tshark gives the fields of a header that is cut short; we do not trust it", protocols: "ipv6", file: "malformed/*"},
	{why: "tshark does not count the pseudo-header of ATM captures", file: "malformed/tcpdump__atm-*"},
	{why: "the GRE key of PPTP is a payload length and a call id; tshark names the call id otherwise", protocols: "gre:ppp", columns: "vni"},
	{why: "the TCP header says that it is shorter than 20 bytes: tshark stops before the flags", columns: "tcp.syn,tcp.fin,tcp.rst",
		file: "fragments-ext/ndpi__ip_fragmented_garbage.pcap"},
	{why: "the same", columns: "tcp.syn,tcp.fin,tcp.rst", file: "malformed/gopacket__layers__testdata__linux_sll_oversized_addr.pcapng"},
}

func TestRowsAndCountsAgreeWithTshark(t *testing.T) {
	need(t, "tshark")
	root, names := captures(t)
	var mu sync.Mutex
	used := make([]int, len(accepted))
	rows := 0
	each(names, func(i int, name string) {
		file := filepath.Join(root, name)
		want, err := readTshark(file)
		if err != nil {
			want = nil
		}
		got, gotErr := readConfluo(file)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			t.Logf("%s: %v: not compared", name, err)
			return
		}
		if gotErr != nil {
			t.Errorf("%s: %v", name, gotErr)
			return
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d packets, tshark has %d", name, len(got), len(want))
			return
		}
		rows += len(got)
		tally := map[string]int{} // "column value" of the rows on which both agree
		clean := map[string]bool{}
		for r := range got {
			for c, col := range columns {
				if got[r][c] == want[r].values[c] {
					tally[col.name+" "+got[r][c]]++
					continue
				}
				clean[col.name] = false
				if a := accept(name, col.name, want[r].protocols, got[r][c]); a >= 0 {
					used[a]++
					continue
				}
				t.Errorf("%s frame %d (%s): %s is %q, tshark says %q", name, r+1, want[r].protocols, col.name, got[r][c], want[r].values[c])
			}
		}
		// One value of each of two columns is counted by an expression of its own.
		for k := range 2 {
			col := columns[(i+k*5)%len(columns)].name
			if _, differs := clean[col]; differs {
				continue
			}
			for key, n := range tally {
				value, ok := strings.CutPrefix(key, col+" ")
				if !ok || value == "" {
					continue
				}
				ex := col + " == " + value
				switch {
				case value == "true":
					ex = col
				case value == "false":
					ex = "tcp && !" + col
				}
				out, err := confluo(append([]string{"count", "--pcap", file, ex}, decap(file)...)...)
				if err != nil && !strings.Contains(err.Error(), "cut short") {
					t.Errorf("%s: %v", name, err)
				}
				if got := strings.TrimSpace(out); got != strconv.Itoa(n) {
					t.Errorf("%s: count %q is %s, tshark has %d", name, ex, got, n)
				}
				break
			}
		}
	})
	for i, a := range accepted {
		t.Logf("%d values: %s", used[i], a.why)
		if used[i] == 0 {
			t.Errorf("no file shows this difference any more: %s", a.why)
		}
	}
	t.Logf("%d rows of %d files", rows, len(names))
}

func accept(file, column, protocols, value string) int {
	for i, a := range accepted {
		if a.file != "" {
			if ok, err := path.Match(a.file, file); err != nil || !ok {
				continue
			}
		}
		if a.empty && value != "" {
			continue
		}
		if a.columns != "" && !strings.Contains(","+a.columns+",", ","+column+",") {
			continue
		}
		if a.protocols == "" {
			return i
		}
		for p := range strings.SplitSeq(a.protocols, ",") {
			if strings.Contains(":"+protocols+":", ":"+p+":") {
				return i
			}
		}
	}
	return -1
}
