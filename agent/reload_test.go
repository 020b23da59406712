package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/confluo/confluo/api"
	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

const installed = `
sources:
  - {name: busy, pcapfile: {paths: [$pcap], loops: -1, stamp: now}}
multilog: {memory: 16MiB, segment_headers: 4096}
spray: {on_full: block}
alerts: {log: false}
`

const firstSet = installed + `
indexes: [src_ip]
filters:
  - {name: stays, where: dst_port == 80}
  - {name: changes, where: src_ip in 0.0.0.0/24}
  - {name: goes, where: udp}
aggregates:
  - {name: on_stays, filter: stays, compute: COUNT()}
  - {name: on_changes, filter: changes, compute: COUNT()}
  - {name: changes_itself, filter: stays, compute: COUNT()}
triggers:
  - {name: t_stays, aggregate: on_stays, when: "> 0 over 10ms every 1ms"}
  - {name: t_below_change, aggregate: on_changes, when: "> 0 over 10ms every 1ms"}
  - {name: t_changes, filter: stays, when: COUNT() > 0 over 10ms every 1ms}
`

const secondSet = installed + `
agent: {log: {level: warn}, snaplen: 100}
indexes: [dst_port]
filters:
  - {name: comes, where: tcp}
  - {name: stays, where: dst_port == 80}
  - {name: changes, where: src_ip in 0.0.1.0/24}
aggregates:
  - {name: on_stays, filter: stays, compute: COUNT()}
  - {name: on_changes, filter: changes, compute: COUNT()}
  - {name: changes_itself, filter: stays, compute: SUM(pkt_len)}
triggers:
  - {name: t_stays, aggregate: on_stays, when: "> 0 over 10ms every 1ms"}
  - {name: t_below_change, aggregate: on_changes, when: "> 0 over 10ms every 1ms"}
  - {name: t_changes, filter: comes, when: COUNT() > 0 over 10ms every 1ms}
`

// from returns the offset that each installed thing sees headers from.
func from(a *Agent) map[string]uint64 {
	out := map[string]uint64{}
	for _, f := range a.Filters() {
		out["filter "+f.Name] = f.FromOffset
	}
	for _, g := range a.Aggregates() {
		out["aggregate "+g.Name] = g.FromOffset
	}
	for _, t := range a.Triggers() {
		out["trigger "+t.Name] = t.FromOffset
	}
	for _, x := range a.Indexes() {
		out["index "+x.Attr] = x.FromOffset
	}
	return out
}

func TestReloadUnderLoadChangesWhatChangedAndNothingElse(t *testing.T) {
	path := captureFile(t, 20_000)
	first := configure(t, firstSet, "$pcap", path)
	second := configure(t, secondSet, "$pcap", path)
	second.API = first.API
	a := start(t, first)
	watchLedger(t, a)
	waitFor(t, "headers are stored", func() bool { return a.Ledger().Stored > 100_000 })

	before := from(a)
	applied, restart, err := a.Apply(second)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, c := range applied {
		keys = append(keys, c.Key)
	}
	for _, want := range []string{"agent.log.level", "indexes", "filters[changes].where", "filters[goes]", "filters[comes]", "aggregates[changes_itself].compute"} {
		if !slices.Contains(keys, want) {
			t.Errorf("%s is not among what was applied: %v", want, keys)
		}
	}
	if len(restart) != 1 || restart[0].Key != "agent.snaplen" {
		t.Errorf("what takes a restart: %+v", restart)
	}
	after := from(a)
	for name, want := range map[string]string{
		"filter stays": "same", "filter changes": "new", "filter comes": "new", "filter goes": "gone",
		"aggregate on_stays": "same", "aggregate on_changes": "new", "aggregate changes_itself": "new",
		"trigger t_stays": "same", "trigger t_below_change": "new", "trigger t_changes": "new",
		"index src_ip": "gone", "index dst_port": "new",
	} {
		off, there := after[name]
		got := "gone"
		if there {
			got = "same"
			if old, was := before[name]; !was || off != old {
				got = "new"
			}
			if got == "new" && off < 100_000 {
				t.Errorf("%s is new and says that it saw headers from %d on", name, off)
			}
		}
		if got != want {
			t.Errorf("%s: %s (from %d before, %d after), want %s", name, got, before[name], off, want)
		}
	}
	if c := a.Config(); c.Agent.Snaplen != 128 || c.Agent.Log.Level != "warn" || len(c.Filters) != 3 {
		t.Errorf("in force is %+v", c)
	}
	// Back and forth while headers come.
	for range 20 {
		if _, _, err := a.Apply(first); err != nil {
			t.Fatal(err)
		}
		if _, _, err := a.Apply(second); err != nil {
			t.Fatal(err)
		}
	}
	if l := stop(t, a); lost(l) != 0 {
		t.Errorf("%v dropped during reloads", l.Dropped)
	}
}

func TestReloadChangesNothingWhenItCannotChangeAll(t *testing.T) {
	path := captureFile(t, 1000)
	first := configure(t, firstSet, "$pcap", path)
	a := start(t, first)
	parse := func(s string) *expr.Expr {
		e, err := api.ParseWhere(s, a.Ports())
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	// A user's own, beside the configuration's.
	if _, err := a.InstallFilter("comes", parse("arp")); err != nil {
		t.Fatal(err)
	}
	agg, err := expr.ParseAggregate("COUNT()")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.InstallAggregate("users", "changes", agg); err != nil {
		t.Fatal(err)
	}
	before := from(a)
	second := configure(t, strings.Replace(secondSet, "indexes: [dst_port]", "indexes: [tcp_window]\nmultilog: {memory: 16MiB, segment_headers: 4096, columns: [tcp_window]}", 1)+
		`# `, "$pcap", path, "multilog: {memory: 16MiB, segment_headers: 4096}\nspray", "spray")
	_, _, err = a.Apply(second)
	if !errors.Is(err, multilog.ErrExists) || !errors.Is(err, multilog.ErrInUse) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"comes", "users", "tcp_window is not stored"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: says nothing of %q", err, want)
		}
	}
	if after := from(a); fmt.Sprint(after) != fmt.Sprint(before) || a.Config() != first {
		t.Errorf("was %v, is %v", before, after)
	}
}

