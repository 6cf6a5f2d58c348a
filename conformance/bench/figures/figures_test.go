package figures

import (
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

func TestAt(t *testing.T) {
	s := Start{Times: []int64{40, 10, 30, 20}}
	for q, want := range map[float64]time.Duration{0: 10, .5: 30, .75: 40, 1: 40} {
		if got := s.At(q); got != want {
			t.Errorf("At(%v) = %d, want %d", q, got, want)
		}
	}
}

func TestWriteAndRead(t *testing.T) {
	r := &Report{Commit: "c", Machine: "m", Load: []float64{1, 2}, Starts: []Start{{"cold", []int64{1}}}, Room: &Room{Live: 3}}
	path := filepath.Join(t.TempDir(), "figures.json")
	if err := r.Write(path); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(path); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("Read = %+v, %v", got, err)
	}
}
