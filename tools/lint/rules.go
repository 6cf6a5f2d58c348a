package main

import "strings"

// rule forbids imports to some packages, with the reason.
type rule struct {
	packages []string // folders the rule is for
	except   []string
	imports  []string // import paths, or folders of this module, that are forbidden
	why      string
}

// applies leaves out the packages that serve tests alone (storetest,
// sandboxtest, runtimetest): no program imports them.
func (r rule) applies(name string) bool {
	return within(name, r.packages...) && !within(name, r.except...) && !forTests(name)
}

func forTests(name string) bool { return strings.Contains(name+"/", "test/") }

func (r rule) forbids(imp string) bool {
	local, ours := strings.CutPrefix(imp, module)
	for _, f := range r.imports {
		if ours && within(local, f) || !ours && within(imp, f) {
			return true
		}
	}
	return false
}

// The layers, top to bottom (AGENTS.md).
var (
	program    = []string{"cmd", "internal/app", "internal/cli", "internal/client", "internal/bundle", "internal/builder"}
	services   = []string{"internal/runtime", "internal/gateway", "internal/lambda", "internal/identity", "internal/oidc", "internal/portal", "internal/resource", "internal/operator", "internal/aws", "internal/console"}
	machinery  = []string{"internal/api", "internal/inbound", "internal/proxy", "internal/work", "internal/session"}
	leaves     = []string{"internal/backup", "internal/principal", "internal/secret", "internal/ca", "internal/federation", "internal/object", "internal/image", "internal/issuer", "internal/key", "internal/secretstore", "internal/settings", "internal/signingkey", "internal/llm", "internal/snapshot", "internal/garbage", "internal/netprofile", "internal/resourcepolicy", "internal/tag", "internal/telemetry", "internal/websearch", "internal/workload"}
	foundation = []string{"internal/agentcard", "internal/auth", "internal/awshost", "internal/sandbox", "internal/store", "internal/fault", "internal/durable", "internal/gate", "internal/hostline", "internal/iprange", "internal/jsonrpc", "internal/outbound", "internal/sessionurl", "internal/websocket"}
)

func join(lists ...[]string) []string {
	var out []string
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

// others are the folders of a layer but one.
func others(layer []string, but string) []string {
	var out []string
	for _, f := range layer {
		if f != but {
			out = append(out, f)
		}
	}
	return out
}

var rules = append(apart(services), []rule{
	{packages: foundation, imports: join(program, services, machinery, leaves), why: "imports run downwards; the foundation knows nothing above it"},
	{packages: leaves, imports: join(program, services, machinery), why: "imports run downwards; a leaf owns one kind of state and knows neither wire nor service"},
	{packages: machinery, imports: join(program, services), why: "imports run downwards; machinery serves all services alike"},
	{packages: services, imports: program, why: "imports run downwards; only app builds services"},
	{packages: []string{"internal/auth/srp"}, imports: foundation, why: "SRP is arithmetic: internal/issuer says whose verifier it is, and counts who fails"},
	{packages: []string{"internal/auth/policy"}, imports: append([]string{"internal/auth/jwt", "internal/auth/sigv2", "internal/auth/sigv4"}, others(foundation, "internal/auth")...), why: "the policy language is pure: no store, no wire, no clock; internal/auth gives it what it weighs"},
	{packages: []string{"internal/gateway/openapi"}, imports: append([]string{"internal/api"}, join(leaves, foundation)...), why: "an OpenAPI document is read and a request written without store, wire or network; others send it"},
	{packages: []string{"internal"}, except: []string{"internal/gateway/openapi/node"}, imports: []string{"go.yaml.in/yaml/v3"}, why: "YAML of strangers is read within bounds, in one place"},
	{packages: join(leaves, foundation), imports: []string{"internal/api/model", "internal/api/schema"}, why: "generated shapes belong to the wire; give the leaf types of its own"},
	{packages: []string{"internal"}, except: []string{"internal/oidc"}, imports: []string{"github.com/zitadel/oidc"}, why: "the authorization server's library stays behind one front"},
	{packages: []string{"internal/gateway/smithy", "internal/gateway/apigateway"}, imports: join(machinery, leaves, foundation), why: "reading a target's document and writing its calls is pure; whoever calls it signs and sends"},
	{packages: []string{"internal/store"}, except: []string{"internal/store/sqlite"}, imports: []string{"modernc.org/sqlite", "database/sql", "internal/store/sqlite"}, why: "nothing of SQLite shows in the contract"},
	{packages: join(program, services, machinery, leaves), except: []string{"internal/app", "internal/telemetry", "cmd/outcrop-sandbox"}, imports: []string{"internal/store/sqlite", "internal/sandbox/gvisor"}, why: "users of a contract do not name its implementation; app chooses it"},
	{packages: []string{"internal"}, except: []string{"internal/sandbox/gvisor"}, imports: []string{"gvisor.dev/gvisor"}, why: "gVisor stays behind the sandbox contract"},
	{packages: []string{"internal"}, except: []string{"internal/client", "internal/cli", "internal/api/protocol", "internal/llm", "internal/app/awskeys", "internal/gateway/credential"}, imports: []string{"github.com/aws/aws-sdk-go-v2"}, why: "the server does not depend on a client; only the event stream framing is shared, and what is AWS's clients' part (Amazon Bedrock as a provider of models, the signatures of gateways) is done as they do it"},
}...)

// apart forbids a layer's members to import each other.
func apart(layer []string) []rule {
	var out []rule
	for _, f := range layer {
		out = append(out, rule{packages: []string{f}, imports: others(layer, f), why: "services never import each other; declare a small interface and let app pass it in"})
	}
	return out
}
