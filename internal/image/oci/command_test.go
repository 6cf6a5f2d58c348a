package oci

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/fault"
)

// program is as much of one as tells what runs it.
func program(machine uint16) string {
	head := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 40)...)
	binary.LittleEndian.PutUint16(head[18:], machine)
	return string(head)
}

// TestCheckCommand: what could not be executed is refused with what is wrong with it, and
// nothing that could be.
func TestCheckCommand(t *testing.T) {
	ours, others, theirs := uint16(62), uint16(183), "linux aarch64"
	if runtime.GOARCH == "arm64" {
		ours, others, theirs = 183, 62, "linux x86_64"
	}
	i := &Image{Root: t.TempDir(), Reference: "r"}
	for name, text := range map[string]string{
		"usr/bin/agent": program(ours), "app/run.sh": "#!/usr/bin/agent -x\necho", "app/gone.sh": "#! /bin/bash\n", "app/crlf.sh": "#!/usr/bin/agent\r\necho\r\n",
		"app/other": program(others), "app/text": "echo hi\n", "app/empty": "", "app/relative": "#!agent\n", "app/mounted.sh": "#!/mnt/tools/sh\n",
	} {
		path := filepath.Join(i.Root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(i.Root, "app/plain"), []byte(program(ours)), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"bin": "usr/bin", "app/abs": "/bin/agent", "app/up": "../../../../bin/agent", "app/nowhere": "/none", "app/loop": "loop", "etcd": "/app"} {
		if err := os.Symlink(target, filepath.Join(i.Root, name)); err != nil {
			t.Fatal(err)
		}
	}
	const usual = "/usr/local/bin:/bin"
	for _, tt := range []struct {
		command, dir, path string
		want               string // empty: it can be executed
	}{
		{command: "/usr/bin/agent"},
		{command: "/bin/agent"},
		{command: "/etcd/run.sh"},
		{command: "agent", path: usual},
		{command: "./run.sh", dir: "/app"},
		{command: "app/run.sh"},
		{command: "/app/abs"},
		{command: "/app/up"},
		{command: "/app/relative"},
		{command: "/app/mounted.sh"},
		{command: "/mnt/data/agent"},
		{command: "/tmp/agent"},
		{command: "/proc/self/exe"},
		{command: "agent", path: "/mnt/bin:/none"},
		{"/nope", "", usual, `its command "/nope" is not in it. Correct its ENTRYPOINT or CMD`},
		{"./nope", "/app", usual, `its command "/app/nope" is not in it`},
		{"/usr/bin/agent/x", "", usual, `its command "/usr/bin/agent/x" is not in it`},
		{"/app/nowhere", "", usual, `its command "/app/nowhere" is not in it`},
		{"/app/loop", "", usual, `its command "/app/loop" is not in it`},
		{"nope", "/app", usual, `its command "nope" is in none of the directories of its PATH (/usr/local/bin:/bin)`},
		{"run.sh", "/app", ".:", `is in none of the directories of its PATH (.:)`},
		{"agent", "/", "", `is in none of the directories of its PATH ()`},
		{"plain", "/", "/none:/app:/bin", `its command "/app/plain" is not executable. Make it so in the image (RUN chmod +x /app/plain).`},
		{"/app", "", usual, `its command "/app" is a directory`},
		{"/app/other", "", usual, `its command "/app/other" is a program for ` + theirs + `, and this machine is `},
		{"/app/text", "", usual, `its command "/app/text" is neither a program for Linux nor a script that begins with #!`},
		{"/app/empty", "", usual, `is neither a program`},
		{"/app/gone.sh", "", usual, `its command "/app/gone.sh" is a script for "/bin/bash", which is not in it`},
		{"/app/crlf.sh", "", usual, `the lines of its command "/app/crlf.sh" end as Windows ends them, so that it looks for "/usr/bin/agent\r"`},
	} {
		err := i.CheckCommand(Launch{Args: []string{tt.command}, Dir: tt.dir}, tt.path)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%+v: %v", tt, err)
		case tt.want != "" && (!fault.Is(err, "ValidationException") || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%+v: %v", tt, err)
		}
	}
}
