package mcp

import (
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/ratelimit"
	"github.com/outcrop/outcrop/internal/gateway/search"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/gateway/tool"
)

// searchTool is the tool that finds tools, as it is listed.
const searchTool = `{"name":"` + tool.Search + `","description":"A special tool that returns a trimmed down list of tools given a context. ` +
	`Use this tool only when there are many tools available and you want to get a subset that matches the provided context.",` +
	`"inputSchema":{"type":"object","properties":{"query":{"type":"string","description":"search query"}},"required":["query"]}}`

// listTools lists the search tool, and the tools of all targets that a caller may call.
func (x *exchange) listTools() (json.RawMessage, *failure) {
	from, f := x.page()
	if f != nil {
		return nil, f
	}
	shown := make([][]byte, 0, len(x.view.Tools)+1)
	if from == 0 && x.view.Finder != nil {
		shown = append(shown, []byte(searchTool))
	}
	next := ""
	for i := from; i < len(x.view.Targets) && next == ""; i++ {
		t := x.view.Targets[i]
		before := len(shown)
		if shown, f = x.toolsOf(t, shown); f != nil {
			return nil, f
		}
		if x.e.cfg.Pages && i+1 < len(x.view.Targets) && (len(shown) > before || x.view.Finder != nil && from == 0) {
			next = cursor(x.view.Targets[i+1].ID)
		}
	}
	return x.list("tools", shown, next)
}

// toolsOf lists those of one target.
func (x *exchange) toolsOf(t *gateway.Target, to [][]byte) ([][]byte, *failure) {
	if t.Catalogue.Live {
		return x.liveTools(t, to)
	}
	for i := range x.view.Tools {
		one := &x.view.Tools[i]
		if one.Target != t {
			continue
		}
		ok, err := x.listed(one)
		if err != nil {
			return to, internal(err)
		}
		if ok {
			to = append(to, one.JSON)
		}
	}
	return to, nil
}

func (x *exchange) listed(t *gateway.Tool) (bool, error) {
	if abilities := t.Target.Catalogue.Asking[t.Tool.Name]; abilities != nil && !x.answers(abilities) {
		return false, nil
	}
	if x.e.cfg.Decider == nil {
		return true, nil
	}
	return x.e.cfg.Decider.Listed(x.ctx, x.view, x.caller, t)
}

// answers reports whether the caller can be asked for one of some things while a call runs, by
// a server before 2026-07-28.
func (x *exchange) answers(abilities []string) bool {
	if !x.out.asks() {
		return false
	}
	able := map[string]bool{target.Elicits: x.session.Elicits, target.ElicitsURL: x.session.ElicitsURL, target.Samples: x.session.Samples, target.Roots: x.session.Roots}
	return slices.ContainsFunc(abilities, func(ability string) bool { return able[ability] })
}

// liveTools asks a target for what this caller may see. One that does not answer hides
// its own tools, not everybody's.
func (x *exchange) liveTools(t *gateway.Target, to [][]byte) ([][]byte, *failure) {
	peer, ok := t.Server.(target.Peer)
	if !ok {
		return to, nil
	}
	if f := x.take(ratelimit.Called{Target: t.Name, Part: true}); f != nil {
		return to, f
	}
	result, err := peer.Request(x.ctx, "tools/list", json.RawMessage("{}"), x.call(t))
	var listed struct {
		Tools []tool.Tool `json:"tools"`
	}
	if err == nil {
		err = json.Unmarshal(result, &listed)
	}
	if err != nil {
		x.e.cfg.Log.WarnContext(x.ctx, "target does not list its tools", "gateway", x.view.ID, "target", t.ID, "request", x.request, "error", err)
		return to, nil
	}
	for i := range listed.Tools {
		own := listed.Tools[i]
		shown := own
		shown.Name = tool.Prefixed(t.Name, own.Name)
		b, err := json.Marshal(shown)
		if err != nil {
			continue // a schema that is none
		}
		one := &gateway.Tool{Name: shown.Name, Target: t, Tool: &own, JSON: b}
		ok, err := x.listed(one)
		if err != nil {
			return to, internal(err)
		}
		if ok {
			to = append(to, b)
		}
	}
	return to, nil
}

// page reads which target a page begins with.
func (x *exchange) page() (int, *failure) {
	if x.params.Cursor == "" {
		return 0, nil
	}
	id, err := base64.RawURLEncoding.DecodeString(x.params.Cursor)
	if err == nil {
		if i := slices.IndexFunc(x.view.Targets, func(t *gateway.Target) bool { return t.ID == string(id) }); i >= 0 {
			return i, nil
		}
	}
	return 0, refused(codeInvalidParams, "The cursor is not one of this gateway's, or what it stands for is gone. List from the beginning")
}

func cursor(target string) string { return base64.RawURLEncoding.EncodeToString([]byte(target)) }

// list writes the result of a list.
func (x *exchange) list(name string, items [][]byte, next string) (json.RawMessage, *failure) {
	size := 80 + len(next)
	for _, item := range items {
		size += len(item) + 1
	}
	b := make([]byte, 0, size)
	b = append(b, '{')
	if x.version >= stateless {
		b = append(b, `"resultType":"complete","ttlMs":0,"cacheScope":"private",`...)
	}
	b = append(append(append(b, '"'), name...), `":[`...)
	for i, item := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, item...)
	}
	b = append(b, ']')
	if next != "" {
		b = append(append(append(b, `,"nextCursor":"`...), next...), '"')
	}
	return append(b, '}'), nil
}

