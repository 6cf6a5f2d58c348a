package cli

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/outcrop/outcrop/internal/client"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// logsName is what of a data directory a server can do without: logs and audit
// records (docs/store.md).
const logsName = "telemetry.db"

// explainDamage says which file of a data directory is damaged, and what can be done
// where nobody can mend it; nil is another error.
func explainDamage(err error, dir string) *failure {
	var at *fs.PathError
	if !errors.Is(err, store.ErrForeign) && !errors.Is(err, secret.ErrDamaged) || !errors.As(err, &at) {
		return nil
	}
	name := filepath.Base(at.Path)
	fix := "Put the file back, if there is a copy of it, or restore a backup into another directory: outcrop restore --data DIRECTORY FILE\n" +
		"Without either what it held is lost. To begin anew: outcrop serve --data DIRECTORY"
	if name == logsName {
		aside := quotePOSIX(dir + ".damaged")
		fix = "It holds logs and audit records. To go on without them:\n" +
			"mkdir " + aside + " && mv " + quotePOSIX(filepath.Join(dir, logsName)) + "* " + aside
	}
	f := fail(fix, "%s of the data directory %s is damaged, or no file of Outcrop's", name, dir)
	f.cause = err
	return f
}

// damagedKey says how to have an access key again that is there and cannot be read:
// it is the store's, and a server that starts writes the file anew.
func damagedKey(dir string, cause error) *failure {
	f := fail("A server writes it anew when it starts, so stop and start it: outcrop serve --data "+quotePOSIX(dir),
		"the access key %s is damaged", filepath.Join(dir, client.CredentialsName))
	f.cause = cause
	return f
}
