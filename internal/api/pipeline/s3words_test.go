package pipeline

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestS3Words reads the refusals that come before S3's own handlers.
func TestS3Words(t *testing.T) {
	for _, c := range []struct {
		method, target, body string
		status               int
		code                 string
	}{
		{"GET", "/bucket?max-keys=many", "", 400, "InvalidArgument"},
		{"GET", "/bucket/key?partNumber=x", "", 400, "InvalidArgument"},
		{"GET", "/bucket?acl", "", 400, "NotImplemented"},
		{"PUT", "/bucket?cors", "{}", 400, "NotImplemented"},
		{"GET", "/bucket/bad%zzkey", "", 400, "InvalidArgument"},
		{"PUT", "/bucket?versioning", "<VersioningConfiguration>", 400, "MalformedXML"},
		{"POST", "/bucket/key", "", 405, "MethodNotAllowed"},
	} {
		k := newKit(t)
		r := httptest.NewRequest(c.method, "http://localhost:8642/", strings.NewReader(c.body))
		r.RequestURI = c.target
		path, query, _ := strings.Cut(c.target, "?")
		r.URL.Path, r.URL.RawPath, r.URL.RawQuery = path, path, query
		w := k.do(sign(t, r, "s3", c.body))
		if w.Code != c.status || !strings.Contains(w.Body.String(), "<Code>"+c.code+"</Code>") {
			t.Errorf("%s %s: %d %s", c.method, c.target, w.Code, w.Body)
		}
		refused := w.Header().Get("X-Outcrop-Refused") != ""
		if refused != (c.code == "NotImplemented") {
			t.Errorf("%s %s: refused by name: %v", c.method, c.target, refused)
		}
	}
	k := newKit(t)
	body := strings.Repeat(" ", 17<<20)
	w := k.do(sign(t, httptest.NewRequest(http.MethodPut, "http://localhost:8642/bucket?versioning", strings.NewReader(body)), "s3", body))
	if w.Code != 400 || !strings.Contains(w.Body.String(), "<Code>EntityTooLarge</Code>") {
		t.Errorf("too long: %d %s", w.Code, w.Body)
	}
}
