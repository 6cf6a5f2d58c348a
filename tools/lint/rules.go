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
	services   = []string{"internal/runtime", "internal/resource", "internal/operator", "internal/aws", "internal/console"}
	machinery  = []string{"internal/api", "internal/proxy", "internal/work", "internal/session"}
	leaves     = []string{"internal/backup", "internal/principal", "internal/secret", "internal/ca", "internal/object", "internal/image", "internal/snapshot", "internal/garbage", "internal/netprofile", "internal/resourcepolicy", "internal/tag", "internal/telemetry"}
	foundation = []string{"internal/auth", "internal/awshost", "internal/sandbox", "internal/store", "internal/fault", "internal/durable", "internal/gate", "internal/hostline", "internal/jsonrpc", "internal/websocket"}
)

func join(lists ...[]string) []string {
	var out []string
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

var rules = []rule{
	{packages: foundation, imports: join(program, services, machinery, leaves), why: "imports run downwards; the foundation knows nothing above it"},
	{packages: leaves, imports: join(program, services, machinery), why: "imports run downwards; a leaf owns one kind of state and knows neither wire nor service"},
	{packages: machinery, imports: join(program, services), why: "imports run downwards; machinery serves all services alike"},
	{packages: services, imports: program, why: "imports run downwards; only app builds services"},
	{packages: join(leaves, foundation), imports: []string{"internal/api/model", "internal/api/schema"}, why: "generated shapes belong to the wire; give the leaf types of its own"},
	{packages: []string{"internal/runtime"}, imports: []string{"internal/resource", "internal/operator", "internal/aws", "internal/console"}, why: "services never import each other; declare a small interface and let app pass it in"},
	{packages: []string{"internal/operator"}, imports: []string{"internal/runtime", "internal/resource", "internal/aws", "internal/console"}, why: "services never import each other; declare a small interface and let app pass it in"},
	{packages: []string{"internal/resource"}, imports: []string{"internal/runtime", "internal/operator", "internal/aws", "internal/console"}, why: "services never import each other; declare a small interface and let app pass it in"},
	{packages: []string{"internal/aws"}, imports: []string{"internal/runtime", "internal/resource", "internal/operator", "internal/console"}, why: "services never import each other; declare a small interface and let app pass it in"},
	{packages: []string{"internal/store"}, except: []string{"internal/store/sqlite"}, imports: []string{"modernc.org/sqlite", "database/sql", "internal/store/sqlite"}, why: "nothing of SQLite shows in the contract"},
	{packages: join(program, services, machinery, leaves), except: []string{"internal/app", "internal/telemetry", "cmd/outcrop-sandbox"}, imports: []string{"internal/store/sqlite", "internal/sandbox/gvisor"}, why: "users of a contract do not name its implementation; app chooses it"},
	{packages: []string{"internal"}, except: []string{"internal/sandbox/gvisor"}, imports: []string{"gvisor.dev/gvisor"}, why: "gVisor stays behind the sandbox contract"},
	{packages: []string{"internal"}, except: []string{"internal/client", "internal/cli", "internal/api/protocol"}, imports: []string{"github.com/aws/aws-sdk-go-v2"}, why: "the server does not depend on a client; only the event stream framing is shared"},
}
