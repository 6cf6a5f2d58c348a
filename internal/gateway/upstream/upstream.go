// Package upstream is the client side of targets that are MCP servers (spec/gateway.md
// 3.4, 5.4, 8). It relays: a call's arguments, its result and whatever else the two ends
// tell each other pass as the bytes that they are, so that nothing is lost of what a
// newer revision brings. What changes is the name of the tool, the message's id, the
// gateway's own members of _meta, and what differs between the revisions of the two ends.
//
// A call is one HTTP request upstream. What has to be agreed before (the revision; for
// servers that keep them, a session) is agreed once and kept, and agreed anew when the
// server says that it no longer holds.
//
// The messages are written and read here, not by the protocol's SDK: its client costs
// some hundred microseconds and kilobytes for each call, since it makes objects of all
// that passes, and forgets the members that it does not know.
package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/gateway/target"
)

// Config is what a Driver is made with.
type Config struct {
	// Client makes the HTTP client of one target, which also trusts the target's
	// authorities, and goes by its private endpoint. Each target has its own, so that none takes the connections of
	// another. HTTP makes such a function.
	Client func(target.Source) (*http.Client, error)
	// Credentials are those of a target; nil, or a nil result, is none.
	Credentials func(target.Source) (target.Credentials, error)
	// Version is the program's, told to servers.
	Version string
	// Now is the clock, time.Now where it is nil.
	Now func() time.Time
	// Limits bound what a server may do; zero members are the defaults.
	Limits Limits
	// Listening hears of changes.
	Listening Listening
}

// Limits bound a target (spec/gateway.md 6).
type Limits struct {
	// Call bounds a call from its beginning to its answer, 15 minutes by default.
	Call time.Duration
	// Greeting bounds what is agreed before, and Catalogue all that is listed: 20 seconds
	// and 2 minutes by default.
	Greeting, Catalogue time.Duration
	// Answer bounds an answer, and each message before it, in bytes: 6 MB by default.
	// Stream bounds all of them together: 64 MiB by default.
	Answer, Stream int
	// Listed bounds all that is listed, 10 MB by default, and Pages the answers to one
	// list request, 1000 by default.
	Listed, Pages int
	// Calls are how many run at once; a further one waits up to Queue for its turn: 1000
	// and 10 seconds by default.
	Calls int
	Queue time.Duration
	// Sessions are how many are kept with a server for the gateway's callers, 10000 by
	// default; the one that was not used for longest then ends.
	Sessions int
}

func (l Limits) withDefaults() Limits {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&l.Call, 15 * time.Minute}, {&l.Greeting, 20 * time.Second}, {&l.Catalogue, 2 * time.Minute}, {&l.Queue, target.Queue}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	for _, d := range []struct {
		field *int
		value int
	}{{&l.Answer, 6 << 20}, {&l.Stream, 64 << 20}, {&l.Listed, 10 << 20}, {&l.Pages, 1000}, {&l.Calls, target.Calls}, {&l.Sessions, 10000}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return l
}

// Driver is the target.Driver of the kind MCP_SERVER.
type Driver struct{ cfg Config }

// New returns a Driver.
func New(cfg Config) *Driver {
	cfg.Limits = cfg.Limits.withDefaults()
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Listening.Places == nil {
		cfg.Listening.Places = target.NewPlaces(MaxListening)
	}
	return &Driver{cfg: cfg}
}

// Catalogue implements target.Driver. A target with a schema, and one that lists for each
// caller, is not asked.
func (d *Driver) Catalogue(ctx context.Context, src target.Source) (target.Catalogue, error) {
	if len(src.Schema) > 0 {
		return declaredTools(src.Schema)
	}
	s, err := d.open(src)
	if err != nil {
		return target.Catalogue{}, err
	}
	if s.live {
		return target.Catalogue{Live: true}, s.Close()
	}
	asked, cancel := context.WithTimeout(ctx, s.limits.Catalogue)
	defer cancel()
	c, err := s.catalogue(asked, d.cfg.Listening.wants(asked, s.endpoint)) // each probe would start an agent of ours
	if ended := s.Close(); err == nil {
		err = ended
	}
	var (
		consent *target.Consent
		unfit   *target.Unfit
	)
	switch {
	case err == nil:
		return c, nil
	case ctx.Err() != nil:
		return c, ctx.Err()
	case errors.As(err, &consent), errors.As(err, &unfit):
		return c, err
	}
	return c, target.Unfitf("Failed to connect and fetch tools from the provided MCP target server. Error - %s.", why(err))
}

// why is what the owner of a target reads of an error.
func why(err error) string {
	var failed *target.Failure
	if errors.As(err, &failed) {
		return strings.TrimSuffix(failed.Text, ".") // such as a credential's, which says what to do
	}
	_, text := because(err)
	return text
}

// Open implements target.Driver.
func (d *Driver) Open(src target.Source, c target.Catalogue) (target.Server, error) {
	s, err := d.open(src)
	if err != nil {
		return nil, err
	}
	s.mirrors.learn(c.Tools)
	d.listen(s, src)
	return s, nil
}

func (d *Driver) open(src target.Source) (*server, error) {
	if src.Config == nil || src.Config.Mcp == nil || src.Config.Mcp.McpServer == nil || src.Config.Mcp.McpServer.Endpoint == nil {
		return nil, target.Unfitf("targetConfiguration.mcp.mcpServer.endpoint is required: the URL of the MCP server")
	}
	cfg := src.Config.Mcp.McpServer
	endpoint, err := url.Parse(*cfg.Endpoint)
	if err != nil || endpoint.Host == "" || endpoint.Scheme != "https" && endpoint.Scheme != "http" {
		return nil, target.Unfitf("targetConfiguration.mcp.mcpServer.endpoint is not a URL such as https://HOST/mcp")
	}
	endpoint.Fragment, endpoint.RawFragment = "", ""
	client, err := d.cfg.Client(src)
	if err != nil {
		return nil, fmt.Errorf("make HTTP client of target %s: %w", src.ID, err)
	}
	s := &server{
		endpoint:  endpoint,
		client:    client,
		limits:    d.cfg.Limits,
		live:      cfg.ListingMode != nil && *cfg.ListingMode == "DYNAMIC",
		sessions:  src.Sessions,
		dependent: callerDependent(src.Credential),
		slots:     target.NewSlots(d.cfg.Limits.Calls, d.cfg.Limits.Queue),
		links:     links{byKey: map[string]*link{}, max: d.cfg.Limits.Sessions, now: d.cfg.Now},
	}
	s.life, s.end = context.WithCancel(context.Background())
	if src.Metadata != nil {
		s.passed = target.Allowed(src.Metadata.AllowedResponseHeaders, target.Returns)
	}
	if d.cfg.Credentials != nil {
		if s.credentials, err = d.cfg.Credentials(src); err != nil {
			return nil, fmt.Errorf("make credentials of target %s: %w", src.ID, err)
		}
	}
	s.info, err = json.Marshal(map[string]string{"name": "outcrop", "title": "Outcrop", "version": d.cfg.Version})
	if err != nil {
		return nil, fmt.Errorf("say who asks: %w", err)
	}
	return s, nil
}
