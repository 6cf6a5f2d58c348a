package rules

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
)

// resultBase is where references to results begin; the first result, which is not written
// in models, is that no rule is for the parameters.
const resultBase = 100_000_000

// diagram is a binary decision diagram of conditions.
type diagram struct {
	root       int32
	nodes      []node
	conditions []condition
	results    []rule
}

// node asks a condition and says where to go on.
type node struct{ condition, high, low int32 }

// ParseDiagram reads the value of the trait smithy.rules#endpointBdd. Its errors name the
// place in the value.
func ParseDiagram(text []byte) (*Set, error) {
	var doc struct {
		Parameters map[string]Parameter `json:"parameters"`
		Conditions []json.RawMessage    `json:"conditions"`
		Results    []json.RawMessage    `json:"results"`
		Root       int32                `json:"root"`
		Nodes      string               `json:"nodes"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("read decision diagram: %w", err)
	}
	s := &Set{parameters: doc.Parameters, diagram: &diagram{root: doc.Root}}
	if err := s.checkParameters(); err != nil {
		return nil, err
	}
	var err error
	if s.diagram.conditions, err = parseConditions(doc.Conditions, "endpointBdd"); err != nil {
		return nil, err
	}
	if s.diagram.results, err = parseRules(doc.Results, "results", 0); err != nil {
		return nil, err
	}
	for i, r := range s.diagram.results {
		if r.rules != nil || len(r.conditions) > 0 {
			return nil, fmt.Errorf("results[%d]: neither an endpoint nor an error without conditions", i)
		}
	}
	return s, s.diagram.readNodes(doc.Nodes)
}

func (d *diagram) readNodes(text string) error {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return fmt.Errorf("nodes: %w", err)
	}
	if len(b)%12 != 0 {
		return errors.New("nodes: not three numbers each")
	}
	d.nodes = make([]node, len(b)/12)
	for i := range d.nodes {
		at := b[12*i:]
		d.nodes[i] = node{int32(binary.BigEndian.Uint32(at)), int32(binary.BigEndian.Uint32(at[4:])), int32(binary.BigEndian.Uint32(at[8:]))}
		if i > 0 && (d.nodes[i].condition < 0 || int(d.nodes[i].condition) >= len(d.conditions)) {
			return fmt.Errorf("nodes: node %d asks condition %d, and there are %d", i, d.nodes[i].condition, len(d.conditions))
		}
	}
	return nil
}

// resolve walks from the root to a result. A diagram that goes round in circles is ended
// by the bound on steps.
func (d *diagram) resolve(s *scope) (Endpoint, error) {
	at := d.root
	for at != 1 && at != -1 && at < resultBase {
		if err := s.step(); err != nil {
			return Endpoint{}, err
		}
		index, swapped := int64(at), at < 0
		if swapped {
			index = -index
		}
		if index < 2 || index > int64(len(d.nodes)) {
			return Endpoint{}, fmt.Errorf("the decision diagram refers to node %d of %d", index, len(d.nodes))
		}
		n := d.nodes[index-1]
		ok, err := s.matches(&d.conditions[n.condition])
		if err != nil {
			return Endpoint{}, err
		}
		if at = n.low; ok != swapped {
			at = n.high
		}
	}
	result := int(at) - resultBase
	if result < 1 {
		return Endpoint{}, errNone
	}
	if result > len(d.results) {
		return Endpoint{}, fmt.Errorf("the decision diagram refers to result %d of %d", result, len(d.results))
	}
	return s.end(&d.results[result-1])
}
