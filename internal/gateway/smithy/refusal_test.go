package smithy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/gateway/smithy"
)

type refusal struct {
	name    string
	replace [][2]string
	text    string
	options smithy.Options
}

func refusals() []refusal {
	change := func(name string, pairs ...string) refusal {
		r := refusal{name: name, options: options()}
		for i := 0; i < len(pairs); i += 2 {
			r.replace = append(r.replace, [2]string{pairs[i], pairs[i+1]})
		}
		return r
	}
	whole := func(name, text string) refusal { return refusal{name: name, text: text, options: options()} }
	set := func(name string, edit func(*smithy.Options)) refusal {
		r := refusal{name: name, options: options()}
		edit(&r.options)
		return r
	}
	return []refusal{
		whole("empty", " "),
		whole("no JSON", `$version: "2"`),
		whole("a list", `[]`),
		whole("botocore's", `{"version":"2.0","metadata":{},"operations":{},"shapes":{}}`),
		whole("no version", `{"shapes":{}}`),
		whole("version 3", `{"smithy":"3.0","shapes":{}}`),
		whole("no service", `{"smithy":"2.0","shapes":{"a#B":{"type":"string"}}}`),
		whole("no operation", `{"smithy":"2","shapes":{"a#S":{"type":"service","traits":{"aws.protocols#restJson1":{},"smithy.rules#endpointRuleSet":{"parameters":{},"rules":[{"type":"error","error":"x"}]}}}}}`),
		whole("shape of another type", `{"smithy":"2.0","shapes":{"a#S":{"type":"service","operations":"none"},"a#T":[]}}`),
		whole("too long", `{"smithy":"2.0","x":"`+strings.Repeat("x", smithy.MaxModel)+`"}`),
		set("no such service", func(o *smithy.Options) { o.Service = "example.library#Books" }),
		set("bad base URL", func(o *smithy.Options) { o.BaseURL = "ftp://example.com" }),
		set("base URL with a query", func(o *smithy.Options) { o.BaseURL = "https://example.com?x=1" }),
		change("other protocols", `"aws.protocols#restJson1": {}, "aws.protocols#restXml": {},`, `"aws.protocols#awsJson1_0": {}, "aws.protocols#awsQuery": {},`),
		change("no protocol", `"aws.protocols#restJson1": {}, "aws.protocols#restXml": {},`, ``),
		change("no rules", `"smithy.rules#endpointRuleSet": {`, `"smithy.rules#other": {`),
		change("unknown function", `"fn": "isValidHostLabel"`, `"fn": "isValidHost"`),
		change("rules that let arguments choose the host", `https://{Branch}.library.{Region}.example.com`, `https://{Branch}/{Region}`),
		change("missing shapes", `"example.library#Isbn": {"type"`, `"example.library#Isbn2": {"type"`),
		change("missing operation and resource", `"example.library#GetBook": {`, `"example.library#GetBooks": {`, `"example.library#Page": {`, `"example.library#Pages": {`),
		change("no http", `"smithy.api#http": {"method": "POST", "uri": "/tags"}`, ``),
		change("http is text", `"smithy.api#http": {"method": "POST", "uri": "/tags"}`, `"smithy.api#http": "POST /tags"`),
		change("method", `"method": "PUT"`, `"method": "put it"`),
		change("uri", `"uri": "/watch"`, `"uri": "/watch"`, `"uri": "/search?kind=all"`, `"uri": "search"`),
		change("label of nothing", `"uri": "/books/{isbn}"`, `"uri": "/books/{isbm}"`),
		change("label nowhere", `"uri": "/books/{isbn}"`, `"uri": "/books"`),
		change("label not closed", `"uri": "/books/{isbn}"`, `"uri": "/books/{isbn"`),
		change("host label", `"smithy.api#hostLabel": {}, `, ``),
		change("list in label", `"path": {"target": "smithy.api#String"`, `"path": {"target": "example.library#Words"`),
		change("structure in header", `"since": {"target": "smithy.api#Timestamp"`, `"since": {"target": "example.library#Shelf"`),
		change("header of the sender's", `"If-Modified-Since"`, `"Authorization"`),
		change("query params of numbers", `"more": {"target": "example.library#WordMap"`, `"more": {"target": "example.library#Holes"`),
		change("status is text", `"code": {"target": "smithy.api#Integer"`, `"code": {"target": "smithy.api#String"`),
		change("two payloads", `"smithy.api#httpHeader": "Content-Type"`, `"smithy.api#httpPayload": {}`),
		change("input is no structure", `"input": {"target": "example.library#TagInput"}`, `"input": {"target": "example.library#Medium"}`),
		change("member targets an operation", `"stars": {"target": "example.library#Stars"}`, `"stars": {"target": "example.library#Tag"}`),
		change("map without a key", `"key": {"target": "example.library#Kind"}, `, ``),
		change("map of numbers", `"key": {"target": "example.library#Kind"}`, `"key": {"target": "smithy.api#Integer"}`),
		change("list of nothing", `"member": {"target": "example.library#Chapter"}, `, ``),
		change("enum without number", `"smithy.api#enumValue": 5`, `"smithy.api#enumValue": "five"`),
		change("same name", `"smithy.api#jsonName": "type"`, `"smithy.api#jsonName": "title"`),
		change("mixin of itself", `"traits": {"smithy.api#mixin": {}}, "members": {"room"`, `"mixins": [{"target": "example.library#Shelf"}], "members": {"room"`),
		change("mixin missing", `"mixins": [{"target": "example.library#Described"}]`, `"mixins": [{"target": "example.library#Describing"}]`),
		change("apply to nothing", `"example.library#CreateBookInput$note"`, `"example.library#CreateBookInput$notes"`),
	}
}

