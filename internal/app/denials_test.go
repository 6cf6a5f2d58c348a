package app

import (
	"fmt"
	"slices"
	"testing"

	"github.com/outcrop/outcrop/internal/auth"
)

// TestDenials: a session's log has each action once, and no other session's.
func TestDenials(t *testing.T) {
	const one, two = "arn:aws:sts::1:assumed-role/r/one", "arn:aws:sts::1:assumed-role/r/two"
	var d denials
	var got []string
	forget := d.watch(one, func(text string) { got = append(got, text) })
	deny := func(arn string, kind auth.Kind, action string) {
		d.denied(auth.Principal{ARN: arn, Kind: kind}, auth.Decision{Requirement: auth.Requirement{Action: action, Resource: "*"}})
	}
	deny(one, auth.AssumedRole, "s3:GetObject")
	deny(one, auth.AssumedRole, "s3:GetObject")
	deny(two, auth.AssumedRole, "s3:PutObject")
	deny(one, auth.User, "s3:PutObject")
	want := []string{"the execution role was denied s3:GetObject on *: it does not exist, and is allowed nothing until it does (docs/iam.md)"}
	if !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	for i := range 2 * maxDenials {
		deny(one, auth.AssumedRole, fmt.Sprint("s3:", i))
	}
	if len(got) != maxDenials {
		t.Errorf("told of %d, want %d", len(got), maxDenials)
	}
	got = nil
	next := d.watch(one, func(text string) { got = append(got, text) })
	forget() // the session before leaves late
	deny(one, auth.AssumedRole, "s3:GetObject")
	if len(got) != 1 {
		t.Errorf("the next session was told %q", got)
	}
	next()
	deny(one, auth.AssumedRole, "s3:PutObject")
	if len(got) != 1 || len(d.watchers) != 0 {
		t.Errorf("told %q after its end; %d are left", got, len(d.watchers))
	}
}
