package app

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/outbound"
)

// TestOperatorsEndpoints: what the operator names is reached although it is private, and
// nothing beside it.
func TestOperatorsEndpoints(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) })
	named, other := httptest.NewServer(h), httptest.NewServer(h)
	t.Cleanup(named.Close)
	t.Cleanup(other.Close)
	makes, err := opened(outbound.Config{}, func(c *http.Client) *http.Client { return c }, named.URL+"/v1/{stage}", "")
	if err != nil {
		t.Fatal(err)
	}
	client, err := makes(target.Source{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	for url, reached := range map[string]bool{named.URL + "/v2": true, other.URL: false, "http://169.254.169.254/": false} {
		answer, err := client.Get(url)
		if _, refused := errors.AsType[*outbound.Refused](err); reached == (err != nil) || refused == reached {
			t.Errorf("%s: %v", url, err)
		}
		if answer != nil {
			_ = answer.Body.Close()
		}
	}
}

func TestOrigin(t *testing.T) {
	for _, tt := range []struct {
		pattern, url string
		want         bool
	}{
		{"http://127.0.0.1:4566/restapis/{restApiId}", "http://127.0.0.1:4566", true},
		{"http://127.0.0.1:4566", "http://127a0.0.1:4566", false},
		{"http://127.0.0.1:4566", "https://127.0.0.1:4566", false},
		{"http://a.office", "http://a.office:81", false},
		{"https://{restApiId}.Execute-api.office/{stage}", "https://abc-1.execute-api.office", true},
		{"https://{restApiId}.execute-api.office", "https://a.b.execute-api.office", false},
		{"https://{restApiId}.execute-api.office", "https://evil.example/.execute-api.office", false},
	} {
		p, err := origin(tt.pattern)
		if err != nil || p.MatchString(tt.url) != tt.want {
			t.Errorf("%s %s: %v %v", tt.pattern, tt.url, p, err)
		}
	}
}
