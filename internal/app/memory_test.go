package app

import "testing"

func TestMemory(t *testing.T) {
	const good = "MemTotal:       20971520 kB\nMemFree:         1 kB\nMemAvailable:    3145728 kB\nHugePages_Total:       0\n"
	if got, err := parseMemory([]byte(good)); err != nil || got != 2<<30 {
		t.Errorf("%d, %v, want 2 GiB: a twentieth is left to others", got, err)
	}
	for _, bad := range []string{"", "MemTotal: 1 kB\n", "MemTotal: x kB\n", "MemAvailable: 5 kB\n", "MemTotal: 99999999999999999999 kB\n"} {
		if got, err := parseMemory([]byte(bad)); err == nil {
			t.Errorf("%q: %d", bad, got)
		}
	}
	if ask := freeMemory(); ask != nil {
		if got, err := ask(); err != nil || got > 1<<50 {
			t.Errorf("this host: %d, %v", got, err)
		}
	}
}

func FuzzMemory(f *testing.F) {
	f.Add([]byte("MemTotal: 20 kB\nMemAvailable: 10 kB\n"))
	f.Fuzz(func(_ *testing.T, raw []byte) { _, _ = parseMemory(raw) })
}
