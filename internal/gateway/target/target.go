// Package target is the contract between a gateway and the things behind it. A Driver
// knows one kind of target: it works out what such a target offers, when the target is
// made or changed, and opens the Server that answers calls.
package target

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/gateway/tool"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// Kind is a kind of target, one of agentcorecontrol.TargetType's values.
type Kind string

// Driver is how targets of one kind are reached. It is safe for concurrent use.
type Driver interface {
	// Catalogue works out what a target offers. It may take as long as ctx does.
	//
	// Errors: *Unfit for what the target's owner has to mend, *Consent where somebody has
	// to agree first. Others are tried again.
	Catalogue(ctx context.Context, s Source) (Catalogue, error)
	// Open makes what answers the calls of a target with this catalogue. It does no work
	// that a call would wait for, and asks nobody before it returns.
	Open(s Source, c Catalogue) (Server, error)
}

// Checker is a Driver that judges a configuration before a target is accepted: what can be
// known to be wrong without asking anybody.
type Checker interface {
	// Check judges the configuration of a target of the driver's kind. A nil credential is
	// none. The error is a *fault.Error that names the member and the way out.
	Check(c *agentcorecontrol.TargetConfiguration, credential *agentcorecontrol.CredentialProviderConfiguration) error
}

// Source is a target as its owner has set it up.
type Source struct {
	// Scope is the account and region of the gateway.
	Scope store.Scope
	// Gateway is the gateway's id, and GatewayARN its ARN. Its workload identity has its
	// id for a name.
	Gateway, GatewayARN string
	// Role is the ARN of the role that the gateway acts as.
	Role string
	// Sessions is set where the gateway keeps MCP sessions.
	Sessions bool

	ID, Name string
	Kind     Kind
	Config   *agentcorecontrol.TargetConfiguration
	// Credential is nil for a target that is called without any.
	Credential *agentcorecontrol.CredentialProviderConfiguration
	// Metadata is which headers and parameters pass; nil is none.
	Metadata *agentcorecontrol.MetadataConfiguration
	// Schema is the text of the target's schema, as given or as it was in S3.
	Schema []byte
	// Certificates are PEM blocks of authorities that the target's are signed by, beside
	// those that everybody trusts.
	Certificates []byte
	// Private is how the target is reached where its owner says it; nil is as any other.
	Private *Private
	// Consenter is who has agreed, or is asked to, that the gateway sees what the target
	// offers: the UserID of the *Consent that was told last. It is empty before the first.
	Consenter string
}

// PlainRole reports whether a credential says no more than that the gateway calls, and not
// for which service its role signs.
func PlainRole(c *agentcorecontrol.CredentialProviderConfiguration) bool {
	return c != nil && wire.Text(c.CredentialProviderType) == agentcorecontrol.CredentialProviderTypeGATEWAY_IAM_ROLE && (c.CredentialProvider == nil || c.CredentialProvider.IamCredentialProvider == nil)
}

// Private is a target's private endpoint (spec/gateway.md 3.1). It opens no address that
// the operator has not.
type Private struct {
	// Resource is the id of a resource configuration, which the operator has a place for.
	// The other members are empty beside it.
	Resource string
	// Host is what is connected to in the place of the endpoint's own, and Network tcp4 or
	// tcp6, the addresses that it may have.
	Host, Network string
}

// Catalogue is what a target offers. Members that are raw are JSON objects as MCP lists
// them, their names and URIs the target's own.
type Catalogue struct {
	Tools             []tool.Tool       `json:"tools,omitempty"`
	Prompts           []json.RawMessage `json:"prompts,omitempty"`
	Resources         []json.RawMessage `json:"resources,omitempty"`
	ResourceTemplates []json.RawMessage `json:"resourceTemplates,omitempty"`
	// Asking are the tools, by name, that a server before 2026-07-28 has only for clients who
	// can be asked, with those of the things below of which one has to be declared.
	Asking map[string][]string `json:"asking,omitempty"`
	// Unasked is why Asking could not be found out, or empty: what was known before holds.
	Unasked string `json:"-"`
	// Warnings are what the target's owner should know, and is served nevertheless.
	Warnings []string `json:"warnings,omitempty"`
	// Document is what the driver fetched to make the catalogue of, and opens the target by;
	// nothing where the Source has it.
	Document json.RawMessage `json:"document,omitempty"`
	// Live says that the target lists for each caller anew: the catalogue holds nothing.
	Live bool `json:"live,omitempty"`
}

