package container

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"
	imagetypes "github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/outcrop/outcrop/conformance/server"
)

// pythonAgent draws a number when it is imported, and another for each request.
const pythonAgent = `import http.server, json, random, os
boot = random.random()
class Agent(http.server.BaseHTTPRequestHandler):
    def answer(self, doc):
        body = json.dumps(doc).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer({"status": "Healthy"})
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer({"UID": os.getuid(), "Dir": os.getcwd(), "Arguments": [repr(boot), repr(random.random())]})
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Agent).serve_forever()
`

// python is a layer of the host's interpreter, what it is linked with and its
// standard library.
func python(t *testing.T) v1.Layer {
	t.Helper()
	binary, err := filepath.EvalSymlinks("/usr/bin/python3")
	if err != nil {
		t.Skip("this machine has no Python in /usr to make an image of")
	}
	linked, err := exec.Command("ldd", binary).Output()
	if err != nil {
		t.Skipf("ldd %s: %v", binary, err)
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	add := func(name string, content []byte, mode int64) {
		t.Helper()
		err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: strings.TrimPrefix(name, "/"), Mode: mode, Size: int64(len(content))})
		if err == nil {
			_, err = w.Write(content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	file := func(path string) {
		t.Helper()
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		add(path, content, 0o755)
	}
	file(binary)
	for _, word := range strings.Fields(string(linked)) {
		if strings.HasPrefix(word, "/") {
			file(word)
		}
	}
	err = filepath.WalkDir("/usr/lib/"+filepath.Base(binary), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == "test" || d.Name() == "__pycache__") {
			return fs.SkipDir
		}
		if err == nil && d.Type().IsRegular() {
			file(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	add("app/agent.py", []byte(pythonAgent), 0o644)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return static.NewLayer(out.Bytes(), imagetypes.OCIUncompressedLayer)
}

// TestPython: an image's Python is told that it is a copy, as that of code is: what
// it draws from then on is nobody else's.
func TestPython(t *testing.T) {
	k := start(t, server.Options{}, nil)
	binary, _ := filepath.EvalSymlinks("/usr/bin/python3")
	config := v1.Config{Entrypoint: []string{binary, "agent.py"}, User: "1000", WorkingDir: "/app"}
	r := k.create(k.input("python", k.push(k.image(config, python(t)), k.host+"/python:1")))
	k.Until("there is a snapshot", func() bool { return strings.Contains(k.Log(), "snapshot made") })
	one, two := k.must(r, "one", `{}`), k.must(r, "two", `{}`)
	if one.UID != 1000 || one.Dir != "/app" {
		t.Errorf("%+v", one)
	}
	if one.Arguments[0] != two.Arguments[0] || one.Arguments[1] == two.Arguments[1] {
		t.Errorf("two copies drew %v and %v", one.Arguments, two.Arguments)
	}
}