func TestReloadLeavesAloneWhatUsersRemoved(t *testing.T) {
	path := captureFile(t, 1000)
	first := configure(t, firstSet, "$pcap", path)
	a := start(t, first)
	waitFor(t, "headers are stored", func() bool { return a.Ledger().Stored > 0 })
	for _, remove := range []func() error{
		func() error { return a.RemoveTrigger("t_changes") },
		func() error { return a.RemoveTrigger("t_below_change") },
		func() error { return a.RemoveAggregate("on_changes") },
		func() error { return a.RemoveFilter("changes") },
		func() error { return a.RemoveIndex(packet.SrcIP) },
	} {
		if err := remove(); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := a.Apply(configure(t, secondSet, "$pcap", path)); err != nil {
		t.Fatal(err)
	}
	now := from(a)
	for _, name := range []string{"filter changes", "aggregate on_changes", "trigger t_below_change", "trigger t_changes", "index dst_port"} {
		if now[name] == 0 {
			t.Errorf("%s is not installed anew: %v", name, now)
		}
	}
}

func TestReloadReadsTheFileAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "host.yaml")
	cfg := configure(t, installed, "$pcap", captureFile(t, 1000))
	write := func(extra string) {
		text := strings.NewReplacer("$pcap", cfg.Sources[0].PcapFile.Paths[0]).Replace(installed) + "api: {socket: " + cfg.API.Socket + "}\n" + extra
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	a := New(cfg, Options{Path: path})
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer stop(t, a)
	c := client(t, a)

	write("filters: [{name: web, where: dst_port == 80}]\nwriters: {count: 2}\n")
	r, err := c.Reload(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.Applied, []string{"filters[web]"}) || !slices.Equal(r.NeedsRestart, []string{"writers.count"}) {
		t.Errorf("reload says %+v", r)
	}
	fs, err := c.Filters(t.Context())
	if err != nil || len(fs) != 1 || fs[0].Name != "web" {
		t.Errorf("filters %+v, %v", fs, err)
	}

	write("filters: [{name: web, where: dst_prt == 80}]\n")
	if _, err := c.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "filters[0].where: column 1") {
		t.Errorf("reload of a file with a mistake says %v", err)
	}
	if fs := a.Filters(); len(fs) != 1 {
		t.Errorf("filters %+v after a file with a mistake", fs)
	}
}

func TestAlertsReachTheReceiversThatTheConfigurationNames(t *testing.T) {
	var posted [2]atomic.Int64
	var urls []string
	for i := range posted {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var alerts []map[string]any
			if err := json.NewDecoder(r.Body).Decode(&alerts); err != nil || r.Header.Get("X-Team") != "net" {
				t.Errorf("posted %v, header %v", err, r.Header)
			}
			posted[i].Add(int64(len(alerts)))
		}))
		defer srv.Close()
		urls = append(urls, srv.URL)
	}
	path := captureFile(t, 20_000)
	text := installed + `
triggers: [{name: busy, when: COUNT() > 0 over 2s every 10ms, labels: {team: net}}]
`
	webhook := func(url string) string {
		return strings.Replace(text, "alerts: {log: false}", "alerts: {webhooks: [{url: \""+url+"\", headers: {X-Team: net}}]}", 1)
	}
	first := configure(t, webhook(urls[0]), "$pcap", path)
	a := start(t, first)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	follow := a.Follow(ctx)
	waitFor(t, "the first receiver has the alert", func() bool { return posted[0].Load() > 0 })
	if got := a.Alerts(time.Time{}); len(got) == 0 || got[0].Trigger != "busy" || got[0].State != api.Firing || got[0].Value <= 0 {
		t.Errorf("alerts %+v", got)
	}
	second := configure(t, webhook(urls[1]), "$pcap", path)
	second.API = first.API
	if _, _, err := a.Apply(second); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the second receiver has the alert that fires", func() bool { return posted[1].Load() > 0 })

	broken := configure(t, strings.Replace(webhook(urls[1]), "headers: {X", "ca: /no/such/file, headers: {X", 1), "$pcap", path)
	if _, _, err := a.Apply(broken); err == nil || !strings.Contains(err.Error(), "/no/such/file") {
		t.Errorf("a receiver that cannot be made is said to be: %v", err)
	}
	if s := a.Status(); s.Monitor.Triggers != 1 || s.Monitor.Firing != 1 || s.Monitor.Evaluations == 0 || s.Monitor.Alerts == 0 || s.Monitor.Undelivered != 0 {
		t.Errorf("monitor %+v", s.Monitor)
	}
	if err := a.RemoveTrigger("busy"); err != nil {
		t.Fatal(err)
	}
	select {
	case al, ok := <-follow:
		if !ok || al.State != api.Resolved && al.State != api.Firing {
			t.Errorf("followed %+v, %v", al, ok)
		}
	case <-time.After(30 * time.Second):
		t.Error("a follower heard nothing of the removal")
	}
	cancel()
	for range follow {
	}
}
