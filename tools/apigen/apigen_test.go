package main

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestGoPattern matches texts with the translation of ECMAScript's patterns.
func TestGoPattern(t *testing.T) {
	cases := []struct {
		src      string
		same     bool // needs no translation
		not      []string
		yes, nay []string
	}{
		{src: `[a-z]+-[0-9]{10}`, same: true, yes: []string{"a-0123456789"}, nay: []string{"a-012345678", "-0123456789"}},
		{src: `arn:.+`, yes: []string{"arn:x y", "arn:\u0085"}, nay: []string{"arn:", "arn:a\nb", "arn:a\rb", "arn:a\u2028b"}},
		{src: `a\.b[.]c`, same: true, yes: []string{"a.b.c"}, nay: []string{"axb.c", "a.bxc"}},
		{src: `[\u0020-\u007E]*`, yes: []string{"", "a ~"}, nay: []string{"é", "\t"}},
		{src: `(?!memoryStrategyId$|actorId$)[a-z][A-Za-z]*`, not: []string{"memoryStrategyId", "actorId"}, yes: []string{"a", "actorIds"}, nay: []string{"A"}},
		{src: `[a-z]{1,2500}`, yes: []string{"a", strings.Repeat("a", 1000), strings.Repeat("a", 1001), strings.Repeat("a", 2500)}, nay: []string{"", strings.Repeat("a", 2501)}},
		{src: `x[ab]{0,1001}y`, yes: []string{"xy", "x" + strings.Repeat("b", 1001) + "y"}, nay: []string{"x" + strings.Repeat("b", 1002) + "y"}},
		{src: `s3://.{3,1500}`, yes: []string{"s3://abc", "s3://" + strings.Repeat("a", 1500)}, nay: []string{"s3://ab", "s3://" + strings.Repeat("a", 1501), "s3://a\nbc"}},
		{src: `[^.]{2,3}.{1,2}`, yes: []string{"ab."}, nay: []string{"a.b"}},
	}
	for _, c := range cases {
		form, not, err := goPattern(c.src)
		if err != nil || (form == "") != c.same || !reflect.DeepEqual(not, c.not) {
			t.Errorf("%s: %q %q %v", c.src, form, not, err)
			continue
		}
		if form == "" {
			form = c.src
		}
		re := regexp.MustCompile("^(?:" + form + ")$")
		for _, s := range c.yes {
			if !re.MatchString(s) {
				t.Errorf("%s (%s) does not match %.40q", c.src, form, s)
			}
		}
		for _, s := range c.nay {
			if re.MatchString(s) {
				t.Errorf("%s (%s) matches %.40q", c.src, form, s)
			}
		}
	}
}

// TestForeignPattern stops at what Go would read in another way or not at all.
func TestForeignPattern(t *testing.T) {
	for _, src := range []string{`[a-z&&[^x]]+`, `a(?=b)`, `(?!x)a`, `(?i)a`, `a++`, `(a)\1`, `a{2000,3000}`} {
		if form, _, err := goPattern(src); err == nil {
			t.Errorf("%s is translated to %q", src, form)
		}
	}
}

// TestLongPatternIsFast matches a long text in one way, so in time that grows
// with it and not with its square.
func TestLongPatternIsFast(t *testing.T) {
	form, _, err := goPattern(`.{0,4000}!`)
	if err != nil {
		t.Fatal(err)
	}
	re := regexp.MustCompile("^(?:" + form + ")$")
	least := func(s string) time.Duration {
		best := time.Hour
		for range 10 {
			start := time.Now()
			if re.MatchString(s) {
				t.Fatal("it matches")
			}
			best = min(best, time.Since(start))
		}
		return best
	}
	if short, long := least(strings.Repeat("a", 450)), least(strings.Repeat("a", 3600)); long > 40*short {
		t.Errorf("8 times the text takes %v instead of %v", long, short)
	}
}

// testGenerator knows one operation of each way to find its requirements.
func testGenerator() *generator {
	g := &generator{model: &model{Operations: map[string]*operation{}, Shapes: map[string]*shape{}}, overlay: service{
		Signing: "svc", Requires: map[string][]string{"Written": {"svc:Written {thingArn}", "iam:PassRole {roleArn} ?roleArn"}, "Open": {"none"}, "Handled": {"none: its handler asks"}, "Wrong": {"svc:Wrong"}},
	}, actions: map[string][]string{
		"GetThing":  {"arn:${Partition}:svc:${Region}:${Account}:thing/${ThingId}"},
		"GetPart":   {"arn:${Partition}:svc:${Region}:${Account}:thing/${ThingId}/part/${PartName}", "arn:${Partition}:svc:${Region}:aws:thing/${ThingId}"},
		"GetVault":  {"arn:${Partition}:svc:${Region}:${Account}:token-vault/${TokenVaultId}/x/${Name}"},
		"ListThing": {},
		"GetOther":  {"arn:${Partition}:svc:${Region}:${Account}:other/${OtherId}"},
	}}
	add := func(op, uri string, members ...string) {
		g.model.Operations[op] = &operation{Name: op, Input: &ref{Shape: op + "Request"}}
		g.model.Operations[op].HTTP.RequestURI = uri
		refs := map[string]*ref{}
		for _, m := range members {
			refs[m] = &ref{Shape: "String"}
		}
		g.model.Shapes[op+"Request"] = &shape{Type: "structure", Members: orderedRefs{Names: members, Refs: refs}}
	}
	add("GetThing", "/things/{thingIdentifier}", "thingIdentifier")
	add("GetPart", "/things/{thingId}/parts/{name}", "thingId", "partName")
	add("GetVault", "/vaults", "name")
	add("ListThing", "/things")
	add("GetOther", "/others", "unrelated")
	add("GetNew", "/newThings/{newThingId}", "newThingId")
	add("GetByARN", "/x/{resourceArn}", "resourceArn")
	add("Ping", "/ping")
	add("Written", "/written", "thingArn", "roleArn")
	add("Open", "/open")
	add("Handled", "/handled")
	add("Wrong", "/wrong")
	return g
}

