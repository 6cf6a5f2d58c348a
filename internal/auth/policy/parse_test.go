package policy_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/auth/policy"
)

var update = flag.Bool("update", false, "write the golden files")

// A grammarCase is a document and the kind it is read as.
type grammarCase struct {
	name string
	kind policy.Kind
	text string
}

// in puts a statement into a document of today's version.
func in(statement string) string {
	return `{"Version":"2012-10-17","Statement":[{` + statement + `}]}`
}

const (
	good  = `"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"`
	open  = `"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"`
	trust = `"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"sts:AssumeRole"`
)

func condition(c string) string { return in(good + `,"Condition":` + c) }

func principal(p string) string { return in(strings.Replace(open, `"*"`, p, 1)) }

func with(statement, from, to string) string { return in(strings.Replace(statement, from, to, 1)) }

var accepted = []grammarCase{
	{"plain", policy.Identity, in(good)},
	{"one statement without list", policy.Identity, `{"Version":"2012-10-17","Statement":{` + good + `}}`},
	{"no version", policy.Identity, `{"Statement":{` + good + `}}`},
	{"2008", policy.Identity, `{"Version":"2008-10-17","Statement":{` + good + `}}`},
	{"any order, Id", policy.Resource, `{"Statement":{"Resource":"*","Principal":"*","Action":"*","Effect":"Deny","Sid":"any characters: ä"},"Id":"x y","Version":"2012-10-17"}`},
	{"two empty Sids", policy.Identity, `{"Statement":[{"Sid":"",` + good + `},{"Sid":"",` + good + `}]}`},
	{"lists", policy.Identity, in(`"Sid":"A1","Effect":"Deny","NotAction":["s3:*","*","iam:Pass?ole","*:*"],"NotResource":["*","arn:aws:s3:::b"]`)},
	{"whole session ARNs", policy.Session, in(good)},
	{"incomplete ARN", policy.Identity, with(good, "arn:aws:s3:::b/*", "arn:aws:s3")},
	{"other partitions", policy.Identity, in(`"Effect":"Allow","Action":"*","Resource":["arn:aws-cn:s3:::b","arn:aws-us-gov:s3:::b","arn:*:s3:::b"]`)},
	{"variables in a resource", policy.Identity, with(good, "b/*", "b/${aws:username}/${aws:PrincipalTag/a:b, 'x y'}${*}")},
	{"what would be a variable, in 2008", policy.Identity, `{"Statement":{` + strings.Replace(good, "b/*", "b/${", 1) + `}}`},
	{"every operator", policy.Identity, condition(everyOperator())},
	{"scalars without quotation marks", policy.Identity, condition(`{"NumericLessThan":{"s3:max-keys":[10,1.5]},"Bool":{"aws:SecureTransport":true},"StringEquals":{"k:x":12}}`)},
	{"tag keys with colons and slashes", policy.Identity, condition(`{"StringEquals":{"aws:PrincipalTag/a:b/c":"x"}}`)},
	{"operators have no case", policy.Identity, condition(`{"stringEquals":{"k:x":"a"},"foranyvalue:STRINGLIKEifexists":{"k:x":"a"}}`)},
	{"nothing to compare with", policy.Identity, condition(`{"StringEquals":{"k:x":[]}}`)},
	{"principals", policy.Resource, principal(`{"AWS":["*","123456789012","arn:aws:iam::123456789012:root","arn:aws:iam::123456789012:user/a/b","arn:aws:iam::123456789012:role/r","arn:aws:sts::123456789012:assumed-role/r/s@x","arn:aws:sts::123456789012:federated-user/f","AIDAJQABLZS4A3QDU576Q"],"Service":["lambda.amazonaws.com","delivery.logs.amazonaws.com"],"Federated":["accounts.google.com","arn:aws:iam::123456789012:saml-provider/p","arn:aws:iam::123456789012:oidc-provider/a.example/b"],"CanonicalUser":"79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"}`)},
	{"all but one", policy.Resource, with(open, `"Effect":"Allow","Principal":"*"`, `"Effect":"Deny","NotPrincipal":{"AWS":"123456789012"}`)},
	{"trust", policy.Trust, in(trust)},
	{"trust with tags", policy.Trust, with(trust, `"sts:AssumeRole"`, `["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]`)},
	{"trust of a provider", policy.Trust, in(`"Effect":"Allow","Principal":{"Federated":"cognito-identity.amazonaws.com"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"cognito-identity.amazonaws.com:aud":"us-east-1:1"},"ForAnyValue:StringLike":{"cognito-identity.amazonaws.com:amr":"authenticated"}}`)},
}

