package distribution_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/aws/ecr/distribution"
	"github.com/outcrop/outcrop/internal/image/registry"
	"github.com/outcrop/outcrop/internal/principal"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	account = "111122223333"
	region  = "eu-west-1"
	ecrHost = account + ".dkr.ecr." + region + ".amazonaws.com"
)

// logins knows the passwords "root" and "nobody".
type logins struct{}

func (logins) Login(_ context.Context, password string) (principal.Login, error) {
	p := auth.Principal{Account: account, ID: "AKIAEXAMPLE"}
	switch password {
	case "root":
		p.Kind, p.ARN = auth.Root, auth.RootARN(account)
	case "nobody":
		p.Kind, p.ARN = auth.User, "arn:aws:iam::"+account+":user/nobody"
	case "broken":
		return principal.Login{}, fmt.Errorf("the disk is on fire")
	default:
		return principal.Login{}, principal.ErrLogin
	}
	return principal.Login{Principal: p, Region: region}, nil
}

// records keeps the audit records.
type records struct {
	mu   sync.Mutex
	list []telemetry.Record
}

func (r *records) Audit(_ context.Context, rec telemetry.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, rec)
	return nil
}

// kit is a registry with the repositories "agent" and "team/other".
type kit struct {
	t      testing.TB
	images *registry.Storage
	server *httptest.Server
	audit  *records
	log    *bytes.Buffer
}

func newKit(t testing.TB) *kit {
	t.Helper()
	dir := t.TempDir()
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	k := &kit{t: t, audit: &records{}, log: &bytes.Buffer{}}
	if k.images, err = registry.New(t.Context(), registry.Config{Dir: filepath.Join(dir, "registry"), Store: db}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"agent", "team/other"} {
		if _, err := k.images.CreateRepository(t.Context(), named(name), registry.Settings{}); err != nil {
			t.Fatal(err)
		}
	}
	k.server = httptest.NewServer(distribution.New(distribution.Config{
		Images: k.images, Logins: logins{}, Authorizer: auth.NewAuthorizer(), Audit: k.audit, Now: time.Now,
		Log: slog.New(slog.NewTextHandler(k.log, nil)),
	}))
	t.Cleanup(k.server.Close)
	return k
}

func named(repository string) registry.Name {
	return registry.Name{Scope: store.Scope{Account: account, Region: region}, Repository: repository}
}

func digest(content string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(content))) }

// request is one of a table. The caller is root where password is empty.
type request struct {
	method, path, body string
	header             map[string]string
	password           string
}

func (k *kit) do(r request) (*http.Response, string) {
	k.t.Helper()
	q, err := http.NewRequestWithContext(k.t.Context(), r.method, k.server.URL+r.path, strings.NewReader(r.body))
	if err != nil {
		k.t.Fatal(err)
	}
	switch r.password {
	case "":
		q.SetBasicAuth("AWS", "root")
	case "none":
	default:
		q.SetBasicAuth("AWS", r.password)
	}
	for name, value := range r.header {
		if q.Header.Set(name, value); name == "Host" {
			q.Host = value
		}
	}
	w, err := k.server.Client().Do(q)
	if err != nil {
		k.t.Fatal(err)
	}
	defer w.Body.Close()
	body, err := io.ReadAll(w.Body)
	if err != nil {
		k.t.Fatal(err)
	}
	return w, string(body)
}

// want does a request and checks the status.
func (k *kit) want(status int, r request) (*http.Response, string) {
	k.t.Helper()
	w, body := k.do(r)
	if w.StatusCode != status {
		k.t.Fatalf("%s %s: %d %s, want %d", r.method, r.path, w.StatusCode, body, status)
	}
	return w, body
}

// push uploads a blob whole.
func (k *kit) push(repository, content string) {
	k.t.Helper()
	k.want(http.StatusCreated, request{method: "POST", path: "/v2/" + repository + "/blobs/uploads/?digest=" + digest(content), body: content})
}

