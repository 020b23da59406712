package e2e

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// filters are capture-filter expressions; each file is asked four of them.
var filters = []string{
	"tcp", "udp", "ip", "ip6", "arp", "icmp or icmp6", "port 53", "tcp port 80 or tcp port 443",
	"src net 10.0.0.0/8", "dst host 192.168.1.1 or src net 192.168.0.0/16", "greater 1000", "less 100",
	"tcp[tcpflags] & (tcp-syn|tcp-fin) != 0", "ip[6:2] & 0x1fff != 0", "portrange 1024-65535",
	"ether broadcast or ether multicast", "vlan", "mpls", "not ip", "ip proto 47 or ip proto 4",
}

func TestCaptureFiltersAgreeWithTcpdump(t *testing.T) {
	need(t, "tcpdump")
	root, names := captures(t)
	var mu sync.Mutex
	asked, refused := 0, 0
	each(names, func(i int, name string) {
		file := filepath.Join(root, name)
		for k := range 4 {
			filter := filters[(i*7+k*5)%len(filters)]
			// -t, -q and no lookup: one short line a packet.
			cmd := exec.Command("tcpdump", "-r", file, "-n", "-t", "-q", "--count", filter)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			want, err := cmd.Output()
			if err != nil {
				// tcpdump cannot read the file, or the filter means nothing on its
				// link type.
				mu.Lock()
				refused++
				mu.Unlock()
				continue
			}
			got, _ := confluo("count", "--pcap", file, "bpf:"+filter)
			mu.Lock()
			asked++
			if n, _, _ := strings.Cut(string(want), " "); strings.TrimSpace(got) != n {
				t.Errorf("%s: %q matches %s packets, tcpdump has %s", name, filter, strings.TrimSpace(got), n)
			}
			mu.Unlock()
		}
	})
	t.Logf("%d questions compared, %d refused by tcpdump", asked, refused)
	if asked < len(names) {
		t.Errorf("only %d questions were compared", asked)
	}
}

func TestExportedFilesReadBackEqualInTshark(t *testing.T) {
	need(t, "tshark")
	root, names := captures(t)
	dir := t.TempDir()
	var mu sync.Mutex
	files := 0
	each(names, func(i int, name string) {
		if i%6 != 0 { // each takes two runs of tshark
			return
		}
		file := filepath.Join(root, name)
		out := filepath.Join(dir, strconv.Itoa(i))
		whole, err := dissect(file, "")
		if err != nil {
			return
		}
		filter := []string{"", "tcp", "udp || ip6", "pkt_len > 100"}[i/6%4]
		if _, err := confluo("export", "--pcap", file, "-w", out, filter); err != nil && !strings.Contains(err.Error(), "cut short") {
			mu.Lock()
			t.Errorf("%s: %v", name, err)
			mu.Unlock()
			return
		}
		back, err := dissect(out, "")
		// Which frames: those that query numbers by offset, which with a file is
		// the place in it.
		offsets, _ := confluo("query", "--pcap", file, "-o", "csv", "--fields", "offset", filter)
		var want []string
		for line := range strings.Lines(offsets) {
			if n, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && n < len(whole) {
				want = append(want, whole[n])
			}
		}
		mu.Lock()
		defer mu.Unlock()
		files++
		if strings.Join(back, "\n") != strings.Join(want, "\n") || len(want) > 0 && err != nil {
			t.Errorf("%s exported with %q: %d frames read back (%v), want %d; first: %.200v\nwant %.200v", name, filter, len(back), err, len(want), back, want)
		}
	})
	if files == 0 {
		t.Error("no file was exported")
	}
}

// dissect returns what tshark makes of each frame: time, lengths, protocols and
// the bytes themselves.
func dissect(file, filter string) ([]string, error) {
	args := []string{"-r", file, "-n", "-T", "fields", "-e", "frame.time_epoch", "-e", "frame.len", "-e", "frame.cap_len",
		"-e", "frame.md5_hash", "-e", "_ws.col.Protocol", "-o", "frame.generate_md5_hash:TRUE",
		"-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE", "-o", "tcp.desegment_tcp_streams:FALSE"}
	if filter != "" {
		args = append(args, filter)
	}
	out, err := exec.Command("tshark", args...).Output()
	var lines []string
	for line := range strings.Lines(string(out)) {
		cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if cells[4] == "PCAPNG" {
			continue
		}
		if cells[0] == "" { // a simple packet block has no time
			cells[0] = "0.000000000"
		}
		if n, err := strconv.Atoi(cells[2]); err == nil && n > 65535 { // a slice is no longer
			cells[2] = "65535"
		}
		// What a later frame is taken for may depend on frames that are not in an
		// export, so the protocol is left out.
		if cells[2] == "65535" {
			cells[3] = "cut"
		}
		lines = append(lines, strings.Join(cells[:4], " "))
	}
	return lines, err
}