// everyOperator uses each operator in each of its forms.
func everyOperator() string {
	values := map[string]string{"Numeric": "1", "Date": "2026-01-31", "Bool": "true", "Binary": "QQ==", "Ip": "10.0.0.0/8", "NotIp": "10.0.0.1", "Arn": "arn:aws:s3:::b"}
	names := strings.Fields("StringEquals StringNotEquals StringEqualsIgnoreCase StringNotEqualsIgnoreCase StringLike StringNotLike Bool BinaryEquals IpAddress NotIpAddress ArnEquals ArnLike ArnNotEquals ArnNotLike")
	for _, family := range []string{"Numeric", "Date"} {
		for order := range strings.FieldsSeq("Equals NotEquals LessThan LessThanEquals GreaterThan GreaterThanEquals") {
			names = append(names, family+order)
		}
	}
	list := []string{`"Null":{"k:x":"true"}`}
	for _, name := range names {
		value := "a"
		for prefix, v := range values {
			if strings.HasPrefix(name, prefix) {
				value = v
			}
		}
		for _, set := range []string{"", "ForAllValues:", "ForAnyValue:"} {
			for _, suffix := range []string{"", "IfExists"} {
				list = append(list, fmt.Sprintf("%q:{%q:%q}", set+name+suffix, "k:x", value))
			}
		}
	}
	return "{" + strings.Join(list, ",") + "}"
}

func TestAccepted(t *testing.T) {
	for _, c := range accepted {
		d, err := policy.Parse([]byte(c.text), c.kind)
		if err != nil {
			t.Errorf("%s: %v\n%s", c.name, err, c.text)
			continue
		}
		if d.Kind != c.kind || len(d.Statements) == 0 {
			t.Errorf("%s: read as %+v", c.name, d)
		}
	}
}

