package smithy

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// kind is what a value is.
type kind int

const (
	kindString kind = iota
	kindEnum
	kindIntEnum
	kindBoolean
	kindByte
	kindShort
	kindInteger
	kindLong
	kindBigInteger
	kindFloat
	kindDouble
	kindBigDecimal
	kindTimestamp
	kindBlob
	kindDocument
	kindList
	kindMap
	kindStructure
	kindUnion
)

// kinds are the types of shapes that are values.
func kinds() map[string]kind {
	return map[string]kind{
		"string": kindString, "enum": kindEnum, "intEnum": kindIntEnum, "boolean": kindBoolean, "byte": kindByte,
		"short": kindShort, "integer": kindInteger, "long": kindLong, "bigInteger": kindBigInteger, "float": kindFloat,
		"double": kindDouble, "bigDecimal": kindBigDecimal, "timestamp": kindTimestamp, "blob": kindBlob,
		"document": kindDocument, "list": kindList, "set": kindList, "map": kindMap, "structure": kindStructure, "union": kindUnion,
	}
}

func (k kind) isInteger() bool {
	return k == kindIntEnum || k >= kindByte && k <= kindBigInteger
}

func (k kind) isFloat() bool { return k >= kindFloat && k <= kindBigDecimal }

// holds says whether values have values in them that have shapes of their own.
func (k kind) holds() bool { return k >= kindList }

// shape is a shape of values as calls need it.
type shape struct {
	id      string
	kind    kind
	members []*member // of structures and unions, by name
	key     *member   // of maps
	elem    *member   // of lists and maps
	sparse  bool
	unique  bool
	// streaming is set for blobs that stream and for event streams.
	streaming bool
	enum      []string
	ints      []int64
	doc       string
	facets    facets
}

// facets are traits that a member may have of its own, or else its target's.
type facets struct {
	timestamp string // timestampFormat
	mediaType string
	pattern   string
	length    *bounds
	between   *bounds // range
}

type bounds struct {
	Min json.Number `json:"min"`
	Max json.Number `json:"max"`
}

// location is the part of a message that a member is in.
type location int

const (
	inBody location = iota
	inLabel
	inQuery
	inQueryParams
	inHeader
	inPrefixHeaders
	inPayload
	inStatus
)

type member struct {
	// name is the model's, json the name in bodies, arg that among arguments: the json one
	// where that is free.
	name, json, arg string
	target          *shape
	doc             string
	required        bool
	token           bool // idempotencyToken
	// fallback is the value of a member that is left out, nil for none.
	fallback json.RawMessage
	facets   facets
	in       location
	at       string // of the header, its prefix or the query parameter
	inHost   bool   // hostLabel
	context  string // contextParam
}

// compiler makes shapes of a document, each once.
type compiler struct {
	doc      *document
	shapes   map[string]*shape
	problems *problems
	service  *astShape
}

// prelude are Smithy's own shapes, which models do not have.
func prelude(id string) (kind, bool) {
	name, ok := strings.CutPrefix(id, "smithy.api#")
	if !ok {
		return 0, false
	}
	if name == "Unit" {
		return kindStructure, true
	}
	name = strings.TrimPrefix(name, "Primitive")
	name = strings.ToLower(name[:min(1, len(name))]) + name[min(1, len(name)):]
	k, ok := kinds()[name]
	return k, ok && k < kindList && k != kindEnum && k != kindIntEnum
}

// shape is the shape of an id. The problem of one that does not exist is that of whoever
// needs it.
func (c *compiler) shape(id, by string) *shape {
	if s, ok := c.shapes[id]; ok {
		return s
	}
	s := &shape{id: id}
	c.shapes[id] = s // before its members, which may hold it
	a := c.doc.shapes[id]
	if a == nil {
		var ok bool
		if s.kind, ok = prelude(id); !ok {
			c.problems.add(by, "refers to "+id+", and the model does not have it", "add the shape")
		}
		return s
	}
	var ok bool
	if s.kind, ok = kinds()[a.Type]; !ok {
		c.problems.add(by, fmt.Sprintf("refers to %s, which is of type %s and no value", id, a.Type), "refer to a shape of values")
		return s
	}
	s.doc = plainText(a.Traits.text("smithy.api#documentation"), maxMemberText)
	s.sparse, s.unique = a.Traits.has("smithy.api#sparse"), a.Type == "set" || a.Traits.has("smithy.api#uniqueItems")
	s.streaming = a.Traits.has("smithy.api#streaming")
	s.facets = facetsOf(a.Traits, facets{})
	c.enum(s, a)
	c.hold(s, a)
	return s
}

// enum reads the values of enums: members, or the trait of Smithy 1.0.
func (c *compiler) enum(s *shape, a *astShape) {
	var values []struct {
		Value string `json:"value"`
	}
	switch s.kind {
	case kindString:
		if json.Unmarshal(a.Traits["smithy.api#enum"], &values) == nil {
			for _, v := range values {
				s.enum = append(s.enum, v.Value)
			}
		}
	case kindEnum:
		for _, name := range slices.Sorted(maps.Keys(a.Members)) {
			value := a.Members[name].Traits.text("smithy.api#enumValue")
			if value == "" {
				value = name
			}
			s.enum = append(s.enum, value)
		}
	case kindIntEnum:
		for _, name := range slices.Sorted(maps.Keys(a.Members)) {
			var n int64
			if err := json.Unmarshal(a.Members[name].Traits["smithy.api#enumValue"], &n); err != nil {
				c.problems.add(s.id+"$"+name, "has no whole number as enumValue", "give it one")
			}
			s.ints = append(s.ints, n)
		}
		slices.Sort(s.ints)
	}
}

