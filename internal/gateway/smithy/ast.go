package smithy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// document is a model's JSON form: shapes by their ids, with what apply statements say and
// what mixins give put in.
type document struct {
	shapes map[string]*astShape
	// given counts the members that mixins gave.
	given int
}

// maxGiven bounds the members that mixins give, which a chain of them multiplies.
const maxGiven = 1_000_000

type astShape struct {
	Type    string               `json:"type"`
	Traits  traits               `json:"traits"`
	Members map[string]astMember `json:"members"`
	Member  *astMember           `json:"member"`
	Key     *astMember           `json:"key"`
	Value   *astMember           `json:"value"`
	Mixins  []astRef             `json:"mixins"`
	// of operations
	Input  *astRef  `json:"input"`
	Output *astRef  `json:"output"`
	Errors []astRef `json:"errors"`
	// of services and resources
	Operations           []astRef `json:"operations"`
	CollectionOperations []astRef `json:"collectionOperations"`
	Resources            []astRef `json:"resources"`
	Create               *astRef  `json:"create"`
	Put                  *astRef  `json:"put"`
	Read                 *astRef  `json:"read"`
	Update               *astRef  `json:"update"`
	Delete               *astRef  `json:"delete"`
	List                 *astRef  `json:"list"`

	mixed mixing
}

type astRef struct {
	Target string `json:"target"`
}

type astMember struct {
	Target string `json:"target"`
	Traits traits `json:"traits"`
}

// traits are the values of traits by their ids.
type traits map[string]json.RawMessage

func (t traits) has(id string) bool { _, ok := t[id]; return ok }

// text is the value of a trait that is a string, else nothing.
func (t traits) text(id string) string {
	var s string
	_ = json.Unmarshal(t[id], &s) // another value is none
	return s
}

// mixing is how far the mixins of a shape are put in.
type mixing int

const (
	notMixed mixing = iota
	beingMixed
	mixed
)

func parseDocument(text []byte, p *problems) *document {
	var top struct {
		Smithy string                     `json:"smithy"`
		Shapes map[string]json.RawMessage `json:"shapes"`
	}
	if err := json.Unmarshal(text, &top); err != nil {
		p.add("", "the model is no JSON of the form that Smithy's AST has: "+jsonError(err), "build it with `smithy ast`, which prints the JSON form of a model")
		return nil
	}
	switch top.Smithy {
	case "1", "1.0", "2", "2.0":
	default:
		p.add("", fmt.Sprintf("the member smithy is %q, and must be 1.0 or 2.0", top.Smithy), "build it with `smithy ast`, which prints the JSON form of a model")
		return nil
	}
	d := &document{shapes: make(map[string]*astShape, len(top.Shapes))}
	var applied []string
	for _, id := range slices.Sorted(maps.Keys(top.Shapes)) {
		s := &astShape{}
		if err := json.Unmarshal(top.Shapes[id], s); err != nil {
			p.add(id, jsonError(err), "write it as Smithy's JSON AST has it")
			continue
		}
		if s.Type == "apply" {
			applied = append(applied, id)
		}
		d.shapes[id] = s
	}
	// What is said of a mixin's own members comes along with them; what is said of members
	// that a mixin gave has to wait for them.
	later := applied[:0]
	for _, id := range applied {
		if !d.apply(id) {
			later = append(later, id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(d.shapes)) {
		d.mix(id, p)
	}
	for _, id := range later {
		// Prelude shapes are not in models, and what is said of them is nothing to us.
		if !d.apply(id) && !strings.HasPrefix(id, "smithy.") && !strings.HasPrefix(id, "aws.") {
			p.add(id, "traits are applied to it, and the model does not have it", "add it, or take the apply statement out")
		}
	}
	return d
}

// jsonError is what is wrong with a text, without the names of Go's types.
func jsonError(err error) string {
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType) && wrongType.Field == "":
		return fmt.Sprintf("it is a JSON %s, which it cannot be", wrongType.Value)
	case errors.As(err, &wrongType):
		return fmt.Sprintf("the member %s is a JSON %s where that cannot be", wrongType.Field, wrongType.Value)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends too early"
	}
	return err.Error()
}

// apply adds traits that stand apart from what they are of, a shape or a member of one. It
// reports false where there is no such thing.
func (d *document) apply(id string) bool {
	given := d.shapes[id].Traits
	shapeID, member, ofMember := strings.Cut(id, "$")
	target := d.shapes[shapeID]
	if target == nil || target.Type == "apply" {
		return false
	}
	if !ofMember {
		target.Traits = merge(target.Traits, given)
		return true
	}
	for name, m := range map[string]*astMember{"member": target.Member, "key": target.Key, "value": target.Value} {
		if name == member && m != nil {
			m.Traits = merge(m.Traits, given)
			return true
		}
	}
	m, ok := target.Members[member]
	if ok {
		m.Traits = merge(m.Traits, given)
		target.Members[member] = m
	}
	return ok
}

// merge is both, where more wins; neither is written to.
func merge(base, more traits) traits {
	if len(base) == 0 {
		return more
	}
	if len(more) == 0 {
		return base
	}
	out := maps.Clone(base)
	maps.Copy(out, more)
	return out
}

