package mcp

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/tool"
)

// The revisions of MCP that gateways speak. From the last one on there is no
// initialization: every request says which revision it is of and who sends it.
const (
	oldest    = "2025-03-26"
	stateless = "2026-07-28"
)

// spoken are the revisions that a gateway speaks, the newest last.
func spoken(v *gateway.View) []string {
	if len(v.Versions) == 0 {
		return gateway.Versions()
	}
	return slices.DeleteFunc(gateway.Versions(), func(r string) bool { return !slices.Contains(v.Versions, r) })
}

// initial is the revision that a gateway answers an initialization with: the caller's, or
// else the newest that has one.
func initial(v *gateway.View, wanted string) (string, bool) {
	known := slices.DeleteFunc(spoken(v), func(r string) bool { return r >= stateless })
	switch {
	case len(known) == 0:
		return "", false
	case slices.Contains(known, wanted):
		return wanted, true
	}
	return known[len(known)-1], true
}

const (
	versionHeader = "Mcp-Protocol-Version"
	sessionHeader = "Mcp-Session-Id"
	methodHeader  = "Mcp-Method"
	nameHeader    = "Mcp-Name"
)

// revision tells which revision a request is of, and holds it to that revision's headers.
func (x *exchange) revision(about meta) (string, *failure) {
	header := x.header.Get(versionHeader)
	known := spoken(x.view)
	switch {
	case header == "" && about.Version != "":
		return "", invalid(codeHeaderMismatch, "The request is of revision %s, and has no header MCP-Protocol-Version that says so", about.Version)
	case header == "" && slices.Contains(known, oldest):
		return oldest, nil // whose clients send none
	case header == "":
		return known[0], nil
	case !slices.Contains(known, header):
		f := invalid(codeNoVersion, "Revision '%s' of MCP is not spoken here. This gateway speaks %s", clip(header), strings.Join(known, ", "))
		f.Data, _ = json.Marshal(map[string]any{"supported": known, "requested": clip(header)}) // strings only
		return "", f
	case header < stateless:
		return header, nil
	case !x.msg.call():
		return header, nil
	case about.Version == "":
		x.version = header
		return header, invalid(codeInvalidParams, "The request's _meta has no io.modelcontextprotocol/protocolVersion, which revision %s wants", header)
	case about.Version != header:
		return "", invalid(codeHeaderMismatch, "The header MCP-Protocol-Version says %s, and the request's _meta '%s'", header, clip(about.Version))
	}
	return header, x.standardHeaders(about)
}

// standardHeaders holds a request to what revision 2026-07-28 wants beside its body.
func (x *exchange) standardHeaders(about meta) *failure {
	if got := x.said(methodHeader); got != x.msg.Method {
		return invalid(codeHeaderMismatch, "The header Mcp-Method says '%s', and the request '%s'", clip(got), clip(x.msg.Method))
	}
	if name := x.subject(); name != "" {
		if said, err := headerText(x.said(nameHeader)); err != nil || said != name {
			return invalid(codeHeaderMismatch, "The header Mcp-Name says '%s', and the request '%s'", clip(x.said(nameHeader)), clip(name))
		}
	}
	if f := x.mirrored(); f != nil {
		return f
	}
	if about.Capabilities == nil {
		return invalid(codeInvalidParams, "The request's _meta has no io.modelcontextprotocol/clientCapabilities")
	}
	return nil
}

// said is all that a header says: who reads it before us may look at another of its values.
func (x *exchange) said(header string) string {
	if values := x.header.Values(header); len(values) != 1 {
		return strings.Join(values, ", ")
	}
	return x.header.Get(header)
}

// mirrored holds a call to repeating the arguments in headers that its tool wants so.
func (x *exchange) mirrored() *failure {
	if x.msg.Method != "tools/call" {
		return nil
	}
	one := x.named()
	if one == nil {
		return nil // which is said later
	}
	for _, m := range one.Mirrors {
		want, there := m.Value(x.params.Arguments)
		said, err := headerText(x.said(tool.MirrorPrefix + m.Name))
		if err != nil || there != (len(x.header.Values(tool.MirrorPrefix+m.Name)) > 0) || said != want {
			return invalid(codeHeaderMismatch, "The header %s%s is not the argument that it repeats", tool.MirrorPrefix, m.Name)
		}
	}
	return nil
}

// subject is what a request names that it is about.
func (x *exchange) subject() string {
	switch x.msg.Method {
	case "tools/call", "prompts/get":
		return x.params.Name
	case "resources/read":
		return x.params.URI
	}
	return ""
}

// headerText is what a header says; text that is not visible ASCII comes encoded.
func headerText(s string) (string, error) {
	if encoded, ok := strings.CutPrefix(s, "=?base64?"); ok && strings.HasSuffix(encoded, "?=") {
		plain, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(encoded, "?="))
		return string(plain), err
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r > '~' }) {
		return "", errors.New("a header has visible ASCII alone; other text is =?base64?...?=")
	}
	return s, nil
}

// clip bounds what an answer repeats of a request.
func clip(s string) string { return fault.Clip(s, 100) }

// accepts reports whether a caller takes a media type, by its header or the lack of one.
func accepts(h http.Header, media string) bool {
	list := h.Values("Accept")
	if len(list) == 0 {
		return true
	}
	kind, _, _ := strings.Cut(media, "/")
	for _, line := range list {
		for one := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(one, ";")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case media, kind + "/*", "*/*":
				return true
			}
		}
	}
	return false
}
