package validation

import (
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/fault"
)

// The shapes of one operation with every kind of constraint.
const (
	inputShape = iota
	nameShape
	secretShape
	secretsShape
	secretMapShape
	namesShape
	tagsShape
	itemShape
	itemsShape
	modeShape
	choiceShape
	countShape
	nestedShape
	blobShape
	textShape
)

func both(lo, hi float64) *schema.Bounds {
	return &schema.Bounds{Min: lo, Max: hi, Has: schema.HasMin | schema.HasMax}
}

func testService(p schema.Protocol) *schema.Service {
	return &schema.Service{Protocol: p, Shapes: []schema.Shape{
		inputShape: {Name: "Input", Kind: schema.Structure, Members: []schema.Member{
			{Name: "name", Shape: nameShape, Required: true}, {Name: "secret", Shape: secretShape, Sensitive: true},
			{Name: "secrets", Shape: secretsShape}, {Name: "secretMap", Shape: secretMapShape}, {Name: "names", Shape: namesShape},
			{Name: "tags", Shape: tagsShape}, {Name: "items", Shape: itemsShape}, {Name: "mode", Shape: modeShape},
			{Name: "choice", Shape: choiceShape}, {Name: "count", Shape: countShape}, {Name: "later", Shape: namesShape, Refused: "it comes later"},
			{Name: "never", Shape: textShape, Refused: "it does not come"},
			{Name: "nested", Shape: nestedShape}, {Name: "blob", Shape: blobShape}}},
		nameShape:      {Name: "Name", Kind: schema.String, Bounds: both(2, 5), Pattern: &schema.Pattern{Source: "[a-z]+"}},
		secretShape:    {Name: "Secret", Kind: schema.String, Sensitive: true, Bounds: both(2, 5)},
		secretsShape:   {Name: "Secrets", Kind: schema.List, Elem: secretShape, Bounds: both(0, 1)},
		secretMapShape: {Name: "SecretMap", Kind: schema.Map, Key: nameShape, Elem: secretShape},
		namesShape:     {Name: "Names", Kind: schema.List, Elem: nameShape, Bounds: both(0, 3)},
		tagsShape:      {Name: "Tags", Kind: schema.Map, Key: nameShape, Elem: nameShape, Bounds: both(1, 2)},
		itemShape:      {Name: "Item", Kind: schema.Structure, Members: []schema.Member{{Name: "name", Shape: nameShape, Required: true}}},
		itemsShape:     {Name: "Items", Kind: schema.List, Elem: itemShape, Bounds: both(0, 30)},
		modeShape: {Name: "Mode", Kind: schema.String, Enum: []string{"A", "B"},
			RefusedValues: []schema.Refusal{{Value: "B", Reason: "only A is built"}}},
		choiceShape: {Name: "Choice", Kind: schema.Structure, Union: true, Members: []schema.Member{
			{Name: "left", Shape: nameShape}, {Name: "right", Shape: nameShape}}},
		countShape:  {Name: "Count", Kind: schema.Integer, Bounds: both(-1, 10)},
		nestedShape: {Name: "Nested", Kind: schema.Map, Key: nameShape, Elem: itemShape},
		blobShape:   {Name: "Blob", Kind: schema.Blob, Bounds: both(0, 2)},
		textShape:   {Name: "Text", Kind: schema.String},
	}}
}

type (
	input struct {
		Name, Secret *string
		Secrets      []string
		SecretMap    map[string]string
		Names        []string
		Tags         map[string]string
		Items        []namedItem
		Mode         *string
		Choice       *choice
		Count        *int32
		Later        []string
		Never        *string
		Nested       map[string]namedItem
		Blob         []byte
	}
	namedItem struct{ Name *string }
	choice    struct{ Left, Right *string }
)

func ptr[T any](v T) *T { return &v }