// TestRequirements infers what operations ask for, and says where it did.
func TestRequirements(t *testing.T) {
	const account = "arn:aws:svc:{region}:{account}:"
	cases := map[string][]requirement{
		"GetThing":  {{action: "svc:GetThing", resource: account + "thing/{thingIdentifier}"}},
		"GetPart":   {{action: "svc:GetPart", resource: account + "thing/{thingId}/part/{partName}"}},
		"GetVault":  {{action: "svc:GetVault", resource: account + "token-vault/default/x/{name}"}},
		"ListThing": {{action: "svc:ListThing", resource: "*"}},
		"GetOther":  {{action: "svc:GetOther", resource: account + "other/*", inferred: true}},
		"GetNew":    {{action: "svc:GetNew", resource: account + "new-thing/{newThingId}", inferred: true}},
		"GetByARN":  {{action: "svc:GetByARN", resource: "{resourceArn}", inferred: true}},
		"Ping":      {{action: "svc:Ping", resource: "*", inferred: true}},
		"Written":   {{action: "svc:Written", resource: "{thingArn}"}, {action: "iam:PassRole", resource: "{roleArn}", when: []string{"roleArn"}}},
		"Open":      nil,
		"Handled":   nil,
	}
	g := testGenerator()
	for op, want := range cases {
		got, err := g.requirements(op)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v %v, want %+v", op, got, err, want)
		}
	}
	if got, err := g.requirements("Wrong"); err == nil {
		t.Errorf("half a requirement is taken as %+v", got)
	}
}

// TestUndecided stops at an operation that nobody has decided, and at a decision
// about one that is not there.
func TestUndecided(t *testing.T) {
	for served, want := range map[string]string{"A": "does not decide", "A B C": "which the model does not have", "A B": ""} {
		g := &generator{model: &model{Operations: map[string]*operation{"A": {}, "B": {}}, Shapes: map[string]*shape{}},
			overlay: service{Signing: "svc", Groups: []group{{Name: "G", Served: served}}}}
		err := g.prepare()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", served, err, want)
		}
	}
	if _, _, err := (service{Groups: []group{{Served: "A", Refused: map[string]string{"later": "A"}}}}).decided(); err == nil {
		t.Error("an operation is served and refused")
	}
	if _, _, err := (service{Groups: []group{{Served: "A"}, {Served: "A"}}}).decided(); err == nil {
		t.Error("an operation is served twice")
	}
}

// TestAgree: what AWS's tables do not have, or have on another resource, is refused, and
// so is a departure that is none any more.
func TestAgree(t *testing.T) {
	published := tables{
		"s3":  {"GetObject": {"arn:${Partition}:s3:::${BucketName}/${ObjectName}"}, "ListAllMyBuckets": {}},
		"sts": {"TagSession": {"arn:${Partition}:sts::${Account}:federated-user/${Name}"}},
		"iam": {"CreateUser": {"arn:${Partition}:iam::${Account}:user/${UserNameWithPath}"}},
	}
	for _, c := range []struct{ op, action, resource, wrong string }{
		{"GetObject", "s3:GetObject", "arn:aws:s3:::{Bucket}/{Key}", ""},
		{"GetObject", "s3:GetObject", "arn:aws:s3:::{Bucket}", "it is on"},
		{"GetObject", "s3:GetObject", "*", "it is on"},
		{"GetObject", "s3:GetObjekt", "*", "do not have it"},
		{"GetObject", "s4:GetObject", "*", "do not have it"},
		{"ListBuckets", "s3:ListAllMyBuckets", "*", ""},
		{"GetIt", "s3:GetObject", "{resourceArn}", ""},
		{"CreateUser", "iam:CreateUser", "arn:aws:iam::{account}:user{Path:/}{UserName}", ""},
		{"GetFederationToken", "sts:TagSession", "arn:aws:sts::{account}:federated-user/{Name}", "take it out"},
		{"GetFederationToken", "sts:TagSession", "*", ""},
		{"Ping", "outcrop:Ping", "*", ""},
	} {
		err := published.agree(c.op, requirement{action: c.action, resource: c.resource})
		if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s on %s: %v, want %q", c.action, c.resource, err, c.wrong)
		}
	}
}
