package openapi_test

import (
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/gateway/openapi"
)

// TestLongURLs refuses paths and servers that no request could have, before anything is
// made of them: variables make a long URL of a short text.
func TestLongURLs(t *testing.T) {
	const text = `{"openapi":"3.1.0","info":{"title":"t","version":"1"},"servers":[{"url":"https://x.example/SERVER","variables":{"a":{"default":"VALUE"}}}],"paths":{"/PATH":{"get":{"responses":{}}}}}`
	for name, tt := range map[string]struct{ server, value, path, want string }{
		"as long as may be": {"{a}", strings.Repeat("v", 8<<10-20), strings.Repeat("p/", 4<<10-1), ""},
		"a long server":     {strings.Repeat("{a}", 1<<19), strings.Repeat("v", 1<<20), "p", "#/servers/0/url: the server's URL has more than 8192 bytes with its variables"},
		"a long path":       {"", "v", strings.Repeat("p{a}", 1<<20), "has 4194305 bytes; it may have at most 8192"},
	} {
		_, err := openapi.Parse([]byte(strings.NewReplacer("SERVER", tt.server, "VALUE", tt.value, "PATH", tt.path).Replace(text)), openapi.Options{})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %.300v, want %q", name, err, tt.want)
		}
	}
}

// TestLongPath refuses a path that an argument makes too long by being in it often.
func TestLongPath(t *testing.T) {
	d, err := openapi.Parse([]byte(`{"openapi":"3.1.0","info":{"title":"t","version":"1"},"servers":[{"url":"https://x.example"}],"paths":{"/`+strings.Repeat("{a}", 2000)+
		`":{"get":{"operationId":"o","parameters":[{"name":"a","in":"path","required":true,"schema":{"type":"string"}}],"responses":{}}}}}`), openapi.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Request(t.Context(), "o", []byte(`{"a":"`+strings.Repeat("x", 5<<20)+`"}`)); err == nil || !strings.Contains(err.Error(), "more than 65536 bytes") {
		t.Errorf("%.200v", err)
	}
	if r, err := d.Request(t.Context(), "o", []byte(`{"a":"x"}`)); err != nil || len(r.URL.Path) != 2001 {
		t.Errorf("%.200v", err)
	}
}
