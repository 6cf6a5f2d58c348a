package sigv4

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/fault"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestFamilies holds every name, status and text of the table.
func TestFamilies(t *testing.T) {
	var b strings.Builder
	for _, f := range []struct {
		name   string
		family Family
	}{{"json", JSON}, {"s3", S3}, {"query", Query}} {
		for k := Missing; k < kinds; k++ {
			for _, presigned := range []bool{false, true} {
				e := refuse(k, "<0>", "<1>", "<2>")
				e.presigned = presigned
				got := f.family.Fault(e)
				line := fmt.Sprintf("%-5s %2d %d %s: %s\n", f.name, k, got.Status, got.Code, got.Message)
				if presigned && strings.HasSuffix(b.String(), line) {
					continue
				}
				b.WriteString(line)
				if got.Code == "" || got.Message == "" || got.Status < 400 || got.Status >= 500 && k != TooMuchUnproven || strings.Contains(got.Message, "{") {
					t.Errorf("kind %d of %s is incomplete: %+v", k, f.name, got)
				}
			}
		}
	}
	const golden = "testdata/families.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the table differs from %s; -update rewrites it:\n%s", golden, b.String())
	}
}

func TestFault(t *testing.T) {
	denied := fault.Denied("no")
	if f := S3.Fault(denied); f.Code != "AccessDenied" || f.Message != "no" || denied.Code != "AccessDeniedException" {
		t.Errorf("S3 says %v", f)
	}
	if f := JSON.Fault(denied); f != denied {
		t.Errorf("JSON says %v", f)
	}
	cause := errors.New("the cause")
	if f := Query.Fault(cause); f.Status != 500 || !errors.Is(f, cause) || strings.Contains(f.Message, "cause") {
		t.Errorf("an error without words became %v", f)
	}
	wrapped := fmt.Errorf("call: %w", refuse(Mismatch).because(cause))
	if f := fault.From(wrapped); f.Code != "InvalidSignatureException" {
		t.Errorf("a refusal left alone became %v", f)
	}
	if f := S3.Fault(wrapped); f.Code != "SignatureDoesNotMatch" || !errors.Is(f, cause) {
		t.Errorf("a wrapped refusal became %v", f)
	}
	if !strings.Contains(wrapped.Error(), "the cause") {
		t.Errorf("the log lacks the cause: %v", wrapped)
	}
}

func TestMembersAreS3s(t *testing.T) {
	e := refuse(UnknownKey).with("AWSAccessKeyId", "AKIA")
	if m := S3.Fault(e).Members; m["AWSAccessKeyId"] != "AKIA" {
		t.Errorf("S3's members are %v", m)
	}
	if m := JSON.Fault(e).Members; m != nil {
		t.Errorf("JSON's members are %v", m)
	}
}

func TestFamilyOf(t *testing.T) {
	for service, want := range map[string]Family{"s3": S3, "sts": Query, "iam": Query, "bedrock-agentcore": JSON, "outcrop": JSON, "": JSON} {
		if got := FamilyOf(service); got != want {
			t.Errorf("%q is of family %d, want %d", service, got, want)
		}
	}
}

func TestKeyNeverPrints(t *testing.T) {
	k := Key{Secret: "hush"}
	k.Principal.ID = "AKIA"
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d"} {
		if got := fmt.Sprintf(verb, k) + fmt.Sprintf(verb, &k) + fmt.Sprintf(verb, struct{ K Key }{k}); strings.Contains(got, "hush") {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}