// What callers can be asked for, as Catalogue.Asking has it.
const (
	Elicits    = "elicitation"
	ElicitsURL = "elicitation.url"
	Samples    = "sampling"
	Roots      = "roots"
)

// Server answers calls of one target. It is safe for concurrent use.
type Server interface {
	// Call calls a tool. The error is a *Failure, an *Error that is the caller's to read
	// as it is, or an *Asked; any other is a fault of ours.
	Call(ctx context.Context, c Call) (Result, error)
	// Close gives back what it holds, when no call runs any more.
	Close() error
}

// Addressed is a Server that calls what its target's schema names.
type Addressed interface {
	// Addresses are the URLs, or the first of them.
	Addresses() []*url.URL
}

// Modeled is a Server of models that knows which it never serves.
type Modeled interface {
	// Serves reports whether it may serve a model at some path, as far as that is known
	// without asking.
	Serves(model string) bool
}

// Peer is a Server that speaks MCP itself.
type Peer interface {
	Server
	// Request passes a request on, such as prompts/get, with its params as the target
	// knows them, and returns its result. Errors are those of Call.
	Request(ctx context.Context, method string, params json.RawMessage, c Call) (json.RawMessage, error)
	// End ends what is kept for a session of the gateway.
	End(ctx context.Context, session string)
}

// Caller is on whose behalf a call is made.
type Caller struct {
	// Issuer and Subject are the user whom a verified token names, Token the token. All
	// are empty for a caller who came without.
	Issuer, Subject string
	Token           secret.String
	// Principal is the ARN of a caller who signed, and Signed that one as policies know it;
	// empty and nil for others.
	Principal string
	Signed    *auth.Principal
}

// Call is one call on its way to a target.
type Call struct {
	// RequestID is that of the caller's request, MessageID the JSON-RPC id as text.
	RequestID, MessageID string
	// Session is the caller's MCP session, empty where the gateway keeps none.
	Session string
	Caller  Caller
	// Version is the protocol revision that the caller speaks.
	Version string
	// Tool is the target's own name of the tool.
	Tool string
	// Arguments are a JSON object, or nothing.
	Arguments json.RawMessage
	// Meta is the request's _meta, a JSON object or nothing, and Params the members of its
	// params beside name, arguments and _meta: those that answer what an earlier result
	// asked for (inputResponses, requestState).
	Meta   json.RawMessage
	Params map[string]json.RawMessage
	// Header and Query are what the caller sent that the target's allow-list lets through.
	Header http.Header
	Query  url.Values
	// Intercepted is set where Authorization in Header is an interceptor's: it goes to the
	// target in the place of the gateway's own credentials (spec/gateway.md 3.5).
	Intercepted bool
	// Catalogue is set where no caller asks, but the gateway itself, for what the target
	// offers.
	Catalogue bool
	// Capabilities are what the caller's session can be asked for, as MCP's
	// ClientCapabilities; nothing is nothing. Callers since 2026-07-28 say it in Meta.
	Capabilities json.RawMessage
	// Client is who can be told and asked while the call runs; nil is nobody. Events is set
	// where what it is told arrives, and takes nothing from the answer: once told, a caller
	// has its status and headers, which interceptors would set.
	Client Client
	Events bool
}

// Client is the caller's end of a call that runs. It is safe for concurrent use. After the
// call nobody is told anything, and an answer to what was asked before still comes.
type Client interface {
	// Notify passes a JSON-RPC notification on to the caller.
	Notify(method string, params json.RawMessage)
	// Ask passes a request on to the caller and returns its result.
	Ask(ctx context.Context, method string, params json.RawMessage) (json.RawMessage, error)
}

// Result is the answer to a call.
type Result struct {
	// Body is a CallToolResult, a JSON object.
	Body json.RawMessage
	// Header holds headers of the target's answer that its allow-list lets through.
	Header http.Header
}

// Credentials are what a target is shown of the gateway, or of its caller. They are made
// once for a target, and safe for concurrent use.
type Credentials interface {
	// Apply puts them on a request, whose body GetBody can give again. It is the last to
	// change the request, since a signature covers all of it, and is asked anew for each
	// attempt. What an interceptor has set stays (Call.Intercepted); the driver has put
	// Call.Header on the request before.
	//
	// Errors are those of Server.Call; with Call.Catalogue those of Driver.Catalogue.
	Apply(ctx context.Context, r *http.Request, c *Call) error
}
