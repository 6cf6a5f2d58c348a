package signin

import (
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
)

// TestProxy: clients sign in through a proxy that ends TLS before the server, as most of
// those on the internet have one, by its name alone.
func TestProxy(t *testing.T) {
	var behind *url.URL
	proxy := httptest.NewUnstartedServer(nil)
	proxy.Config.Handler = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		host := r.In.Host
		r.SetURL(behind)
		r.Out.Host = host
	}}
	proxy.StartTLS()
	t.Cleanup(proxy.Close)
	h := newHouse(t, "--public-url", proxy.URL)
	var err error
	if behind, err = url.Parse(h.s.URL); err != nil {
		t.Fatal(err)
	}
	if h.base() != proxy.URL {
		t.Fatalf("the gateway is at %s", h.gateway)
	}
	h.http = proxy.Client()
	h.calls(h.signIn(editors()["Claude"], "ada"))
}
