package output_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/gateway/output"
)

func TestUnfit(t *testing.T) {
	const nested = `{"type":"object","properties":{"a":{"$ref":"#/$defs/a~1b"},"n":{"type":["integer","null"],"minimum":1}},"required":["a"],"$defs":{"a/b":{"type":"string","enum":["x","y"]}}}`
	// Each part refers twice to the next.
	doubling := `{"type":"object","required":["z"],"allOf":[{"$ref":"#/$defs/0"}],"$defs":{`
	for i := range 40 {
		doubling += fmt.Sprintf(`"%d":{"allOf":[{"$ref":"#/$defs/%[2]d"},{"$ref":"#/$defs/%[2]d"}]},`, i, i+1)
	}
	doubling += `"40":{}}}`
	for _, tt := range []struct{ schema, answer, want string }{
		{nested, `{"a":"x","n":1,"more":[]}`, ""},
		{nested, `{"a":"x","n":null}`, ""},
		{nested, `{"n":1}`, `required: missing properties: ["a"]`},
		{nested, `{"a":"z"}`, `enum: z does not equal any of: [x y]`},
		{nested, `{"a":"x","n":0.5}`, `has type "number", want one of "integer, null"`},
		{nested, `{"a":"x","n":0}`, `validating /properties/n: minimum: 0/1 is less than`},
		{nested, `"text"`, "it is a string, and no object"},
		{nested, `null`, "it is null, and no object"},
		{nested, `[]`, "it is an array, and no object"},
		{nested, `7`, "it is a number, and no object"},
		{nested, `true`, "it is a boolean, and no object"},
		{nested, `{"a"`, "it is no JSON"},
		// What cannot be compiled, and what would cost too much, is held to nothing.
		{`{"type":"object","required":"a"}`, `{}`, ""},
		{`{"type":"object","properties":{"a":{"pattern":"(?=x)"}},"required":["a"]}`, `{}`, ""},
		{`{"type":"object","required":["a"],"$schema":"http://json-schema.org/draft-04/schema#"}`, `{}`, ""},
		{`{"type":"object","required":["a"],"$schema":"http://json-schema.org/draft-07/schema#"}`, `{}`, "missing properties"},
		{`{"type":"object","required":["a"],"properties":{"b":{"$ref":"https://example.com/b"}}}`, `{}`, ""},
		{`{"type":"object","required":["a"],"properties":{"b":{"$ref":"#/properties"}}}`, `{}`, ""},
		{`{"type":"object","required":["a"],"properties":{"b":{"$ref":"#/$defs/none/x"}}}`, `{}`, ""},
		{`{"type":"object","required":["a"],"properties":{"b":{"$dynamicRef":"#b"}}}`, `{}`, ""},
		{doubling, `{}`, ""},
		{nested, `{"n":"` + strings.Repeat("x", 8<<20) + `"}`, ""},
		{"{", `"text"`, "it is a string, and no object"},
	} {
		got := output.Compile([]byte(tt.schema)).Unfit([]byte(tt.answer))
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) || len(got) > 600 {
			t.Errorf("%.100s of %.100s: %q, want %q", tt.answer, tt.schema, got, tt.want)
		}
	}
}

func FuzzUnfit(f *testing.F) {
	f.Add([]byte(`{"type":"object","properties":{"a":{"type":"array","items":{"anyOf":[{"const":null},{"enum":[1,"x",{"a":[]}]}]},"uniqueItems":true,"contains":{"minimum":1}}}}`), []byte(`{"a":[1,null,null]}`))
	f.Add([]byte(`{"allOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"patternProperties":{"^a":{"multipleOf":0.5}},"additionalProperties":false,"if":{"required":["a"]},"then":{"not":{}}}}}`), []byte(`{"a":1e300}`))
	f.Add([]byte(`{"prefixItems":[true,false],"items":[{}],"dependentSchemas":{"a":{}},"unevaluatedProperties":false,"propertyNames":{"maxLength":1}}`), []byte(`{"b":"\ud800"}`))
	f.Fuzz(func(t *testing.T, schema, answer []byte) {
		if got := output.Compile(schema).Unfit(answer); len(got) > 600 {
			t.Errorf("%d bytes of a reason", len(got))
		}
	})
}
