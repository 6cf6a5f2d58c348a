package s3

import (
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
)

func TestParseRange(t *testing.T) {
	const most = 1<<63 - 1
	for _, c := range []struct {
		header string
		size   int64
		want   span
		ok     bool
	}{
		{"bytes=0-9", 100, span{0, 10, true}, true},
		{"bytes=0-0", 1, span{0, 1, true}, true},
		{"bytes=90-", 100, span{90, 10, true}, true},
		{"bytes=90-500", 100, span{90, 10, true}, true},
		{"bytes=-1", 100, span{99, 1, true}, true},
		{"bytes=-100", 100, span{0, 100, true}, true},
		{"bytes=-101", 100, span{0, 100, true}, true},
		{"bytes=0-99999999999999999999", 100, span{0, 100, true}, true},
		{"bytes=0-9", most, span{0, 10, true}, true},
		{"bytes=0-", most, span{0, most, true}, true},
		// Not satisfiable.
		{"bytes=100-", 100, span{}, false},
		{"bytes=100-200", 100, span{}, false},
		{"bytes=-0", 100, span{}, false},
		{"bytes=0-", 0, span{}, false},
		{"bytes=-5", 0, span{}, false},
		{"bytes=99999999999999999999-", 100, span{}, false},
		// No ranges, or more than one: the whole.
		{"", 100, span{0, 100, false}, true},
		{"bytes=", 100, span{0, 100, false}, true},
		{"bytes=-", 100, span{0, 100, false}, true},
		{"bytes=5", 100, span{0, 100, false}, true},
		{"bytes=5-4", 100, span{0, 100, false}, true},
		{"bytes=+1-2", 100, span{0, 100, false}, true},
		{"bytes=1-2-3", 100, span{0, 100, false}, true},
		{"bytes=0-1,5-6", 100, span{0, 100, false}, true},
		{"bytes=a-b", 100, span{0, 100, false}, true},
		{"lines=0-1", 100, span{0, 100, false}, true},
		{"Bytes=0-1", 100, span{0, 100, false}, true},
	} {
		got, err := parseRange(c.header, c.size)
		if (err == nil) != c.ok || err != nil && !fault.Is(err, "InvalidRange") || got != c.want {
			t.Errorf("parseRange(%q, %d) = %+v, %v; want %+v", c.header, c.size, got, err, c.want)
		}
	}
	_, err := parseRange("bytes=7-", 5)
	if got := fault.From(err).Header.Get("Content-Range"); got != "bytes */5" {
		t.Errorf("Content-Range of a refusal: %q", got)
	}
	if got := (span{2, 3, true}).contentRange(10); got != "bytes 2-4/10" {
		t.Errorf("Content-Range: %q", got)
	}
}

func FuzzParseRange(f *testing.F) {
	for _, s := range []string{"bytes=0-1", "bytes=-5", "bytes=5-", "bytes=1-2,3-4", "bytes=9-1", "x"} {
		f.Add(s, int64(10))
	}
	f.Fuzz(func(t *testing.T, header string, size int64) {
		size = max(size, 0)
		s, err := parseRange(header, size)
		if err != nil {
			return
		}
		if s.offset < 0 || s.length < 0 || s.length > size-s.offset || s.partial && s.length == 0 || !s.partial && s.length != size {
			t.Errorf("parseRange(%q, %d) = %+v", header, size, s)
		}
	})
}

func TestRangeApplies(t *testing.T) {
	modified := time.Date(2026, 11, 2, 12, 0, 0, 999, time.UTC)
	for ifRange, want := range map[string]bool{
		"": true, `"etag"`: true, `"other"`: false, `W/"etag"`: false, "etag": false,
		"Mon, 02 Nov 2026 12:00:00 GMT": true, "Mon, 02 Nov 2026 11:59:59 GMT": false, "Mon, 02 Nov 2026 12:00:01 GMT": false,
	} {
		if got := rangeApplies(ifRange, "etag", modified); got != want {
			t.Errorf("rangeApplies(%q) = %v", ifRange, got)
		}
	}
}

func TestParseCopyRange(t *testing.T) {
	for header, want := range map[string][2]int64{
		"bytes=0-0": {0, 1}, "bytes=5-9": {5, 5},
		"bytes=5-": {}, "bytes=-5": {}, "bytes=9-5": {}, "5-9": {}, "": {}, "bytes=0-1,2-3": {}, "bytes=0-99999999999999999999": {},
	} {
		offset, length, err := parseCopyRange(header)
		if bad := want[1] == 0; bad != (err != nil) || err != nil && !fault.Is(err, "InvalidArgument") || [2]int64{offset, length} != want {
			t.Errorf("parseCopyRange(%q) = %d, %d, %v", header, offset, length, err)
		}
	}
}
