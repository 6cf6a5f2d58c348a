package upstream

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/outcrop/outcrop/internal/gateway/jsonraw"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/gateway/tool"
)

// catalogue asks a server for all that it offers, and where it is probed, to whom.
func (s *server) catalogue(ctx context.Context, probed bool) (target.Catalogue, error) {
	var c target.Catalogue
	call := &target.Call{Catalogue: true}
	got, l, err := s.agreed(ctx, call)
	if err != nil {
		return c, err
	}
	if l != nil {
		s.links.release(l)
	}
	if _, ok := got.capabilities["tools"]; !ok {
		return c, target.Unfitf("Failed to connect and fetch tools from the provided MCP target server. Error - the server does not declare the capability tools; a target needs it.")
	}
	left := s.limits.Listed
	tools, err := s.list(ctx, call, &request{method: "tools/list"}, "tools", &left)
	if err != nil {
		return c, fmt.Errorf("list tools: %w", err)
	}
	c.Tools, c.Warnings = readTools(tools, got.modern)
	for _, more := range []struct {
		capability, method, member string
		to                         *[]json.RawMessage
	}{
		{"prompts", "prompts/list", "prompts", &c.Prompts},
		{"resources", "resources/list", "resources", &c.Resources},
		{"resources", "resources/templates/list", "resourceTemplates", &c.ResourceTemplates},
	} {
		if _, ok := got.capabilities[more.capability]; !ok {
			continue
		}
		items, err := s.list(ctx, call, &request{method: more.method}, more.member, &left)
		if err != nil {
			// A target is there for its tools.
			c.Warnings = append(c.Warnings, fmt.Sprintf("%s is left out: %s", more.method, why(err)))
			if ctx.Err() != nil {
				return c, err
			}
			continue
		}
		for _, item := range items {
			if key := identity(item, more.member); key == "" {
				c.Warnings = append(c.Warnings, fmt.Sprintf("%s lists an item without name or URI, which is left out", more.method))
				continue
			}
			*more.to = append(*more.to, item)
		}
	}
	if probed && s.sessions && !got.modern && got.id != "" {
		if c.Asking, err = s.asking(ctx, c.Tools); err != nil {
			c.Unasked = why(err) // it has said what it offers
		}
	}
	return c, nil
}

