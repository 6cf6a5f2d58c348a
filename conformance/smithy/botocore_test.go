package smithy

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// botocore's model of a service, as far as a Smithy model has it too.
type service struct {
	Metadata struct {
		EndpointPrefix string `json:"endpointPrefix"`
		SigningName    string `json:"signingName"`
		Protocol       string `json:"protocol"`
	} `json:"metadata"`
	Operations          map[string]boto            `json:"operations"`
	Shapes              map[string]boto            `json:"shapes"`
	ClientContextParams map[string]json.RawMessage `json:"clientContextParams"`
}

// boto is an operation or a shape, or a reference to one with traits.
type boto struct {
	Type          string          `json:"type"`
	Shape         string          `json:"shape"`
	Documentation string          `json:"documentation"`
	Members       map[string]boto `json:"members"`
	Member        *boto           `json:"member"`
	Key           *boto           `json:"key"`
	Value         *boto           `json:"value"`
	Required      []string        `json:"required"`
	Enum          []string        `json:"enum"`
	Min           *json.Number    `json:"min"`
	Max           *json.Number    `json:"max"`
	Pattern       string          `json:"pattern"`

	Document, Union, Streaming, EventStream, JSONValue, IdempotencyToken, HostLabel bool

	Payload         string                              `json:"payload"`
	Location        string                              `json:"location"`
	LocationName    string                              `json:"locationName"`
	TimestampFormat string                              `json:"timestampFormat"`
	ContextParam    json.RawMessage                     `json:"contextParam"`
	HTTP            struct{ Method, RequestURI string } `json:"http"`
	Endpoint        json.RawMessage                     `json:"endpoint"`
	Input           *boto                               `json:"input"`
	Output          *boto                               `json:"output"`
	Static          map[string]json.RawMessage          `json:"staticContextParams"`
	AuthType        string                              `json:"authtype"`
	Auth            []string                            `json:"auth"`
	Checksum        bool                                `json:"httpChecksumRequired"`
	HTTPChecksum    json.RawMessage                     `json:"httpChecksum"`
}

type object = map[string]any

// converter writes a service as a Smithy model in JSON that speaks restJson1, whatever it
// speaks at AWS.
type converter struct {
	service
	shapes object
}

const space = "test.model#"