func image(layers ...string) string {
	d := func(content string) map[string]any {
		return map[string]any{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest(content), "size": len(content)}
	}
	list := []any{}
	for _, l := range layers {
		list = append(list, d(l))
	}
	raw, _ := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": registry.TypeOCIManifest, "config": d("{}"), "layers": list})
	return string(raw)
}

// TestDockersWay pushes and pulls as docker does.
func TestDockersWay(t *testing.T) {
	k := newKit(t)
	k.want(200, request{method: "GET", path: "/v2/"})
	for _, content := range []string{"{}", "a layer"} {
		k.want(404, request{method: "HEAD", path: "/v2/agent/blobs/" + digest(content)})
		w, _ := k.want(202, request{method: "POST", path: "/v2/agent/blobs/uploads/"})
		at := w.Header.Get("Location")
		if w.Header.Get("Docker-Upload-Uuid") == "" || w.Header.Get("Range") != "0-0" || !strings.HasPrefix(at, "/v2/agent/blobs/uploads/") {
			t.Errorf("%v", w.Header)
		}
		w, _ = k.want(202, request{method: "PATCH", path: at, body: content, header: map[string]string{"Content-Type": "application/octet-stream"}})
		if want := fmt.Sprint("0-", len(content)-1); w.Header.Get("Range") != want {
			t.Errorf("Range %s, want %s", w.Header.Get("Range"), want)
		}
		w, _ = k.want(201, request{method: "PUT", path: w.Header.Get("Location") + "?digest=" + digest(content)})
		if w.Header.Get("Location") != "/v2/agent/blobs/"+digest(content) || w.Header.Get("Docker-Content-Digest") != digest(content) {
			t.Errorf("%v", w.Header)
		}
		w, _ = k.want(200, request{method: "HEAD", path: "/v2/agent/blobs/" + digest(content)})
		if w.ContentLength != int64(len(content)) {
			t.Errorf("length %d", w.ContentLength)
		}
	}
	m := image("a layer")
	w, _ := k.want(201, request{method: "PUT", path: "/v2/agent/manifests/latest", body: m, header: map[string]string{"Content-Type": registry.TypeOCIManifest}})
	if w.Header.Get("Docker-Content-Digest") != digest(m) || w.Header.Get("Location") != "/v2/agent/manifests/"+digest(m) {
		t.Errorf("%v", w.Header)
	}
	for _, reference := range []string{"latest", digest(m)} {
		for _, method := range []string{"GET", "HEAD"} {
			w, body := k.want(200, request{method: method, path: "/v2/agent/manifests/" + reference})
			if method == "GET" && body != m || w.ContentLength != int64(len(m)) || w.Header.Get("Content-Type") != registry.TypeOCIManifest || w.Header.Get("Docker-Content-Digest") != digest(m) {
				t.Errorf("%s %s: %q, %v", method, reference, body, w.Header)
			}
		}
	}
	w, body := k.want(206, request{method: "GET", path: "/v2/agent/blobs/" + digest("a layer"), header: map[string]string{"Range": "bytes=2-"}})
	if body != "layer" || w.Header.Get("Content-Range") != "bytes 2-6/7" || w.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%q, %v", body, w.Header)
	}
	k.want(416, request{method: "GET", path: "/v2/agent/blobs/" + digest("a layer"), header: map[string]string{"Range": "bytes=7-"}})
}

