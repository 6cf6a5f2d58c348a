package pipeline

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// tree serves what begins with /tree.
type tree struct{}

func (tree) Serves(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/tree") }

func (tree) ServeHTTP(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "tree") }

// TestTree holds that a tree gets what is its own and carries no signature, whatever
// other credentials there are.
func TestTree(t *testing.T) {
	k := newKit(t)
	k.cfg.Tree = tree{}
	for name, c := range map[string]struct {
		method, path string
		header       http.Header
		want         bool
	}{
		"plain":            {"GET", "/tree/a", nil, true},
		"a form":           {"POST", "/tree/a", nil, true},
		"a bearer":         {"GET", "/tree/a", http.Header{"Authorization": {"Bearer x"}}, true},
		"a password":       {"POST", "/tree/a", http.Header{"Authorization": {"Basic eDp5"}}, true},
		"another path":     {"GET", "/other", nil, false},
		"a signature":      {"GET", "/tree/a", http.Header{"Authorization": {"AWS4-HMAC-SHA256 Credential=x"}}, false},
		"an old one":       {"GET", "/tree/a", http.Header{"Authorization": {"AWS AKID:x"}}, false},
		"a presigned URL":  {"GET", "/tree/a?X-Amz-Signature=x", nil, false},
		"an old one of S3": {"GET", "/tree/a?AWSAccessKeyId=x", nil, false},
		"a JSON operation": {"POST", "/tree/a", http.Header{"X-Amz-Target": {"A.B"}}, false},
	} {
		r := newRequest(c.method, c.path, "")
		for name, values := range c.header {
			r.Header[name] = values
		}
		if got := k.do(r).Body.String() == "tree"; got != c.want {
			t.Errorf("%s: the tree answers: %t, want %t", name, got, c.want)
		}
	}
}

// TestHosted: at a gateway's own host name there is the gateway, whatever else has the path
// at other names.
func TestHosted(t *testing.T) {
	k := newKit(t)
	k.cfg.Tree = tree{}
	k.cfg.Open = map[string]http.Handler{"/": http.HandlerFunc(tree{}.ServeHTTP)}
	k.cfg.Hosted = func(host string) string {
		if host == "g.gateway.example" {
			return "/gw/g-0123456789"
		}
		return ""
	}
	k.routers[defaultSigning].prefix = k.cfg.Hosted
	for _, path := range []string{"/tree/a", "/"} {
		if got := k.do(newRequest("GET", "https://other.example"+path, "")).Body.String(); got != "tree" {
			t.Errorf("%s at another name: %s", path, got)
		}
		w := k.do(newRequest("GET", "https://g.gateway.example:8642"+path, ""))
		if got := w.Header().Get("X-Amzn-Errortype"); got != "MissingAuthenticationTokenException" {
			t.Errorf("%s: %d %s %s, want the gateway's door", path, w.Code, got, w.Body)
		}
	}
	for _, service := range []string{"bedrock-agentcore", "s3", "iam"} {
		w := k.do(sign(t, newRequest("GET", "https://g.gateway.example/tree/a", ""), service, ""))
		if ours := service == "bedrock-agentcore"; (w.Code == http.StatusOK) != ours || k.served != 1 {
			t.Errorf("signed for %s: %d %s", service, w.Code, w.Body)
		}
	}
}
