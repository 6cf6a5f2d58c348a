package passthrough

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/outcrop/outcrop/internal/agentcard"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// RuntimeKind is the kind of targets that are agents of this server.
const RuntimeKind target.Kind = agentcorecontrol.TargetTypeAGENTCORE_RUNTIME

// RuntimeDriver is the target.Driver of agents.
type RuntimeDriver struct {
	Config
	// Runtimes answers as this server's data plane does, host names included:
	// bedrock-agentcore.REGION.amazonaws.com. What it is sent carries a signature of the
	// gateway's role or of its caller, or a token, as the target's credentials say: it is
	// let in for that, not because it comes from a gateway.
	Runtimes http.RoundTripper
}

var _ target.Driver = RuntimeDriver{}

func runtimeOf(s target.Source) (*agentcorecontrol.RuntimeTargetConfiguration, error) {
	if s.Config == nil || s.Config.Http == nil || s.Config.Http.AgentcoreRuntime == nil || wire.Text(s.Config.Http.AgentcoreRuntime.Arn) == "" {
		return nil, target.Unfitf("targetConfiguration.http.agentcoreRuntime.arn is missing")
	}
	return s.Config.Http.AgentcoreRuntime, nil
}

// Catalogue implements target.Driver.
func (d RuntimeDriver) Catalogue(_ context.Context, s target.Source) (target.Catalogue, error) {
	_, err := runtimeOf(s)
	return target.Catalogue{}, err
}

// Open implements target.Driver.
func (d RuntimeDriver) Open(s target.Source, _ target.Catalogue) (target.Server, error) {
	of, err := runtimeOf(s)
	if err != nil {
		return nil, err
	}
	out := &agent{
		arn: *of.Arn, qualifier: wire.Text(of.Qualifier), link: NewLink(&http.Client{Transport: d.Runtimes}, Signs(s)),
		host: "bedrock-agentcore." + region(*of.Arn, s.Scope.Region) + ".amazonaws.com",
		asks: Allowed(s.Metadata, append(requestHeaders(""), "Mcp-*", "A2a-*", "Last-Event-Id", SessionHeader, "X-Amzn-Trace-Id")),
	}
	out.link.Returns = Returned(s.Metadata, append(responseHeaders(""), "Mcp-*", "A2a-*", SessionHeader, "Traceparent", "Tracestate", "X-Amzn-Trace-Id", "X-Amzn-Errortype"))
	if d.Credentials != nil {
		if out.link.Credentials, err = d.Credentials(s, "bedrock-agentcore"); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func region(arn, otherwise string) string {
	if part := strings.SplitN(arn, ":", 6); len(part) == 6 && part[3] != "" {
		return part[3]
	}
	return otherwise
}

// agent is one runtime, at one of its endpoints.
type agent struct {
	target.Speechless
	arn, qualifier string
	host           string
	link           *Link
	asks           []string
}

var _ target.Web = (*agent)(nil)

// Send implements target.Web.
func (a *agent) Send(ctx context.Context, in *target.Request) (*http.Response, error) {
	if err := CheckPath(in.Path); err != nil {
		return nil, err
	}
	path, err := a.path(cmp.Or(in.Path, "/"))
	if err != nil {
		return nil, err
	}
	plain, err := url.PathUnescape(path)
	if err != nil {
		return nil, err
	}
	u := &url.URL{Scheme: "https", Host: a.host, Path: plain, RawPath: path, RawQuery: a.query(in.Query)}
	r := &http.Request{Method: in.Method, URL: u, Host: u.Host, Header: Header(in, a.asks), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	if in.Session != "" {
		r.Header[SessionHeader] = []string{in.Session}
	}
	resp, err := a.link.Send(ctx, r, in)
	if err != nil || resp.StatusCode != http.StatusOK || in.Method != http.MethodGet || !strings.HasSuffix(path, agentcard.Path) {
		return resp, err
	}
	if err := readdress(resp, in.Base); err != nil {
		return nil, err
	}
	return resp, nil
}

// readdress has an agent's card lead to this target, where Runtime wrote its own URL: a
// caller of the gateway may not be one of the agent's.
func readdress(resp *http.Response, base string) error {
	raw, err := io.ReadAll(io.LimitReader(resp.Body, agentcard.Max+1))
	if err = errors.Join(err, resp.Body.Close()); err == nil && len(raw) > agentcard.Max {
		err = fmt.Errorf("it has more than %d bytes", agentcard.Max)
	}
	if err == nil {
		raw, err = agentcard.WithURL(raw, base)
	}
	if err != nil {
		return target.Fail(target.ConnectionError, err, "The agent's card could not be read")
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
	return nil
}

// query has the target's qualifier, whatever the caller's.
func (a *agent) query(sent string) string {
	var kept []string
	for _, pair := range strings.Split(sent, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); pair != "" && (err != nil || plain != "qualifier" && plain != "accountId") {
			kept = append(kept, pair)
		}
	}
	if a.qualifier != "" {
		kept = append(kept, "qualifier="+url.QueryEscape(a.qualifier))
	}
	return strings.Join(kept, "&")
}

// path is where Runtime has what a caller asks a target for: /invocations and what is
// below, the paths of the A2A protocol, and those that SDKs write with the gateway's URL
// for an endpoint (spec/gateway.md 5.7).
func (a *agent) path(asked string) (string, error) {
	own := "/runtimes/" + url.PathEscape(a.arn)
	if rest, ok := strings.CutPrefix(asked, "/runtimes/"); ok {
		name, rest, _ := strings.Cut(rest, "/")
		arn, err := url.PathUnescape(name)
		id := a.arn[strings.LastIndexByte(a.arn, '/')+1:]
		if err != nil || arn != a.arn && arn != id {
			f := target.Fail(target.BadRequest, err, "This target is the runtime %s, and the path names another. Use the target of that one, or leave /runtimes/... out", a.arn)
			f.Shown = true
			return "", f
		}
		if rest != "invocations" && !strings.HasPrefix(rest, "invocations/") {
			return "", beyond(rest)
		}
		return own + "/" + rest, nil
	}
	switch {
	case asked == "/ws" || strings.HasPrefix(asked, "/ws/"), asked == "/commands", asked == "/stopruntimesession":
		return "", beyond(asked[1:])
	case asked == "/invocations" || strings.HasPrefix(asked, "/invocations/"):
		return own + asked, nil
	case asked == "/":
		return own + "/invocations", nil
	}
	return own + "/invocations" + asked, nil
}

// beyond refuses what a runtime's callers may do beside invoking it: the gateway's role
// would do it for whoever calls the gateway.
func beyond(what string) error {
	text := "A gateway invokes its runtimes, and nothing else. Call the runtime itself, or use /invocations"
	if what == "ws" || strings.HasPrefix(what, "ws/") {
		text = "WebSockets do not pass through a gateway. Call InvokeAgentRuntimeWithWebSocketStream of the runtime itself, or use /invocations, which streams"
	}
	f := target.Fail(target.BadRequest, nil, "%s", text)
	f.Shown = true
	return f
}