// mix puts in what the mixins of a shape have. Their traits come along but for those that
// the mixin keeps to itself.
func (d *document) mix(id string, p *problems) {
	s := d.shapes[id]
	if s == nil || s.mixed == mixed || len(s.Mixins) == 0 {
		return
	}
	if s.mixed == beingMixed {
		p.add(id, "is a mixin of itself", "take it out of its mixins")
		return
	}
	defer func() { s.mixed = mixed }()
	own := *s
	*s = astShape{Type: own.Type, Mixins: own.Mixins, mixed: beingMixed, Members: map[string]astMember{},
		Input: own.Input, Output: own.Output, Create: own.Create, Put: own.Put, Read: own.Read,
		Update: own.Update, Delete: own.Delete, List: own.List}
	for _, ref := range own.Mixins {
		from := d.shapes[ref.Target]
		if from == nil {
			p.add(id, "has the mixin "+ref.Target+", and the model does not have it", "add it")
			continue
		}
		d.mix(ref.Target, p)
		if d.given += len(from.Members); d.given > maxGiven {
			p.add(id, fmt.Sprintf("with it, mixins give more than %d members", maxGiven), "write fewer mixins of mixins")
			return
		}
		s.Traits = merge(s.Traits, from.shared())
		s.takeMembers(from.Members)
		s.take(from)
	}
	s.Traits = merge(s.Traits, own.Traits)
	s.takeMembers(own.Members)
	s.take(&own)
}

// shared are a mixin's traits without those that stay with it.
func (s *astShape) shared() traits {
	out := maps.Clone(s.Traits)
	var mixin struct {
		LocalTraits []string `json:"localTraits"`
	}
	_ = json.Unmarshal(s.Traits["smithy.api#mixin"], &mixin) // another value has none
	for _, id := range append(mixin.LocalTraits, "smithy.api#mixin") {
		delete(out, id)
	}
	return out
}

func (s *astShape) takeMembers(members map[string]astMember) {
	for name, m := range members {
		if had, ok := s.Members[name]; ok {
			m.Traits = merge(had.Traits, m.Traits)
		}
		s.Members[name] = m
	}
}

// take adds what shapes other than structures have: the last one to say it wins, and lists
// of references are joined.
func (s *astShape) take(from *astShape) {
	for _, m := range []struct {
		to   **astMember
		from *astMember
	}{{&s.Member, from.Member}, {&s.Key, from.Key}, {&s.Value, from.Value}} {
		if m.from == nil {
			continue
		}
		member := *m.from
		if *m.to != nil {
			member.Traits = merge((*m.to).Traits, member.Traits)
		}
		*m.to = &member
	}
	for _, r := range []struct {
		to   *[]astRef
		from []astRef
	}{{&s.Errors, from.Errors}, {&s.Operations, from.Operations}, {&s.CollectionOperations, from.CollectionOperations}, {&s.Resources, from.Resources}} {
		for _, ref := range r.from {
			if !slices.Contains(*r.to, ref) {
				*r.to = append(slices.Clone(*r.to), ref)
			}
		}
	}
}

// service is the one that tools are made of.
func (d *document) service(named string, p *problems) (string, *astShape) {
	var services, fitting []string
	for _, id := range slices.Sorted(maps.Keys(d.shapes)) {
		if d.shapes[id].Type != "service" {
			continue
		}
		services = append(services, id)
		if d.shapes[id].Traits.has(protocol) {
			fitting = append(fitting, id)
		}
	}
	switch {
	case named != "":
		if !slices.Contains(services, named) {
			p.add(named, "the model has no such service", "name one of "+strings.Join(services, ", "))
			return "", nil
		}
		fitting = []string{named}
	case len(services) == 0:
		p.add("", "the model has no service", "add a shape of type service that lists the operations")
		return "", nil
	case len(fitting) > 1:
		p.add("", "several services of the model speak "+protocol+": "+strings.Join(fitting, ", "), "leave one of them in")
		return "", nil
	case len(fitting) == 0:
		fitting = services[:1]
	}
	s := d.shapes[fitting[0]]
	if !s.Traits.has(protocol) {
		p.add(fitting[0], "speaks "+spoken(s.Traits)+", and only "+protocol+" is served", "add the trait "+protocol+" if the service speaks it too")
	}
	return fitting[0], s
}

// spoken names the protocols of a service.
func spoken(t traits) string {
	var out []string
	for _, id := range slices.Sorted(maps.Keys(t)) {
		namespace, _, _ := strings.Cut(id, "#")
		if namespace == "aws.protocols" || namespace == "smithy.protocols" || namespace == "alloy" {
			out = append(out, id)
		}
	}
	if len(out) == 0 {
		return "no protocol that it names"
	}
	return strings.Join(out, ", ")
}

// operationsOf are the ids of the operations of a service and of its resources, each once.
func (d *document) operationsOf(id string, service *astShape, p *problems) []string {
	seen := map[string]bool{id: true}
	var out []string
	var walk func(id string, s *astShape)
	walk = func(id string, s *astShape) {
		refs := slices.Concat(s.Operations, s.CollectionOperations)
		for _, ref := range []*astRef{s.Create, s.Put, s.Read, s.Update, s.Delete, s.List} {
			if ref != nil {
				refs = append(refs, *ref)
			}
		}
		for _, ref := range refs {
			if !seen[ref.Target] {
				seen[ref.Target] = true
				out = append(out, ref.Target)
			}
		}
		for _, ref := range s.Resources {
			r := d.shapes[ref.Target]
			if r == nil || r.Type != "resource" {
				p.add(id, "has the resource "+ref.Target+", and the model does not have it", "add it, or take it out")
				continue
			}
			if !seen[ref.Target] {
				seen[ref.Target] = true
				walk(ref.Target, r)
			}
		}
	}
	walk(id, service)
	slices.Sort(out)
	return out
}
