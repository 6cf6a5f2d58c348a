package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// TestListening: what a server says of its lists is heard, in each revision, and a server
// that was gone may be another.
func TestListening(t *testing.T) {
	for name, versions := range map[string][]string{"sessions": oldRevisions, "modern": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			handler := func() (http.Handler, *mcp.Server) {
				s := mcp.NewServer(&mcp.Implementation{Name: "sdk", Version: "1"}, &mcp.ServerOptions{SupportedProtocolVersions: versions})
				add(s, "first")
				return mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, &mcp.StreamableHTTPOptions{Stateless: versions == nil}), s
			}
			var now atomic.Pointer[http.Handler]
			h, s := handler()
			now.Store(&h)
			streams := make(chan struct{}, 100)
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet || r.Header.Get("Mcp-Method") == "subscriptions/listen" {
					w = &opening{w, streams}
				}
				(*now.Load()).ServeHTTP(w, r)
			}))
			defer srv.Close()
			heard := make(chan string, 100)
			cfg := Config{Listening: Listening{Changed: func(_ context.Context, of target.Source) { heard <- of.ID }}}
			one, _ := open(t, cfg, source(srv.URL+"/mcp"))
			if got := <-heard; got != "TARGET0001" { // what it offers may have changed since it was read
				t.Error(got)
			}
			<-streams
			add(s, "second")
			if got := <-heard; got != "TARGET0001" {
				t.Error(got)
			}
			for len(heard) > 0 {
				<-heard
			}
			// Another server is there, and was not for a moment.
			h, _ = handler()
			now.Store(&h)
			for session := range s.Sessions() {
				session.Close()
			}
			srv.CloseClientConnections()
			<-heard
			if err := one.Close(); err != nil {
				t.Error(err)
			}
			srv.CloseClientConnections()
		})
	}
}

// opening tells when a stream of events begins.
type opening struct {
	http.ResponseWriter
	begun chan struct{}
}

func (o *opening) Flush() {
	http.NewResponseController(o.ResponseWriter).Flush()
	if o.Header().Get("Content-Type") == "text/event-stream" {
		select {
		case o.begun <- struct{}{}:
		default:
		}
	}
}

func add(s *mcp.Server, name string) {
	mcp.AddTool(s, &mcp.Tool{Name: name}, func(context.Context, *mcp.CallToolRequest, any) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{}, nil, nil
	})
}

// TestChangedByCall: a server tells the session whose call changed what it offers, and none
// that only listens.
func TestChangedByCall(t *testing.T) {
	sc := &script{t: t, answers: answers{"tools/call": func(w http.ResponseWriter, _ *http.Request, m envelope) {
		sse(w, `data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
		sse(w, done(m))
	}}}
	heard := make(chan string, 1)
	cfg := Config{Listening: Listening{Changed: func(_ context.Context, of target.Source) { heard <- of.ID }}}
	s := unopened(t, cfg, source(serve(t, sc).URL))
	if _, err := s.Call(t.Context(), target.Call{Tool: "grow"}); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-heard:
		if got != "TARGET0001" {
			t.Error(got)
		}
	default:
		t.Error("nobody was told")
	}
}

// TestNotListening: servers that say nothing, those that the operator wants left alone,
// and what is each caller's own are not listened to.
func TestNotListening(t *testing.T) {
	var streams atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			streams.Add(1)
		}
		w.WriteHeader(http.StatusMethodNotAllowed)
	}))
	defer srv.Close()
	mute := mcp.NewServer(&mcp.Implementation{Name: "mute", Version: "1"}, &mcp.ServerOptions{SupportedProtocolVersions: oldRevisions, Capabilities: &mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{}}})
	add(mute, "first")
	silent := httptest.NewServer(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return mute }, nil))
	defer silent.Close()
	changed := func(context.Context, target.Source) { t.Error("a change is heard") }
	asked := make(chan struct{})
	for name, tt := range map[string]struct {
		url    string
		change func(*target.Source, *Config)
	}{
		"left alone": {srv.URL, func(_ *target.Source, c *Config) {
			c.Listening.Wanted = func(_ context.Context, u *url.URL) bool { close(asked); return u.Path != "/mcp" }
		}},
		"schema":    {srv.URL, func(s *target.Source, _ *Config) { s.Schema = []byte(`{"tools":[]}`) }},
		"each anew": {srv.URL, func(s *target.Source, _ *Config) { s.Config.Mcp.McpServer.ListingMode = new("DYNAMIC") }},
		"user's": {srv.URL, func(s *target.Source, _ *Config) {
			s.Credential = &agentcorecontrol.CredentialProviderConfiguration{CredentialProviderType: new("JWT_PASSTHROUGH")}
		}},
		"says nothing": {silent.URL, func(*target.Source, *Config) {}},
	} {
		src, cfg := source(tt.url+"/mcp"), Config{Client: local(), Listening: Listening{Changed: changed}}
		tt.change(&src, &cfg)
		s, err := New(cfg).Open(src, target.Catalogue{})
		if err != nil {
			t.Fatal(name, err)
		}
		if name == "left alone" {
			<-asked
		}
		one := s.(*server)
		if name == "says nothing" {
			one.loose.Wait() // it ends by itself
		}
		if err := one.Close(); err != nil {
			t.Error(name, err)
		}
	}
	if n := streams.Load(); n != 0 {
		t.Errorf("%d streams", n)
	}
}

// TestListeningWaits: the server of a target whose account has its share is listened to
// when others have left, and its owner can know.
func TestListeningWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int64
		var full []string
		places := target.NewPlaces(MaxListening) // that others share
		client := &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			requests.Add(1)
			return nil, errors.New("it is not there")
		})}
		d := New(Config{Client: func(target.Source) (*http.Client, error) { return client, nil }, Listening: Listening{
			Places:  places,
			Changed: func(context.Context, target.Source) {},
			Full:    func(_ context.Context, of target.Source, most int) { full = append(full, fmt.Sprint(of.ID, " ", most)) },
		}})
		var leave []func()
		fill := func() int {
			for one := places.Take("111122223333"); one != nil; one = places.Take("111122223333") {
				leave = append(leave, one)
			}
			return len(leave)
		}
		empty := func() {
			for _, one := range leave {
				one()
			}
			leave = nil
		}
		fill()
		src := source("http://tools.example/mcp")
		src.Scope.Account = "111122223333"
		s, err := d.Open(src, target.Catalogue{})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if requests.Load() != 0 || !slices.Equal(full, []string{"TARGET0001 1000"}) {
			t.Errorf("%d requests while others have all; told %q", requests.Load(), full)
		}
		empty()
		time.Sleep(listenAgainMax)
		synctest.Wait()
		if n := fill(); requests.Load() == 0 || n != 499 {
			t.Errorf("%d requests and %d other places when they have left", requests.Load(), n)
		}
		empty()
		if err := s.(*server).Close(); err != nil || fill() != 500 {
			t.Errorf("%v, and %d places are left of a server that is closed", err, len(leave))
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
