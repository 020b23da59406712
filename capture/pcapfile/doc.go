// Package pcapfile reads capture files as a capture source, and writes them:
// pcap (microseconds and nanoseconds, both byte orders, and the variant with
// longer record headers that old Linux systems wrote) and pcapng (several
// sections and interfaces), plain, gzip or zstd, from files, FIFOs and
// standard input.
//
// The formats are those of draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng.
// What is not said there is done as libpcap does it.
//
// The reader is not gopacket/pcapgo's, which serves as an oracle in the tests
// instead. It holds link types in 8 bits (LINKTYPE_LINUX_SLL2 is 276), gives no
// directions, refuses frames longer than the snap length of their file or than
// the frame was on the wire, does not tell a file that was cut short from one
// that ended, and trusts the lengths in the file: it allocates by them, and
// divides by a time resolution of zero.
package pcapfile
