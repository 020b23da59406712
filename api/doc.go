// Package api is the agent's local interface: HTTP and JSON on a unix socket
// and, where configured, on TCP with TLS. [Server] answers for a [Host], which
// the agent is; [Client] asks. Both speak the types of types.go, which are the
// API: docs/api.md describes them for those who use curl.
//
// Requests are read strictly: an unknown key, a second value, a body beyond the
// limit is the caller's mistake and answered with a 4xx status and an [Error].
// Rows are copied out of the log before they are written, so a reader that is
// slow, or never reads, holds no memory of the log; it is cut off after
// [Options.WriteTimeout].
package api
