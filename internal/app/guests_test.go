package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/netprofile"
	"github.com/outcrop/outcrop/internal/principal"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/network"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

func testGuests(t *testing.T) *guests {
	t.Helper()
	dir := t.TempDir()
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "outcrop.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	ring, _, err := secret.EnsureKeyFile(filepath.Join(dir, "key.json"))
	if err != nil {
		t.Fatal(err)
	}
	box, err := secret.NewBox(ring)
	if err != nil {
		t.Fatal(err)
	}
	d, _, err := principal.Open(t.Context(), principal.Config{Store: db, Box: box, Rand: rand.Reader, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return newGuests(d, netprofile.New(db), slog.New(slog.DiscardHandler))
}

// held is what a guest reads of its credentials.
type held struct {
	AccessKeyId, Token string
	Expiration         time.Time
}

// fetch asks as an SDK in the guest does.
func fetch(t *testing.T, n sandbox.Network) held {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, kind, to string) (net.Conn, error) {
		return n.Connect(ctx, kind, netip.MustParseAddrPort(to))
	}}
	defer transport.CloseIdleConnections()
	call := func(method, path, name, value string) string {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://169.254.169.254/latest/"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(name, value)
		resp, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %s, %v", path, resp.Status, b, err)
		}
		return string(b)
	}
	token := call("PUT", "api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60")
	var c held
	if err := json.Unmarshal([]byte(call("GET", "meta-data/iam/security-credentials/execution_role", "X-aws-ec2-metadata-token", token)), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestGuestsCredentials: what a guest holds is good while it lives, and after it
// only where its memory comes back.
func TestGuestsCredentials(t *testing.T) {
	g := testGuests(t)
	account := g.directory.Account().ID
	for _, tt := range []struct {
		name           string
		template, keep bool
		good           bool // after its end
		life           time.Duration
	}{
		{"ended", false, false, false, time.Hour},
		{"saved", false, true, true, time.Hour},
		{"copied", true, false, true, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			around, err := g.Enter(t.Context(), runtime.Guest{
				Scope: store.Scope{Account: account, Region: "us-west-2"}, Role: "arn:aws:iam::" + account + ":role/r",
				RoleSession: "session-" + tt.name, Template: tt.template, Note: func(string) {},
			})
			if err != nil {
				t.Fatal(err)
			}
			c := fetch(t, around.Network)
			if life := time.Until(c.Expiration); life > tt.life || life < tt.life-10*time.Second {
				t.Errorf("they are over in %s, want %s", life, tt.life)
			}
			good := func() bool {
				_, err := g.directory.Key(t.Context(), c.AccessKeyId, c.Token)
				if err != nil && !errors.Is(err, sigv4.ErrExpiredToken) {
					t.Error(err)
				}
				return err == nil
			}
			if !good() {
				t.Error("a living guest's credentials are refused")
			}
			if around.Leave(tt.keep); good() != tt.good {
				t.Errorf("after its end they are good: %v", !tt.good)
			}
			if c, err := around.Network.Connect(t.Context(), "tcp", netip.MustParseAddrPort("169.254.169.254:80")); err == nil {
				c.Close()
				t.Error("the metadata service outlives the guest")
			}
		})
	}
	if _, err := g.Enter(t.Context(), runtime.Guest{Role: "arn:aws:iam::999999999999:role/r", RoleSession: "foreign"}); err == nil {
		t.Error("a guest has got another account's role")
	}
}

// TestGuestsAPI: a guest's call arrives at the server's listener, from its wire.
func TestGuestsAPI(t *testing.T) {
	g := testGuests(t)
	account := g.directory.Account().ID
	around, err := g.Enter(t.Context(), runtime.Guest{
		Scope: store.Scope{Account: account, Region: "us-west-2"}, Role: "arn:aws:iam::" + account + ":role/r", RoleSession: "caller", Note: func(string) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer around.Leave(false)
	defer g.api.Close()
	go func() {
		c, err := g.api.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(c, c.RemoteAddr().String()+" "+c.LocalAddr().String()) // the other end tells
		c.Close()
	}()
	c, err := around.Network.Connect(t.Context(), "tcp", network.API)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if b, err := io.ReadAll(c); string(b) != "192.0.0.2:0 192.0.0.1:8642" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if guestAPI() != "http://192.0.0.1:8642" {
		t.Errorf("guests are led to %s", guestAPI())
	}
}

// TestGuestsReach: a guest reaches what the operator's configuration opened when it
// came, and is told how to open the rest.
func TestGuestsReach(t *testing.T) {
	g := testGuests(t)
	account := g.directory.Account().ID
	at := netip.MustParseAddrPort("10.1.2.3:443")
	mode := func(m string) *agentcorecontrol.NetworkConfiguration {
		return &agentcorecontrol.NetworkConfiguration{NetworkMode: &m, NetworkModeConfig: &agentcorecontrol.VpcConfig{Subnets: []string{"subnet-01234567"}}}
	}
	var notes []string
	enter := func(c *agentcorecontrol.NetworkConfiguration) runtime.Surroundings {
		t.Helper()
		around, err := g.Enter(t.Context(), runtime.Guest{
			Scope: store.Scope{Account: account, Region: "us-west-2"}, Role: "arn:aws:iam::" + account + ":role/r", RoleSession: "caller",
			Network: c, Note: func(text string) { notes = append(notes, text) },
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { around.Leave(false) })
		return around
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel() // no connection is made
	reaches := func(around runtime.Surroundings) bool {
		_, err := around.Network.Connect(ended, "tcp", at)
		var refused *network.Refusal
		if err == nil || !errors.As(err, &refused) && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		return refused == nil
	}
	public, vpc := enter(mode("PUBLIC")), enter(mode("VPC"))
	for name, around := range map[string]runtime.Surroundings{
		"PUBLIC": public, "VPC": vpc, "none": enter(nil), "no mode": enter(&agentcorecontrol.NetworkConfiguration{}), "another": enter(mode("OTHER")),
		"VPC without subnets": enter(&agentcorecontrol.NetworkConfiguration{NetworkMode: new("VPC")}),
	} {
		if reaches(around) {
			t.Errorf("%s reaches a private network", name)
		}
	}
	if want := "outcrop network map subnet-01234567 PROFILE"; !slices.ContainsFunc(notes, func(n string) bool { return strings.HasSuffix(n, "run: "+want) }) {
		t.Errorf("%q lack %s", notes, want)
	}
	rule, err := netprofile.ParseRule(at.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.networks.PutProfile(t.Context(), netprofile.Profile{Name: "here", Rules: []netprofile.Rule{rule}}); err != nil {
		t.Fatal(err)
	}
	if _, err := g.networks.Map(t.Context(), "here", []string{"subnet-01234567"}); err != nil {
		t.Fatal(err)
	}
	if _, err := g.networks.ChangePublic(t.Context(), netprofile.PublicChange{AddRanges: []netip.Prefix{rule.Prefix}}); err != nil {
		t.Fatal(err)
	}
	if reaches(public) || reaches(vpc) {
		t.Error("what was there before reaches what was opened since")
	}
	for name, was := range map[string]runtime.Surroundings{"PUBLIC": public, "VPC": vpc} {
		if now := enter(mode(name)); !reaches(now) || now.Reach == was.Reach {
			t.Errorf("a new guest of %s: %v, %q", name, reaches(now), now.Reach)
		}
	}
	if one, other := enter(mode("VPC")), enter(mode("VPC")); one.Reach != other.Reach {
		t.Error("guests in the same surroundings differ")
	}
}