// TestChunks: chunks come in order or not at all.
func TestChunks(t *testing.T) {
	k := newKit(t)
	w, _ := k.want(202, request{method: "POST", path: "/v2/agent/blobs/uploads/"})
	at := w.Header.Get("Location")
	chunk := func(status int, text, contentRange string) *http.Response {
		t.Helper()
		w, _ := k.want(status, request{method: "PATCH", path: at, body: text, header: map[string]string{"Content-Range": contentRange}})
		return w
	}
	chunk(202, "0123", "0-3")
	chunk(416, "89", "8-9")
	chunk(416, "0123", "0-3")
	for _, bad := range []string{"x", "4", "5-4", "-1-3", "4-99999999999999999999"} {
		chunk(416, "45", bad)
	}
	chunk(400, "45", "4-6")
	if w := chunk(202, "4567", "bytes 4-7/10"); w.Header.Get("Range") != "0-7" {
		t.Errorf("%v", w.Header)
	}
	if w, _ := k.want(204, request{method: "GET", path: at}); w.Header.Get("Range") != "0-7" || w.Header.Get("Location") != at {
		t.Errorf("%v", w.Header)
	}
	k.want(416, request{method: "PUT", path: at + "?digest=" + digest("0123456789"), body: "89", header: map[string]string{"Content-Range": "9-10"}})
	k.want(201, request{method: "PUT", path: at + "?digest=" + digest("0123456789"), body: "89", header: map[string]string{"Content-Range": "8-9"}})
	if _, body := k.want(200, request{method: "GET", path: "/v2/agent/blobs/" + digest("0123456789")}); body != "0123456789" {
		t.Errorf("%q", body)
	}
	k.want(404, request{method: "GET", path: at})
	w, _ = k.want(202, request{method: "POST", path: "/v2/agent/blobs/uploads/"})
	k.want(204, request{method: "DELETE", path: w.Header.Get("Location")})
	k.want(404, request{method: "PATCH", path: w.Header.Get("Location"), body: "x"})
}

func TestMount(t *testing.T) {
	k := newKit(t)
	k.push("team/other", "shared")
	mount := "/v2/agent/blobs/uploads/?mount=" + digest("shared")
	k.want(202, request{method: "POST", path: mount})                         // from nowhere
	k.want(202, request{method: "POST", path: mount + "&from=none"})          // from nothing
	k.want(202, request{method: "POST", path: mount + "&from=../team/other"}) // no name
	w, _ := k.want(201, request{method: "POST", path: mount + "&from=" + ecrHost + "/team/other"})
	if w.Header.Get("Docker-Content-Digest") != digest("shared") {
		t.Errorf("%v", w.Header)
	}
	k.want(200, request{method: "GET", path: "/v2/agent/blobs/" + digest("shared")})
	k.want(400, request{method: "POST", path: "/v2/agent/blobs/uploads/?mount=x&from=agent"})
}

func TestDeletes(t *testing.T) {
	k := newKit(t)
	k.push("agent", "{}")
	k.push("agent", "layer")
	m := image("layer")
	for _, tag := range []string{"a", "b"} {
		k.want(201, request{method: "PUT", path: "/v2/agent/manifests/" + tag, body: m})
	}
	k.want(405, request{method: "DELETE", path: "/v2/agent/blobs/" + digest("layer")}) // an image needs it
	k.want(202, request{method: "DELETE", path: "/v2/agent/manifests/a"})
	k.want(404, request{method: "DELETE", path: "/v2/agent/manifests/a"})
	k.want(200, request{method: "GET", path: "/v2/agent/manifests/" + digest(m)})
	k.want(202, request{method: "DELETE", path: "/v2/agent/manifests/" + digest(m)})
	k.want(404, request{method: "GET", path: "/v2/agent/manifests/b"})
	k.want(202, request{method: "DELETE", path: "/v2/agent/blobs/" + digest("layer")})
	k.want(404, request{method: "GET", path: "/v2/agent/blobs/" + digest("layer")})
}

