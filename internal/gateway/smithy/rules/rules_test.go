package rules_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/gateway/smithy/rules"
)

// TestFunctions puts what a function gives for arguments in the JSON of a property: the
// condition assigns it, and rules whose condition gives nothing or false do not match.
func TestFunctions(t *testing.T) {
	for _, c := range [][3]string{
		{"isSet", `[{"ref":"Text"}]`, `true`},
		{"isSet", `[{"ref":"Unset"}]`, `none`},
		{"not", `[{"fn":"isSet","argv":[{"ref":"Unset"}]}]`, `true`},
		{"not", `[true]`, `none`},
		{"stringEquals", `[{"ref":"Text"},"some-text"]`, `true`},
		{"stringEquals", `[{"ref":"Text"},"other"]`, `none`},
		{"stringEquals", `[{"ref":"Unset"},"other"]`, `none`},
		{"stringEquals", `[true,"true"]`, `error`},
		{"booleanEquals", `[{"ref":"Flag"},true]`, `true`},
		{"booleanEquals", `["true",true]`, `error`},
		{"coalesce", `[{"ref":"Unset"},{"ref":"Text"},"x"]`, `some-text`},
		{"coalesce", `[{"ref":"Unset"},{"ref":"Unset"}]`, `none`},
		{"ite", `[{"ref":"Flag"},"yes","no"]`, `yes`},
		{"ite", `[{"ref":"Unset"},"yes","no"]`, `no`},
		{"getAttr", `[{"ref":"List"},"[1]"]`, `b`},
		{"getAttr", `[{"ref":"List"},"[-1]"]`, `b`},
		{"getAttr", `[{"ref":"List"},"[2]"]`, `none`},
		{"getAttr", `[{"ref":"List"},"[x]"]`, `none`},
		{"getAttr", `[{"ref":"Text"},"key"]`, `none`},
		{"substring", `["abcdefgh",2,4,false]`, `cd`},
		{"substring", `["abcdefgh",2,4,true]`, `ef`},
		{"substring", `["abc",0,4,false]`, `none`},
		{"substring", `["añc",0,2,false]`, `none`},
		{"substring", `["abc",-1,2,false]`, `none`},
		{"substring", `["abc","0",2,false]`, `error`},
		{"split", `["a--b--c","--",0]`, `[a b c]`},
		{"split", `["a--b--c","--",2]`, `[a b--c]`},
		{"split", `["a--b--c","--",1]`, `[a--b--c]`},
		{"split", `["","--",0]`, `[]`},
		{"split", `["abc","",0]`, `error`},
		{"uriEncode", `["a b/ü~%"]`, `a%20b%2F%C3%BC~%25`},
		{"uriEncode", `[{"ref":"Unset"}]`, `none`},
		{"isValidHostLabel", `["a-1",false]`, `true`},
		{"isValidHostLabel", `["a.b",false]`, `none`},
		{"isValidHostLabel", `["a.b",true]`, `true`},
		{"isValidHostLabel", `["a..b",true]`, `none`},
		{"isValidHostLabel", `["-a"]`, `none`},
		{"isValidHostLabel", `["a_b"]`, `none`},
		{"aws.isVirtualHostableS3Bucket", `["my-bucket",false]`, `true`},
		{"aws.isVirtualHostableS3Bucket", `["My-bucket",false]`, `none`},
		{"aws.isVirtualHostableS3Bucket", `["my.bucket",false]`, `none`},
		{"aws.isVirtualHostableS3Bucket", `["my.bucket",true]`, `true`},
		{"aws.isVirtualHostableS3Bucket", `["192.168.0.1",true]`, `none`},
		{"aws.isVirtualHostableS3Bucket", `["ab",false]`, `none`},
		{"aws.parseArn", `["arn:aws:s3:us-east-1:012345678901:bucket/x:y"]`, `map[accountId:012345678901 partition:aws region:us-east-1 resourceId:[bucket x y] service:s3]`},
		{"aws.parseArn", `["arn:aws:s3:::b"]`, `map[accountId: partition:aws region: resourceId:[b] service:s3]`},
		{"aws.parseArn", `["arn:aws::::b"]`, `none`},
		{"aws.parseArn", `["nothing"]`, `none`},
		{"parseURL", `["https://example.com"]`, `map[authority:example.com isIp:false normalizedPath:/ path: scheme:https]`},
		{"parseURL", `["http://example.com:80/foo/bar"]`, `map[authority:example.com:80 isIp:false normalizedPath:/foo/bar/ path:/foo/bar scheme:http]`},
		{"parseURL", `["https://127.0.0.1"]`, `map[authority:127.0.0.1 isIp:true normalizedPath:/ path: scheme:https]`},
		{"parseURL", `["https://[fe80::1]"]`, `map[authority:[fe80::1] isIp:true normalizedPath:/ path: scheme:https]`},
		{"parseURL", `["https://example.com:8443?foo=bar&faz=baz"]`, `none`},
		{"parseURL", `["ftp://example.com"]`, `none`},
		{"parseURL", `["https://user@example.com"]`, `none`},
	} {
		text := `{"parameters":{"Text":{"type":"string"},"Unset":{"type":"string"},"Flag":{"type":"boolean"},"List":{"type":"stringArray"}},
			"rules":[{"type":"endpoint","conditions":[{"fn":"` + c[0] + `","argv":` + c[1] + `,"assign":"v"}],"endpoint":{"url":"https://x"}}]}`
		set, err := rules.Parse([]byte(text))
		if err != nil {
			t.Errorf("%s %s: %v", c[0], c[1], err)
			continue
		}
		_, err = set.Resolve(map[string]any{"Text": "some-text", "Flag": true, "List": []any{"a", "b"}})
		var have string
		switch {
		case err != nil && strings.HasPrefix(err.Error(), "function"):
			have = "error"
		case err != nil:
			have = "none"
		default:
			have = rules.Value(set)
		}
		if have != c[2] {
			t.Errorf("%s %s is %s (%v), want %s", c[0], c[1], have, err, c[2])
		}
	}
}