// refused are documents that IAM would not store; their errors are golden.
var refused = []grammarCase{
	{"nothing", policy.Identity, ``},
	{"not JSON", policy.Identity, `{"Version":`},
	{"a comma too many", policy.Identity, `{"Version":"2012-10-17",}`},
	{"not UTF-8", policy.Identity, "{\"Id\":\"\xff\"}"},
	{"two documents", policy.Identity, in(good) + in(good)},
	{"a list", policy.Identity, `[]`},
	{"null", policy.Identity, `null`},
	{"too deep", policy.Identity, condition(`{"StringEquals":{"k:x":[[[["a"]]]]}}`)},
	{"no statement", policy.Identity, `{"Version":"2012-10-17"}`},
	{"no statements", policy.Identity, `{"Version":"2012-10-17","Statement":[]}`},
	{"statement null", policy.Identity, `{"Version":"2012-10-17","Statement":null}`},
	{"empty statement", policy.Identity, in(``)},
	{"unknown version", policy.Identity, `{"Version":"2012-10-18","Statement":{` + good + `}}`},
	{"version as number", policy.Identity, `{"Version":2012,"Statement":{` + good + `}}`},
	{"Id as number", policy.Resource, `{"Id":1,"Statement":{` + open + `}}`},
	{"unknown element", policy.Identity, `{"Statement":{` + good + `},"Comment":"x"}`},
	{"elements have case", policy.Identity, `{"statement":{` + good + `}}`},
	{"Statement twice", policy.Identity, `{"Statement":{` + good + `},"Statement":{` + good + `}}`},
	{"Effect twice", policy.Identity, in(`"Effect":"Deny",` + good)},
	{"unknown element of a statement", policy.Identity, in(good + `,"Conditions":{}`)},
	{"no effect", policy.Identity, with(good, `"Effect":"Allow",`, ``)},
	{"effect has case", policy.Identity, with(good, `Allow`, `allow`)},
	{"effect as list", policy.Identity, with(good, `"Allow"`, `["Allow"]`)},
	{"no action", policy.Identity, with(good, `"Action":"s3:GetObject",`, ``)},
	{"no actions", policy.Identity, with(good, `"s3:GetObject"`, `[]`)},
	{"Action and NotAction", policy.Identity, in(good + `,"NotAction":"s3:*"`)},
	{"action without vendor", policy.Identity, with(good, `s3:GetObject`, `GetObject`)},
	{"action with two colons", policy.Identity, with(good, `s3:GetObject`, `s3:Get:Object`)},
	{"vendor with wildcard", policy.Identity, with(good, `s3:GetObject`, `s*:GetObject`)},
	{"action without name", policy.Identity, with(good, `s3:GetObject`, `s3:`)},
	{"action with blank", policy.Identity, with(good, `s3:GetObject`, `s3:Get Object`)},
	{"variable in an action", policy.Identity, with(good, `s3:GetObject`, `s3:${aws:username}`)},
	{"action as number", policy.Identity, with(good, `"s3:GetObject"`, `1`)},
	{"action null", policy.Identity, with(good, `"s3:GetObject"`, `["s3:GetObject",null]`)},
	{"no resource", policy.Identity, with(good, `,"Resource":"arn:aws:s3:::b/*"`, ``)},
	{"no resources", policy.Identity, with(good, `"arn:aws:s3:::b/*"`, `[]`)},
	{"Resource and NotResource", policy.Identity, in(good + `,"NotResource":"*"`)},
	{"resource not an ARN", policy.Identity, with(good, `arn:aws:s3:::b/*`, `b/*`)},
	{"resource a wildcard and more", policy.Identity, with(good, `arn:aws:s3:::b/*`, `**`)},
	{"resource of no partition", policy.Identity, with(good, `arn:aws:s3:::b/*`, `arn::s3:::b/*`)},
	{"resource of some partitions", policy.Identity, with(good, `arn:aws:s3:::b/*`, `arn:aws*:s3:::b/*`)},
	{"resource of another cloud", policy.Identity, with(good, `arn:aws:s3:::b/*`, `arn:gcp:s3:::b/*`)},
	{"resource of any service", policy.Identity, with(good, `arn:aws:s3:::b/*`, `arn:aws:*:::b/*`)},
	{"resource without service", policy.Identity, with(good, `arn:aws:s3:::b/*`, `arn:aws`)},
	{"incomplete ARN in a session policy", policy.Session, with(good, `arn:aws:s3:::b/*`, `arn:aws:s3`)},
	{"incomplete ARN in a resource's policy", policy.Resource, with(open, `arn:aws:s3:::b/*`, `arn:aws:s3:*`)},
	{"variable before the fifth colon", policy.Identity, with(good, `arn:aws:s3:::b/*`, `arn:aws:sqs:${aws:RequestedRegion}:123456789012:q`)},
	{"variable without end", policy.Identity, with(good, `b/*`, `b/${aws:username`)},
	{"variable without name", policy.Identity, with(good, `b/*`, `b/${}`)},
	{"variable with a blank", policy.Identity, with(good, `b/*`, `b/${aws: username}`)},
	{"default without quotes", policy.Identity, with(good, `b/*`, `b/${aws:username, x}`)},
	{"default without end", policy.Identity, with(good, `b/*`, `b/${aws:username, 'x}`)},
	{"Sid with a blank", policy.Identity, in(`"Sid":"a b",` + good)},
	{"Sid as number", policy.Identity, in(`"Sid":1,` + good)},
	{"Sid twice", policy.Identity, `{"Statement":[{"Sid":"a",` + good + `},{"Sid":"a",` + good + `}]}`},
	{"principal in an identity policy", policy.Identity, in(open)},
	{"principal in a session policy", policy.Session, in(open)},
	{"no principal in a resource policy", policy.Resource, in(good)},
	{"Principal and NotPrincipal", policy.Resource, in(`"NotPrincipal":"*",` + open)},
	{"NotPrincipal with Allow", policy.Resource, with(open, `"Principal"`, `"NotPrincipal"`)},
	{"principal a name", policy.Resource, principal(`"bob"`)},
	{"principal a list", policy.Resource, principal(`["*"]`)},
	{"principal nobody", policy.Resource, principal(`{}`)},
	{"principal empty list", policy.Resource, principal(`{"AWS":[]}`)},
	{"principal of unknown type", policy.Resource, principal(`{"User":"bob"}`)},
	{"principal with wildcard", policy.Resource, principal(`{"AWS":"arn:aws:iam::123456789012:role/*"}`)},
	{"principal a group", policy.Resource, principal(`{"AWS":"arn:aws:iam::123456789012:group/g"}`)},
	{"principal a session without name", policy.Resource, principal(`{"AWS":"arn:aws:sts::123456789012:assumed-role/r"}`)},
	{"principal a short account", policy.Resource, principal(`{"AWS":"12345678901"}`)},
	{"principal a resource", policy.Resource, principal(`{"AWS":"arn:aws:s3:::b"}`)},
	{"principal any service", policy.Resource, principal(`{"Service":"*"}`)},
	{"principal any provider", policy.Trust, with(trust, `{"AWS":"123456789012"}`, `{"Federated":"*"}`)},
	{"principal a provider of another kind", policy.Trust, with(trust, `{"AWS":"123456789012"}`, `{"Federated":"arn:aws:iam::123456789012:role/r"}`)},
	{"trust in a canonical user", policy.Trust, with(trust, `"AWS":"123456789012"`, `"CanonicalUser":"ab"`)},
	{"trust with a resource", policy.Trust, in(trust + `,"Resource":"*"`)},
	{"trust without principal", policy.Trust, with(trust, `"Principal":{"AWS":"123456789012"},`, ``)},
	{"trust with NotPrincipal", policy.Trust, with(trust, `"Effect":"Allow","Principal"`, `"Effect":"Deny","NotPrincipal"`)},
	{"trust of another action", policy.Trust, with(trust, `sts:AssumeRole`, `s3:GetObject`)},
	{"trust of every action", policy.Trust, with(trust, `sts:AssumeRole`, `*`)},
	{"condition a list", policy.Identity, condition(`[]`)},
	{"condition of an unknown operator", policy.Identity, condition(`{"StringIs":{"k:x":"a"}}`)},
	{"unknown operator without keys", policy.Identity, condition(`{"StringIs":{}}`)},
	{"unknown set operator", policy.Identity, condition(`{"ForEachValue:StringEquals":{"k:x":"a"}}`)},
	{"Null if exists", policy.Identity, condition(`{"NullIfExists":{"k:x":"true"}}`)},
	{"Null of all values", policy.Identity, condition(`{"ForAllValues:Null":{"k:x":"true"}}`)},
	{"operator without object", policy.Identity, condition(`{"StringEquals":"k:x"}`)},
	{"operator twice", policy.Identity, condition(`{"StringEquals":{"k:x":"a"},"StringEquals":{"k:y":"a"}}`)},
	{"key twice", policy.Identity, condition(`{"StringEquals":{"k:x":"a","K:X":"b"}}`)},
	{"key without vendor", policy.Identity, condition(`{"StringEquals":{"username":"a"}}`)},
	{"value null", policy.Identity, condition(`{"StringEquals":{"k:x":null}}`)},
	{"value an object", policy.Identity, condition(`{"StringEquals":{"k:x":{}}}`)},
	{"value no number", policy.Identity, condition(`{"NumericEquals":{"k:x":"ten"}}`)},
	{"value a number with exponent", policy.Identity, condition(`{"NumericEquals":{"k:x":1e3}}`)},
	{"variable in a number", policy.Identity, condition(`{"NumericEquals":{"k:x":"${k:y}"}}`)},
	{"value no date", policy.Identity, condition(`{"DateLessThan":{"k:x":"2026-02-30"}}`)},
	{"value no time", policy.Identity, condition(`{"DateLessThan":{"k:x":"2026-02-20T24:00Z"}}`)},
	{"value no boolean", policy.Identity, condition(`{"Bool":{"k:x":"yes"}}`)},
	{"value no null", policy.Identity, condition(`{"Null":{"k:x":"maybe"}}`)},
	{"value no base 64", policy.Identity, condition(`{"BinaryEquals":{"k:x":"%"}}`)},
	{"value no address", policy.Identity, condition(`{"IpAddress":{"k:x":"10.0.0"}}`)},
	{"value no range", policy.Identity, condition(`{"IpAddress":{"k:x":"10.0.0.0/33"}}`)},
	{"value a range across versions", policy.Identity, condition(`{"IpAddress":{"k:x":"::ffff:0:0/64"}}`)},
	{"value an address of a link", policy.Identity, condition(`{"IpAddress":{"k:x":"fe80::1%eth0"}}`)},
	{"value no month", policy.Identity, condition(`{"DateLessThan":{"k:x":"2026-13"}}`)},
	{"value no zone", policy.Identity, condition(`{"DateLessThan":{"k:x":"2026-02-20T12:00+1:00"}}`)},
	{"value a time of no day", policy.Identity, condition(`{"DateLessThan":{"k:x":"2026-02T12:00Z"}}`)},
	{"variable without end in a condition", policy.Identity, condition(`{"StringLike":{"k:x":"${k:y"}}`)},
	{"variable without end in an ARN", policy.Identity, condition(`{"ArnLike":{"k:x":"${k:y"}}`)},
	{"resources as numbers", policy.Identity, with(good, `"arn:aws:s3:::b/*"`, `[1]`)},
	{"principals as numbers", policy.Resource, principal(`{"AWS":[123456789012]}`)},
	{"value an ARN of something else", policy.Identity, condition(`{"ArnLike":{"aws:SourceArn":"urn:aws:s3:::b"}}`)},
	{"value no ARN", policy.Identity, condition(`{"ArnLike":{"aws:SourceArn":"arn:aws:s3"}}`)},
}

