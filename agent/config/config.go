package config

import (
	"fmt"
	"io"
	"os"
	"reflect"

	"gopkg.in/yaml.v3"
)

// Config is a whole configuration. One that Load, Parse or Default returned is
// complete and consistent; it is not changed afterwards and may be read by any
// goroutine.
type Config struct {
	Agent      Agent       `key:"agent"`
	Sources    []Source    `key:"sources" doc:"where frames come from; each has exactly one of dpdk, afpacket and pcapfile"`
	DPDK       DPDK        `key:"dpdk"`
	Capture    Capture     `key:"capture"`
	Spray      Spray       `key:"spray"`
	Writers    Writers     `key:"writers"`
	MultiLog   MultiLog    `key:"multilog"`
	Indexes    []Attr      `key:"indexes" default:"src_ip, dst_ip, src_port, dst_port" live:"yes" doc:"attributes that are indexed"`
	Filters    []Filter    `key:"filters" live:"yes" doc:"filters, each with a log of the headers that match"`
	Aggregates []Aggregate `key:"aggregates" live:"yes" doc:"aggregates over the headers of a filter"`
	Triggers   []Trigger   `key:"triggers" live:"yes" doc:"conditions that raise alerts"`
	Monitor    Monitor     `key:"monitor"`
	Alerts     Alerts      `key:"alerts"`
	API        API         `key:"api"`
}

// Default returns the configuration of an empty file: no sources, no filters.
func Default() *Config {
	c := &Config{}
	setDefaults(reflect.ValueOf(c).Elem())
	return c
}

// Load reads the configuration file at path. An error about its content is of
// type Errors.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	defer f.Close()
	// One byte more than is allowed is enough to say that there is too much.
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return Parse(path, data)
}

// Parse reads a configuration from data; name stands for the file in errors,
// which are of type Errors.
func Parse(name string, data []byte) (*Config, error) {
	c := Default()
	d := &decoder{file: name, at: map[string]*yaml.Node{}, bad: map[string]bool{}}
	if root := d.parse(data); root != nil {
		d.section(root, reflect.ValueOf(c).Elem(), "")
	}
	d.check(c)
	if len(d.errs) > 0 {
		d.errs.sort()
		return nil, d.errs
	}
	return c, nil
}
