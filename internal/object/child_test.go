package object_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

// childDir, in the environment, makes the test program the writer that
// TestKilledWriter kills.
const childDir = "OBJECT_TEST_CHILD_DIR"

const (
	writers = 8
	rounds  = 6
)

func runChild() bool {
	dir := os.Getenv(childDir)
	if dir == "" {
		return false
	}
	if err := writeUntilKilled(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return true
}

// numbered is an object that tells who wrote it, when, and whether it is whole.
// Every third is small, and kept in a row.
func numbered(writer, n int) string {
	line := fmt.Sprintf("%d %d\n", writer, n)
	if n%3 == 0 {
		return strings.Repeat(line, 20)
	}
	return strings.Repeat(line, 40_000+n)
}

func writeUntilKilled(ctx context.Context, dir string) error {
	db, err := sqlite.Open(ctx, filepath.Join(dir, "outcrop.db"), sqlite.Options{})
	if err != nil {
		return err
	}
	s, err := object.New(ctx, object.Config{Dir: filepath.Join(dir, "objects"), Store: db})
	if err != nil {
		return err
	}
	if _, err := s.CreateBucket(ctx, account, region, bucket, object.NewBucket{}); err != nil && !fault.Is(err, "BucketAlreadyOwnedByYou") {
		return err
	}
	go s.Run(ctx)
	failures := make(chan error)
	for w := range writers {
		go func() { failures <- writeNumbered(ctx, s, w) }()
	}
	return <-failures
}

// writeNumbered puts one object again and again, and says so once it is
// acknowledged.
func writeNumbered(ctx context.Context, s *object.Storage, w int) error {
	object := id(fmt.Sprint("k", w))
	n, err := numberOf(ctx, s, w)
	if err != nil {
		return err
	}
	for {
		n++
		if err := putNumbered(ctx, s, object, w, n); err != nil {
			return err
		}
		fmt.Printf("%d %d\n", w, n)
	}
}

func putNumbered(ctx context.Context, s *object.Storage, to object.ID, w, n int) error {
	body := text(numbered(w, n))
	if n%3 != 1 {
		_, err := s.Put(ctx, to, object.Put{}, body)
		return err
	}
	u, err := s.CreateUpload(ctx, to, object.NewUpload{})
	if err != nil {
		return err
	}
	p, err := s.UploadPart(ctx, to, u.ID, 1, body)
	if err != nil {
		return err
	}
	_, err = s.CompleteUpload(ctx, to, u.ID, object.Complete{Parts: []object.CompletedPart{{Number: 1, ETag: p.ETag}}, Size: -1})
	return err
}

// numberOf reads the object of a writer: its number, 0 when it is not there, or
// an error when it is not what was written.
func numberOf(ctx context.Context, s *object.Storage, w int) (n int, err error) {
	r, err := s.Open(ctx, account, bucket, fmt.Sprint("k", w), "")
	if fault.Is(err, "NoSuchKey") {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil {
		return 0, err
	}
	var writer int
	if _, err := fmt.Sscanf(string(got[:min(40, len(got))]), "%d %d\n", &writer, &n); err != nil {
		return 0, err
	}
	if writer != w || string(got) != numbered(w, n) {
		return 0, fmt.Errorf("object of writer %d is broken: %d bytes, number %d of %d", w, len(got), n, writer)
	}
	return n, nil
}

// A writer is killed with eight writes in flight, at no moment in particular.
// Every object is then the one that was acknowledged last or one that was in
// flight, whole; and nothing is left over.
func TestKilledWriter(t *testing.T) {
	dir := t.TempDir()
	acknowledged := make([]int, writers)
	for round := range rounds {
		killAfter(t, dir, 10+23*round, acknowledged)
		t.Run(fmt.Sprint("round", round), func(t *testing.T) {
			f := openFixture(t, dir, nil)
			for w, last := range acknowledged {
				n, err := numberOf(t.Context(), f.Storage, w)
				if err != nil || n < last || n > last+1 {
					t.Errorf("writer %d was told of %d and has %d, %v", w, last, n, err)
				}
				acknowledged[w] = n
			}
			abortAll(t, f)
			f.clean()
			if err := f.db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// killAfter runs the writer until it has acknowledged so many writes.
func killAfter(t *testing.T, dir string, writes int, acknowledged []int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var kill sync.Once
	seen := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var w, n int
		if _, err := fmt.Sscanf(lines.Text(), "%d %d", &w, &n); err != nil {
			continue // the kill cut the line
		}
		acknowledged[w] = max(acknowledged[w], n)
		if seen++; seen >= writes {
			kill.Do(func() { cmd.Process.Kill() })
		}
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Fatalf("writer ended by itself: %v\n%s", err, &stderr)
	}
}

// abortAll ends the uploads that were under way; they may be resumed, so they are
// no leftovers.
func abortAll(t *testing.T, f *fixture) {
	t.Helper()
	page, err := f.ListUploads(t.Context(), account, bucket, object.UploadList{Max: object.MaxPage})
	if err != nil || page.Truncated {
		t.Fatalf("uploads: truncated %t, %v", page.Truncated, err)
	}
	for _, u := range page.Uploads {
		if err := f.AbortUpload(t.Context(), id(u.Key), u.ID); err != nil {
			t.Error(err)
		}
	}
}
