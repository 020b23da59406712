package monitor

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// startAlertmanager runs Debian's prometheus-alertmanager on a free port of the
// loopback interface and returns its address.
func startAlertmanager(t *testing.T) string {
	t.Helper()
	bin, err := exec.LookPath("prometheus-alertmanager")
	if err != nil {
		if os.Getenv("CONFLUO_TEST_STRICT") == "1" {
			t.Fatal("prometheus-alertmanager is not installed")
		}
		t.Skip("prometheus-alertmanager is not installed")
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "am.yml")
	if err := os.WriteFile(config, []byte("route: {receiver: none}\nreceivers: [{name: none}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "--config.file="+config, "--storage.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+addr, "--cluster.listen-address=")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // it was killed
		if err := log.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			text, err := os.ReadFile(log.Name())
			t.Logf("alertmanager's log (%v):\n%s", err, text)
		}
	})
	waitFor(t, "alertmanager to be ready", func() bool {
		resp, err := http.Get("http://" + addr + "/-/ready")
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	})
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return addr
}

// What a monitor raises is what Alertmanager then shows: the group fires, is
// kept firing beyond its time-out, and resolves.
func TestAlertmanagerShowsFiringThenResolved(t *testing.T) {
	addr := startAlertmanager(t)
	wh := newWebhook(t, WebhookOptions{URL: "http://" + addr + "/api/v2/alerts", Host: "hv1", Repeat: 500 * time.Millisecond})
	m, l := newMonitor(t, Options{Lateness: time.Millisecond, Sinks: []Sink{wh}})
	if _, err := m.InstallFilter("syn", mustExpr(t, "tcp.syn && !tcp.ack")); err != nil {
		t.Fatal(err)
	}
	_, err := m.InstallTrigger(TriggerSpec{
		Name: "syn_flood", Filter: "syn", Trigger: mustTrigger(t, "COUNT() BY src_ip, dst_port > 4 over 100ms every 1ms"),
		Severity: "critical", Labels: map[string]string{"team": "net"}, Annotations: map[string]string{"runbook": "https://example.net/syn"},
	})
	if err != nil {
		t.Fatal(err)
	}
	type shown struct {
		Labels, Annotations map[string]string
		StartsAt, EndsAt    time.Time
		Status              struct{ State string }
	}
	alerts := func() (out []shown) {
		resp, err := http.Get("http://" + addr + "/api/v2/alerts?filter=alertname%3D%22syn_flood%22")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	clock := time.Now()
	send(t, l, clock.UnixNano(), 7, 5)
	send(t, l, clock.UnixNano(), 8, 4)
	m.look(clock)
	m.look(clock.Add(10 * time.Millisecond))
	waitFor(t, "the alert to be shown", func() bool { return len(alerts()) == 1 })
	a := alerts()[0]
	want := map[string]string{"alertname": "syn_flood", "severity": "critical", "host": "hv1", "team": "net", "src_ip": "10.0.0.7", "dst_port": "80"}
	if fmt.Sprint(a.Labels) != fmt.Sprint(want) || a.Status.State != "active" {
		t.Fatalf("alertmanager shows %+v, want %v active", a, want)
	}
	if a.Annotations["value"] != "5" || a.Annotations["first_offset"] != "0" || a.Annotations["last_offset"] != "4" || a.Annotations["runbook"] == "" {
		t.Errorf("annotations %v", a.Annotations)
	}
	// It stays beyond its first end, as it is repeated.
	waitFor(t, "a later end", func() bool {
		as := alerts()
		return len(as) == 1 && as[0].EndsAt.After(a.EndsAt.Add(500*time.Millisecond))
	})
	m.look(clock.Add(200 * time.Millisecond))
	// Resolved alerts are no longer in the list.
	waitFor(t, "the alert to be resolved", func() bool { return len(alerts()) == 0 })
	waitFor(t, "the answer to be counted", func() bool { return wh.Stats().Waiting == 0 })
	if s := checkCounts(t, wh); s.Taken != 2 || s.Delivered != 2 || s.Rejected != 0 || s.Repeated == 0 || s.Failures != 0 {
		t.Errorf("webhook %+v", s)
	}
}