// callTool calls the tool of a target, or the gateway's own.
func (x *exchange) callTool() (json.RawMessage, *failure) {
	name := x.params.Name
	switch {
	case name == "":
		return nil, refused(codeInvalidParams, "The params of tools/call have no name")
	case name == tool.Search && x.view.Finder != nil:
		return x.search()
	case len(x.params.Arguments) > 0 && x.params.Arguments[0] != '{':
		return nil, refused(codeInvalidParams, "The arguments of a tool are an object")
	}
	one := x.named()
	if one == nil {
		return nil, refused(codeInvalidParams, "Unknown tool: %s", clip(name))
	}
	if d := x.e.cfg.Decider; d != nil {
		reason, allowed, err := d.Call(x.ctx, x.view, x.caller, one, x.params.Arguments)
		if err != nil {
			return nil, internal(err)
		}
		if !allowed {
			return errorResult(reason, true, false, x.request), nil
		}
	}
	c := x.call(one.Target)
	c.Tool, c.Arguments = one.Tool.Name, x.params.Arguments
	result, err := one.Target.Server.Call(x.ctx, c)
	if err != nil {
		x.e.cfg.Log.Log(x.ctx, x.unless(slog.LevelInfo), "tool call failed", "gateway", x.view.ID, "tool", name, "request", x.request, "error", err)
		return failed(err, x.view.Debug, x.request)
	}
	x.returns(result.Header)
	return result.Body, nil
}

// call is what a target is told of a request.
func (x *exchange) call(t *gateway.Target) target.Call {
	c := target.Call{
		RequestID: x.request, MessageID: plainID(x.msg.ID), Session: x.session.ID, Caller: x.caller, Version: x.version,
		Meta: x.params.Meta, Params: x.params.Rest, Header: x.passing(t), Query: x.asking(t), Client: x.out, Events: x.out.asks(),
	}
	if x.out.asks() {
		c.Capabilities = x.session.capabilities()
	}
	x.shown(&c)
	return c
}

// plainID is the id of a message as text.
func plainID(id json.RawMessage) string {
	if s, err := strconv.Unquote(string(id)); err == nil {
		return s
	}
	return string(id)
}

// passing are the headers that a target's allow-list lets through. One that is too long
// stays here, as at targets that speak HTTP.
func (x *exchange) passing(t *gateway.Target) http.Header {
	if t.Metadata == nil || len(t.Metadata.AllowedRequestHeaders) == 0 {
		return nil
	}
	out := http.Header{}
	for _, name := range t.Metadata.AllowedRequestHeaders {
		if values := x.header.Values(name); len(values) > 0 && target.Passes(name) && target.Short(values) {
			out[http.CanonicalHeaderKey(name)] = values
		}
	}
	return out
}

// asking are the parameters of the query that a target's allow-list lets through.
func (x *exchange) asking(t *gateway.Target) url.Values {
	if t.Metadata == nil || len(t.Metadata.AllowedQueryParameters) == 0 || x.query == "" {
		return nil
	}
	sent, err := url.ParseQuery(x.query)
	if err != nil {
		return nil
	}
	out := url.Values{}
	for _, name := range t.Metadata.AllowedQueryParameters {
		if values, ok := sent[name]; ok {
			out[name] = values
		}
	}
	return out
}

// returns puts the headers of a target's answer on ours.
func (x *exchange) returns(h http.Header) {
	x.out.mu.Lock() // what the target asks beside the call may begin the answer
	defer x.out.mu.Unlock()
	for name, values := range h {
		x.out.w.Header()[http.CanonicalHeaderKey(name)] = values
	}
}

// search finds tools for the words of a model.
func (x *exchange) search() (json.RawMessage, *failure) {
	var in struct {
		Query *string `json:"query"`
	}
	if json.Unmarshal(x.params.Arguments, &in) != nil || in.Query == nil {
		return errorResult("Parameter validation failed: query is required, a text that says what a tool is wanted for", true, false, x.request), nil
	}
	var failure error
	found := x.view.Finder.Find(x.ctx, *in.Query, search.Most, func(i int) bool {
		if failure != nil {
			return false // nobody reads what else there is
		}
		ok, err := x.listed(&x.view.Tools[i])
		failure = err
		return ok && err == nil
	})
	if failure != nil {
		return nil, internal(failure)
	}
	type entry struct {
		Name        string          `json:"name"`
		Description string          `json:"description"`
		InputSchema json.RawMessage `json:"inputSchema"`
	}
	tools := struct {
		Tools []entry `json:"tools"`
	}{make([]entry, 0, len(found))}
	for _, i := range found {
		t := &x.view.Tools[i]
		tools.Tools = append(tools.Tools, entry{t.Name, t.Tool.Description, t.Tool.InputSchema})
	}
	text, f := object(tools)
	if f != nil {
		return nil, f
	}
	return object(struct {
		IsError    bool            `json:"isError"`
		Content    []textContent   `json:"content"`
		Structured json.RawMessage `json:"structuredContent"`
	}{false, []textContent{{"text", string(text)}}, text})
}
