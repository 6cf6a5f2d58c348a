package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/jwt"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/search"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/gateway/tool"
	"github.com/outcrop/outcrop/internal/outbound"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/work"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	account  = "111122223333"
	region   = "us-west-2"
	roleARN  = "arn:aws:iam::" + account + ":role/gateway"
	keyARN   = "arn:aws:kms:" + region + ":" + account + ":key/11111111-2222-3333-4444-555555555555"
	otherARN = "arn:aws:kms:" + region + ":" + account + ":key/99999999-2222-3333-4444-555555555555"
)

var scope = store.Scope{Account: account, Region: region}

// kit is the service with a runner of its work, and everything around it made up.
type kit struct {
	*testing.T
	*gateway.Service
	store  *sqlite.Store
	driver *driver
	keys   *keys
	files  map[string]string // in S3
	gone   error             // what becomes of the issuer, if anything
	held   chan struct{}     // holds gateways back until it is closed
	absent map[string]bool   // the ARNs of what is not there
	leads  map[string]string // URLs of gateways
}

// within runs a test in a bubble, whose clock goes on when all wait.
func within(t *testing.T, test func(k *kit)) {
	dir := t.TempDir()
	box := secrettest.Box(t)
	other, third := secrettest.Box(t), secrettest.Box(t)
	synctest.Test(t, func(t *testing.T) {
		st, err := sqlite.Open(t.Context(), filepath.Join(dir, "db"), sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		k := &kit{T: t, store: st, driver: &driver{}, absent: map[string]bool{}, keys: &keys{boxes: map[string]*secret.Box{keyARN: other, otherARN: third}}, files: map[string]string{}}
		k.Service = gateway.New(gateway.Config{
			Store: st, Box: box, Keys: k.keys, Roles: roles{k}, Issuers: k, Providers: providers{k}, Objects: k,
			Drivers: map[target.Kind]target.Driver{
				agentcorecontrol.TargetTypeLAMBDA: k.driver, agentcorecontrol.TargetTypeMCP_SERVER: k.driver, agentcorecontrol.TargetTypeOPEN_API_SCHEMA: k.driver,
				agentcorecontrol.TargetTypePASSTHROUGH: k.driver, agentcorecontrol.TargetTypeAPI_GATEWAY: k.driver, agentcorecontrol.TargetTypeSMITHY_MODEL: k.driver,
				agentcorecontrol.TargetTypeAGENTCORE_RUNTIME: k.driver, agentcorecontrol.TargetTypePROVIDER: k.driver,
			},
			Resources: func(id string) bool { return id == "rcfg-0123456789abcdef0" }, Vectors: search.NewVectors(search.Config{Now: time.Now}), Base: func() string { return "http://127.0.0.1:8642" },
			Problem: func(_ context.Context, of target.Source, arn string) string {
				if of.Role == roleARN && k.absent[arn] {
					return "is gone."
				}
				return ""
			},
			HasRuntime: func(_ context.Context, arn string) (bool, error) { return !k.absent[arn], nil },
			MayInvoke: func(_ context.Context, of target.Source, arn, qualifier string) (bool, error) {
				return of.Role == roleARN && !k.absent["invoke "+arn+" "+qualifier], nil
			},
			Leads: func(_ context.Context, at *url.URL) string { return k.leads[at.String()] },
			Judge: func(_ context.Context, _ target.Source, at *url.URL) error {
				if !k.absent[at.String()] {
					return nil
				}
				return &outbound.Refused{Host: at.Host, Reason: "the address is private", Fix: "open it"}
			},
			Quotas: gateway.Quotas{Gateways: 4, Targets: 8, Rules: 2, RateLimits: 3},
		})
		ctx, stop := context.WithCancel(t.Context())
		runner := work.New(st, work.Options{Owner: store.Owner{Node: "n", Process: "1"}})
		for kind, h := range k.Handlers() {
			if err := runner.Register(kind, holding{h, k, kind == "gateway.settle"}, work.Policy{}); err != nil {
				t.Fatal(err)
			}
		}
		ended := make(chan error, 1)
		go func() { ended <- runner.Run(ctx) }()
		defer func() {
			stop()
			<-ended
			if err := errors.Join(k.Close(), st.Close()); err != nil {
				t.Error(err)
			}
		}()
		test(k)
	})
}

// ctx is a call's.
func (k *kit) ctx() context.Context {
	return pipeline.WithCall(k.Context(), &pipeline.Call{Scope: scope, Principal: auth.Principal{Kind: auth.Root, Account: account, ARN: auth.RootARN(account)}})
}

// token is a call's that can be repeated.
func (k *kit) token(key, hash string) context.Context {
	return store.WithToken(k.ctx(), store.Token{Scope: scope, Operation: "op", Key: key, RequestHash: hash})
}

// wait lets all work go on until none is left that is due.
func (k *kit) wait() {
	synctest.Wait()
	time.Sleep(time.Second)
	synctest.Wait()
}

func (k *kit) must(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

// refused wants an error with a code and a text.
func (k *kit) refused(err error, code, text string) {
	k.Helper()
	if !fault.Is(err, code) || !strings.Contains(fault.From(err).Message, text) {
		k.Errorf("%v\nwant %s: ...%s...", err, code, text)
	}
}

// gateway makes one and waits for it.
func (k *kit) gateway(name string, change ...func(*agentcorecontrol.CreateGatewayRequest)) string {
	k.Helper()
	in := gatewayRequest(name)
	for _, c := range change {
		c(in)
	}
	out, err := k.CreateGateway(k.ctx(), in)
	k.must(err)
	k.wait()
	return *out.GatewayId
}

func gatewayRequest(name string) *agentcorecontrol.CreateGatewayRequest {
	return &agentcorecontrol.CreateGatewayRequest{
		Name: &name, RoleArn: new(roleARN), AuthorizerType: new(agentcorecontrol.AuthorizerTypeAWS_IAM), ProtocolType: new(agentcorecontrol.GatewayProtocolTypeMCP),
	}
}

// target makes one and waits for it.
func (k *kit) target(gateway, name string, config *agentcorecontrol.TargetConfiguration) string {
	k.Helper()
	out, err := k.CreateGatewayTarget(k.ctx(), &agentcorecontrol.CreateGatewayTargetRequest{GatewayIdentifier: &gateway, Name: &name, TargetConfiguration: config})
	k.must(err)
	k.wait()
	return *out.TargetId
}

// state is a target as it is read.
func (k *kit) state(gateway, id string) *agentcorecontrol.GetGatewayTargetResponse {
	k.Helper()
	out, err := k.GetGatewayTarget(k.ctx(), &agentcorecontrol.GetGatewayTargetRequest{GatewayIdentifier: &gateway, TargetId: &id})
	k.must(err)
	return out
}

// tools are what callers of a gateway see.
func (k *kit) tools(id string) string {
	k.Helper()
	v, err := k.View(k.Context(), id)
	k.must(err)
	names := []string{}
	for _, t := range v.Tools {
		names = append(names, t.Name)
	}
	return strings.Join(names, " ")
}

func lambda(tools ...string) *agentcorecontrol.TargetConfiguration {
	list := []agentcorecontrol.ToolDefinition{}
	for _, name := range tools {
		list = append(list, agentcorecontrol.ToolDefinition{Name: &name, Description: new("d"), InputSchema: &agentcorecontrol.SchemaDefinition{Type: new("object")}})
	}
	return &agentcorecontrol.TargetConfiguration{Mcp: &agentcorecontrol.McpTargetConfiguration{Lambda: &agentcorecontrol.McpLambdaTargetConfiguration{
		LambdaArn: new("arn:aws:lambda:" + region + ":" + account + ":function:f"), ToolSchema: &agentcorecontrol.ToolSchema{InlinePayload: list},
	}}}
}

func server(change ...func(*agentcorecontrol.McpServerTargetConfiguration)) *agentcorecontrol.TargetConfiguration {
	c := &agentcorecontrol.McpServerTargetConfiguration{Endpoint: new("https://tools.example.com/mcp")}
	for _, f := range change {
		f(c)
	}
	return &agentcorecontrol.TargetConfiguration{Mcp: &agentcorecontrol.McpTargetConfiguration{McpServer: c}}
}

func passthrough() *agentcorecontrol.TargetConfiguration {
	return &agentcorecontrol.TargetConfiguration{Http: &agentcorecontrol.HttpTargetConfiguration{Passthrough: &agentcorecontrol.PassthroughTargetConfiguration{
		Endpoint: new("https://api.example.com"), ProtocolType: new("CUSTOM"),
	}}}
}

func openAPI(c agentcorecontrol.ApiSchemaConfiguration) *agentcorecontrol.TargetConfiguration {
	return &agentcorecontrol.TargetConfiguration{Mcp: &agentcorecontrol.McpTargetConfiguration{OpenApiSchema: &c}}
}

// driver offers the tools whose names the schema lists, or what it is told to.
type driver struct {
	mu      sync.Mutex
	asked   []target.Source
	answer  func(target.Source) (target.Catalogue, error)
	opened  int
	closed  int
	blocked chan struct{} // holds Catalogue back until it is closed
	opening chan struct{} // holds Open back likewise
}

func (d *driver) Catalogue(ctx context.Context, s target.Source) (target.Catalogue, error) {
	d.mu.Lock()
	d.asked = append(d.asked, s)
	answer, blocked := d.answer, d.blocked
	d.mu.Unlock()
	if blocked != nil {
		select {
		case <-blocked:
		case <-ctx.Done():
			return target.Catalogue{}, ctx.Err()
		}
	}
	if answer != nil {
		return answer(s)
	}
	var list []tool.Tool
	if len(s.Schema) == 0 {
		list = []tool.Tool{{Name: "listed", InputSchema: json.RawMessage(`{"type":"object"}`)}}
	} else if err := json.Unmarshal(s.Schema, &list); err != nil {
		return target.Catalogue{}, target.Unfitf("the schema is no JSON: %s", err)
	}
	return target.Catalogue{Tools: list}, nil
}

func (d *driver) Open(target.Source, target.Catalogue) (target.Server, error) {
	d.mu.Lock()
	opening := d.opening
	d.mu.Unlock()
	if opening != nil {
		<-opening
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opened++
	return &served{driver: d}, nil
}

func (d *driver) counts() (opened, closed int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.opened, d.closed
}

func (d *driver) last() target.Source {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[len(d.asked)-1]
}

type served struct{ driver *driver }

func (*served) Call(context.Context, target.Call) (target.Result, error) { return target.Result{}, nil }

// Addresses implements target.Addressed.
func (*served) Addresses() []*url.URL {
	return []*url.URL{{Scheme: "https", Host: "one.example"}, {Scheme: "https", Host: "two.example"}}
}

// Serves reports whether a model is there.
func (*served) Serves(model string) bool { return model == "known" }

func (s *served) Close() error {
	s.driver.mu.Lock()
	defer s.driver.mu.Unlock()
	s.driver.closed++
	return nil
}

// keys are two keys of KMS, each of which can be disabled.
type keys struct {
	mu       sync.Mutex
	boxes    map[string]*secret.Box
	disabled []string
}

func (k *keys) Box(_ context.Context, _ store.Scope, name string) (*secret.Box, string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if slices.Contains(k.disabled, name) {
		return nil, "", fault.New("DisabledException", 400, "%s is disabled.", name)
	}
	if box := k.boxes[name]; box != nil {
		return box, name, nil
	}
	return nil, "", fault.New("NotFoundException", 400, "Key '%s' does not exist", name)
}

func (*keys) Topic() store.Topic { return store.RowTopic("keys") }

// disable takes a key out of use, or lets it be used again.
func (k *kit) disable(arns ...string) {
	k.keys.mu.Lock()
	k.keys.disabled = arns
	k.keys.mu.Unlock()
	k.must(k.store.Update(k.Context(), func(tx store.Tx) error { return tx.PutRow("keys", []byte("disabled"), []byte(strings.Join(arns, " "))) }))
}

// holding holds gateways back.
type holding struct {
	work.Handler
	k     *kit
	holds bool
}

func (h holding) Do(ctx context.Context, item *work.Item) error {
	if h.holds && h.k.held != nil {
		<-h.k.held
	}
	return h.Handler.Do(ctx, item)
}

type roles struct{ k *kit }

func (r roles) CheckRole(_ context.Context, role, source string) error {
	if role != roleARN && role != roleARN+"-next" || r.k.absent[role] {
		return fault.Invalid("roleArn", "The role %s cannot be assumed by the gateway", role)
	}
	if !strings.Contains(source, ":gateway/") {
		return fmt.Errorf("check role for %s", source)
	}
	return nil
}

type providers struct{ k *kit }

func (p providers) HasProvider(_ context.Context, of store.Scope, arn string) (bool, error) {
	return of == scope && strings.HasSuffix(arn, "/there") && !p.k.absent[arn], nil
}

// Issuer implements gateway.Issuers.
func (k *kit) Issuer(_ context.Context, at string) (string, error) {
	return strings.TrimSuffix(at, "/.well-known/openid-configuration"), k.gone
}

var _ gateway.Issuers = (*jwt.Verifier)(nil)

// Read implements gateway.Objects.
func (k *kit) Read(_ context.Context, _ store.Scope, role, uri, owner string, most int64) ([]byte, error) {
	text, ok := k.files[uri]
	if !ok || role != roleARN || owner != account || int64(len(text)) > most {
		return nil, target.Unfitf("The gateway's role may not read %s of %s", uri, owner)
	}
	return []byte(text), nil
}

// Secret implements gateway.Objects.
func (k *kit) Secret(_ context.Context, _ store.Scope, _, arn string) ([]byte, error) {
	return []byte(k.files[arn]), nil
}
