package gateway

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/gateway/search"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/gateway/tool"
	"github.com/outcrop/outcrop/internal/inbound"
	"github.com/outcrop/outcrop/internal/store"
)

// View is a gateway as those see it who call it. It is made once after a change, for all
// calls until the next, and nobody writes to it.
type View struct {
	Scope         store.Scope
	ID, ARN, Name string
	// Kept to MCP: no HTTP and no inference targets.
	MCP bool
	// AuthorizerType is one of agentcorecontrol.AuthorizerType's values; Authorizer is set
	// for CUSTOM_JWT alone.
	AuthorizerType string
	Authorizer     *inbound.Authorizer
	// Role is the ARN of the role that the gateway acts as.
	Role         string
	Instructions string
	// Versions are the revisions of MCP that it speaks, none for all that we know.
	Versions []string
	// Finder finds among Tools, by their place, where callers have the tool that finds
	// tools; otherwise it is nil.
	Finder *search.Finder
	// SessionLife is how long an MCP session lasts; zero is a gateway without sessions.
	SessionLife time.Duration
	// Streaming is set where what MCP servers stream reaches the caller while it comes.
	Streaming bool
	// Debug is set where callers read what really went wrong.
	Debug bool
	// URL is where callers find it.
	URL string
	// Config is all that its owner configured, in the words of the wire.
	Config *agentcorecontrol.UpdateGatewayRequest
	// Rules are in the order of their priority, Limits in that of their creation.
	Rules  []Rule
	Limits []Limit
	// Targets are those that serve, in the order of their creation.
	Targets []*Target
	// Tools are those of all targets by the names that callers know, each target's in the
	// order of its names.
	Tools []Tool

	sorted sync.Once
	order  []int

	printed sync.Once
	print   [sha256.Size]byte
}

// Fingerprint changes with Tools, and with whom they are for.
func (v *View) Fingerprint() [sha256.Size]byte {
	v.printed.Do(func() {
		h := sha256.New()
		for i := range v.Tools {
			t := &v.Tools[i]
			_, _ = h.Write(t.JSON) // a hash takes everything
			_, _ = fmt.Fprintf(h, "%q", t.Target.Catalogue.Asking[t.Tool.Name])
		}
		h.Sum(v.print[:0])
	})
	return v.print
}

// Target is one that serves.
type Target struct {
	target.Source
	Catalogue target.Catalogue
	Server    target.Server
	// Revision changes with everything above.
	Revision int64

	tools []Tool
}

// Rule is one of a gateway, as the wire has it.
type Rule = agentcorecontrol.GatewayRuleDetail

// Limit is a rate limit of a gateway, as the wire has it.
type Limit = agentcorecontrol.GatewayRateLimitDetail

// Tool is one as callers know it.
type Tool struct {
	// Name has the target's name before it.
	Name   string
	Target *Target
	Tool   *tool.Tool
	// Mirrors are the arguments that callers repeat in headers.
	Mirrors []tool.Mirror
	// JSON is the tool as tools/list shows it, under that name.
	JSON []byte
}

// Find returns the tool of a name that callers know. Targets that list for each caller
// anew have whatever is asked of them. It reports false where no target that serves has
// such a tool.
func (v *View) Find(name string) (*Tool, bool) {
	i, ok := slices.BinarySearchFunc(v.byName(), name, func(i int, name string) int { return strings.Compare(v.Tools[i].Name, name) })
	if ok {
		return &v.Tools[v.byName()[i]], true
	}
	prefix, own, ok := tool.Split(name)
	if !ok {
		return nil, false
	}
	for _, t := range v.Targets {
		if t.Name == prefix && t.Catalogue.Live {
			return &Tool{Name: name, Target: t, Tool: &tool.Tool{Name: own}}, true
		}
	}
	return nil, false
}

// byName are the indexes of Tools in the order of their names.
func (v *View) byName() []int {
	v.sorted.Do(func() {
		v.order = make([]int, len(v.Tools))
		for i := range v.order {
			v.order[i] = i
		}
		slices.SortFunc(v.order, func(a, b int) int { return strings.Compare(v.Tools[a].Name, v.Tools[b].Name) })
	})
	return v.order
}

// lowestPriority is that of resources whose target has none.
const lowestPriority = 1000

// ResourcePriority says which target wins where two have a resource of the same URI: the
// one with the lower number.
func (t *Target) ResourcePriority() int {
	if c := t.Config; c != nil && c.Mcp != nil && c.Mcp.McpServer != nil && c.Mcp.McpServer.ResourcePriority != nil {
		return int(*c.Mcp.McpServer.ResourcePriority)
	}
	return lowestPriority
}
