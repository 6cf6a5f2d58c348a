package sandboxtest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/outcrop/outcrop/internal/sandbox"
)

// testDifficult: first processes that make it hard to be rid of them.
func testDifficult(t *testing.T, b *bench) {
	for _, how := range []string{"stopped", "silent", "zombies", "groups"} {
		t.Run(how, func(t *testing.T) {
			var out Buffer
			spec := b.spec(t, "difficult", how)
			spec.Stdout = &out
			s := b.start(t, spec)
			out.WaitFor(t, "ready\n")
			begin := time.Now()
			stop(t, s, time.Second)
			if took := time.Since(begin); took > endsWithin {
				t.Errorf("it took %v to stop it", took)
			}
			if got := s.Exit(); got.Cause != sandbox.Stopped {
				t.Errorf("Exit() = %+v", got)
			}
		})
	}
	t.Run("orphans", func(t *testing.T) {
		stdout, stderr, status := b.output(t, b.spec(t, "difficult", "orphans"))
		if stdout != "ready\n" || status != (sandbox.Status{Cause: sandbox.Exited}) {
			t.Errorf("it said %q, %q and ended with %+v", stdout, stderr, status)
		}
	})
	t.Run("flood of errors", func(t *testing.T) {
		m := &meter{limit: 10 << 20, reached: make(chan struct{})}
		spec := b.spec(t, "")
		spec.Args, spec.Stderr = []string{"/bin/sh", "-c", "exec /var/task/guest gush >&2 2>/dev/null"}, m
		s := b.start(t, spec)
		select {
		case <-m.reached:
		case <-time.After(patience):
			t.Fatal("its errors do not come")
		}
		begin := time.Now()
		stop(t, s, 0)
		if took := time.Since(begin); took > endsWithin {
			t.Errorf("it took %v to stop it", took)
		}
	})
}

// A meter says when so many bytes have come, and keeps none.
type meter struct {
	limit, taken int
	reached      chan struct{}
}

func (m *meter) Write(p []byte) (int, error) {
	before := m.taken
	if m.taken += len(p); before < m.limit && m.taken >= m.limit {
		close(m.reached)
	}
	return len(p), nil
}

// testHookForged: what a guest tells the engine's own port is believed of itself
// alone. The processes of all guests have the same ids.
func testHookForged(t *testing.T, b *bench) {
	needsSnapshots(t, b)
	var said, out Buffer
	victim := b.spec(t, "serve", "127.0.0.1:8080")
	victim.ID, victim.Savable, victim.Stdout = "victim", true, &out
	v := b.start(t, victim)
	out.WaitFor(t, "ready\n")

	forger := b.spec(t, "")
	forger.ID, forger.Savable, forger.Stdout = "forger", true, &said
	garbage := `|safe|safe 0|safe -1|safe 99999999999999999999|restored 1 |unsafe 2 \\033[31m` + strings.Repeat("x", 4000)
	forger.Args = []string{"/bin/sh", "-c", `/var/task/guest probe self "hook:300 safe 1 |safe 2 |safe 3 |` + garbage + `" "hook:5 unsafe 1 $(printf '\033[31m')red"; echo done; exec sleep 1000`}
	f := b.start(t, forger)
	said.WaitFor(t, "done\n")
	if text := said.String(); strings.Count(text, "0 bytes of answers") != 2 {
		t.Errorf("the engine's own port answers: %q", text)
	}
	begin := time.Now()
	var both sync.WaitGroup // each waits for answers as long as may be
	both.Go(func() {
		if s, err := v.Save(t.Context(), true); !errors.Is(err, sandbox.ErrUnsavable) {
			t.Errorf("what one guest forged another is believed: Save() = %v", err)
			if err == nil {
				s.Close()
			}
		}
	})
	both.Go(func() {
		s, err := f.Save(t.Context(), true)
		if err == nil { // it lied about itself, which only harms itself
			s.Close()
		} else if strings.ContainsFunc(err.Error(), func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("Save() = %q", err)
		}
	})
	both.Wait()
	if took := time.Since(begin); took > endsWithin {
		t.Errorf("both saves took %v", took)
	}
	client, done := Client(v, 8080)
	defer done()
	if got := post(t, client, "/", "hello"); got != "hello" {
		t.Errorf("the other guest answers %q", got)
	}
}

// testHookRefused: a guest that is not savable has no port of the engine's to talk
// to, and its network is not asked for it.
func testHookRefused(t *testing.T, b *bench) {
	needsOutbound(t, b)
	spec := b.spec(t, "probe", "self", "hook:3 safe 1 ", "dial:udp 192.0.0.1:1", "dial:tcp 192.0.0.1:2")
	h := new(haystack)
	spec.Network = h
	stdout, _, _ := b.output(t, spec)
	if strings.Contains(stdout, "\tgot: ") || strings.Count(stdout, "\trefused: ") != 3 {
		t.Errorf("the guest says\n%s", stdout)
	}
	if got := strings.Join(h.asked, " "); got != "tcp 192.0.0.1:2" {
		t.Errorf("its network was asked for %q, want the port that is not the engine's", got)
	}
}

// testVolumeTricks: what a guest leaves in a volume does no harm to who looks there,
// and its owner can remove it.
func testVolumeTricks(t *testing.T, b *bench) {
	for _, who := range []string{roleUser, roleRoot} {
		t.Run(who, func(t *testing.T) {
			dir := b.volume(t)
			spec := b.mounted(t, dir, "litter", "/mnt/data")
			if who == roleRoot {
				root := b.root(t)
				spec.Args[0], spec.Code, spec.Root = "guest", "", root
			}
			stdout, stderr, status := b.output(t, spec)
			if status.Code != 0 {
				t.Fatalf("%+v: %s%s", status, stdout, stderr)
			}
			t.Logf("%s", stdout)
			err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
				if err != nil {
					return nil // shut directories are the owner's to open
				}
				info, err := d.Info()
				if err != nil {
					return nil
				}
				if m := info.Mode(); m&(os.ModeDevice|os.ModeSocket|os.ModeNamedPipe) != 0 {
					t.Errorf("%s is %v on the machine", path, m)
				} else if m&(os.ModeSetuid|os.ModeSetgid) != 0 && m.IsRegular() {
					t.Errorf("%s is %v on the machine", path, m)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			if _, err := os.Stat("/etc/passwd"); err != nil {
				t.Error(err)
			}
		})
	}
}
