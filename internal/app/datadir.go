package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/outcrop/outcrop/internal/client"
)

// checkData refuses a data directory that has lost its store or its key. To go on
// would make a new account there, to which all that is left belongs to nobody: it
// would be collected as garbage.
func checkData(dir string) error {
	has := func(name string) (bool, error) {
		info, err := os.Stat(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return err == nil && info.Size() > 0, err
	}
	var all [3]bool
	for i, name := range []string{client.CredentialsName, storeName, keyName} {
		var err error
		if all[i], err = has(name); err != nil {
			return err
		}
	}
	used, stored, keyed := all[0], all[1], all[2]
	lost := ""
	switch {
	case used && !stored: // credentials are written when there is a store
		lost = storeName
	case stored && !keyed: // the key is made first
		lost = keyName
	default:
		return nil
	}
	return fmt.Errorf("%s of the data directory %s is missing or empty, and the rest of it is there. Put the file back, restore a backup into another directory (outcrop restore), or begin anew in one (--data)", lost, dir)
}
