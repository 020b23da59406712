package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDiff(t *testing.T) {
	const before = `
agent: {log: {level: info}}
sources:
  - {name: a, pcapfile: {paths: [x.pcap]}}
  - {name: b, afpacket: {interface: veth0}}
filters:
  - {name: web, where: dst_port == 80}
  - {name: dns, where: dst_port == 53}
triggers:
  - {name: t, when: COUNT() > 5 over 1s every 1ms, labels: {a: b}}
alerts:
  webhooks: [{url: "http://127.0.0.1/x", headers: {Authorization: secret one}}]
multilog: {memory: 1GiB}
`
	const after = `
agent: {log: {level: debug}}
sources:
  - {name: a, pcapfile: {paths: [x.pcap, y.pcap]}}
  - {name: c, afpacket: {interface: veth1}}
filters:
  - {name: ntp, where: dst_port == 123}
  - {name: web, where: dst_port == 443}
triggers:
  - {name: t, when: COUNT() > 5 over 1s every 1ms, labels: {a: c}}
alerts:
  webhooks: [{url: "http://127.0.0.1/x", headers: {Authorization: secret two}}]
multilog: {memory: 1024MiB}
api: {tcp: {listen: "127.0.0.1:1"}}
`
	a, b := mustParse(t, before), mustParse(t, after)
	want := []Change{
		{"agent.log.level", "info", "debug", true},
		{"sources[a].pcapfile.paths", "[x.pcap]", "[x.pcap, y.pcap]", false},
		{"sources[b]", format(reflectValue(a.Sources[1])), "", false},
		{"sources[c]", "", format(reflectValue(b.Sources[1])), false},
		{"filters[web].where", "dst_port == 80", "dst_port == 443", true},
		{"filters[dns]", "{name: dns, where: dst_port == 53}", "", true},
		{"filters[ntp]", "", "{name: ntp, where: dst_port == 123}", true},
		{"triggers[t].labels", "{a: b}", "{a: c}", true},
		{"alerts.webhooks[http://127.0.0.1/x].headers", "{Authorization: ...}", "{Authorization: ...}", true},
		{"api.tcp", "", `{listen: 127.0.0.1:1}`, false},
	}
	if diff := cmp.Diff(want, a.Diff(b)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if d := a.Diff(a); d != nil {
		t.Errorf("a configuration differs from itself: %v", d)
	}
}

func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
