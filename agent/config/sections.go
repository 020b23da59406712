package config

import "time"

// Agent is the section agent: what holds for the whole process.
type Agent struct {
	Name    string `key:"name" doc:"name of this agent in alerts and answers; empty: the host name"`
	Snaplen int    `key:"snaplen" default:"128" range:"14..65535" unit:"bytes" doc:"how much of each frame is kept"`
	Log     Log    `key:"log"`
}

// Log is the section agent.log.
type Log struct {
	Level  string `key:"level" default:"info" oneof:"debug|info|warn|error" live:"yes" doc:"least severe message that is logged"`
	Format string `key:"format" default:"text" oneof:"text|json" doc:"form of log lines, on standard error"`
}

// Capture is the section capture.
type Capture struct {
	CPUs []int `key:"cpus" range:"0..1023" doc:"CPU that each capture goroutine, one a receive queue, is pinned to, in the order of sources and their queues; fewer are used in turn; empty: none is pinned"`
}

// Spray is the section spray.
type Spray struct {
	RingBatches int    `key:"ring_batches" default:"64" range:"2..65536" doc:"size of each ring between a capture queue and a writer, in batches of up to 256 headers; a power of two"`
	OnFull      string `key:"on_full" default:"drop" oneof:"drop|block" doc:"what to do when no ring has room: drop the batch and count it, or let the capture queue wait"`
}

// Writers is the section writers.
type Writers struct {
	Count int   `key:"count" default:"1" range:"1..64" doc:"writers, each a goroutine with a thread of its own"`
	CPUs  []int `key:"cpus" range:"0..1023" doc:"CPU that each writer is pinned to, one for each writer; empty: none is pinned"`
}

// MultiLog is the section multilog.
type MultiLog struct {
	Memory         Bytes  `key:"memory" default:"1GiB" range:"16MiB..64TiB" doc:"memory for headers and for the logs of filters and aggregates, reserved and touched at start; each index takes about 2 bytes a header on top"`
	SegmentHeaders int    `key:"segment_headers" default:"0" range:"0..268435456" doc:"headers of a segment, the unit in which the oldest go when memory is full; a power of two from 256; 0: 1048576, or fewer where memory would hold less than 16 segments"`
	Columns        []Attr `key:"columns" default:"src_ip, dst_ip, src_port, dst_port, proto, tcp_flags, ttl, payload_len, vlan, vni" doc:"attributes that are stored as columns, beside ts, pkt_len, in_port, direction, layers and cap_len, which always are; the others are read from the slice when a query asks for them, which is slower"`
	LogBytes       int    `key:"log_bytes" default:"16" range:"1..4096" unit:"bytes" doc:"share of a header in the room for the logs of filters and aggregates"`
	HugePages      string `key:"hugepages" default:"auto" oneof:"auto|on|off" doc:"pages that back the memory: transparent huge pages where the kernel grants them, 2 MiB pages of hugetlbfs or an error, or 4 KiB pages"`
}

// Filter is an element of the list filters.
type Filter struct {
	Name  string `key:"name" required:"yes" example:"web" doc:"name of the filter, unique"`
	Where string `key:"where" required:"yes" example:"dst_port in {80, 443}" doc:"expression that a header must satisfy"`
}

// Aggregate is an element of the list aggregates.
type Aggregate struct {
	Name      string        `key:"name" required:"yes" example:"bytes_by_host" doc:"name of the aggregate, unique"`
	Filter    string        `key:"filter" doc:"name of the filter whose headers are folded; empty: all headers"`
	Compute   string        `key:"compute" required:"yes" example:"SUM(pkt_len) BY dst_ip" doc:"function, and what to group by"`
	Bucket    time.Duration `key:"bucket" default:"1ms" range:"1us..1h" doc:"width of the time buckets in which it is kept"`
	MaxGroups int           `key:"max_groups" default:"65536" range:"1..16777214" doc:"groups at most; headers of further groups are counted as overflow"`
}

// DefaultSeverity is the severity of a trigger that does not say.
const DefaultSeverity = "warning"

