package gateway

import (
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/store"
)

// FuzzAuthorities reads certificates that somebody put into a bucket: none passes that is
// too large, and nothing but certificates does.
func FuzzAuthorities(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, text []byte) {
		if pem, err := authorities(text, time.Unix(1_700_000_000, 0)); err == nil && (len(text) > maxCertificates || !strings.HasPrefix(string(pem), "-----BEGIN CERTIFICATE-----\n")) {
			t.Errorf("%q is taken", text)
		}
	})
}

// FuzzNames reads what callers name gateways, targets' users and host names by: an id
// that an ARN gives is one of the scope, and what is put together is taken apart.
func FuzzNames(f *testing.F) {
	f.Add("arn:aws:bedrock-agentcore:us-west-2:111122223333:gateway/g-0123456789", "TARGET1234")
	f.Add("arn:aws:bedrock-agentcore:us-west-2:111122223333:gateway/g/x", "")
	f.Add("g-0123456789", "x")
	scope := store.Scope{Account: "111122223333", Region: "us-west-2"}
	f.Fuzz(func(t *testing.T, name, target string) {
		if id, err := idOf(scope, &name); err == nil && strings.HasPrefix(name, "arn:") && (ARN(scope, id) != name || strings.Contains(id, "/")) {
			t.Errorf("%q is %q", name, id)
		}
		if gateway, id, ok := splitUser(name); ok && (len(id) != wire.TailLength || gateway == "" || !strings.HasPrefix(name, gateway+id)) {
			t.Errorf("%q is of %q and %q", name, gateway, id)
		}
		if len(target) == wire.TailLength && name != "" {
			if gateway, id, ok := splitUser(name + target + strings.Repeat("u", uuidLength)); !ok || gateway != name || id != target {
				t.Errorf("%q %q is of %q and %q", name, target, gateway, id)
			}
		}
	})
}