// hold reads what values of a shape have in them.
func (c *compiler) hold(s *shape, a *astShape) {
	switch s.kind {
	case kindList, kindMap:
		elem := a.Member
		if s.kind == kindMap {
			elem = a.Value
			if a.Key == nil {
				c.problems.add(s.id, "is a map without a key", "add the member key")
			} else if s.key = c.member(s.id, "key", *a.Key); s.key.target.kind != kindString && s.key.target.kind != kindEnum {
				c.problems.add(s.id, "is a map whose keys are no strings", "let its key target a string")
			}
		}
		if elem == nil {
			c.problems.add(s.id, "does not say what is in it", "add the member `member` of a list, `value` of a map")
			s.elem = &member{name: "member", json: "member", target: &shape{id: "smithy.api#Document", kind: kindDocument}}
			return
		}
		s.elem = c.member(s.id, "member", *elem)
	case kindStructure, kindUnion:
		for _, name := range slices.Sorted(maps.Keys(a.Members)) {
			s.members = append(s.members, c.member(s.id, name, a.Members[name]))
		}
		c.name(s)
	}
}

// name gives members their names among arguments: that in the body, but of those elsewhere
// their own, which then is no other's. Amazon API Gateway's PutIntegration has two that are
// httpMethod, one in the path and one in the body.
func (c *compiler) name(s *shape) {
	taken := map[string]*member{}
	for _, m := range s.members {
		if m.in != inBody {
			m.arg = m.name
			taken[m.arg] = m
		}
	}
	for _, m := range s.members {
		if m.in != inBody {
			continue
		}
		if m.arg = m.json; taken[m.arg] != nil {
			m.arg = m.name
		}
		if other := taken[m.arg]; other != nil {
			c.problems.add(s.id+"$"+m.name, "has the name of "+other.name+" in arguments", "give it another jsonName")
		}
		taken[m.arg] = m
	}
}

func (c *compiler) member(of, name string, a astMember) *member {
	t := a.Traits
	m := &member{name: name, json: name, arg: name, target: c.shape(a.Target, of+"$"+name)}
	m.required, m.token = t.has("smithy.api#required"), t.has("smithy.api#idempotencyToken")
	m.facets = facetsOf(t, m.target.facets)
	if m.doc = plainText(t.text("smithy.api#documentation"), maxMemberText); m.doc == "" {
		m.doc = m.target.doc
	}
	if v := t["smithy.api#default"]; v != nil && string(v) != "null" && !t.has("smithy.api#clientOptional") {
		m.fallback = v
		if m.target.kind == kindBlob {
			m.fallback = blobDefault(v)
		}
	}
	m.inHost = t.has("smithy.api#hostLabel")
	var context struct {
		Name string `json:"name"`
	}
	if json.Unmarshal(t["smithy.rules#contextParam"], &context) == nil {
		m.context = context.Name
	}
	m.in, m.at = locationOf(t, name)
	if json := t.text("smithy.api#jsonName"); json != "" && m.in == inBody {
		m.json = json
	}
	return m
}

// blobDefault is a blob's default in base64, which models older than Smithy 1.52 do not
// write it in.
func blobDefault(v json.RawMessage) json.RawMessage {
	var text string
	if json.Unmarshal(v, &text) != nil {
		return nil
	}
	if _, err := base64.StdEncoding.DecodeString(text); err == nil {
		return v
	}
	return json.RawMessage(`"` + base64.StdEncoding.EncodeToString([]byte(text)) + `"`)
}

// locationOf reads the traits that bind a member to a part of a message.
func locationOf(t traits, name string) (location, string) {
	switch {
	case t.has("smithy.api#httpLabel"):
		return inLabel, name
	case t.has("smithy.api#httpQuery"):
		return inQuery, t.text("smithy.api#httpQuery")
	case t.has("smithy.api#httpQueryParams"):
		return inQueryParams, ""
	case t.has("smithy.api#httpHeader"):
		return inHeader, t.text("smithy.api#httpHeader")
	case t.has("smithy.api#httpPrefixHeaders"):
		return inPrefixHeaders, t.text("smithy.api#httpPrefixHeaders")
	case t.has("smithy.api#httpPayload"):
		return inPayload, ""
	case t.has("smithy.api#httpResponseCode"):
		return inStatus, ""
	}
	return inBody, ""
}

// facetsOf are a shape's or member's own, and else those given.
func facetsOf(t traits, f facets) facets {
	for id, to := range map[string]*string{
		"smithy.api#timestampFormat": &f.timestamp, "smithy.api#mediaType": &f.mediaType, "smithy.api#pattern": &f.pattern,
	} {
		if v := t.text(id); v != "" {
			*to = v
		}
	}
	for id, to := range map[string]**bounds{"smithy.api#length": &f.length, "smithy.api#range": &f.between} {
		var b bounds
		if t.has(id) && json.Unmarshal(t[id], &b) == nil {
			*to = &b
		}
	}
	return f
}

// limits of the whole numbers of a kind.
func (k kind) limits() (low, high int64) {
	switch k {
	case kindByte:
		return math.MinInt8, math.MaxInt8
	case kindShort:
		return math.MinInt16, math.MaxInt16
	case kindInteger, kindIntEnum:
		return math.MinInt32, math.MaxInt32
	}
	return math.MinInt64, math.MaxInt64
}