// Trigger is an element of the list triggers.
type Trigger struct {
	Name        string            `key:"name" required:"yes" example:"busy_host" doc:"name of the trigger, unique"`
	Aggregate   string            `key:"aggregate" doc:"name of the aggregate that is compared; empty: when has the aggregate, and filter says of which headers"`
	Filter      string            `key:"filter" doc:"name of the filter whose headers count; only without aggregate; empty: all headers"`
	When        string            `key:"when" required:"yes" example:"SUM(pkt_len) BY dst_ip > 1GB over 100ms every 1ms" doc:"condition; with aggregate it begins at the comparison"`
	Severity    string            `key:"severity" default:"warning" oneof:"info|warning|critical" doc:"label severity of its alerts"`
	Labels      map[string]string `key:"labels" doc:"further labels of its alerts"`
	Annotations map[string]string `key:"annotations" doc:"texts that go with its alerts"`
}

// Monitor is the section monitor.
type Monitor struct {
	Every     time.Duration `key:"every" default:"1ms" range:"10us..10s" doc:"how often the log is looked at; each trigger has its own distance of evaluations, in capture time"`
	Lateness  time.Duration `key:"lateness" default:"20ms" range:"1us..1m" doc:"how long a window waits for headers that are captured in time and published late"`
	MaxGroups int           `key:"max_groups" default:"65536" range:"1..16777214" doc:"groups at most of a trigger that is on no aggregate of the configuration; headers of further groups are counted as overflow"`
	MaxFiring int           `key:"max_firing" default:"10000" range:"1..16777214" doc:"groups of a trigger that fire at the same time at most; further ones raise no alert and are counted"`
	MaxBehind int           `key:"max_behind" default:"10000" range:"1..1000000000" doc:"windows of each length that are evaluated at one look at most; of others only the newest is, and they are counted"`
}

// Alerts is the section alerts.
type Alerts struct {
	Log      bool      `key:"log" default:"true" live:"yes" doc:"write alerts to the log"`
	Keep     int       `key:"keep" default:"10000" range:"1..10000000" doc:"newest alerts that are kept for the command line and the API"`
	Follow   int       `key:"follow" default:"1024" range:"1..1000000" doc:"alerts that may wait for a follower before it is cut off"`
	Webhooks []Webhook `key:"webhooks" live:"yes" doc:"receivers of alerts, which speak Alertmanager's API v2"`
}

// Webhook is an element of the list alerts.webhooks.
type Webhook struct {
	URL     string        `key:"url" required:"yes" example:"http://127.0.0.1:9093/api/v2/alerts" doc:"address that alerts are posted to"`
	Timeout time.Duration `key:"timeout" default:"5s" range:"10ms..5m" doc:"longest wait for an answer"`
	Repeat  time.Duration `key:"repeat" default:"1m" range:"1s..24h" doc:"how often an alert that fires is posted again, each time to end four times as late"`
	Queue   int           `key:"queue" default:"10000" range:"1..1000000" doc:"alerts that may wait for the receiver; when one more comes, the oldest is dropped and counted"`
	Batch   int           `key:"batch" default:"64" range:"1..10000" doc:"alerts that are posted at once"`
	Headers Headers       `key:"headers" doc:"HTTP header fields of each request; their values are never shown"`
	CA      string        `key:"ca" doc:"file with the certificates that may have signed the receiver's; empty: those of the system"`
}

// API is the section api.
type API struct {
	Socket      string  `key:"socket" default:"/run/confluo/host.sock" doc:"absolute path of the unix socket"`
	SocketMode  Mode    `key:"socket_mode" default:"0660" doc:"permissions of the socket, in octal digits"`
	SocketGroup string  `key:"socket_group" doc:"group that owns the socket; empty: the agent's own"`
	TCP         *APITCP `key:"tcp" doc:"the same API over TCP"`
}

// APITCP is the section api.tcp.
type APITCP struct {
	Listen string  `key:"listen" required:"yes" example:"127.0.0.1:9465" doc:"address and port to listen on"`
	TLS    *APITLS `key:"tls" doc:"without it, only an address of the loopback interface is allowed"`
}

// APITLS is the section api.tcp.tls.
type APITLS struct {
	Cert     string `key:"cert" required:"yes" example:"/etc/confluo/host.crt" doc:"file with the certificate, PEM"`
	Key      string `key:"key" required:"yes" example:"/etc/confluo/host.key" doc:"file with its private key, PEM"`
	ClientCA string `key:"client_ca" doc:"file with the certificates that may have signed a client's, which is then asked for; empty: any client"`
}
