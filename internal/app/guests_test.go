package app

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/netprofile"
	"github.com/outcrop/outcrop/internal/principal"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/network"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
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
	box := secrettest.Box(t)
	d, _, err := principal.Open(t.Context(), principal.Config{Store: db, Box: box, Rand: rand.Reader, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	g := newGuests(d, netprofile.New(db), false, slog.New(slog.DiscardHandler))
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		_, _ = io.WriteString(w, r.RemoteAddr+" "+local.String()) // the other end tells
	})}
	g.api = newInside(server, nil, g.log)
	t.Cleanup(g.api.close)
	return g
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
	for _, role := range []string{"arn:aws:iam::999999999999:role/r", "arn:aws:iam:::role/r"} {
		if err := g.CheckRole(t.Context(), role, "arn:aws:bedrock-agentcore:us-east-1:"+g.directory.Account().ID+":runtime/r"); err == nil || !strings.Contains(err.Error(), "Role validation failed") {
			t.Errorf("%s: %v", role, err)
		}
	}
}

// call is a connection of a guest to Outcrop.
type call struct {
	net.Conn
	*testing.T
}

func (g *guests) callers(t *testing.T, name string) (open func() call, leave func()) {
	t.Helper()
	account := g.directory.Account().ID
	around, err := g.Enter(t.Context(), runtime.Guest{
		Scope: store.Scope{Account: account, Region: "us-west-2"}, Role: "arn:aws:iam::" + account + ":role/r", RoleSession: name, Note: func(string) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	leave = sync.OnceFunc(func() { around.Leave(false) })
	t.Cleanup(leave)
	return func() call {
		c, err := around.Network.Connect(t.Context(), "tcp", network.API)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() }) // it may be closed
		return call{c, t}
	}, leave
}

// get asks on the connection, which it keeps.
func (c call) get() (string, error) {
	c.Helper()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		c.Fatal(err)
	}
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// TestGuestsAPI: a guest's call is answered, from its wire, as long as it is there.
func TestGuestsAPI(t *testing.T) {
	g := testGuests(t)
	open, leave := g.callers(t, "caller")
	c := open()
	if got, err := c.get(); got != "192.0.0.2:0 192.0.0.1:8642" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if guestAPI() != "http://192.0.0.1:8642" {
		t.Errorf("guests are led to %s", guestAPI())
	}
	leave()
	if _, err := c.get(); err != nil {
		t.Errorf("a call under way: %v", err)
	}
}

// TestGuestsShares: a guest that opens more silent connections than are kept loses
// its own, and no other guest's.
func TestGuestsShares(t *testing.T) {
	g := testGuests(t)
	modest, _ := g.callers(t, "modest")
	greedy, _ := g.callers(t, "greedy")
	silent := modest() // before all others
	first := greedy()
	for range guestStrangers {
		greedy()
	}
	if err := first.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the longest silent of more than %d: %v", guestStrangers, err)
	}
	for name, c := range map[string]call{"an older one of another guest": silent, "a new one of another guest": modest(), "a new one": greedy()} {
		if _, err := c.get(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
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