// TestRefused holds the error of every refused document against a golden file.
func TestRefused(t *testing.T) {
	var b strings.Builder
	for _, c := range refused {
		_, err := policy.Parse([]byte(c.text), c.kind)
		var bad *policy.Error
		if !errors.As(err, &bad) {
			t.Errorf("%s: %v; must be refused with an *Error\n%s", c.name, err, c.text)
			continue
		}
		fmt.Fprintf(&b, "%s\n\t%s\n", c.name, bad)
	}
	path := filepath.Join("testdata", "refused.golden")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the errors differ from %s (go test -update writes it):\n%s", path, b.String())
	}
}

func TestBounds(t *testing.T) {
	many := `{"Statement":[` + strings.Repeat("{"+good+"},", 1000) + "{" + good + "}]}"
	if _, err := policy.Parse([]byte(many), policy.Identity); err == nil {
		t.Error("1001 statements are read")
	}
	long := strings.Repeat(" ", 256<<10) + in(good)
	if _, err := policy.Parse([]byte(long), policy.Identity); err == nil {
		t.Error("a text longer than 256 KiB is read")
	}
	deep := strings.Repeat(`{"Statement":`, 9000) + "1" + strings.Repeat("}", 9000)
	if _, err := policy.Parse([]byte(deep), policy.Identity); err == nil {
		t.Error("9000 objects inside each other are read")
	}
}

