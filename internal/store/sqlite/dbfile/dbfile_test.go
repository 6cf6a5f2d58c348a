package dbfile_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"testing/fstest"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite/dbfile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func files(pairs ...string) fstest.MapFS {
	out := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return out
}

func open(t *testing.T, path string, migrations fstest.MapFS) (*dbfile.File, error) {
	t.Helper()
	f, err := dbfile.Open(t.Context(), path, dbfile.Config{ApplicationID: 7, Migrations: migrations, Synchronous: dbfile.Full, Readers: 2, Shrink: true})
	if err == nil {
		t.Cleanup(func() {
			if err := f.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
	return f, err
}

func number(t *testing.T, c *dbfile.Conn, query string) (n int64) {
	t.Helper()
	if err := c.QueryRow(query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func TestMigratesStepByStep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	first := files("001_a.sql", "CREATE TABLE a (x); INSERT INTO a VALUES (1);")
	f, err := open(t, path, first)
	if err != nil {
		t.Fatal(err)
	}
	for pragma, want := range map[string]int64{"user_version": 1, "application_id": 7, "auto_vacuum": 2, "synchronous": 2, "foreign_keys": 1} {
		if got := number(t, f.Writer(), "PRAGMA "+pragma); got != want {
			t.Errorf("%s = %d, want %d", pragma, got, want)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}

	broken := files("001_a.sql", "", "002_b.sql", "UPDATE a SET x = 2; CREATE TABLE a (y);")
	if _, err := open(t, path, broken); err == nil {
		t.Fatal("a broken migration was applied")
	}
	f, err = open(t, path, files("001_a.sql", "", "002_b.sql", "UPDATE a SET x = x + 1;", "003_c.sql", "UPDATE a SET x = x * 10"))
	if err != nil {
		t.Fatal(err)
	}
	if x, v := number(t, f.Writer(), "SELECT x FROM a"), number(t, f.Writer(), "PRAGMA user_version"); x != 20 || v != 3 {
		t.Errorf("x = %d at version %d", x, v)
	}
}

func TestMigrationsAreNumberedWithoutGaps(t *testing.T) {
	for name, migrations := range map[string]fstest.MapFS{
		"none":      files(),
		"gap":       files("001_a.sql", "", "003_b.sql", ""),
		"not first": files("002_a.sql", ""),
		"width":     files("1_a.sql", ""),
		"twice":     files("001_a.sql", "", "001_b.sql", ""),
		"name":      files("first.sql", ""),
	} {
		if _, err := open(t, filepath.Join(t.TempDir(), "x.db"), migrations); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

func TestReadersAreBoundedAndReadOnly(t *testing.T) {
	f, err := open(t, filepath.Join(t.TempDir(), "x.db"), files("001_a.sql", "CREATE TABLE a (x)"))
	if err != nil {
		t.Fatal(err)
	}
	first, err := f.Reader(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second, err := f.Reader(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Exec("INSERT INTO a VALUES (1)"); err == nil {
		t.Error("a reader wrote")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Reader(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("third reader: %v", err)
	}
	f.Release(first)
	again, err := f.Reader(t.Context())
	if err != nil || again != first {
		t.Errorf("the released connection is not used again: %v", err)
	}
	f.Release(again)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f.Release(second) // after the end: it is closed
	if _, err := f.Reader(t.Context()); !errors.Is(err, store.ErrClosed) {
		t.Errorf("after close: %v", err)
	}
}

func TestManyStatementsAreLetGo(t *testing.T) {
	f, err := open(t, filepath.Join(t.TempDir(), "x.db"), files("001_a.sql", "CREATE TABLE a (x)"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		if got := number(t, f.Writer(), fmt.Sprint("SELECT ", i)); got != int64(i) {
			t.Fatalf("%d: %d", i, got)
		}
	}
	if _, err := f.Writer().Exec("SELECT nonsense FROM"); err == nil {
		t.Error("bad SQL ran")
	}
}
