// Package packet describes one packet header: its attributes (the schema), the
// columns that hold the attributes of many headers, the batch in which headers
// travel from a capture queue to a writer, and the parser that reads
// attributes from frame bytes.
//
// The package knows nothing of where frames came from. A [Batch] is filled by
// one capture goroutine, then owned by one writer goroutine, never by both.
//
// # Presence
//
// A header need not have every attribute: an ARP frame has no destination
// port. Which ones it has is told by its [Layers] bits ([Attr.Present]).
// An absent attribute is stored as zero, and a comparison with it is false,
// whatever the operator (the rule of Wireshark's display filters).
package packet