// asking finds out which tools a server does not list to clients who cannot be asked: what
// clients declare counts in a session of revisions before 2026-07-28.
func (s *server) asking(ctx context.Context, tools []tool.Tool) (map[string][]string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.Greeting)
	defer cancel()
	everybody, err := s.toolsFor(ctx, "{}")
	if err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for _, t := range tools {
		if !everybody[t.Name] {
			out[t.Name] = nil
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	all := []string{}
	for _, one := range []struct{ ability, capabilities string }{
		{target.Elicits, `{"elicitation":{"form":{}}}`}, {target.ElicitsURL, `{"elicitation":{"form":{},"url":{}}}`}, {target.Samples, `{"sampling":{}}`}, {target.Roots, `{"roots":{}}`},
	} {
		listed, err := s.toolsFor(ctx, one.capabilities)
		if err != nil {
			return nil, err
		}
		all = append(all, one.ability)
		for name := range out {
			if listed[name] {
				out[name] = append(out[name], one.ability)
			}
		}
	}
	for name, of := range out {
		if of == nil { // it takes several of them
			out[name] = all
		}
	}
	return out, nil
}

// toolsFor are the names of the tools that a server lists to a client with capabilities, in a
// session of its own.
func (s *server) toolsFor(ctx context.Context, capabilities string) (map[string]bool, error) {
	c := &target.Call{Catalogue: true, Capabilities: json.RawMessage(capabilities)}
	got, err := s.initialize(ctx, c)
	if err != nil {
		return nil, err
	}
	defer s.leave(context.WithoutCancel(ctx), &link{session: got, first: *c})
	left := s.limits.Listed
	items, err := s.pages(&request{method: "tools/list"}, "tools", &left, func(r *request) (answer, error) { return s.send(ctx, got, c, r) })
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, item := range items {
		out[memberText(item, "name")] = true
	}
	return out, nil
}

// identity is what tells an item of a list from others, or empty for one that has it not.
func identity(item []byte, member string) string {
	return memberText(item, map[string]string{"prompts": "name", "resources": "uri", "resourceTemplates": "uriTemplate"}[member])
}

// memberText is a member of an object that is a text, or empty.
func memberText(object []byte, name string) string {
	if len(object) == 0 || object[0] != '{' {
		return ""
	}
	for key, value := range jsonraw.Members(object) {
		if string(key) == name && value[0] == '"' {
			return jsonraw.Text(value)
		}
	}
	return ""
}

// list asks for the items of a list.
func (s *server) list(ctx context.Context, c *target.Call, r *request, member string, left *int) ([]json.RawMessage, error) {
	return s.pages(r, member, left, func(r *request) (answer, error) {
		a, _, err := s.exchange(ctx, c, r)
		return a, err
	})
}

// pages are the items of a list, page by page.
func (s *server) pages(r *request, member string, left *int, ask func(*request) (answer, error)) ([]json.RawMessage, error) {
	var all []json.RawMessage
	seen := map[string]bool{}
	for range s.limits.Pages {
		a, err := ask(r)
		if err != nil {
			return nil, err
		}
		if *left -= len(a.result); *left < 0 {
			return nil, target.Fail(typeTooLarge, nil, "the server lists more than %d bytes; have it list less, or set mcpToolSchema", s.limits.Listed)
		}
		var items, cursor []byte
		for key, value := range jsonraw.Members(a.result) {
			switch string(key) {
			case member:
				items = value
			case "nextCursor":
				cursor = value
			}
		}
		if len(items) == 0 || items[0] != '[' {
			return nil, malformedf("its answer to %s has no list %s", r.method, member)
		}
		for item := range jsonraw.Elements(items) {
			all = append(all, item)
		}
		if len(all) > tool.MaxPerTarget {
			return nil, target.Fail(typeTooLarge, nil, "the server answers %s with more than %d items; split it over several targets, or set mcpToolSchema", r.method, tool.MaxPerTarget)
		}
		if len(cursor) == 0 || cursor[0] != '"' || seen[string(cursor)] {
			return all, nil
		}
		seen[string(cursor)] = true
		r.params = append([]byte(`"cursor":`), cursor...)
	}
	return nil, target.Fail(typeTooLarge, nil, "the server answers %s with more than %d pages", r.method, s.limits.Pages)
}

// readTools takes tools as a server lists them. What cannot be one is left out, and said.
func readTools(items []json.RawMessage, mirrored bool) (tools []tool.Tool, warnings []string) {
	seen := map[string]bool{}
	for i, item := range items {
		t, err := readTool(item, mirrored)
		switch {
		case err != nil && t.Name != "":
			warnings = append(warnings, fmt.Sprintf("tool %s is left out: %s", target.Clean(t.Name), err))
		case err != nil:
			warnings = append(warnings, fmt.Sprintf("tool number %d is left out: %s", i+1, err))
		case seen[t.Name]:
			warnings = append(warnings, fmt.Sprintf("tool %s is listed twice; the first one serves", target.Clean(t.Name)))
		default:
			seen[t.Name] = true
			tools = append(tools, t)
		}
	}
	return tools, warnings
}

func readTool(item []byte, mirrored bool) (tool.Tool, error) {
	var t tool.Tool
	if item[0] != '{' {
		return t, fmt.Errorf("it is no JSON object")
	}
	if err := json.Unmarshal(item, &t); err != nil {
		t.Name = ""
		return t, fmt.Errorf("its name, title or description is no string")
	}
	switch {
	case t.Name == "":
		return t, fmt.Errorf("it has no name")
	case len(t.InputSchema) == 0 || t.InputSchema[0] != '{':
		return t, fmt.Errorf("its inputSchema is no JSON object")
	}
	if mirrored {
		if _, err := tool.Mirrors(t.InputSchema); err != nil {
			return t, err
		}
	}
	return t, nil
}

// declaredTools is the catalogue of a target whose owner says what it offers.
func declaredTools(text []byte) (target.Catalogue, error) {
	const field = "targetConfiguration.mcp.mcpServer.mcpToolSchema"
	text = jsonraw.Trim(text)
	if !jsonraw.Valid(text) {
		return target.Catalogue{}, target.Unfitf("%s is not JSON; give the result of tools/list: {\"tools\": [...]}", field)
	}
	var items []byte
	if text[0] == '{' {
		for key, value := range jsonraw.Members(text) {
			if string(key) == "tools" {
				items = value
			}
		}
	}
	if len(items) == 0 || items[0] != '[' {
		return target.Catalogue{}, target.Unfitf("%s has no list of tools; give the result of tools/list: {\"tools\": [...]}", field)
	}
	var list []json.RawMessage
	unfit := &target.Unfit{}
	for item := range jsonraw.Elements(items) {
		if len(list) == tool.MaxPerTarget {
			return target.Catalogue{}, target.Unfitf("%s has more than %d tools; split them over several targets", field, tool.MaxPerTarget)
		}
		list = append(list, item)
	}
	var c target.Catalogue
	c.Tools, unfit.Reasons = readTools(list, true)
	for i, reason := range unfit.Reasons {
		unfit.Reasons[i] = field + ": " + reason
	}
	if len(unfit.Reasons) > 0 {
		return target.Catalogue{}, unfit
	}
	return c, nil
}
