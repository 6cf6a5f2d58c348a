// Package schema describes AWS service models as data: shapes, members, their
// places in a request and the constraints they carry. The tables themselves
// are generated (internal/api/model); the codecs, the validator, the router
// and the ledger all read them.
//
// A generated structure type has one field per member, in the order of
// Shape.Members, so field i of the Go value is member i of the shape. The Go
// type of a member follows from its kind: pointers for scalars and structures,
// slices, maps with string keys, []byte for blobs, io.ReadCloser for a
// streaming blob, jsontext.Value for documents and iter.Seq2 for an event stream.
package schema

import (
	"context"
	"regexp"
	"sync"

	"github.com/outcrop/outcrop/internal/fault"
)

// Kind is the type of a shape.
type Kind uint8

// The kinds of shapes, named as in the service models.
const (
	Structure Kind = iota + 1
	List
	Map
	String
	Blob
	Boolean
	Integer
	Long
	Float
	Double
	Timestamp
	Document
)

// Location says where a member travels in the HTTP message.
type Location uint8

// The places a member can be bound to; InBody is the default.
const (
	InBody Location = iota
	InPath
	InQuery
	InHeader
	InHeaders // a map bound to every header with the member's name as prefix
	InStatus
)

// Format is how a timestamp is written.
type Format uint8

// Timestamp formats. DefaultFormat depends on protocol and place: epoch
// seconds in JSON, ISO-8601 in XML and queries, an HTTP date in headers.
const (
	DefaultFormat Format = iota
	EpochSeconds
	ISO8601
	HTTPDate
)

// Shape is one type of a service model.
type Shape struct {
	Name    string
	Kind    Kind
	Members []Member // of a structure
	// Elem is the shape of a list's members or a map's values; Key that of a map's keys.
	Elem, Key int
	// ElemName, KeyName and ValueName rename list members and map entries in XML.
	ElemName, KeyName, ValueName string

	Bounds  *Bounds
	Pattern *Pattern
	Enum    []string
	// RefusedValues are enum values of the model that are not available here.
	RefusedValues []Refusal

	// Payload is 1 + the index of the member that is the whole body, or 0.
	Payload int
	Format  Format
	// Status is the HTTP status of an error shape, or 0.
	Status int
	// Code is the error's name on the wire where it differs from Name.
	Code string

	Union, Sensitive, EventStream, Streaming, Flattened bool
	// Namespace is the XML namespace of a structure and NamespacePrefix its prefix, if any.
	Namespace, NamespacePrefix string
}

// Member is one member of a structure.
type Member struct {
	Name     string // in the model, and in validation texts
	Wire     string // on the wire; a header as net/http keys it
	Shape    int
	In       Location
	Format   Format
	Required bool
	// Token marks the idempotency token.
	Token bool
	// Flattened, Attribute and Namespace matter to XML alone.
	Flattened, Attribute bool
	Namespace            string
	// Sensitive is set where the member or its shape is.
	Sensitive bool
	// Streaming marks a blob that is never held in memory.
	Streaming bool
	// Refused is the reason why the member must not be set, or empty.
	Refused string
	// EventPayload marks the member of an event that is its whole payload.
	EventPayload bool
}

// Refusal says why a value of the model is not available here.
type Refusal struct{ Value, Reason string }

// Bounds limit a length, a size or a value. Which of the two are set is in Has.
type Bounds struct {
	Min, Max float64
	Has      Has
}

// Has says which ends of Bounds exist.
type Has uint8

// The ends of Bounds.
const (
	HasMin Has = 1 << iota
	HasMax
)

// Pattern is a regular expression that is compiled at its first use.
type Pattern struct {
	// Source is the pattern as the model writes it, for the refusal's text.
	Source string
	// Go is the equivalent in Go's syntax where that differs from Source.
	Go string
	// Not lists whole values that Go would accept and Source does not: it
	// stands for a leading negative lookahead.
	Not []string

	once sync.Once
	re   *regexp.Regexp
}

// Match reports whether the whole of s matches.
func (p *Pattern) Match(s string) bool {
	p.once.Do(func() {
		src := p.Source
		if p.Go != "" {
			src = p.Go
		}
		p.re = regexp.MustCompile(`^(?:` + src + `)$`)
	})
	for _, not := range p.Not {
		if s == not {
			return false
		}
	}
	return p.re.MatchString(s)
}

// Protocol is the wire protocol of a service.
type Protocol uint8

// The protocols that services here speak.
const (
	RestJSON Protocol = iota + 1
	RestXML
	Query
	JSON11
)