func TestLists(t *testing.T) {
	k := newKit(t)
	k.push("agent", "{}")
	for _, tag := range []string{"v1", "v2", "v3"} {
		k.want(201, request{method: "PUT", path: "/v2/agent/manifests/" + tag, body: image()})
	}
	for path, want := range map[string]struct{ body, link string }{
		"/v2/agent/tags/list":                     {`{"name":"agent","tags":["v1","v2","v3"]}`, ""},
		"/v2/agent/tags/list?n=2":                 {`{"name":"agent","tags":["v1","v2"]}`, `</v2/agent/tags/list?last=v2&n=2>; rel="next"`},
		"/v2/agent/tags/list?last=v2&n=2":         {`{"name":"agent","tags":["v3"]}`, ""},
		"/v2/agent/tags/list?n=0":                 {`{"name":"agent","tags":[]}`, ""},
		"/v2/team/other/tags/list":                {`{"name":"team/other","tags":[]}`, ""},
		"/v2/" + ecrHost + "/agent/tags/list?n=1": {`{"name":"` + ecrHost + `/agent","tags":["v1"]}`, `</v2/` + ecrHost + `/agent/tags/list?last=v1&n=1>; rel="next"`},
		"/v2/_catalog":                            {`{"repositories":["agent","team/other"]}`, ""},
		"/v2/_catalog?n=1":                        {`{"repositories":["agent"]}`, `</v2/_catalog?last=agent&n=1>; rel="next"`},
		"/v2/_catalog?n=1&last=agent":             {`{"repositories":["team/other"]}`, ""},
		"/v2/agent/referrers/" + digest("x"):      {`{"manifests":[],"mediaType":"` + registry.TypeOCIIndex + `","schemaVersion":2}`, ""},
	} {
		w, body := k.want(200, request{method: "GET", path: path})
		if body != want.body || w.Header.Get("Link") != want.link {
			t.Errorf("%s: %s %s", path, body, w.Header.Get("Link"))
		}
	}
}

var update = flag.Bool("update", false, "write golden files")

// TestRefusals holds the words of refusals, which docker shows to people.
func TestRefusals(t *testing.T) {
	k := newKit(t)
	k.push("agent", "{}")
	none := digest("none")
	var out strings.Builder
	for _, r := range []request{
		{method: "GET", path: "/v2/", password: "none"},
		{method: "GET", path: "/v2/", password: "wrong"},
		{method: "GET", path: "/v2/", header: map[string]string{"Authorization": "Basic cm9vdDpyb290"}}, // root:root
		{method: "GET", path: "/v2/", header: map[string]string{"Authorization": "Bearer wrong"}},
		{method: "GET", path: "/v2/", password: "broken"},
		{method: "GET", path: "/v2/agent/tags/list", password: "nobody"},
		{method: "GET", path: "/v2/agent/tags/list", header: map[string]string{"Host": account + ".dkr.ecr.us-east-1.amazonaws.com"}},
		{method: "GET", path: "/v2/999999999999.dkr.ecr.eu-west-1.amazonaws.com/agent/tags/list"},
		{method: "GET", path: "/v2/Agent/tags/list"},
		{method: "GET", path: "/v2/none/tags/list"},
		{method: "GET", path: "/v2/agent/tags/list?n=x"},
		{method: "GET", path: "/v2/agent/nothing"},
		{method: "POST", path: "/v2/agent/tags/list"},
		{method: "GET", path: "/v2/agent/manifests/v1"},
		{method: "GET", path: "/v2/agent/manifests/.v1"},
		{method: "GET", path: "/v2/agent/manifests/" + none},
		{method: "GET", path: "/v2/agent/manifests/md5:abc"},
		{method: "PUT", path: "/v2/agent/manifests/v1", body: "{"},
		{method: "PUT", path: "/v2/agent/manifests/v1", body: image("none")},
		{method: "PUT", path: "/v2/agent/manifests/" + none, body: image()},
		{method: "PUT", path: "/v2/agent/manifests/v1", body: strings.Repeat(" ", registry.MaxManifest+1)},
		{method: "GET", path: "/v2/agent/blobs/" + none},
		{method: "HEAD", path: "/v2/agent/blobs/" + none},
		{method: "GET", path: "/v2/agent/blobs/x"},
		{method: "PATCH", path: "/v2/agent/blobs/uploads/none", body: "x"},
		{method: "PUT", path: "/v2/agent/blobs/uploads/none", body: "x"},
		{method: "POST", path: "/v2/agent/blobs/uploads/?digest=" + none, body: "something else"},
		{method: "POST", path: "/v2/none/blobs/uploads/"},
		{method: "DELETE", path: "/v2/agent/blobs/" + none},
	} {
		w, body := k.do(r)
		fmt.Fprintf(&out, "%s %s\n%d %s\n", r.method, clipped(r.path), w.StatusCode, body)
		if c := w.Header.Get("Www-Authenticate"); c != "" {
			fmt.Fprintf(&out, "%s\n", c)
		}
		out.WriteString("\n")
	}
	got := strings.ReplaceAll(out.String(), strings.TrimPrefix(k.server.URL, "http://"), "HOST")
	const path = "testdata/refusals.golden"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || got != string(want) {
		t.Errorf("%v\n%s", err, got)
	}
	if strings.Contains(k.log.String(), "root") || !strings.Contains(k.log.String(), "on fire") {
		t.Errorf("log: %s", k.log)
	}
}

