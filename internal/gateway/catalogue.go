package gateway

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/gateway/tool"
	"github.com/outcrop/outcrop/internal/store"
)

// record is what is kept of a target that serves: all that its driver needs, as it was
// when it said what it offers, so that it goes on while the configuration changes.
type record struct {
	Name string `json:"name"`
	// Config is the wire's UpdateGatewayTargetRequest.
	Config       json.RawMessage  `json:"config"`
	Schema       []byte           `json:"schema,omitempty"`
	Certificates []byte           `json:"certificates,omitempty"`
	Consenter    string           `json:"consenter,omitempty"`
	Catalogue    target.Catalogue `json:"catalogue"`
}

// keep seals a catalogue with what it was made of.
func (s *Service) keep(ctx context.Context, in *asked, made target.Catalogue) (sealed, error) {
	config, err := encode(s.shapes.target, in.config)
	if err != nil {
		return sealed{}, err
	}
	src := in.source
	text, err := json.Marshal(record{src.Name, config, src.Schema, src.Certificates, src.Consenter, made})
	if err != nil {
		return sealed{}, fmt.Errorf("encode catalogue of target %s: %w", src.ID, err)
	}
	return s.seal(ctx, in.gateway.Spec.Config.Key, owner(src.Scope, s.docs.catalogues.Kind, in.target.ID), src.Scope, text)
}

// recorded opens what keep sealed.
func (s *Service) recorded(ctx context.Context, doc catalogueDoc) (record, *agentcorecontrol.UpdateGatewayTargetRequest, error) {
	var r record
	config := &agentcorecontrol.UpdateGatewayTargetRequest{}
	text, err := s.open(ctx, owner(doc.Scope, s.docs.catalogues.Kind, doc.ID), doc.Scope, doc.Spec)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err == nil {
		err = decode(s.shapes.target, r.Config, config)
	}
	if err != nil {
		return r, nil, fmt.Errorf("read catalogue of target %s: %w", doc.ID, err)
	}
	return r, config, nil
}

// served is what serves of a target. It reports false where nothing does yet.
func (s *Service) served(ctx context.Context, in *asked) (record, bool, error) {
	var doc catalogueDoc
	err := s.cfg.Store.View(ctx, func(r store.Reader) (err error) {
		doc, err = s.docs.catalogues.Get(r, in.target.Scope, in.target.ID)
		return err
	})
	if err != nil {
		return record{}, false, gone(err)
	}
	r, _, err := s.recorded(ctx, doc)
	return r, err == nil, err
}

// checkCatalogue holds the bounds of what targets offer (spec/gateway.md 6), and warns of
// names that models do not take.
func checkCatalogue(name string, c *target.Catalogue) error {
	if n := len(c.Tools); n > tool.MaxPerTarget {
		return target.Unfitf("The target offers %d tools; it may have at most %d. Leave some out, or make several targets", n, tool.MaxPerTarget)
	}
	seen := map[string]bool{}
	var long, odd []string
	for _, t := range c.Tools {
		full := tool.Prefixed(name, t.Name)
		switch {
		case t.Name == "":
			return target.Unfitf("The target offers a tool without a name")
		case seen[t.Name]:
			return target.Unfitf("The target offers two tools named '%s'", clip(t.Name))
		case len(full) > tool.MaxName:
			return target.Unfitf("The tool '%s' has %d characters with the target's name before it; it may have at most %d. Give the target or the tool a shorter name", clip(full), len(full), tool.MaxName)
		case len(full) > tool.MaxModelName:
			long = append(long, full)
		}
		if !plainName(t.Name) {
			odd = append(odd, full)
		}
		seen[t.Name] = true
	}
	if len(long) > 0 {
		c.Warnings = append(c.Warnings, fmt.Sprintf("%d of %d tools have names of more than %d characters with the target's name before them, such as '%s'. Some models refuse those: give the target a shorter name.", len(long), len(c.Tools), tool.MaxModelName, clip(long[0])))
	}
	if len(odd) > 0 {
		c.Warnings = append(c.Warnings, fmt.Sprintf("%d of %d tools have names with other characters than a-z, A-Z, 0-9, _ and -, such as '%s'. Many models refuse those: rename the tools.", len(odd), len(c.Tools), clip(odd[0])))
	}
	return nil
}

// clip is a name as a reason repeats it.
func clip(name string) string { return fault.Clip(name, 100) }
