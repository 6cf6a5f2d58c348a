package mcp

import (
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/gateway/tool"
)

// listPrompts lists those of all targets, with the target's name before each name.
func (x *exchange) listPrompts() (json.RawMessage, *failure) {
	var out [][]byte
	for _, t := range x.view.Targets {
		for _, p := range t.Catalogue.Prompts {
			named, err := renamed(p, func(name string) string { return tool.Prefixed(t.Name, name) })
			if err != nil {
				return nil, internal(err)
			}
			out = append(out, named)
		}
	}
	return x.list("prompts", out, "")
}

// renamed is an object under another name.
func renamed(object json.RawMessage, name func(string) string) ([]byte, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(object, &members); err != nil {
		return nil, err
	}
	var own string
	if err := json.Unmarshal(members["name"], &own); err != nil {
		return nil, err
	}
	b, err := json.Marshal(name(own))
	if err != nil {
		return nil, err
	}
	members["name"] = b
	return json.Marshal(members)
}

// prompter is the target whose prompt a request names, or nil, and what that one calls it.
func (x *exchange) prompter() (t *gateway.Target, own string) {
	prefix, own, ok := tool.Split(x.params.Name)
	i := slices.IndexFunc(x.view.Targets, func(t *gateway.Target) bool { return ok && t.Name == prefix && len(t.Catalogue.Prompts) > 0 })
	if i < 0 {
		return nil, ""
	}
	return x.view.Targets[i], own
}

// getPrompt passes the request on to whose prompt it is.
func (x *exchange) getPrompt() (json.RawMessage, *failure) {
	t, own := x.prompter()
	if t == nil {
		return nil, refused(codeInvalidParams, "Unknown prompt: %s", clip(x.params.Name))
	}
	name, err := json.Marshal(own)
	if err != nil {
		return nil, internal(err)
	}
	return x.pass(t, "name", name)
}

// pass passes a request on with one member of its params replaced.
func (x *exchange) pass(t *gateway.Target, member string, value json.RawMessage) (json.RawMessage, *failure) {
	peer, ok := t.Server.(target.Peer)
	if !ok {
		return nil, refused(codeUnknownMethod, "Method not found: target %s has no %s", t.Name, x.msg.Method)
	}
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(x.msg.Params, &members); err != nil {
		return nil, internal(err) // it has been read before
	}
	maps.DeleteFunc(members, func(_ string, value json.RawMessage) bool { return string(value) == "null" }) // servers refuse what was left out so
	if value != nil {
		members[member] = value
	}
	params, err := json.Marshal(members)
	if err != nil {
		return nil, internal(err)
	}
	result, err := peer.Request(x.ctx, x.msg.Method, params, x.call(t))
	if a, ok := errors.AsType[*target.Asked](err); ok {
		return a.Result, nil
	}
	if err != nil {
		return nil, x.unanswered(err)
	}
	return result, nil
}

// unanswered is the error of a request that has no result for what went wrong.
func (x *exchange) unanswered(err error) *failure {
	result, f := failed(err, x.view.Debug, x.request)
	if f != nil {
		return f
	}
	var said struct {
		Content []struct {
			Text string `json:"text"`
		} `json:"content"`
	}
	f = refused(codeInternal, "%s", generic)
	if json.Unmarshal(result, &said) == nil && len(said.Content) > 0 {
		f.Message = said.Content[0].Text
	}
	f.err = err
	return f
}

// byPriority are the targets, those first whose resources win where two have the same.
func (x *exchange) byPriority() []*gateway.Target {
	out := slices.Clone(x.view.Targets)
	slices.SortStableFunc(out, func(a, b *gateway.Target) int { return cmp.Compare(a.ResourcePriority(), b.ResourcePriority()) })
	return out
}

// listResources lists those of all targets, each URI once.
func (x *exchange) listResources() (json.RawMessage, *failure) {
	return x.listBy("resources", "uri", func(t *gateway.Target) []json.RawMessage { return t.Catalogue.Resources })
}

// listTemplates lists the templates of resources.
func (x *exchange) listTemplates() (json.RawMessage, *failure) {
	return x.listBy("resourceTemplates", "uriTemplate", func(t *gateway.Target) []json.RawMessage { return t.Catalogue.ResourceTemplates })
}

func (x *exchange) listBy(list, member string, of func(*gateway.Target) []json.RawMessage) (json.RawMessage, *failure) {
	var out [][]byte
	seen := map[string]bool{}
	for _, t := range x.byPriority() {
		for _, item := range of(t) {
			if uri := text(item, member); !seen[uri] {
				seen[uri] = true
				out = append(out, item)
			}
		}
	}
	return x.list(list, out, "")
}

// text is a member of an object.
func text(object json.RawMessage, member string) string {
	var members map[string]json.RawMessage
	var s string
	if json.Unmarshal(object, &members) != nil || json.Unmarshal(members[member], &s) != nil {
		return ""
	}
	return s
}

// holds is the target of the resource that a request names, or nil: it is listed there, or
// fits a template.
func (x *exchange) holds() *gateway.Target {
	if x.holder.uri == x.params.URI {
		return x.holder.target
	}
	uri := x.params.URI
	x.holder.uri, x.holder.target = uri, nil
	targets := x.byPriority()
	for _, t := range targets {
		if slices.ContainsFunc(t.Catalogue.Resources, func(r json.RawMessage) bool { return text(r, "uri") == uri }) {
			x.holder.target = t
			return t
		}
	}
	for _, t := range targets {
		if slices.ContainsFunc(t.Catalogue.ResourceTemplates, func(r json.RawMessage) bool { return fits(text(r, "uriTemplate"), uri) }) {
			x.holder.target = t
			return t
		}
	}
	return nil
}

// readResource passes the request on to the target that has the resource.
func (x *exchange) readResource() (json.RawMessage, *failure) {
	uri := x.params.URI
	if uri == "" {
		return nil, refused(codeInvalidParams, "The params of resources/read have no uri")
	}
	if t := x.holds(); t != nil {
		return x.pass(t, "", nil)
	}
	code := codeInvalidParams
	if x.version < stateless {
		code = codeNoResource
	}
	f := refused(code, "Resource not found: %s", clip(uri))
	f.Data, _ = json.Marshal(map[string]string{"uri": clip(uri)}) // strings only
	return nil, f
}