func TestPartition(t *testing.T) {
	for region, want := range map[string]string{
		"us-east-1": "aws amazonaws.com", "eu-central-2": "aws amazonaws.com", "aws-global": "aws amazonaws.com", "nowhere": "aws amazonaws.com",
		"cn-north-1": "aws-cn amazonaws.com.cn", "us-gov-east-1": "aws-us-gov amazonaws.com", "us-iso-west-1": "aws-iso c2s.ic.gov",
		"us-isob-east-1": "aws-iso-b sc2s.sgov.gov", "eu-isoe-west-1": "aws-iso-e cloud.adc-e.uk", "eusc-de-east-1": "aws-eusc amazonaws.eu",
		"aws-us-gov-global": "aws-us-gov amazonaws.com", "us-gov-east-x": "aws amazonaws.com",
	} {
		e, err := resolve(t, `{"parameters":{"Region":{"type":"string","builtIn":"AWS::Region","required":true}},"rules":[{"type":"endpoint",
			"conditions":[{"fn":"aws.partition","argv":[{"ref":"Region"}],"assign":"P"}],"endpoint":{"url":"{P#name} {P#dnsSuffix}"}}]}`, map[string]any{"Region": region})
		if err != nil || e.URL != want {
			t.Errorf("%s: %s, %v; want %s", region, e.URL, err, want)
		}
	}
}

func resolve(t testing.TB, text string, params map[string]any) (rules.Endpoint, error) {
	t.Helper()
	set, err := rules.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return set.Resolve(params)
}

