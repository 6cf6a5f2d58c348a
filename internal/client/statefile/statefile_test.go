package statefile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"
)

func newFile(t *testing.T, alive map[int]string) File {
	t.Helper()
	return File{
		Path: filepath.Join(t.TempDir(), "state", "outcrop", Name),
		Process: func(pid int) (string, bool) {
			s, ok := alive[pid]
			return s, ok
		},
	}
}

func record(pid int, dir string, at int64) Record {
	return Record{
		URL: fmt.Sprintf("http://127.0.0.1:%d", 8000+pid), PID: pid, ProcessStart: "boot/1", DataDirectory: dir,
		Account: "123456789012", Region: "us-east-1", StartedAt: time.Unix(at, 0).UTC(),
	}
}

func TestNewestFirstAndKeyedByDataDirectory(t *testing.T) {
	f := newFile(t, map[int]string{1: "boot/1", 2: "boot/1", 3: "boot/1"})
	for _, r := range []Record{record(1, "/a", 10), record(2, "/b", 30), record(3, "/a", 20)} {
		if err := f.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	got, err := f.Live()
	if err != nil {
		t.Fatal(err)
	}
	if want := []Record{record(2, "/b", 30), record(3, "/a", 20)}; !reflect.DeepEqual(got, want) {
		t.Fatalf("Live() = %+v", got)
	}
	info, err := os.Stat(f.Path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	if info, err = os.Stat(filepath.Dir(f.Path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory mode %v, %v; want 0700", info.Mode(), err)
	}
}

func TestRemoveLeavesTheSuccessor(t *testing.T) {
	f := newFile(t, map[int]string{1: "boot/1", 2: "boot/1"})
	old, successor := record(1, "/a", 10), record(2, "/a", 20)
	for _, r := range []Record{old, successor} {
		if err := f.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Remove(old); err != nil {
		t.Fatal(err)
	}
	if got, _ := f.List(); len(got) != 1 || !reflect.DeepEqual(got[0], successor) {
		t.Fatalf("after removing the old one: %+v", got)
	}
	if err := f.Remove(successor); err != nil {
		t.Fatal(err)
	}
	if got, _ := f.List(); len(got) != 0 {
		t.Fatalf("after removing both: %+v", got)
	}
}

func TestStaleRecords(t *testing.T) {
	alive := map[int]string{1: "boot/1", 2: "boot/2"}
	f := newFile(t, alive)
	for pid, want := range map[int]bool{1: true, 2: false, 3: false} { // runs, number reused, gone
		if got := f.Alive(record(pid, "/a", 1)); got != want {
			t.Errorf("Alive(pid %d) = %v, want %v", pid, got, want)
		}
	}
	if err := f.Add(record(1, "/a", 1)); err != nil {
		t.Fatal(err)
	}
	delete(alive, 1)
	alive[4] = "boot/1"
	if err := f.Add(record(4, "/d", 1)); err != nil {
		t.Fatal(err)
	}
	if got, _ := f.List(); len(got) != 1 || got[0].PID != 4 {
		t.Errorf("a dead server stays in the list: %+v", got)
	}
}

func TestBrokenListIsAnErrorToReadersAndReplacedByWriters(t *testing.T) {
	f := newFile(t, map[int]string{1: "boot/1"})
	if err := f.Add(record(1, "/a", 1)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.Path, []byte(`{"servers": [`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.List(); err == nil {
		t.Error("List of a broken file gave no error")
	}
	if err := f.Add(record(1, "/a", 1)); err != nil {
		t.Fatal(err)
	}
	if got, err := f.List(); err != nil || len(got) != 1 {
		t.Errorf("after Add: %+v, %v", got, err)
	}
}

func TestWritersTakeTurns(t *testing.T) {
	alive := map[int]string{}
	for i := range 20 {
		alive[i] = "boot/1"
	}
	f := newFile(t, alive)
	var wg sync.WaitGroup
	errs := make([]error, 20)
	for i := range 20 {
		wg.Go(func() { errs[i] = f.Add(record(i, fmt.Sprint("/", i), int64(i))) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if got, err := f.List(); err != nil || len(got) != 20 {
		t.Errorf("%d records, %v; want 20", len(got), err)
	}
}
