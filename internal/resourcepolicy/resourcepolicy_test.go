package resourcepolicy_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/resourcepolicy"
)

var update = flag.Bool("update", false, "write the golden files")

const arn = "arn:aws:bedrock-agentcore:us-west-2:111122223333:runtime/hello-AbCdEfGh12"

// policies are texts and what is wrong with them, if anything is.
func policies() []string {
	s := func(statement string) string { return `{"Version":"2012-10-17","Statement":[` + statement + `]}` }
	good := `"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::111122223333:role/a","444455556666"]},"Action":["bedrock-agentcore:InvokeAgentRuntime","bedrock-agentcore:GetAgentCard"],"Resource":"` + arn + `"`
	with := func(from, to string) string { return s("{" + strings.Replace(good, from, to, 1) + "}") }
	return []string{
		s("{" + good + "}"),
		`{"Version":"2012-10-17","Id":"one","Statement":{"Sid":"s",` + good + `,"Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1"},"Bool":{"aws:SecureTransport":true},"NumericLessThan":{"x":[1,2]}}}}`,
		with(`{"AWS":["arn:aws:iam::111122223333:role/a","444455556666"]}`, `"*"`),
		with("Allow", "Deny"),
		with(`"Action"`, `"NotAction"`),
		with(`"Principal"`, `"NotPrincipal"`),
		"", "null", "[]", `"text"`, "{", `{"Version":"2012-10-17"}`, s(""), s("null"), s("{}"), `{"Statement":[{` + good + `}]}`,
		with("Allow", "Maybe"),
		with(`"Resource":"`+arn+`"`, `"Resource":"*"`),
		with(`"Resource":"`+arn+`"`, `"Resource":["`+arn+`","`+arn+`/x"]`),
		with(`"Resource"`, `"NotResource"`),
		with(`"Effect":"Allow",`, ``),
		with(`"Effect":"Allow",`, `"Effect":"Deny","Effect":"Allow",`),
		with(`"Effect":"Allow",`, `"effect":"Deny","Effect":"Allow",`),
		with(`"Effect":"Allow",`, `"Effect":"Allow","Conditions":{},`),
		with(`"Effect":"Allow",`, `"Effect":"Allow","Condition":{"StringEquals":"x"},`),
		with(`"Principal":{"AWS":["arn:aws:iam::111122223333:role/a","444455556666"]},`, ``),
		with(`{"AWS":["arn:aws:iam::111122223333:role/a","444455556666"]}`, `{}`),
		with(`{"AWS":["arn:aws:iam::111122223333:role/a","444455556666"]}`, `"everybody"`),
		with(`{"AWS":["arn:aws:iam::111122223333:role/a","444455556666"]}`, `{"User":"x"}`),
		with(`"Principal"`, `"NotPrincipal":"*","Principal"`),
		with("bedrock-agentcore:GetAgentCard", "s3:GetObject"),
		with(`["bedrock-agentcore:InvokeAgentRuntime","bedrock-agentcore:GetAgentCard"]`, `[]`),
		with(`["bedrock-agentcore:InvokeAgentRuntime","bedrock-agentcore:GetAgentCard"]`, `{}`),
		s(strings.Repeat(" ", resourcepolicy.MaxBytes)),
	}
}

func TestParse(t *testing.T) {
	var b strings.Builder
	for _, text := range policies() {
		verdict := ""
		if p, err := resourcepolicy.Parse(text, arn, arn+"/other"); err != nil {
			verdict = fault.From(err).Message
			if !fault.Is(err, "ValidationException") {
				t.Errorf("%v", err)
			}
		} else {
			verdict = fmt.Sprintf("%d statements, deny %t", len(p.Statements), p.Statements[0].Deny)
		}
		if len(text) > 400 {
			text = fmt.Sprintf("(%d bytes)", len(text))
		}
		fmt.Fprintf(&b, "%s\n    %s\n", text, verdict)
	}
	path := filepath.Join("testdata", "policies.txt")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("%s differs (-update writes it); got:\n%s", path, b.String())
	}
}

// FuzzParse: no text makes it panic, and what it accepts says what it was held to.
func FuzzParse(f *testing.F) {
	for _, text := range policies() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := resourcepolicy.Parse(text, arn)
		if err != nil {
			if !fault.Is(err, "ValidationException") {
				t.Fatalf("%v", err)
			}
			return
		}
		if !json.Valid([]byte(text)) || len(p.Statements) == 0 {
			t.Fatalf("%q is accepted", text)
		}
		for _, s := range p.Statements {
			if !slices.Equal(s.Resources, []string{arn}) || len(s.Actions) == 0 || len(s.Principals) == 0 {
				t.Fatalf("%q is accepted as %+v", text, s)
			}
		}
		if c, err := resourcepolicy.Compile(text, arn+"/canonical"); err != nil || len(c.Statements) != len(p.Statements) || c.Statements[0].Resources[0] != arn+"/canonical" {
			t.Fatalf("%q is compiled to %+v, %v", text, c, err)
		}
	})
}