func TestRules(t *testing.T) {
	const text = `{"parameters":{"A":{"type":"string"},"B":{"type":"boolean","default":false,"required":true},"C":{"type":"stringArray"}},"rules":[
		{"type":"tree","conditions":[{"fn":"stringEquals","argv":[{"ref":"A"},"tree"],"assign":"seen"}],"rules":[
			{"type":"error","conditions":[{"fn":"booleanEquals","argv":[{"ref":"B"},true]}],"error":"{A} is {seen}, {{so}}"},
			{"type":"endpoint","conditions":[{"fn":"isSet","argv":[{"ref":"C"}]}],"endpoint":{"url":{"fn":"getAttr","argv":[{"ref":"C"},"[0]"]}}}]},
		{"type":"endpoint","conditions":[{"fn":"isSet","argv":[{"ref":"A"}]}],"endpoint":{"url":"https://{A}","headers":{"x":["{A}",{"ref":"A"}]},
			"properties":{"authSchemes":[{"name":"sigv4","signingRegion":"{A}","on":true,"n":1}]}}},
		{"type":"endpoint","conditions":[],"endpoint":{"url":"https://{seen}"}}]}`
	for name, c := range map[string]struct {
		params map[string]any
		want   rules.Endpoint
		err    string
	}{
		"endpoint": {map[string]any{"A": "x", "Other": 5}, rules.Endpoint{URL: "https://x", Headers: map[string][]string{"x": {"x", "x"}},
			Properties: map[string]any{"authSchemes": []any{map[string]any{"name": "sigv4", "signingRegion": "x", "on": true, "n": 1.0}}}}, ""},
		"error":              {map[string]any{"A": "tree", "B": true}, rules.Endpoint{}, "tree is true, {so}"},
		"exhausted tree":     {map[string]any{"A": "tree"}, rules.Endpoint{}, "no rule is for these parameters"},
		"function as URL":    {map[string]any{"A": "tree", "C": []any{"https://c"}}, rules.Endpoint{URL: "https://c", Properties: map[string]any{}}, ""},
		"URL is no text":     {map[string]any{"A": "tree", "C": []any{}}, rules.Endpoint{}, "the rules end in a value that is no text"},
		"variable is gone":   {nil, rules.Endpoint{}, "the endpoint rules put {seen} in a text, and it is not set"},
		"type of parameter":  {map[string]any{"A": true}, rules.Endpoint{}, "the endpoint rules' parameter A is no string"},
		"type of parameter2": {map[string]any{"B": "true"}, rules.Endpoint{}, "the endpoint rules' parameter B is no boolean"},
		"long parameter":     {map[string]any{"A": strings.Repeat("x", 9000)}, rules.Endpoint{}, "the endpoint rules' parameter A is no string"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := resolve(t, text, c.params)
			if c.err == "" && err != nil || c.err != "" && (err == nil || err.Error() != c.err) {
				t.Errorf("%v, want %q", err, c.err)
			}
			if err == nil && !reflect.DeepEqual(e, c.want) {
				t.Errorf("%+v, want %+v", e, c.want)
			}
			var own *rules.Error
			if errors.As(err, &own) != (name == "error") {
				t.Errorf("%v as the rules' own", err)
			}
		})
	}
	if _, err := resolve(t, `{"parameters":{"R":{"type":"string","required":true}},"rules":[{"type":"error","error":"x"}]}`, nil); err == nil ||
		err.Error() != "the endpoint rules need the parameter R" {
		t.Error(err)
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:          "rules: there are none",
		`[]`:          "read rule set",
		`{"rules":1}`: "read rule set",
		`{"parameters":{"A":{"type":"number"}},"rules":[{}]}`: `parameters.A: type "number"`,
		`{"rules":[{}]}`:                                                                                 "rules[0]: neither a tree",
		`{"rules":[{"type":"tree"}]}`:                                                                    "a tree without rules",
		`{"rules":[{"type":"endpoint","endpoint":{}}]}`:                                                  "neither a tree",
		`{"rules":[{"type":"endpoint","endpoint":{"url":"{"}}]}`:                                         "rules[0].endpoint.url: a { without its }",
		`{"rules":[{"type":"endpoint","endpoint":{"url":"{#a}"}}]}`:                                      "{} names nothing",
		`{"rules":[{"type":"error","error":{"fn":"exec","argv":[]}}]}`:                                   `there is no function "exec"`,
		`{"rules":[{"type":"error","error":{"fn":"not","argv":[]}}]}`:                                    "not with 0 arguments",
		`{"rules":[{"type":"error","error":1.5}]}`:                                                       "no whole number",
		`{"rules":[{"type":"error","error":"x","conditions":[{"argv":[]}]}]}`:                            "rules[0].conditions[0]: fn is missing",
		`{"rules":[` + strings.Repeat(`{"type":"tree","rules":[`, 70) + strings.Repeat(`]}`, 70) + `]}`:  "nests deeper than 64",
		`{"rules":[{"type":"error","error":` + strings.Repeat(`[`, 70) + strings.Repeat(`]`, 70) + `}]}`: "nests deeper than 64",
		`{"rules":[{"type":"endpoint","endpoint":{"url":"x","properties":{"a":` + strings.Repeat(`[`, 70) + strings.Repeat(`]`, 70) + `}}}]}`: "nests deeper than 64",
	} {
		if _, err := rules.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v, want %q", text, err, want)
		}
	}
}

