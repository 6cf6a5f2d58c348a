package keys

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
	"github.com/outcrop/outcrop/conformance/terraform"
)

// TestBoto3 drives both services, kills the server and goes on, and finds nothing of
// what was secret in its files.
func TestBoto3(t *testing.T) {
	s := server.Start(t, server.Options{})
	env := []string{"STATE=" + filepath.Join(t.TempDir(), "state.json")}
	python := pinned.Program(t, "python")
	for _, script := range []string{"testdata/kms.py", "testdata/secretsmanager.py"} {
		t.Log(s.Run(t, env, python, script, "before"))
	}
	s.Kill()
	scan(t, s.DataDir)
	s.Restart()
	for _, script := range []string{"testdata/kms.py", "testdata/secretsmanager.py"} {
		t.Log(s.Run(t, env, python, script, "after"))
	}
	for _, told := range []string{"nobody-reads", "attack at dawn"} {
		if strings.Contains(s.Log(), told) {
			t.Errorf("the log tells %q", told)
		}
	}
}

// scan looks into every file for what the scripts keep secret, and for private keys
// as they are written.
func scan(t *testing.T, dir string) {
	t.Helper()
	rsaKey, ecKey := []byte("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x04\x82"), []byte("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x04\x6d\x30\x6b")
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		for _, secret := range [][]byte{[]byte("nobody-reads"), []byte("attack at dawn"), rsaKey, ecKey} {
			if bytes.Contains(content, secret) {
				t.Errorf("%s holds %q", d.Name(), secret)
			}
		}
		return nil
	})
	if err != nil || files < 2 {
		t.Errorf("%d files, %v", files, err)
	}
}

// TestCommands types what people do.
func TestCommands(t *testing.T) {
	s := server.Start(t, server.Options{})
	const want = `{"token":"opensesame"}
script/token
{"token":"opensesame"}
aGVsbG8=
ECDSA_SHA_256
script/token
PendingDeletion
`
	if got := s.Run(t, []string{"SCRATCH=" + t.TempDir()}, "bash", "testdata/cli.sh"); got != want {
		t.Errorf("it printed\n%s\nwant\n%s", got, want)
	}
}

// TestTerraform makes keys, aliases and secrets, finds nothing to do, rotates the
// value, and takes all away.
func TestTerraform(t *testing.T) {
	s := server.Start(t, server.Options{})
	tf := terraform.New(t, s, "testdata/terraform")
	tf.Apply("password=first")
	if out := tf.Run("output", "-no-color", "-raw", "read"); out != "first" {
		t.Errorf("it reads %q", out)
	}
	if out := tf.Apply("password=second"); !strings.Contains(out, "added, ") {
		t.Errorf("a new value:\n%s", out)
	}
	if out := tf.Run("output", "-no-color", "-raw", "read"); out != "second" {
		t.Errorf("it reads %q", out)
	}
	tf.Destroy("password=second")
	if out := s.Run(t, nil, pinned.Program(t, "aws"), "secretsmanager", "list-secrets", "--query", "length(SecretList)"); strings.TrimSpace(out) != "0" {
		t.Errorf("%s secrets are left", out)
	}
}