func clipped(s string) string { return s[:min(len(s), 80)] }

func TestTokenAsBearer(t *testing.T) {
	k := newKit(t)
	k.want(200, request{method: "GET", path: "/v2/", header: map[string]string{"Authorization": "Bearer root"}})
	k.want(200, request{method: "GET", path: "/v2/agent/tags/list", header: map[string]string{"Host": ecrHost}})
}

// TestAudit: each request leaves a record, refused ones too.
func TestAudit(t *testing.T) {
	k := newKit(t)
	k.do(request{method: "GET", path: "/v2/"})
	k.do(request{method: "GET", path: "/v2/agent/tags/list"})
	k.do(request{method: "PUT", path: "/v2/agent/manifests/v1", body: "{}", password: "nobody"})
	k.do(request{method: "DELETE", path: "/v2/none/manifests/v1", password: "wrong"})
	var got []string
	for _, r := range k.audit.list {
		got = append(got, fmt.Sprint(r.Source, " ", r.Event, " ", r.Status, " ", r.ErrorCode, " ", r.Principal, " ", r.Resources, " ", r.ReadOnly, " ", r.Scope.Region))
	}
	want := []string{
		"ecr ListImages 200  arn:aws:iam::111122223333:root [arn:aws:ecr:eu-west-1:111122223333:repository/agent] true eu-west-1",
		"ecr PutImage 403 DENIED arn:aws:iam::111122223333:user/nobody [arn:aws:ecr:eu-west-1:111122223333:repository/agent] false eu-west-1",
		"ecr BatchDeleteImage 401 UNAUTHORIZED  [] false ",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
}

// TestBodyThatBreaksOff leaves the upload where it was.
func TestBodyThatBreaksOff(t *testing.T) {
	k := newKit(t)
	w, _ := k.want(202, request{method: "POST", path: "/v2/agent/blobs/uploads/"})
	at := w.Header.Get("Location")
	body, write := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), "PATCH", k.server.URL+at, body)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("AWS", "root")
	go func() {
		_, _ = write.Write(bytes.Repeat([]byte("x"), 1<<20))
		write.CloseWithError(io.ErrUnexpectedEOF)
	}()
	if w, err := k.server.Client().Do(r); err == nil {
		t.Errorf("status %d", w.StatusCode)
		w.Body.Close()
	}
	k.server.CloseClientConnections()
	for { // the server may still be at it
		w, _ = k.do(request{method: "PATCH", path: at, body: "y"})
		if w.StatusCode != http.StatusConflict {
			break
		}
	}
	if w.StatusCode != 202 || w.Header.Get("Range") != "0-0" {
		t.Errorf("%d %v", w.StatusCode, w.Header)
	}
}