// Service is one generated service model.
type Service struct {
	// Name is the model's own name, for example bedrock-agentcore-control.
	Name string
	// SigningName is the service name in a SigV4 credential scope and the IAM prefix.
	SigningName string
	Version     string
	Protocol    Protocol
	// Target begins X-Amz-Target, in which JSON 1.1 names its operations; a dot
	// and the name follow.
	Target     string
	Namespace  string
	Shapes     []Shape
	Operations []Operation
}

// Operation is one row of a service's operation table.
type Operation struct {
	Name   string
	Group  string
	Method string
	// Path is the URI template, Query the constant parameters that select the operation.
	Path  string
	Query string
	// Former are methods and paths that the operation had in older models and
	// that clients built from them still send. Members that stand in the body
	// now came as query parameters there.
	Former []Route
	// Status is the HTTP status of success.
	Status int
	// Input and Output are shape indexes, or -1.
	Input, Output int
	Errors        []int
	// Root is the root element of an XML answer where it is not the output's
	// name; Unwrapped answers are their one member alone.
	Root      string
	Unwrapped bool
	// MaxBody bounds a body that is held in memory, in bytes; 0 is what the protocol
	// holds.
	MaxBody int64
	// Refused is the reason why the operation is not served; empty when it is.
	Refused string
	// Metadata marks an operation that is stored and echoed without effect.
	Metadata bool
	ReadOnly bool
	// Unsigned operations are modelled without authentication.
	Unsigned bool
	// Secret marks an answer that hands out a secret: its audit record is durable first.
	Secret bool
	// Upgrade operations leave HTTP behind: what they return is the http.Handler
	// that takes the connection over.
	Upgrade bool
	// Bearer operations are on a resource that may say itself who calls it, with
	// a bearer token in place of a signature.
	Bearer bool
	// Requires lists what the caller must be allowed. It is empty only where
	// AWS asks no permission for the call as such, which Free states.
	Requires []Requirement
	Free     bool
	// Keys say which condition keys the input fills.
	Keys []ConditionKey
	// NewInput and NewOutput return pointers to zero values of the Go types.
	NewInput, NewOutput func() any
}

// ConditionKey is a key that conditions of policies can ask about, and where in the
// input its values are.
type ConditionKey struct {
	// Name is the key in lower case. One that ends in a slash stands for one key for
	// each tag or claim: aws:requesttag/.
	Name string
	// Member is the path of the member from the input's own, with dots: one value, a
	// list of values, or tags, whose keys are meant by any name without a slash. Of a
	// text and a name with one, the text is a user's token, whose claims are meant.
	Member string
	// Set and Unset are the value in place of the member's, by whether it is set; Unset
	// alone is that of a member that is not. With no Member, Set always is.
	Set, Unset string
}

// AnyMethod is the method of an operation that hands on what it is asked.
const AnyMethod = "*"

// Route is a method and the URI template of a path.
type Route struct{ Method, Path string }

// Requirement is one permission an operation needs.
type Requirement struct {
	Action string
	// Resource is an ARN template: {region}, {account} and {member}, by its path with
	// dots, are filled in from the request; "*" stands for no resource.
	Resource string
	// When names members of the input, by their paths: the requirement holds only if
	// all are set, and none is that has an exclamation mark before it.
	When []string
	// Inferred marks a requirement that AWS does not document.
	Inferred bool
}

// Handler joins an operation with the code that serves it. Generated
// functions make them from a group's handler interface.
type Handler struct {
	Service   *Service
	Operation *Operation
	Serve     func(ctx context.Context, in any) (any, error)
	// Refuse words a refusal for the caller, its own or one that came before it,
	// where the operation speaks more than one protocol; nil leaves it as it is. It
	// is asked for callers who are known, with as much of the input as was read, and for
	// all whose body is too large, with nil where nothing was read.
	Refuse func(ctx context.Context, in any, f *fault.Error) *fault.Error
}

// Shape returns shape i of the service.
func (s *Service) Shape(i int) *Shape { return &s.Shapes[i] }

// Operation returns the operation with the given name, or nil.
func (s *Service) Operation(name string) *Operation {
	for i := range s.Operations {
		if s.Operations[i].Name == name {
			return &s.Operations[i]
		}
	}
	return nil
}

// PayloadMember returns the member that is the whole body, or nil.
func (sh *Shape) PayloadMember() *Member {
	if sh.Payload == 0 {
		return nil
	}
	return &sh.Members[sh.Payload-1]
}

// ErrorCode is the error's name on the wire.
func (sh *Shape) ErrorCode() string {
	if sh.Code != "" {
		return sh.Code
	}
	return sh.Name
}

// ShapeNamed returns the index of the shape with the given name, or -1.
func (s *Service) ShapeNamed(name string) int {
	for i := range s.Shapes {
		if s.Shapes[i].Name == name {
			return i
		}
	}
	return -1
}
