// Package mirror owns what turns a mirrored frame back into the packet that
// was mirrored: which encapsulation is stripped on which ports, written as an
// operator writes it ([ParseDecap], [FormatDecap]). The stripping itself is
// done by the parser of package packet, which reads the settings of the port
// that a frame came from.
//
// The room will also own the mirrors that the agent makes in Open vSwitch
// through OVSDB: made, verified and removed there, and never one that it did
// not make.
package mirror
