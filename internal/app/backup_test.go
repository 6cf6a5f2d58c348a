package app

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/outcrop/outcrop/internal/backup"
	"github.com/outcrop/outcrop/internal/secret"
)

// TestBackupRefuses holds that there is no archive of what no server starts from:
// restored, it would be found out when it is too late.
func TestBackupRefuses(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	key, err := backup.Recipients([]string{id.Recipient().String()})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		store, key string
		want       func(error) bool
	}{
		"empty store": {"", "x", func(err error) bool { return strings.HasPrefix(err.Error(), "outcrop.db of the data directory") }},
		"no key":      {"x", "", func(err error) bool { return strings.HasPrefix(err.Error(), "key.json of the data directory") }},
		"cut key":     {"x", `{"primaryKeyId":1`, func(err error) bool { return errors.Is(err, secret.ErrDamaged) }},
	} {
		dir := t.TempDir()
		for file, text := range map[string]string{
			storeName: test.store, keyName: test.key, "credentials.json": `{"accountId":"111122223333","accessKeyId":"a","secretAccessKey":"b"}`,
		} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var out bytes.Buffer
		if _, err := Backup(t.Context(), dir, "1.2.3", &out, key); err == nil || !test.want(err) || out.Len() > 0 {
			t.Errorf("%s: %v, and %d bytes", name, err, out.Len())
		}
	}
}