// TestBounds has rules that are small and would make much work, or much text.
func TestBounds(t *testing.T) {
	long := `"` + strings.Repeat("%", 3000) + `"`
	for range 3 {
		long = `{"fn":"uriEncode","argv":[` + long + `]}`
	}
	wide := strings.Repeat(`{"ref":"A"},`, 60_000)
	for text, want := range map[string]string{
		`{"type":"endpoint","endpoint":{"url":` + long + `}}`:                                 "longer than 8192 bytes",
		`{"type":"endpoint","endpoint":{"url":"` + strings.Repeat("{A}", 3000) + `"}}`:        "longer than 8192 bytes",
		`{"type":"error","error":[` + wide + `1]}`:                                            "more than 50000 steps",
		`{"type":"error","error":"x","conditions":[{"fn":"isSet","argv":[[` + wide + `1]]}]}`: "more than 50000 steps",
	} {
		_, err := resolve(t, `{"parameters":{"A":{"type":"string","default":"abcdef"}},"rules":[`+text+`]}`, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q", text, err, want)
		}
	}
}

// diagram writes a decision diagram: three numbers for each node after the first.
func diagram(root int, nodes ...[3]int32) string {
	b := []byte{}
	for _, n := range append([][3]int32{{-1, 1, -1}}, nodes...) {
		for _, v := range n {
			b = binary.BigEndian.AppendUint32(b, uint32(v))
		}
	}
	return fmt.Sprintf(`{"version":"1.1","parameters":{"A":{"type":"string"},"B":{"type":"boolean"}},
		"conditions":[{"fn":"isSet","argv":[{"ref":"A"}]},{"fn":"booleanEquals","argv":[{"ref":"B"},true],"assign":"b"}],
		"results":[{"type":"endpoint","conditions":[],"endpoint":{"url":"https://{A}"}},{"type":"error","conditions":[],"error":"no A"}],
		"root":%d,"nodeCount":%d,"nodes":%q}`, root, len(nodes)+1, base64.StdEncoding.EncodeToString(b))
}

func TestDiagram(t *testing.T) {
	const first, second = 100_000_001, 100_000_002
	for name, c := range map[string]struct {
		text   string
		params map[string]any
		want   string
	}{
		"true":              {diagram(2, [3]int32{0, first, second}), map[string]any{"A": "x"}, "https://x"},
		"false":             {diagram(2, [3]int32{0, first, second}), nil, "no A"},
		"complement":        {diagram(2, [3]int32{0, -3, second}, [3]int32{1, second, first}), map[string]any{"A": "x", "B": true}, "https://x"},
		"terminal":          {diagram(2, [3]int32{0, 1, -1}), nil, "no rule is for these parameters"},
		"result zero":       {diagram(100_000_000), nil, "no rule is for these parameters"},
		"circle":            {diagram(2, [3]int32{0, 2, 2}), nil, "the rules take more than 50000 steps"},
		"node out of range": {diagram(9), nil, "the decision diagram refers to node 9 of 1"},
		"least number":      {diagram(-1 << 31), nil, "the decision diagram refers to node 2147483648 of 1"},
		"result beyond":     {diagram(100_000_003), nil, "the decision diagram refers to result 3 of 2"},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := rules.ParseDiagram([]byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			e, err := set.Resolve(c.params)
			have := e.URL
			if err != nil {
				have = err.Error()
			}
			if have != c.want {
				t.Errorf("%s, want %s", have, c.want)
			}
		})
	}
	for text, want := range map[string]string{
		diagram(2, [3]int32{5, 1, 1}):                                          "asks condition 5, and there are 2",
		strings.Replace(diagram(2), `"nodes":"`, `"nodes":"!`, 1):              "nodes:",
		strings.Replace(diagram(2), `"nodes":"`, `"nodes":"AAAA`, 1):           "not three numbers",
		`{"results":[{"type":"tree","rules":[{"type":"error","error":"x"}]}]}`: "results[0]: neither",
	} {
		if _, err := rules.ParseDiagram([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v, want %q", text, err, want)
		}
	}
}

