package hooks

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

func TestEnvironment(t *testing.T) {
	for _, tt := range []struct{ env, want string }{
		{"", "PYTHONPATH=/run/outcrop/python NODE_OPTIONS=--require=/run/outcrop/node/hook.cjs"},
		{"A=1 PYTHONPATH=/a:/b", "A=1 PYTHONPATH=/run/outcrop/python:/a:/b NODE_OPTIONS=--require=/run/outcrop/node/hook.cjs"},
		{"PYTHONPATH= NODE_OPTIONS=-a", "PYTHONPATH=/run/outcrop/python NODE_OPTIONS=--require=/run/outcrop/node/hook.cjs -a"},
		{"PYTHONPATH=/a PYTHONPATH=/b", "PYTHONPATH=/run/outcrop/python:/b NODE_OPTIONS=--require=/run/outcrop/node/hook.cjs"},
	} {
		env := strings.Fields(tt.env)
		if got := strings.Join(Environment(env), " "); got != tt.want {
			t.Errorf("Environment(%q) = %q, want %q", tt.env, got, tt.want)
		}
		if got := strings.Join(env, " "); got != tt.env {
			t.Errorf("Environment(%q) has changed its argument to %q", tt.env, got)
		}
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	if err := Write(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"python/sitecustomize.py", "python/resume.py", "node/hook.cjs", "node/reseed.node"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm()&0o444 != 0o444 || info.Size() == 0 {
			t.Errorf("%s: %v, %v; want it readable by all", name, info, err)
		}
	}
}

// TestReseeder holds the module to what a linker would have made, and its code to
// what was read by a disassembler once.
func TestReseeder(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		object, err := reseeder(arch)
		if err != nil {
			t.Fatal(err)
		}
		f, err := elf.NewFile(bytes.NewReader(object))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range f.Progs {
			if p.Flags&(elf.PF_W|elf.PF_X) == elf.PF_W|elf.PF_X {
				t.Errorf("%s: a segment is writable and executable", arch)
			}
			if p.Type == elf.PT_LOAD && p.Off%p.Align != p.Vaddr%p.Align {
				t.Errorf("%s: segment %+v cannot be mapped", arch, p.ProgHeader)
			}
			if p.Off+p.Filesz > uint64(len(object)) {
				t.Errorf("%s: segment %+v is longer than the file", arch, p.ProgHeader)
			}
		}
		golden(t, "reseed."+arch+".golden", dump(object))
	}
	if _, err := reseeder("mips"); err == nil {
		t.Error("there is code for mips")
	}
}

// dump is 16 bytes a line, in groups of an instruction of arm64.
func dump(data []byte) []byte {
	var out bytes.Buffer
	for i := 0; i < len(data); i += 16 {
		fmt.Fprintf(&out, "%03x", i)
		for j := i; j < min(i+16, len(data)); j += 4 {
			word := data[j:min(j+4, len(data))]
			if len(word) == 4 {
				fmt.Fprintf(&out, " %08x", binary.BigEndian.Uint32(word))
			} else {
				fmt.Fprintf(&out, " %s", hex.EncodeToString(word))
			}
		}
		out.WriteByte('\n')
	}
	return out.Bytes()
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (run with -update to accept):\n%s", name, got)
	}
}

// TestNodeLoadsReseeder has the machine's Node load the module, again and again,
// also in a thread.
func TestNodeLoadsReseeder(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil || runtime.GOOS != "linux" {
		t.Skip("this machine has no Node")
	}
	dir := t.TempDir()
	if err := Write(dir); err != nil {
		t.Fatal(err)
	}
	const script = `
		const load = () => { const m = {exports: {}}; process.dlopen(m, process.argv[1]); return m.exports; };
		const {Worker} = require('worker_threads');
		console.log(load(), load());
		new Worker('const m = {exports: {}}; process.dlopen(m, process.argv[2]); console.log(m.exports)', {eval: true, argv: [process.argv[1]]});`
	out, err := exec.Command(node, "-e", script, filepath.Join(dir, "node/reseed.node")).CombinedOutput()
	if err != nil || string(out) != "1 1\n1\n" {
		t.Errorf("Node says %q, %v; want 1 three times", out, err)
	}
}

// TestOutside: where there is no sandbox the hooks do nothing.
func TestOutside(t *testing.T) {
	dir := t.TempDir()
	if err := Write(dir); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		program string
		args    []string
		env     string
		want    string
	}{
		{"python3", []string{"-c", "import os, sys; print(len(os.listdir('/proc/self/task')), [p for p in sys.path if p.endswith('/python')])"}, "PYTHONPATH=" + dir + "/python", "1 []\n"},
		{"node", []string{"-p", "String(Math.random)"}, "NODE_OPTIONS=--require=" + dir + "/node/hook.cjs", "function random() { [native code] }\n"},
	} {
		path, err := exec.LookPath(tt.program)
		if err != nil {
			t.Logf("this machine has no %s", tt.program)
			continue
		}
		cmd := exec.Command(path, tt.args...)
		cmd.Env = append(os.Environ(), tt.env)
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != tt.want {
			t.Errorf("%s says %q, %v; want %q", tt.program, out, err, tt.want)
		}
	}
}
