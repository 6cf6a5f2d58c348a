package pipeline

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// TestPassing: what a gateway hands on may look like a call of another service. Nothing
// but its path tells.
func TestPassing(t *testing.T) {
	k := newKit(t)
	for path, want := range map[string]string{
		"/gw/g-0123456789/api/x":                          "<ErrorResponse",
		"/gw/g-0123456789/api/x?Action=GetCallerIdentity": "<ErrorResponse",
		"/": "",
	} {
		for _, target := range []string{"", "AmazonEC2ContainerRegistry_V20150921.ListImages"} {
			r := newRequest("POST", path, "Action=GetCallerIdentity&Version=2011-06-15")
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if target != "" {
				r.Header.Set("X-Amz-Target", target)
			}
			if got := k.passing(r); got != (path != "/") {
				t.Errorf("%s: %v", path, got)
			}
			w := httptest.NewRecorder()
			k.ServeHTTP(w, r)
			if body := w.Body.String(); want != "" && strings.Contains(body, want) || w.Code < 400 {
				t.Errorf("%s %s: %d %s", path, target, w.Code, body)
			}
		}
	}
}

// TestHintOfForms: curl sends forms unless it is told otherwise. Where there is a hint about
// the path, that is what it reads, and no XML of a service that was guessed.
func TestHintOfForms(t *testing.T) {
	k := newKit(t)
	k.routers[defaultSigning].hint = func(path string) string {
		if path == "/gw/g-0123456789" {
			return "It is below."
		}
		return ""
	}
	for _, kind := range []string{"application/x-www-form-urlencoded", "application/json"} {
		r := newRequest("POST", "/gw/g-0123456789", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		k.ServeHTTP(w, r)
		if body := w.Body.String(); w.Code != 404 || !strings.Contains(body, `"message":"There is no operation at this path. It is below."`) {
			t.Errorf("%s: %d %s", kind, w.Code, body)
		}
	}
}
