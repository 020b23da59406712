package config

import (
	"errors"
	"math/bits"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

// check finds what is wrong between keys, and what takes more than a type to
// tell.
func (d *decoder) check(c *Config) {
	d.checkSources(c)
	if n := c.Spray.RingBatches; bits.OnesCount(uint(n)) != 1 {
		d.errorf("spray.ring_batches", "found %d, expected a power of two", n)
	}
	d.checkWriters(c)
	if n := c.MultiLog.SegmentHeaders; n != 0 && (n < 256 || bits.OnesCount(uint(n)) != 1) {
		d.errorf("multilog.segment_headers", "found %d, expected 0 or a power of two from 256", n)
	}
	d.checkColumns(c)
	d.checkMonitor(c)
	d.checkWebhooks(c.Alerts.Webhooks)
	d.checkAPI(c)
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)

// names checks the names of the elements of the list at path: well formed, and
// each only once. What it returns holds those that may be referred to.
func (d *decoder) names(path string, n int, name func(int) string) map[string]int {
	first := map[string]int{}
	for i := range n {
		p := item(path, i) + ".name"
		s := name(i)
		if s == "" {
			continue // reported as missing
		}
		if !nameForm.MatchString(s) {
			d.errorf(p, "found %q, expected 1 to 64 letters, digits, _, - or ., the first a letter, digit or _", s)
			continue
		}
		if j, ok := first[s]; ok {
			d.errorf(p, "found %q again, expected another name: %s has this one (line %d)", s, item(path, j), d.line(item(path, j)+".name"))
			continue
		}
		first[s] = i
	}
	return first
}

// line returns the line of a key that was given.
func (d *decoder) line(path string) int {
	if n := d.at[path]; n != nil {
		return n.Line
	}
	return 1
}

// refer checks that s, if not empty, is the name of an element of list.
func (d *decoder) refer(path, s, list string, defined map[string]int) bool {
	if s == "" {
		return true
	}
	if _, ok := defined[s]; ok {
		return true
	}
	var known []string
	for n := range defined {
		known = append(known, n)
	}
	d.errorf(path, "found %q%s, expected the name of an element of %s", s, didYouMean(s, known), list)
	return false
}

// expression reports what is wrong with an expression, with the place in it
// marked. shift is how many characters of the parsed text stand before what the
// file has.
func (d *decoder) expression(path string, err error, text string, shift int) {
	var ee *expr.Error
	if !errors.As(err, &ee) {
		d.errorf(path, "%v", err)
		return
	}
	at := *ee
	at.Src, at.Col = text, max(1, ee.Col-shift)
	d.errorf(path, "%v\n\t%s", &at, strings.ReplaceAll(at.Caret(), "\n", "\n\t"))
}

func (d *decoder) checkWriters(c *Config) {
	w := &c.Writers
	if len(w.CPUs) != 0 && len(w.CPUs) != w.Count {
		d.errorf("writers.cpus", "found a list of %d, expected one CPU for each of the %d writers, or none", len(w.CPUs), w.Count)
	}
	first := map[int]int{}
	for i, cpu := range w.CPUs {
		if j, ok := first[cpu]; ok && d.valid(item("writers.cpus", i)) && d.valid(item("writers.cpus", j)) {
			d.errorf(item("writers.cpus", i), "found CPU %d again, expected another: %s has this one", cpu, item("writers.cpus", j))
			continue
		}
		first[cpu] = i
	}
}

// alwaysStored are the columns that the log has whatever multilog.columns says.
var alwaysStored = packet.SetOf(packet.Ts, packet.PktLen, packet.CapLen, packet.InPort, packet.Direction, packet.LayerBits)

func (d *decoder) checkColumns(c *Config) {
	d.attrsOnce("multilog.columns", c.MultiLog.Columns)
	d.attrsOnce("indexes", c.Indexes)
	stored := c.MultiLog.Stored()
	for i, a := range c.Indexes {
		if !stored.Has(packet.Attr(a)) {
			d.errorf(item("indexes", i), "found %s, which is not stored, expected an attribute that multilog.columns has", a)
		}
	}
}

func (d *decoder) attrsOnce(path string, attrs []Attr) {
	first := map[Attr]int{}
	for i, a := range attrs {
		p := item(path, i)
		if j, ok := first[a]; ok && d.valid(p) && d.valid(item(path, j)) {
			d.errorf(p, "found %s again, expected each attribute once: %s has it", a, item(path, j))
			continue
		}
		first[a] = i
	}
}

// checkMonitor checks filters, aggregates and triggers, each of which may refer
// to those before it.
func (d *decoder) checkMonitor(c *Config) {
	names := c.ports()
	filters := d.names("filters", len(c.Filters), func(i int) string { return c.Filters[i].Name })
	for i, f := range c.Filters {
		if f.Where == "" {
			continue
		}
		p := item("filters", i) + ".where"
		if _, err := expr.Parse(f.Where, names); err != nil {
			d.expression(p, err, f.Where, 0)
		}
	}
	aggregates := d.names("aggregates", len(c.Aggregates), func(i int) string { return c.Aggregates[i].Name })
	for i, a := range c.Aggregates {
		p := item("aggregates", i)
		d.refer(p+".filter", a.Filter, "filters", filters)
		if a.Compute == "" {
			continue
		}
		if _, err := expr.ParseAggregate(a.Compute); err != nil {
			d.expression(p+".compute", err, a.Compute, 0)
		}
	}
	d.names("triggers", len(c.Triggers), func(i int) string { return c.Triggers[i].Name })
	for i := range c.Triggers {
		d.checkTrigger(c, &c.Triggers[i], item("triggers", i), filters, aggregates)
	}
}

func (d *decoder) checkTrigger(c *Config, t *Trigger, p string, filters, aggregates map[string]int) {
	d.refer(p+".filter", t.Filter, "filters", filters)
	if !d.refer(p+".aggregate", t.Aggregate, "aggregates", aggregates) {
		return
	}
	if t.Aggregate != "" && t.Filter != "" {
		d.errorf(p+".filter", "found %q beside aggregate %q, expected one of the two: the aggregate has its filter already", t.Filter, t.Aggregate)
	}
	if t.When == "" {
		return
	}
	var on *Aggregate
	shift := 0
	if t.Aggregate != "" {
		on = &c.Aggregates[aggregates[t.Aggregate]]
		if _, err := expr.ParseAggregate(on.Compute); err != nil {
			return // reported there
		}
		shift = len([]rune(on.Compute)) + 1
	}
	spec, err := t.Spec(on)
	if err != nil {
		d.expression(p+".when", err, t.When, shift)
		return
	}
	if on != nil && spec.Trigger.Every%on.Bucket != 0 {
		d.errorf(p+".when", "found every %s, expected a multiple of the bucket of aggregate %q, %s", formatDuration(spec.Trigger.Every), on.Name, formatDuration(on.Bucket))
	}
	d.backstop(p, spec.Validate())
}

func (d *decoder) checkWebhooks(ws []Webhook) {
	first := map[string]int{}
	for i, w := range ws {
		if w.URL == "" {
			continue // reported as missing
		}
		p := item("alerts.webhooks", i) + ".url"
		u, err := url.Parse(w.URL)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			d.errorf(p, "found %q, expected an address such as http://127.0.0.1:9093/api/v2/alerts", w.URL)
		}
		if j, ok := first[w.URL]; ok {
			d.errorf(p, "found %q again, expected another: %s has this one", w.URL, item("alerts.webhooks", j))
			continue
		}
		first[w.URL] = i
	}
}

func (d *decoder) checkAPI(c *Config) {
	if s := c.API.Socket; !filepath.IsAbs(s) {
		d.errorf("api.socket", "found %q, expected a path that begins with /", s)
	}
	// struct sockaddr_un (unix(7)) has room for 108 bytes with the final zero.
	if s := c.API.Socket; len(s) > 107 {
		d.errorf("api.socket", "found a path of %d bytes, expected at most 107", len(s))
	}
	if c.API.TCP == nil || c.API.TCP.Listen == "" {
		return
	}
	listen := c.API.TCP.Listen
	host, port, err := net.SplitHostPort(listen)
	if err != nil || port == "" {
		d.errorf("api.tcp.listen", "found %q, expected address:port, such as 127.0.0.1:9465 or [::1]:9465", listen)
		return
	}
	if c.API.TCP.TLS != nil {
		return
	}
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		d.errorf("api.tcp.listen", "found %q without api.tcp.tls, expected an address of the loopback interface, such as 127.0.0.1:9465", listen)
	}
}