// model reads the model at a path of botocore's data and converts it.
func model(t *testing.T, path string, only []string) []byte {
	t.Helper()
	c := converter{shapes: object{}}
	text := unzip(t, path+".json.gz")
	if err := json.Unmarshal(text, &c.service); err != nil {
		t.Fatal(err)
	}
	traits := object{"aws.protocols#restJson1": object{}, "aws.auth#sigv4": object{"name": c.signingName()}}
	rules := filepath.Join(filepath.Dir(path), "endpoint-rule-set-1.json.gz")
	if _, err := os.Stat(rules); err == nil {
		traits["smithy.rules#endpointRuleSet"] = json.RawMessage(unzip(t, rules))
	}
	if c.ClientContextParams != nil {
		traits["smithy.rules#clientContextParams"] = c.ClientContextParams
	}
	if only == nil {
		for name := range maps(c.Operations) {
			only = append(only, name)
		}
	}
	var operations []object
	for _, name := range only {
		operations = append(operations, object{"target": space + "_" + name})
		c.operation(name)
	}
	for name, s := range c.Shapes {
		c.shape(name, s)
	}
	c.shapes[space+"_Service"] = object{"type": "service", "version": "1", "operations": operations, "traits": traits}
	out, err := json.Marshal(object{"smithy": "2.0", "shapes": c.shapes})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (c *converter) signingName() string {
	if c.Metadata.SigningName != "" {
		return c.Metadata.SigningName
	}
	return c.Metadata.EndpointPrefix
}

// operation converts one. Names begin with an underscore, since shapes may have them too.
func (c *converter) operation(name string) {
	op := c.Operations[name]
	uri, method := op.HTTP.RequestURI, op.HTTP.Method
	if !strings.HasPrefix(c.Metadata.Protocol, "rest") { // one path for all: make one for each
		uri, method = "/"+name, "POST"
	}
	if op.Input != nil {
		for member, m := range c.Shapes[op.Input.Shape].Members { // labels are members' own names in Smithy
			if m.Location == "uri" && m.LocationName != "" {
				uri = strings.NewReplacer("{"+m.LocationName+"}", "{"+member+"}", "{"+m.LocationName+"+}", "{"+member+"+}").Replace(uri)
			}
		}
	}
	traits := object{"smithy.api#http": object{"method": method, "uri": uri, "code": 200}, "smithy.api#documentation": op.Documentation}
	if op.Endpoint != nil {
		traits["smithy.api#endpoint"] = op.Endpoint
	}
	if op.Static != nil {
		traits["smithy.rules#staticContextParams"] = op.Static
	}
	if op.AuthType == "none" || len(op.Auth) > 0 && op.Auth[0] != "aws.auth#sigv4" {
		traits["smithy.api#auth"] = []string{}
	}
	if op.Checksum {
		traits["smithy.api#httpChecksumRequired"] = object{}
	}
	if op.HTTPChecksum != nil {
		traits["aws.protocols#httpChecksum"] = op.HTTPChecksum
	}
	out := object{"type": "operation", "traits": traits}
	if op.Input != nil {
		out["input"] = object{"target": space + op.Input.Shape}
	}
	if op.Output != nil {
		out["output"] = object{"target": space + op.Output.Shape}
	}
	c.shapes[space+"_"+name] = out
}

func (c *converter) shape(name string, s boto) {
	traits := object{"smithy.api#documentation": s.Documentation}
	out := object{"type": s.Type, "traits": traits}
	switch {
	case s.Document:
		out["type"] = "document"
	case s.Type == "structure":
		if s.Union || s.EventStream {
			out["type"] = "union"
		}
		members := object{}
		for member, m := range s.Members {
			members[member] = c.member(s, member, m)
		}
		out["members"] = members
	case s.Type == "list":
		out["member"] = c.member(s, "", *s.Member)
	case s.Type == "map":
		out["key"], out["value"] = c.member(s, "", *s.Key), c.member(s, "", *s.Value)
	case s.Type == "string" && s.Enum != nil:
		var values []object
		for _, v := range s.Enum {
			values = append(values, object{"value": v})
		}
		traits["smithy.api#enum"] = values
	}
	if s.Streaming || s.EventStream {
		traits["smithy.api#streaming"] = object{}
	}
	if s.TimestampFormat != "" {
		traits["smithy.api#timestampFormat"] = format(s.TimestampFormat)
	}
	bounds := object{}
	if s.Min != nil {
		bounds["min"] = *s.Min
	}
	if s.Max != nil {
		bounds["max"] = *s.Max
	}
	if len(bounds) > 0 {
		trait := "smithy.api#length"
		if s.Type == "integer" || s.Type == "long" || s.Type == "double" || s.Type == "float" {
			trait = "smithy.api#range"
		}
		traits[trait] = bounds
	}
	c.shapes[space+name] = out
}

func format(boto string) string {
	return map[string]string{"iso8601": "date-time", "rfc822": "http-date", "unixTimestamp": "epoch-seconds"}[boto]
}

func (c *converter) member(of boto, name string, m boto) object {
	traits := object{}
	if m.Documentation != "" {
		traits["smithy.api#documentation"] = m.Documentation
	}
	for _, r := range of.Required {
		if r == name {
			traits["smithy.api#required"] = object{}
		}
	}
	wire := m.LocationName
	if wire == "" {
		wire = name
	}
	switch {
	case name != "" && of.Payload == name:
		traits["smithy.api#httpPayload"] = object{}
	case m.Location == "uri":
		traits["smithy.api#httpLabel"], traits["smithy.api#required"] = object{}, object{}
	case m.Location == "querystring" && c.Shapes[m.Shape].Type == "map":
		traits["smithy.api#httpQueryParams"] = object{}
	case m.Location == "querystring":
		traits["smithy.api#httpQuery"] = wire
	case m.Location == "header":
		traits["smithy.api#httpHeader"] = wire
	case m.Location == "headers":
		traits["smithy.api#httpPrefixHeaders"] = m.LocationName
	case m.Location == "statusCode":
		traits["smithy.api#httpResponseCode"] = object{}
	case wire != name:
		traits["smithy.api#jsonName"] = wire
	}
	if m.TimestampFormat != "" {
		traits["smithy.api#timestampFormat"] = format(m.TimestampFormat)
	}
	if m.JSONValue {
		traits["smithy.api#mediaType"] = "application/json"
	}
	if m.IdempotencyToken {
		traits["smithy.api#idempotencyToken"] = object{}
	}
	if m.HostLabel {
		traits["smithy.api#hostLabel"] = object{}
	}
	if m.ContextParam != nil {
		traits["smithy.rules#contextParam"] = m.ContextParam
	}
	target := space + m.Shape
	if m.Streaming { // of the member in botocore, of the shape in Smithy
		target = fmt.Sprintf("%s_Streaming%s", space, m.Shape)
		c.shapes[target] = object{"type": c.Shapes[m.Shape].Type, "traits": object{"smithy.api#streaming": object{}}}
	}
	return object{"target": target, "traits": traits}
}
