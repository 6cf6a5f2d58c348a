package pipeline

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/protocol"
	"github.com/outcrop/outcrop/internal/api/schema"
)

// requestSnapshots is how many there are in the two modules of the Go SDK that
// go.mod names. It changes with them.
const requestSnapshots = 236

// TestRequestSnapshots routes and decodes every request that the Go SDK's own
// tests hold, and writes it again: what we understood is what was said. The
// codec is on trial alone: nothing is validated.
func TestRequestSnapshots(t *testing.T) {
	rt := &router{}
	rt.add(&agentcorecontrol.Service)
	rt.add(&agentcore.Service)
	count := 0
	for module, svc := range map[string]*schema.Service{"bedrockagentcore": &agentcore.Service, "bedrockagentcorecontrol": &agentcorecontrol.Service} {
		files, err := filepath.Glob(filepath.Join(moduleDir(t, module), "request_snapshot", "*.request.snap"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			count++
			name := strings.TrimSuffix(filepath.Base(file), ".request.snap")
			t.Run(module+"/"+name, func(t *testing.T) { checkRequest(t, rt, svc, name, parseSnapshot(t, file)) })
		}
	}
	t.Logf("%d request snapshots", count)
	if count != requestSnapshots {
		t.Errorf("there are %d request snapshots, want %d", count, requestSnapshots)
	}
}

// moduleDir is the folder of a service module of the Go SDK in the module cache.
func moduleDir(t *testing.T, service string) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/aws/aws-sdk-go-v2/service/"+service).Output()
	if err != nil {
		t.Fatalf("find the module of %s: %v", service, err)
	}
	return strings.TrimSpace(string(out))
}

// parseSnapshot reads a request: its line, headers, and the body.
func parseSnapshot(t *testing.T, file string) *wire {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	line, rest, _ := strings.Cut(string(raw), "\n\n")
	method, target, _ := strings.Cut(line, " ")
	path, query, _ := strings.Cut(target, "?")
	w := &wire{method: method, path: path, header: http.Header{}}
	if w.query, err = url.ParseQuery(query); err != nil {
		t.Fatal(err)
	}
	for {
		head, after, ok := strings.Cut(rest, "\n")
		if !ok || head == "" {
			w.body = after
			return w
		}
		name, value, _ := strings.Cut(head, ": ")
		w.header.Add(name, value)
		rest = after
	}
}

func checkRequest(t *testing.T, rt *router, svc *schema.Service, name string, want *wire) {
	r := want.httpRequest()
	m, err := rt.find(r)
	if err != nil {
		t.Fatal(err)
	}
	if m.op.Name != name || m.svc != svc {
		t.Fatalf("%s %s is routed to %s %s", want.method, want.target(), m.svc.Name, m.op.Name)
	}
	in := m.op.NewInput()
	if err := protocol.For(svc.Protocol).Decode(protocol.Call{Service: svc, Operation: m.op, Former: m.former}, r, m.labels, in); err != nil {
		t.Fatal(err)
	}
	if m.former {
		checkFormer(t, svc, m.op, in, want)
		return
	}
	checkNames(t, svc.Shape(m.op.Input), reflect.ValueOf(in).Elem())
	got := writeRequest(t, svc, m.op, in)
	if got.path != want.path {
		t.Errorf("path %s, want %s", got.path, want.path)
	}
	if !reflect.DeepEqual(got.query, want.query) {
		t.Errorf("query %v, want %v", got.query, want.query)
	}
	if got.header.Get("Content-Type") == "" {
		got.header.Set("Content-Type", want.header.Get("Content-Type"))
	}
	for h := range want.header {
		if got.header.Get(h) != want.header.Get(h) {
			t.Errorf("header %s: %q, want %q", h, got.header.Get(h), want.header.Get(h))
		}
	}
	if a, b := canonical(t, got.body), canonical(t, want.body); a != b {
		t.Errorf("body\n got %s\nwant %s", a, b)
	}
}

// checkFormer compares a request by a route of an older model: what it said in
// its query is in the body of today's.
func checkFormer(t *testing.T, svc *schema.Service, op *schema.Operation, in any, want *wire) {
	t.Helper()
	said := map[string]string{}
	for name := range want.query {
		said[name] = want.query.Get(name)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(writeRequest(t, svc, op, in).body), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(said) {
		t.Errorf("read %v from the query %v", got, want.query)
	}
	for name, value := range got {
		if fmt.Sprint(value) != said[name] {
			t.Errorf("member %s is %v, want %s", name, value, said[name])
		}
	}
}

// checkNames compares the members that are text: the snapshots give a member
// X, wherever it travels, the value __X__.
func checkNames(t *testing.T, sh *schema.Shape, v reflect.Value) {
	t.Helper()
	for i := range sh.Members {
		m, field := &sh.Members[i], v.Field(i)
		if field.Kind() != reflect.Pointer || field.IsNil() || field.Elem().Kind() != reflect.String {
			continue
		}
		if got := field.Elem().String(); strings.HasPrefix(got, "__") && !strings.EqualFold(got, "__"+m.Name+"__") {
			t.Errorf("member %s is %q", m.Name, got)
		}
	}
}

// canonical is the one form of equal JSON; other bodies are compared as they are.
func canonical(t *testing.T, body string) string {
	t.Helper()
	v := jsontext.Value(body)
	if !v.IsValid() {
		return body
	}
	if err := v.Canonicalize(); err != nil {
		t.Fatal(err)
	}
	return string(v)
}
