package cli

import (
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
