package cli

import (
	"strconv"
	"testing"
	"time"
)

func TestByteSize(t *testing.T) {
	for text, want := range map[string]int64{
		"1": 1, "1024": 1024, "512MiB": 512 << 20, "1.5G": 3 << 29, "2gb": 2 << 30, "1T": 1 << 40, "3k": 3072, "7B": 7,
		"": 0, "x": 0, "0": 0, "-1G": 0, "1e30": 0, "NaN": 0, "Inf": 0, "1GiBs": 0, "1iG": 0, "0.5": 0,
	} {
		var b byteSize
		if err := b.Set(text); (err == nil) != (want > 0) || int64(b) != want {
			t.Errorf("%q: %d, %v, want %d", text, b, err, want)
		}
	}
}

func TestPause(t *testing.T) {
	for text, want := range map[string]time.Duration{"90s": 90 * time.Second, "off": -1, "0": 0, "-5s": 0, "": 0, "soon": 0} {
		var p pause
		if err := p.Set(text); (err == nil) != (want != 0) || time.Duration(p) != want {
			t.Errorf("%q: %v, %v, want %v", text, time.Duration(p), err, want)
		}
	}
}

func TestTimeSpan(t *testing.T) {
	for text, want := range map[string]time.Duration{"90s": 90 * time.Second, "1h30m": 90 * time.Minute, "7d": 7 * 24 * time.Hour, "-5s": -5 * time.Second, "0": 0} {
		var s timeSpan
		if err := s.Set(text); err != nil || time.Duration(s) != want {
			t.Errorf("%q: %v, %v, want %v", text, time.Duration(s), err, want)
		}
	}
	for _, text := range []string{"", "yesterday", "5", "1e9d", "-1d", "d"} {
		var s timeSpan
		if err := s.Set(text); err == nil || err.Error() != strconv.Quote(text)+" is no time, such as 90s, 10m or 24h" {
			t.Errorf("%q: %v, %v, want a refusal", text, time.Duration(s), err)
		}
	}
}

// FuzzByteSize: whatever is typed, it is a size or refused.
func FuzzByteSize(f *testing.F) {
	f.Add("1.5GiB")
	f.Add("0x10p60")
	f.Fuzz(func(t *testing.T, text string) {
		var b byteSize
		if err := b.Set(text); err == nil && b <= 0 {
			t.Fatalf("%q is %d", text, b)
		}
	})
}