// TestReads shows what a caller can see of a document.
func TestReads(t *testing.T) {
	d, err := policy.Parse([]byte(`{"Version":"2012-10-17","Id":"doc","Statement":[
		{"Sid":"one","Effect":"Deny","NotAction":"s3:*","NotResource":["arn:aws:s3:::b/${aws:PrincipalTag/Team}","*"],"NotPrincipal":{"Service":"lambda.amazonaws.com"},
		 "Condition":{"ForAnyValue:StringLike":{"aws:TagKeys":["a","${aws:UserName}"]},"Bool":{"aws:SecureTransport":false}}}]}`), policy.Resource)
	if err != nil {
		t.Fatal(err)
	}
	s := d.Statements[0]
	if d.ID != "doc" || d.Version != policy.Version2012 || s.Sid != "one" || !s.Deny || !s.NotAction || !s.NotResource || !s.NotPrincipal {
		t.Errorf("read as %+v", d)
	}
	if got := fmt.Sprintln(s.Actions, s.Resources, s.Principals[0].Type, s.Principals[0].Value, s.Conditions[0].Operator, s.Conditions[0].Key, s.Conditions[0].Values, s.Conditions[1].Values); got !=
		"[s3:*] [arn:aws:s3:::b/${aws:PrincipalTag/Team} *] Service lambda.amazonaws.com ForAnyValue:StringLike aws:TagKeys [a ${aws:UserName}] [false]\n" {
		t.Error(got)
	}
	if keys := d.ContextKeys(); !slices.Equal(keys, []string{"aws:principaltag/team", "aws:tagkeys", "aws:username", "aws:securetransport"}) {
		t.Errorf("asks for %q", keys)
	}
	if n := d.Named("arn:x"); n.Name != "arn:x" || d.Name != "" {
		t.Errorf("named %q, and the first is %q", n.Name, d.Name)
	}
}
