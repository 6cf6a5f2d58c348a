package cli

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/outcrop"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/netprofile"
	"github.com/outcrop/outcrop/internal/operator"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/telemetry"
)

// rootKey is the test's key as the account's root user has it.
type rootKey struct{}

func (rootKey) Key(context.Context, string, string) (sigv4.Key, error) {
	return sigv4.Key{Principal: auth.Principal{
		Account: testAccount, ARN: auth.RootARN(testAccount), ID: testAccount, Kind: auth.Root,
	}, Secret: testSecret}, nil
}

// withOperator is an account whose newest server is the real API over a real
// store, with nothing but networks behind it.
func withOperator(t *testing.T) *account {
	t.Helper()
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "outcrop.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	audit, err := telemetry.Open(t.Context(), filepath.Join(dir, "telemetry.db"), telemetry.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = audit.Close() })
	p, err := pipeline.New(pipeline.Config{
		Version: "test", Services: []*schema.Service{&outcrop.Service},
		Handlers: outcrop.OperatorHandlers(operator.New(operator.Config{Networks: netprofile.New(db), Principals: onlyAnn{}, Decider: onlyAnn{}})),
		Verifier: sigv4.New(sigv4.Config{Keys: rootKey{}, SpoolDir: dir}), Authorizer: auth.NewAuthorizer(),
		Store: db, Audit: audit, Log: log, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	u := newUser(t)
	u.knows(s.URL, u.data())
	return u
}

// TestNetwork goes the way of an operator, from a server without profiles.
func TestNetwork(t *testing.T) {
	u := withOperator(t)
	for _, step := range []struct{ name, line string }{
		{"empty", "network"},
		{"map_to_nothing", "network map subnet-0123456789abcdef0 office"},
		{"set", "network profile set office --rule 10.1.0.0/16:443 --rule 10.1.0.9:5432-5439/tcp --rule 10.1.0.9 --rule 10.1.0.9/32 --dns 10.1.0.2 --dns 10.1.0.3:5353"},
		{"map", "network map subnet-0123456789abcdef0 office"},
		{"add", "network profile add office --rule 10.1.4.7:5432/tcp"},
		{"added", "network"},
		{"add_to_nothing", "network profile add offices --rule 10.1.4.7:5432/tcp"},
		{"add_nothing", "network profile add office"},
		{"map_more", "network map subnet-0123456789abcdef1 subnet-0123456789abcdef2 office"},
		{"set_another", "network profile set all --rule 0.0.0.0/0/udp"},
		{"map_to_unknown", "network map subnet-0123456789abcdef0 offices"},
		{"allow", "network allow 10.2.0.0/16 192.168.1.7"},
		{"allow_all", "network allow 0.0.0.0/0"},
		{"disallow_all", "network disallow 0.0.0.0/0"},
		{"host_add", "network host add api.example.com *.PyPI.org"},
		{"all", "network"},
		{"json", "network --json"},
		{"delete_mapped", "network profile delete office"},
		{"unmap_unknown", "network unmap subnet-0123456789abcdef9"},
		{"unmap", "network unmap subnet-0123456789abcdef0 subnet-0123456789abcdef1 subnet-0123456789abcdef2"},
		{"delete", "network profile delete office --json"},
		{"delete_again", "network profile delete office"},
		{"disallow", "network disallow 10.2.0.0/16"},
		{"disallow_again", "network disallow 10.2.0.0/16"},
		{"host_remove", "network host remove api.example.com *.pypi.org"},
		{"end", "network"},
	} {
		u.golden("network/"+step.name, u.run(strings.Fields(step.line)...))
	}
}

// TestNetworkJSONIsTheWires: what --json prints has the members of the answer.
func TestNetworkJSONIsTheWires(t *testing.T) {
	u := withOperator(t)
	r := u.run("network", "profile", "set", "office", "--rule", "10.1.0.0/16", "--json")
	var got map[string]any
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil || r.code != 0 {
		t.Fatalf("%v\n%s", err, r)
	}
	want := map[string]any{
		"profiles": []any{map[string]any{
			"profileName": "office", "rules": []any{"10.1.0.0/16"}, "dnsServers": []any{}, "subnetIds": []any{},
		}},
		"allowedRanges": []any{}, "allowedHosts": []any{},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
}

// TestNetworkHelp: the commands below network explain themselves too.
func TestNetworkHelp(t *testing.T) {
	for _, line := range []string{
		"profile", "profile set", "profile add", "profile delete", "map", "unmap", "allow", "disallow", "host", "host add", "host remove",
	} {
		u := newUser(t)
		u.golden("help/network_"+strings.ReplaceAll(line, " ", "_"), u.run(strings.Fields("network "+line+" --help")...))
	}
}
