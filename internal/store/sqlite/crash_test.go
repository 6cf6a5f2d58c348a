package sqlite_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

// crashDir makes this test binary the process that is to be killed.
const crashDir = "OUTCROP_TEST_CRASH_DIR"

const crashWriters = 8

// TestCrashChild writes until it is killed. Each update inserts two documents and
// a work item, and is told on standard output once it is acknowledged.
func TestCrashChild(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		t.Skip("runs only as the child of TestKillLosesNothingAcknowledged")
	}
	s := open(t, dir, nil)
	round := os.Getpid()
	var out sync.Mutex
	for w := range crashWriters {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", round, w, i)
				err := s.Update(t.Context(), func(tx store.Tx) error {
					for _, half := range []string{"left", "right"} {
						if _, err := tx.InsertDocument(store.Document{Key: crashKey(half, id)}); err != nil {
							return err
						}
					}
					_, err := tx.EnqueueWork(store.Work{Kind: "k", Key: id})
					return err
				})
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				out.Lock()
				fmt.Println("ack", id)
				out.Unlock()
			}
		}()
	}
	select {}
}

func crashKey(half, id string) store.Key {
	return store.Key{Scope: store.Scope{Account: "1", Region: "r"}, Kind: half, ID: id}
}

// TestKillLosesNothingAcknowledged kills a writing process with SIGKILL at a
// random moment, five times on one file, and finds every acknowledged update
// whole and no half of another.
func TestKillLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	acknowledged := 0
	for range 5 {
		acks := killed(t, dir, time.Duration(20+rng.IntN(180))*time.Millisecond)
		acknowledged += len(acks)
		s, err := sqlite.Open(t.Context(), filepath.Join(dir, "outcrop.db"), sqlite.Options{})
		if err != nil {
			t.Fatalf("open after the kill: %v", err)
		}
		err = s.View(t.Context(), func(r store.Reader) error {
			for _, id := range acks {
				if _, err := r.Document(crashKey("left", id)); err != nil {
					t.Errorf("acknowledged %s: %v", id, err)
				}
			}
			halves, works := 0, 0
			for _, half := range []string{"left", "right"} {
				page := store.Page{Size: store.MaxPageSize}
				for {
					list, err := r.AllDocuments(half, page)
					if err != nil {
						return err
					}
					for _, d := range list.Items {
						other := map[string]string{"left": "right", "right": "left"}[half]
						if _, err := r.Document(crashKey(other, d.ID)); err != nil {
							t.Errorf("half of %s: %v", d.ID, err)
						}
						items, err := r.WorkOf(d.ID)
						if err != nil {
							return err
						}
						halves, works = halves+1, works+len(items)
					}
					if page.Token = list.Next; page.Token == "" {
						break
					}
				}
			}
			if halves != works {
				t.Errorf("%d documents and %d items for them", halves, works)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if acknowledged == 0 {
		t.Error("nothing was acknowledged in five rounds: the test shows nothing")
	}
	t.Logf("%d acknowledged updates in 5 rounds", acknowledged)
}

// killed runs the child, kills it a while after its first acknowledgement and
// returns what it acknowledged.
func killed(t *testing.T, dir string, after time.Duration) (acks []string) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestCrashChild$")
	child.Env = append(os.Environ(), crashDir+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var timer *time.Timer
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "ack "); ok && err == nil {
			acks = append(acks, id)
			if timer == nil {
				timer = time.AfterFunc(after, func() { _ = child.Process.Kill() })
			}
		}
		if err != nil {
			if err != io.EOF && !strings.Contains(err.Error(), "closed") {
				t.Error(err)
			}
			break
		}
	}
	err = child.Wait()
	if timer == nil || timer.Stop() {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return acks
}