// TestHostile has models that are small and would make much work.
func TestHostile(t *testing.T) {
	service := `{"smithy":"2.0","shapes":{"a#S":{"type":"service","operations":[{"target":"a#Op"}],"traits":{"aws.protocols#restJson1":{}}},` +
		`"a#Op":{"type":"operation","input":{"target":"a#S0"},"traits":{"smithy.api#http":{"method":"POST","uri":"/"}}},`
	var doubling, chain, mixins, wide strings.Builder
	const n = 20_000
	for i := range 60 { // two members each that are the next: 2^60 when written out
		fmt.Fprintf(&doubling, `"a#S%d":{"type":"structure","members":{"a":{"target":"a#S%d"},"b":{"target":"a#S%d"}}},`, i, i+1, i+1)
	}
	fmt.Fprint(&doubling, `"a#S60":{"type":"structure"}}}`)
	for i := range n {
		fmt.Fprintf(&chain, `"a#S%d":{"type":"structure","members":{"a":{"target":"a#S%d"}}},`, i, i+1)
		fmt.Fprintf(&mixins, `"a#S%d":{"type":"structure","mixins":[{"target":"a#S%d"}],"members":{"m%d":{"target":"smithy.api#String"}}},`, i, i+1, i)
		fmt.Fprintf(&wide, `"a#S%d":{"type":"structure","members":{"m":{"target":"smithy.api#String"}}},`, i)
	}
	for name, c := range map[string]struct{ text, want string }{
		"doubling": {service + doubling.String(), ""},
		"chain":    {service + chain.String() + fmt.Sprintf(`"a#S%d":{"type":"string"}}}`, n), "nests deeper than 64"},
		"mixins":   {service + mixins.String() + fmt.Sprintf(`"a#S%d":{"type":"structure"}}}`, n), "mixins give more than"},
		"wide":     {service + wide.String() + `"a#x":{"type":"string"}}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := options()
			o.BaseURL = "https://example.com"
			m, err := smithy.Parse([]byte(c.text), o)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Fatalf("%v, want %q", err, c.want)
			}
			if err == nil && (len(m.Tools()) != 1 || len(m.Tools()[0].InputSchema) > 4<<20) {
				t.Errorf("%d tools", len(m.Tools()))
			}
		})
	}
}
