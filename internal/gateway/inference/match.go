package inference

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/gateway/passthrough"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// Fit is how well a target fits a model: the higher the better.
type Fit int

// The fits.
const (
	None    Fit = iota
	Any         // the target takes whatever is asked
	Pattern     // it has a pattern for the model
	Exact       // it names the model
)

// Match says how a target fits a model at a path, and what its provider calls it.
func (s *Server) Match(ctx context.Context, c target.Call, path, model string) (name string, fit Fit) {
	for i := range s.operations {
		if s.operations[i].path == path {
			name, fit = s.operations[i].match(model, s.strip, s.separator)
			break
		}
	}
	if fit != None || !s.bedrock || !s.strip || strings.ContainsAny(model, "/ ") {
		return name, fit
	}
	// Whose model it is, the provider's list alone says.
	list, err := s.lists(ctx, c)
	if err != nil {
		return "", None
	}
	for _, id := range list {
		if _, rest, ok := strings.Cut(id, s.separator); !ok || rest != model {
			continue
		}
		for i := range s.operations {
			if s.operations[i].path == path {
				return s.operations[i].match(id, false, "")
			}
		}
	}
	return "", None
}

// Serves implements target.Modeled.
func (s *Server) Serves(model string) bool {
	return s.bedrock || slices.ContainsFunc(s.operations, func(o operation) bool {
		_, fit := o.match(model, s.strip, s.separator)
		return fit != None
	})
}

// match says how an operation fits a model. With strip, a model may lack what its name
// has before the separator.
func (o *operation) match(model string, strip bool, separator string) (name string, fit Fit) {
	if len(o.models) == 0 {
		return model, Any
	}
	for _, pattern := range o.models {
		glob := strings.ContainsAny(pattern, "*?")
		prefix, rest, cut := strings.Cut(pattern, separator)
		cut = cut && strip && !strings.ContainsAny(prefix, "*?")
		switch {
		case !glob && pattern == model:
			return model, Exact
		case !glob && cut && rest == model:
			name, fit = pattern, Exact
		case glob && fit < Pattern && like(pattern, model):
			name, fit = model, Pattern
		case glob && fit < Pattern && cut && rest != "*" && like(rest, model):
			name, fit = prefix+separator+model, Pattern
		}
	}
	return name, fit
}

// like matches a text with a pattern of * (any run) and ? (any one byte).
func like(pattern, s string) bool {
	p, i, star, from := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p, i = p+1, i+1
		case star < 0:
			return false
		default:
			from++
			p, i = star+1, from
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

const (
	// listLife is for how long a provider's list of models is taken to be the same.
	listLife = 5 * time.Minute
	// listRest is for how long a provider is not asked again that did not answer: each who
	// asks would wait for it as long as that takes.
	listRest = 15 * time.Second
	// listPatience bounds the wait for it, and maxList its size in bytes.
	listPatience = 10 * time.Second
	maxList      = 4 << 20
)

// Names are the models of a target: those that its owner names, and those that its
// provider lists. The error is of the latter; the others are there nevertheless.
func (s *Server) Names(ctx context.Context, c target.Call) ([]string, error) {
	var out []string
	for i := range s.operations {
		for _, m := range s.operations[i].models {
			if !strings.ContainsAny(m, "*?") {
				out = append(out, m)
			}
		}
	}
	listed, err := s.lists(ctx, c)
	out = append(out, listed...)
	slices.Sort(out)
	return slices.Compact(out), err
}

// lists asks the provider for its models, or knows them still.
func (s *Server) lists(ctx context.Context, c target.Call) ([]string, error) {
	if s.list == "" {
		return nil, nil
	}
	s.mu.Lock()
	listed, failed, until := s.listed, s.failed, s.until
	s.mu.Unlock()
	if s.now().Before(until) {
		return listed, failed
	}
	asked, cancel := context.WithTimeout(ctx, listPatience)
	defer cancel()
	listed, err := s.ask(asked, c)
	life := listLife
	if err != nil {
		listed, err, life = nil, fmt.Errorf("list models of target %s: %w", s.source.Name, err), listRest
		if ctx.Err() != nil {
			return nil, err // who asked has left, which says nothing of the provider
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listed, s.failed, s.until = listed, err, s.now().Add(life)
	return listed, err
}

func (s *Server) ask(ctx context.Context, c target.Call) ([]string, error) {
	u, err := passthrough.Join(s.endpoint, s.list)
	if err != nil {
		return nil, err
	}
	h := http.Header{"Accept": {"application/json"}, "Accept-Encoding": {"identity"}, "User-Agent": {target.UserAgent}, "Anthropic-Version": {anthropicVersion}}
	r := &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: h, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	resp, err := s.link.Send(ctx, r, &target.Request{Call: c})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", u.Host, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxList)).Decode(&list); err != nil {
		return nil, fmt.Errorf("read list of %s: %w", u.Host, err)
	}
	var out []string
	for _, m := range list.Data {
		if m.ID != "" {
			out = append(out, m.ID)
		}
	}
	return out, nil
}
