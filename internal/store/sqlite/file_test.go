package sqlite_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/store/sqlite/dbfile"
)

var scope = store.Scope{Account: "111122223333", Region: "eu-central-1"}

func openAt(t *testing.T, path string) (*sqlite.Store, error) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err == nil {
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
	return s, err
}

func mustOpen(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	s, err := openAt(t, path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func putRow(t *testing.T, s store.Store, key string, value []byte) error {
	t.Helper()
	return s.Update(t.Context(), func(tx store.Tx) error { return tx.PutRow("t", []byte(key), value) })
}

// alter changes a closed file behind the store's back.
func alter(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func TestFilesAreTheOwnersOnly(t *testing.T) {
	old := unix.Umask(0)
	defer unix.Umask(old)
	dir := t.TempDir()
	s := mustOpen(t, filepath.Join(dir, "outcrop.db"))
	if err := putRow(t, s, "k", nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(t.Context(), filepath.Join(dir, "copy.db")); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", e.Name(), info.Mode().Perm())
		}
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != "copy.db outcrop.db outcrop.db-shm outcrop.db-wal outcrop.db.lock" {
		t.Errorf("files: %s", got)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outcrop.db")
	s := mustOpen(t, path)
	if _, err := openAt(t, path); !errors.Is(err, store.ErrInUse) {
		t.Errorf("second open: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, path)
}

func TestOddPaths(t *testing.T) {
	for _, name := range []string{"with space", "q?_pragma=x", "h#sh", "p%41", "qu'ote", "ünï"} {
		dir := filepath.Join(t.TempDir(), name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		mustOpen(t, filepath.Join(dir, "outcrop.db"))
		if _, err := os.Stat(filepath.Join(dir, "outcrop.db-wal")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Chdir(t.TempDir())
	mustOpen(t, "relative.db")
	if _, err := os.Stat("relative.db-wal"); err != nil {
		t.Error(err)
	}
	if _, err := openAt(t, filepath.Join("missing", "outcrop.db")); err == nil {
		t.Error("opened in a directory that is not there")
	}
}

func TestRefusesForeignFiles(t *testing.T) {
	dir := t.TempDir()
	for name, write := range map[string]func(path string){
		"text": func(path string) {
			if err := os.WriteFile(path, []byte(strings.Repeat("not a database ", 100)), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"another program's": func(path string) { alter(t, path, "CREATE TABLE x (y)") },
		"another id":        func(path string) { alter(t, path, "PRAGMA application_id = 7", "CREATE TABLE x (y)") },
	} {
		path := filepath.Join(dir, name)
		write(path)
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var named *fs.PathError
		if _, err := openAt(t, path); !errors.Is(err, store.ErrForeign) || !errors.As(err, &named) || named.Path != path {
			t.Errorf("%s: %v", name, err)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
			t.Errorf("%s: the file was changed (%v)", name, err)
		}
	}
}

func TestRefusesANewerSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outcrop.db")
	if err := mustOpen(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	alter(t, path, "PRAGMA user_version = 99")
	_, err := openAt(t, path)
	if !errors.Is(err, store.ErrNewer) {
		t.Fatal(err)
	}
	want := "open store: open " + path + ": its schema has version 99 and this program knows 1; start the newer version again, or restore a backup made before the upgrade: data was written by a newer version"
	if err.Error() != want {
		t.Errorf("text:\n got %s\nwant %s", err, want)
	}
}

// TestEveryReleasedSchemaMigrates opens a copy of each fixture in testdata, which
// a release of that schema wrote; see testdata/README.md.
func TestEveryReleasedSchemaMigrates(t *testing.T) {
	fixtures, err := filepath.Glob("testdata/schema-*.db")
	if err != nil || len(fixtures) == 0 {
		t.Fatalf("fixtures: %v, %v", fixtures, err)
	}
	for _, fixture := range fixtures {
		t.Run(filepath.Base(fixture), func(t *testing.T) {
			b, err := os.ReadFile(fixture)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "outcrop.db")
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			s := mustOpen(t, path)
			got, err := summary(t, s)
			if err != nil {
				t.Fatal(err)
			}
			golden, err := os.ReadFile("testdata/fixture.txt")
			if err != nil {
				t.Fatal(err)
			}
			if got != string(golden) {
				t.Errorf("content:\n got %s\nwant %s", got, golden)
			}
			if err := fill(t, s, "after"); err != nil {
				t.Errorf("write after the migration: %v", err)
			}
		})
	}
}

// fill writes one of everything. The fixtures were made by fill(t, s, "x").
func fill(t *testing.T, s store.Store, id string) error {
	owner := store.Owner{Node: "node", Process: "process"}
	return s.Update(t.Context(), func(tx store.Tx) error {
		_, err := tx.InsertDocument(store.Document{Key: store.Key{Scope: scope, Kind: "runtime", ID: id}, Name: "name-" + id,
			Spec: json.RawMessage(`{"agentRuntimeName":"hello"}`), State: json.RawMessage(`{"status":"READY"}`), StateVersion: 1})
		_, err2 := tx.InsertDocument(store.Document{Key: store.Key{Scope: scope, Kind: "runtime-version", ID: id + "/1"}, Parent: id})
		err3 := tx.PutRow("objects", []byte("bucket/"+id), []byte{0, 1, 2, 255})
		_, err4 := tx.AcquireLease("session/"+id, owner, 1e9)
		_, err5 := tx.EnqueueWork(store.Work{Kind: "runtime-create", Key: id, Payload: json.RawMessage(`{"version":1}`)})
		err6 := tx.SaveReply(store.Token{Scope: scope, Operation: "CreateAgentRuntime", Key: id, RequestHash: "h"},
			json.RawMessage(`{"ok":true}`), 1000*365*24*3600*1e9/4)
		return errors.Join(err, err2, err3, err4, err5, err6)
	})
}

// summary is what fill wrote, without times.
func summary(t *testing.T, s store.Store) (out string, err error) {
	err = s.View(t.Context(), func(r store.Reader) error {
		d, err := r.DocumentByName(scope, "runtime", "", "name-x")
		children, err2 := r.Documents(scope, "runtime-version", "x", store.Page{})
		row, err3 := r.Row("objects", []byte("bucket/x"))
		lease, err4 := r.Lease("session/x")
		items, err5 := r.WorkOf("x")
		reply, err6 := r.Reply(store.Token{Scope: scope, Operation: "CreateAgentRuntime", Key: "x"})
		if err := errors.Join(err, err2, err3, err4, err5, err6); err != nil {
			return err
		}
		out = fmt.Sprintf("document %s %s %d %s %s %d\nchildren %d %s\nrow %v\nlease %s %s %d\nwork %s %s %s\nreply %s %s\n",
			d.Key, d.Name, d.Revision, d.Spec, d.State, d.StateVersion, len(children.Items), children.Items[0].ID, row,
			lease.Name, lease.Owner, lease.Epoch, items[0].Kind, items[0].Key, items[0].Payload, reply.RequestHash, reply.Body)
		return nil
	})
	return out, err
}

// TestWriteFixture writes a fixture of the present schema where the environment
// says, before a release that changed it.
func TestWriteFixture(t *testing.T) {
	path := os.Getenv("OUTCROP_TEST_FIXTURE")
	if path == "" {
		t.Skip("OUTCROP_TEST_FIXTURE names no file to write")
	}
	s := mustOpen(t, filepath.Join(t.TempDir(), "outcrop.db"))
	if err := fill(t, s, "x"); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	got, err := summary(t, s)
	t.Logf("%s%v", got, err)
}

func TestBackupIsWhole(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, filepath.Join(dir, "outcrop.db"))
	if err := fill(t, s, "x"); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "copy.db")
	if err := s.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(t.Context(), path); !errors.Is(err, os.ErrExist) {
		t.Errorf("over an existing file: %v", err)
	}
	want, err := summary(t, s)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := summary(t, mustOpen(t, path)); err != nil || got != want {
		t.Errorf("copy: %v\n got %s\nwant %s", err, got, want)
	}
	// Without its lock, as another process does.
	other := filepath.Join(dir, "other.db")
	if err := dbfile.Copy(t.Context(), filepath.Join(dir, "outcrop.db"), other); err != nil {
		t.Fatal(err)
	}
	if got, err := summary(t, mustOpen(t, other)); err != nil || got != want {
		t.Errorf("copy without the lock: %v\n got %s\nwant %s", err, got, want)
	}
	if err := fill(t, s, "y"); err != nil {
		t.Errorf("after it: %v", err)
	}
	if err := dbfile.Copy(t.Context(), filepath.Join(dir, "nothing.db"), filepath.Join(dir, "x.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of nothing: %v", err)
	}
}
