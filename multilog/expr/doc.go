// Package expr is the expression language: filters such as
//
//	dst_port == 443 && src_ip in 10.0.0.0/8 && tcp.syn && !tcp.ack || pkt_len > 1400
//
// aggregates such as SUM(pkt_len) BY dst_ip, and triggers such as
// SUM(pkt_len) > 1GB over 100ms every 1ms. It parses them, says what is wrong
// with them by column, and compiles filters into programs that evaluate a
// chunk of headers at a time, column by column.
//
// Expressions know attributes (package packet) and nothing of logs, sockets or
// configuration.
package expr
