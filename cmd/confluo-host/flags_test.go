package main

import (
	"testing"
	"time"
)

func TestTimesAsPeopleWriteThem(t *testing.T) {
	zone := time.FixedZone("", 3600)
	now := time.Date(2026, 3, 4, 15, 30, 0, 0, zone)
	for text, want := range map[string]time.Time{
		"now":                           now,
		"-5m":                           now.Add(-5 * time.Minute),
		"-1.5d":                         now.Add(-36 * time.Hour),
		"2026-01-02T03:04:05Z":          time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		"2026-01-02T03:04:05.123+02:00": time.Date(2026, 1, 2, 1, 4, 5, 123e6, time.UTC),
		"2026-01-02 03:04:05Z":          time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		"2026-01-02 03:04:05.5":         time.Date(2026, 1, 2, 3, 4, 5, 5e8, zone),
		"2026-01-02T03:04":              time.Date(2026, 1, 2, 3, 4, 0, 0, zone),
		"2026-01-02":                    time.Date(2026, 1, 2, 0, 0, 0, 0, zone),
		"09:30":                         time.Date(2026, 3, 4, 9, 30, 0, 0, zone),
		"09:30:15.25":                   time.Date(2026, 3, 4, 9, 30, 15, 25e7, zone),
		"1136214245":                    time.Unix(1136214245, 0),
		"1136214245.000000001":          time.Unix(1136214245, 1),
		"1136214245.5":                  time.Unix(1136214245, 5e8),
	} {
		if got, err := parseTime(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "yesterday", "-5", "5m", "25:00", "1136214245.0000000001", "-1136214245", "2026-13-01", "1e9"} {
		if got, err := parseTime(text, now); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}

func TestBytesAndRatesForPeople(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 999: "999 B", 1000: "1 KB", 1536: "1.54 KB", 999_600: "1 MB", 12_345_678: "12.3 MB", 1 << 40: "1.1 TB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d bytes: %q, want %q", n, got, want)
		}
	}
	for f, want := range map[float64]string{0: "0", 0.5: "0.5", 999: "999", 1000: "1k", 14_880_952: "14.9M", 999_999: "1M"} {
		if got := rateText(f); got != want {
			t.Errorf("rate %v: %q, want %q", f, got, want)
		}
	}
}

func TestMemAvailableIsRead(t *testing.T) {
	n, err := parseMemAvailable("MemTotal:       24607520 kB\nMemFree:         1 kB\nMemAvailable:   24000000 kB\n")
	if err != nil || n != 24000000<<10 {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := parseMemAvailable("MemTotal: 1 kB\n"); err == nil {
		t.Error("memory is read from where there is none")
	}
}
