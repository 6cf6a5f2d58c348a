package mcp

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/outcrop/outcrop/internal/gateway"
)

// The gateway as it names itself, which clients of AWS know.
const (
	serverName    = "agentcore-gateway"
	serverVersion = "1.0.0"
)

type implementation struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

type listChanged struct {
	ListChanged bool `json:"listChanged"`
}

// capabilities are what a gateway can be asked for. Prompts and resources are there where
// a target has some.
type capabilities struct {
	Tools     listChanged  `json:"tools"`
	Prompts   *listChanged `json:"prompts,omitempty"`
	Resources *listChanged `json:"resources,omitempty"`
}

func able(v *gateway.View) capabilities {
	tells := listChanged{ListChanged: true}
	out := capabilities{Tools: tells}
	for _, t := range v.Targets {
		if len(t.Catalogue.Prompts) > 0 {
			out.Prompts = &tells
		}
		if len(t.Catalogue.Resources)+len(t.Catalogue.ResourceTemplates) > 0 {
			out.Resources = &tells
		}
	}
	return out
}

// initialize begins a conversation, and a session where the gateway keeps them.
func (x *exchange) initialize() (json.RawMessage, *failure) {
	if x.batched != nil {
		return nil, refused(codeInvalidRequest, "initialize is sent by itself, not in a batch")
	}
	var in struct {
		ProtocolVersion string                     `json:"protocolVersion"`
		Capabilities    map[string]json.RawMessage `json:"capabilities"`
	}
	if err := json.Unmarshal(x.msg.Params, &in); err != nil || in.ProtocolVersion == "" {
		return nil, refused(codeInvalidParams, "The params of initialize have no protocolVersion")
	}
	version, ok := initial(x.view, in.ProtocolVersion)
	if !ok {
		f := refused(codeNoVersion, "This gateway speaks %s alone, which has no initialization", stateless)
		f.Data, _ = json.Marshal(map[string]any{"supported": spoken(x.view), "requested": clip(in.ProtocolVersion)}) // strings only
		return nil, f
	}
	if x.view.SessionLife > 0 {
		begun, err := x.e.sessions.begin(x.ctx, x.view, session{
			Who: who(x.caller), Version: version, Elicits: in.Capabilities["elicitation"] != nil, ElicitsURL: member(in.Capabilities["elicitation"], "url"), Samples: in.Capabilities["sampling"] != nil,
			Roots: in.Capabilities["roots"] != nil,
		})
		if err != nil {
			return nil, internal(err)
		}
		x.out.w.Header().Set(sessionHeader, begun.ID)
	}
	return object(struct {
		ProtocolVersion string         `json:"protocolVersion"`
		Capabilities    capabilities   `json:"capabilities"`
		ServerInfo      implementation `json:"serverInfo"`
		Instructions    string         `json:"instructions,omitempty"`
	}{version, able(x.view), implementation{serverName, serverVersion}, x.view.Instructions})
}

// discover says what initialize does, to those who begin nothing.
func (x *exchange) discover() (json.RawMessage, *failure) {
	type about struct {
		Server implementation `json:"io.modelcontextprotocol/serverInfo"`
	}
	return object(struct {
		ResultType        string         `json:"resultType"`
		SupportedVersions []string       `json:"supportedVersions"`
		Capabilities      capabilities   `json:"capabilities"`
		ServerInfo        implementation `json:"serverInfo"`
		Instructions      string         `json:"instructions,omitempty"`
		cacheable
		Meta about `json:"_meta"`
	}{"complete", spoken(x.view), able(x.view), implementation{serverName, serverVersion}, x.view.Instructions, fresh, about{implementation{serverName, serverVersion}}})
}

// cacheable is how long a list holds, from revision 2026-07-28 on.
type cacheable struct {
	TTL   int    `json:"ttlMs"`
	Scope string `json:"cacheScope"`
}

// fresh is a list that may be another the next time, or for another caller.
var fresh = cacheable{Scope: "private"}

// object writes a result that is made here.
func object(v any) (json.RawMessage, *failure) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, internal(err)
	}
	return b, nil
}

// opened sends the head of a stream before there is anything to say.
func (s *stream) opened() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun = true
	h := s.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache, no-transform")
	s.w.WriteHeader(http.StatusOK)
	_ = s.control.Flush() // the caller may have left
}

// subscription is what a caller of revision 2026-07-28 wants to be told, as far as
// gateways tell it.
type subscription struct {
	Tools bool `json:"toolsListChanged,omitempty"`
}

// subscriptionKey is where notifications say which subscription they are of.
const subscriptionKey = "io.modelcontextprotocol/subscriptionId"

// subscribe keeps telling of changes, as the answer to a request.
func (x *exchange) subscribe() (json.RawMessage, *failure) {
	var in struct {
		Notifications *subscription `json:"notifications"`
	}
	if err := json.Unmarshal(x.msg.Params, &in); err != nil || in.Notifications == nil {
		return nil, refused(codeInvalidParams, "The params of subscriptions/listen have no notifications")
	}
	if !accepts(x.header, "text/event-stream") {
		f := invalid(codeInvalidRequest, "What comes is text/event-stream. Accept it")
		f.status = http.StatusNotAcceptable
		return nil, f
	}
	of := map[string]json.RawMessage{subscriptionKey: x.msg.ID}
	agreed, f := object(struct {
		Meta          map[string]json.RawMessage `json:"_meta"`
		Notifications subscription               `json:"notifications"`
	}{of, *in.Notifications})
	if f != nil {
		return nil, f
	}
	about, f := object(map[string]any{"_meta": of})
	if f != nil {
		return nil, f
	}
	leave, f := x.stay()
	if f != nil {
		return nil, f
	}
	defer leave()
	x.out.events = true
	x.out.opened()
	x.out.Notify("notifications/subscriptions/acknowledged", agreed)
	if in.Notifications.Tools {
		x.watch(x.client, nil, about)
	} else {
		select {
		case <-x.client.Done():
		case <-x.e.hush:
		}
	}
	return object(map[string]any{"resultType": "complete", "_meta": of})
}

// watch tells of changes until the caller leaves, the session ends, or the server does.
func (x *exchange) watch(client context.Context, ends <-chan time.Time, about json.RawMessage) {
	shown := x.view.Fingerprint()
	for {
		changed := x.e.cfg.Changed()
		v, err := x.e.cfg.Latest(client, x.view.ID)
		if err != nil {
			return // it is gone
		}
		x.view = v // the one before may end
		if now := v.Fingerprint(); now != shown {
			shown = now
			x.out.Notify("notifications/tools/list_changed", about)
		}
		select {
		case <-changed:
		case <-ends:
			return
		case <-client.Done():
			return
		case <-x.e.hush:
			return
		}
	}
}

// member tells whether an object has a member.
func member(object json.RawMessage, name string) bool {
	var members map[string]json.RawMessage
	return json.Unmarshal(object, &members) == nil && members[name] != nil
}