func FuzzRules(f *testing.F) {
	f.Add([]byte(service), "us-east-1", "my-bucket", true)
	f.Add([]byte(diagram(2, [3]int32{0, 100_000_001, 100_000_002})), "x", "y", false)
	f.Add([]byte(`{"rules":[{"type":"error","error":{"fn":"split","argv":["a","b",0]}}]}`), "", "", false)
	f.Fuzz(func(t *testing.T, text []byte, region, bucket string, flag bool) {
		params := map[string]any{"Region": region, "A": bucket, "Bucket": bucket, "UseFIPS": flag, "B": flag}
		for _, parse := range []func([]byte) (*rules.Set, error){rules.Parse, rules.ParseDiagram} {
			set, err := parse(text)
			if err != nil {
				continue
			}
			_ = set.Guard([]string{"A", "Bucket"}) // whatever it says, rules are evaluated within bounds
			e, err := set.Resolve(params)
			if err == nil {
				if _, err := json.Marshal(e.Properties); err != nil || len(e.URL) > 8<<10 {
					t.Errorf("%+v, %v", e, err)
				}
			}
		}
	})
}

// service is what most of AWS's rule sets are like.
const service = `{"version":"1.0","parameters":{
	"Region":{"builtIn":"AWS::Region","required":false,"type":"string"},"UseDualStack":{"builtIn":"AWS::UseDualStack","required":true,"default":false,"type":"boolean"},
	"UseFIPS":{"builtIn":"AWS::UseFIPS","required":true,"default":false,"type":"boolean"},"Endpoint":{"builtIn":"SDK::Endpoint","required":false,"type":"string"}},
	"rules":[
	{"conditions":[{"fn":"isSet","argv":[{"ref":"Endpoint"}]}],"type":"tree","rules":[
		{"conditions":[{"fn":"booleanEquals","argv":[{"ref":"UseFIPS"},true]}],"error":"Invalid Configuration: FIPS and custom endpoint are not supported","type":"error"},
		{"conditions":[],"endpoint":{"url":{"ref":"Endpoint"},"properties":{},"headers":{}},"type":"endpoint"}]},
	{"conditions":[{"fn":"isSet","argv":[{"ref":"Region"}]},{"fn":"aws.partition","argv":[{"ref":"Region"}],"assign":"PartitionResult"}],"type":"tree","rules":[
		{"conditions":[{"fn":"booleanEquals","argv":[{"ref":"UseFIPS"},true]},{"fn":"booleanEquals","argv":[true,{"fn":"getAttr","argv":[{"ref":"PartitionResult"},"supportsFIPS"]}]}],
			"endpoint":{"url":"https://svc-fips.{Region}.{PartitionResult#dnsSuffix}","properties":{},"headers":{}},"type":"endpoint"},
		{"conditions":[],"endpoint":{"url":"https://svc.{Region}.{PartitionResult#dnsSuffix}","properties":{"authSchemes":[{"name":"sigv4","signingRegion":"{Region}"}]},"headers":{}},"type":"endpoint"}]},
	{"conditions":[],"error":"Invalid Configuration: Missing Region","type":"error"}]}`

func BenchmarkResolve(b *testing.B) {
	set, err := rules.Parse([]byte(service))
	if err != nil {
		b.Fatal(err)
	}
	params := map[string]any{"Region": "eu-west-1", "UseFIPS": false, "UseDualStack": false}
	b.ReportAllocs()
	for b.Loop() {
		if e, err := set.Resolve(params); err != nil || e.URL != "https://svc.eu-west-1.amazonaws.com" {
			b.Fatal(e, err)
		}
	}
}
