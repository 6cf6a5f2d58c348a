package leak

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestForms finds a secret however it is written, wherever a piece that is read ends,
// and finds none where there is none.
func TestForms(t *testing.T) {
	const secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	scan, err := newScanner(Secrets{"a key": secret})
	if err != nil {
		t.Fatal(err)
	}
	noise := bytes.Repeat([]byte("nothing to be seen here. "), 1<<17)
	for name, text := range map[string]string{
		"plain": secret, "hex": hex.EncodeToString([]byte(secret)), "url": "wJalrXUtnFEMI%2FK7MDENG%2BbPxRfiCYEXAMPLEKEY",
		"base64": base64.StdEncoding.EncodeToString([]byte(secret)), "in JSON in base64": base64.StdEncoding.EncodeToString([]byte(`{"s":"` + secret + `"}`)),
		"in base64url": base64.RawURLEncoding.EncodeToString([]byte("key " + secret + ".")), "at another place": base64.StdEncoding.EncodeToString([]byte("ab" + secret)),
	} {
		for _, at := range []int{0, 1, 1 << 20, 1<<20 - 10, 1<<20 + len(secret)*2 - 5, len(noise)} {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "file"), append(append(bytes.Clone(noise[:at]), text...), noise[at:]...), 0o600); err != nil {
				t.Fatal(err)
			}
			found, files, _, err := scan.dir(dir, nil)
			if err != nil || files != 1 || len(found) == 0 || strings.Contains(found[0].String(), secret) {
				t.Errorf("%s at %d: %v in %d files, %v", name, at, found, files, err)
			}
			if found, _, _, err := scan.dir(dir, []string{"file"}); err != nil || len(found) != 0 {
				t.Errorf("%s in a file that may have it: %v, %v", name, found, err)
			}
		}
	}
	if found, err := scan.reader("noise", bytes.NewReader(noise)); err != nil || len(found) != 0 {
		t.Errorf("in noise: %v, %v", found, err)
	}
	if _, err := newScanner(Secrets{"short": "abc"}); err == nil {
		t.Error("a secret of three bytes")
	}
}
