package conformance

import (
	"bytes"
	"encoding/binary"
	"time"
)

// A Frame is a frame as the suite makes it.
type Frame struct {
	Data []byte
	Time time.Time // for a recorded source; never going back
}

// magic marks the frames of the suite; it stands where the UDP payload begins,
// followed by the number of the frame.
var magic = []byte("confluo conformance\x00")

const (
	magicAt  = 14 + 20 + 8
	seqAt    = magicAt + 20
	minFrame = seqAt + 8
	flows    = 16
)

// Frames makes n frames of UDP over IPv4 over Ethernet, of lengths up to
// maxLen bytes, of several flows, so that a receiver with several queues
// spreads them, and each with its number inside.
func Frames(n, maxLen int) []Frame {
	at := time.Date(2024, 5, 6, 7, 8, 9, 123456789, time.UTC)
	out := make([]Frame, n)
	for i := range out {
		length := minFrame + (i*131)%(maxLen-minFrame+1)
		switch i {
		case 0:
			length = minFrame
		case 1:
			length = maxLen
		}
		out[i] = Frame{Data: frame(i, length), Time: at}
		if i%3 != 0 { // some share their time
			at = at.Add(time.Duration(1+i%7) * 1501 * time.Nanosecond)
		}
	}
	return out
}

func frame(seq, length int) []byte {
	f := make([]byte, length)
	copy(f, []byte{0x02, 0xc0, 0xff, 0xee, 0, 2, 0x02, 0xc0, 0xff, 0xee, 0, 1, 0x08, 0x00})
	ip := f[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(ip[2:], uint16(length-14))
	binary.BigEndian.PutUint16(ip[4:], uint16(seq))
	copy(ip[12:], []byte{198, 18, 0, byte(1 + seq%flows), 198, 19, 0, 1})
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum))
	udp := f[34:]
	binary.BigEndian.PutUint16(udp, uint16(40000+seq%flows))
	binary.BigEndian.PutUint16(udp[2:], 9) // discard
	binary.BigEndian.PutUint16(udp[4:], uint16(length-34))
	copy(f[magicAt:], magic)
	binary.BigEndian.PutUint64(f[seqAt:], uint64(seq))
	for i := minFrame; i < length; i++ {
		f[i] = byte(i*7 + seq*13)
	}
	return f
}

// seqOf returns the number of a frame of the suite; false for any other.
func seqOf(slice []byte) (int, bool) {
	if len(slice) < minFrame || !bytes.Equal(slice[magicAt:magicAt+len(magic)], magic) {
		return 0, false
	}
	return int(binary.BigEndian.Uint64(slice[seqAt:])), true
}

func datas(fs []Frame) [][]byte {
	out := make([][]byte, len(fs))
	for i := range fs {
		out[i] = fs[i].Data
	}
	return out
}
