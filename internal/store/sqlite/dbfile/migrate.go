package dbfile

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

type migration struct {
	name, text string
}

// loadMigrations reads the numbered files and insists on 001, 002, 003 ...
func loadMigrations(files fs.FS) ([]migration, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("list migrations: there are none")
	}
	out := make([]migration, 0, len(names))
	for i, name := range names { // Glob sorts
		number, _, _ := strings.Cut(path.Base(name), "_")
		if n, err := strconv.Atoi(number); err != nil || n != i+1 || len(number) != 3 {
			return nil, fmt.Errorf("list migrations: %s stands where %03d_*.sql belongs", name, i+1)
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("read migration %s: %w", name, err)
		}
		out = append(out, migration{name, string(text)})
	}
	return out, nil
}

// migrate applies what is missing, each migration in a transaction that also
// moves user_version, so that a crash leaves one version or the other.
func (f *File) migrate(application int32, version int, all []migration) error {
	for i, m := range all[version:] {
		err := f.writer.Script(fmt.Sprintf("BEGIN IMMEDIATE;\n%s\n;PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
			m.text, application, version+i+1))
		if err != nil {
			_ = f.writer.Script("ROLLBACK") // fails when SQLite has done so
			return fmt.Errorf("migrate %s with %s: %w", f.path, m.name, err)
		}
	}
	return nil
}