// TestTexts holds the wording of every kind of violation.
func TestTexts(t *testing.T) {
	const one = "1 validation error detected: "
	const text = "[Member must have length less than or equal to 5, Member must have length greater than or equal to 2, Member must satisfy regular expression pattern: [a-z]+]"
	good := ptr("good")
	cases := []struct {
		name string
		in   input
		want string
	}{
		{"nothing wrong", input{Name: good, Choice: &choice{Left: good}, Tags: map[string]string{"ab": "cd"}}, ""},
		{"absent", input{}, one + "Value null at 'name' failed to satisfy constraint: Member must not be null"},
		{"long", input{Name: ptr("toolong")}, one + "Value 'toolong' at 'name' failed to satisfy constraint: Member must have length less than or equal to 5"},
		{"characters are counted", input{Name: ptr("ééé")}, one + "Value 'ééé' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-z]+"},
		{"two at once", input{Name: ptr("A")}, "2 validation errors detected: Value 'A' at 'name' failed to satisfy constraint: Member must have length greater than or equal to 2; Value 'A' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-z]+"},
		{"a line end is no match", input{Name: ptr("ab\n")}, one + "Value 'ab\n' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-z]+"},
		{"sensitive", input{Name: good, Secret: ptr("x")}, one + "Value at 'secret' failed to satisfy constraint: Member must have length greater than or equal to 2"},
		{"too many secrets", input{Name: good, Secrets: []string{"aa", "bb"}}, one + "Value at 'secrets' failed to satisfy constraint: Member must have length less than or equal to 1"},
		{"a bad secret", input{Name: good, Secrets: []string{"a"}}, one + "Value at 'secrets' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 5, Member must have length greater than or equal to 2]"},
		{"a bad key of secrets", input{Name: good, SecretMap: map[string]string{"A1": "aa"}}, one + "Value at 'secretMap' failed to satisfy constraint: Map keys must satisfy constraint: " + text},
		{"bad list members", input{Name: good, Names: []string{"ok", "A1", "A2"}}, one + "Value '[ok, A1, A2]' at 'names' failed to satisfy constraint: Member must satisfy constraint: " + text},
		{"a bad value", input{Name: good, Tags: map[string]string{"ab": "cd", "aa": "1"}}, one + "Value '{aa=1, ab=cd}' at 'tags' failed to satisfy constraint: Map value must satisfy constraint: " + text},
		{"an empty map", input{Name: good, Tags: map[string]string{}}, one + "Value '{}' at 'tags' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"within a list", input{Name: good, Items: []namedItem{{good}, {}}}, one + "Value null at 'items.2.member.name' failed to satisfy constraint: Member must not be null"},
		{"within a map", input{Name: good, Nested: map[string]namedItem{"key": {}}}, one + "Value null at 'nested.key.name' failed to satisfy constraint: Member must not be null"},
		{"too many structures", input{Name: good, Items: make([]namedItem, 31)}, "32 validation errors detected: Value with 31 members at 'items' failed to satisfy constraint: Member must have length less than or equal to 30; "},
		{"enum", input{Name: good, Mode: ptr("C")}, one + "Value 'C' at 'mode' failed to satisfy constraint: Member must satisfy enum value set: [A, B]"},
		{"no choice", input{Name: good, Choice: &choice{}}, one + "Value with 0 members at 'choice' failed to satisfy constraint: Exactly one member of the union must be set"},
		{"two choices", input{Name: good, Choice: &choice{good, good}}, one + "Value with 2 members at 'choice' failed to satisfy constraint: Exactly one member of the union must be set"},
		{"number", input{Name: good, Count: ptr(int32(-2))}, one + "Value '-2' at 'count' failed to satisfy constraint: Member must have value greater than or equal to -1"},
		{"blob", input{Name: good, Blob: []byte("secret bytes")}, one + "Value with 12 bytes at 'blob' failed to satisfy constraint: Member must have length less than or equal to 2"},
		{"refused member", input{Name: good, Later: []string{"ab"}}, "later is not available in Outcrop 1.2.3: it comes later"},
		{"refused member, empty", input{Name: good, Later: []string{}}, ""},
		{"refused text", input{Name: good, Never: ptr("x")}, "never is not available in Outcrop 1.2.3: it does not come"},
		{"refused text, empty", input{Name: good, Never: ptr("")}, ""},
		{"refused value", input{Name: good, Mode: ptr("B")}, "mode B is not available in Outcrop 1.2.3: only A is built"},
		{"a long value is cut", input{Name: ptr(strings.Repeat("x", 1000))}, one + "Value '" + strings.Repeat("x", 256) + "...' at 'name'"},
		{"a long key is cut", input{Name: good, Nested: map[string]namedItem{strings.Repeat("k", 1000): {}}}, "2 validation errors detected: Value null at 'nested." + strings.Repeat("k", 256) + "....name'"},
	}
	op := &schema.Operation{Name: "Do", Input: inputShape}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := Check(testService(schema.RestJSON), op, &c.in, "1.2.3")
			if err == nil || c.want == "" {
				if err != nil || c.want != "" {
					t.Fatalf("got %v, want %q", err, c.want)
				}
				return
			}
			f := fault.From(err)
			if f.Code != "ValidationException" || f.Status != 400 || f.Reason != fault.ReasonFieldValidation || len(f.Fields) == 0 || len(f.Fields) > mostReported {
				t.Errorf("%+v", f)
			}
			if f.Message != c.want && !strings.HasPrefix(f.Message, c.want) {
				t.Errorf("got\n%s\nwant\n%s", f.Message, c.want)
			}
			if len(f.Message) > 20_000 {
				t.Errorf("the text has %d bytes", len(f.Message))
			}
		})
	}
}

// TestFamilies gives the refusal the name of each protocol family.
func TestFamilies(t *testing.T) {
	op := &schema.Operation{Name: "Do", Input: inputShape}
	for p, code := range map[schema.Protocol]string{schema.RestJSON: "ValidationException", schema.Query: "ValidationError", schema.RestXML: "InvalidArgument"} {
		f := fault.From(Check(testService(p), op, &input{}, "1"))
		if f.Code != code || (len(f.Fields) > 0) != (p == schema.RestJSON) {
			t.Errorf("%v: %+v", p, f)
		}
	}
	if err := Check(testService(schema.RestJSON), &schema.Operation{Input: -1}, nil, "1"); err != nil {
		t.Error(err)
	}
}
