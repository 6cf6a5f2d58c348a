// Package pin keeps a stored policy to the users and roles that it was written for.
//
// A policy names them by ARN, and who deletes a role and makes another by its name is
// not to have what the first was given. So the policy's owner stores the unique ids of
// those who are named beside the text, as it was written, and evaluation goes by the
// ids (policy.Document.Pinned). Whoever reads the policy sees ARNs for as long as there
// is somebody behind them, and then the ids (IAM guide, "Principal", IAM role
// principals).
//
// Accounts, services, federated users and everybody cannot be made again, and are not
// pinned; nor are the ARNs of another account, of which there are no users here.
package pin

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/outcrop/outcrop/internal/auth/policy"
)

// Directory knows the users and roles that there are.
type Directory interface {
	// UniqueID returns the unique id of the user or role that a principal of a policy
	// names by its ARN or unique id; of a session, its role's. It is empty for one that
	// is not there, and known is false for one of another account.
	UniqueID(ctx context.Context, principal string) (id string, known bool, err error)
	// ARN returns that of the user or role with a unique id, empty for one that is gone.
	ARN(ctx context.Context, id string) (string, error)
}

// Pins are the unique ids of those whom a policy names by ARN, by these ARNs. An empty
// one is of somebody who was not there when a version that pins first saw the policy
// (see Upgrade).
type Pins map[string]string

// UnknownError says that a policy names somebody who is not there.
type UnknownError struct {
	// Principal is the ARN or unique id, as the policy has it.
	Principal string
}

func (e *UnknownError) Error() string {
	return `the account has no user or role "` + e.Principal + `"; make it before the policy that names it`
}

// Take pins the principals of a policy that is to be stored. An *UnknownError refuses
// it. Without a directory nobody is pinned.
func Take(ctx context.Context, d Directory, doc *policy.Document) (Pins, error) {
	pins, unknown, err := take(ctx, d, doc, nil)
	if err == nil && len(unknown) > 0 {
		err = &UnknownError{unknown[0]}
	}
	if err != nil {
		return nil, err
	}
	return pins, nil
}

// take pins whom old does not, and returns all pins, or nil for none, and who is not
// there.
func take(ctx context.Context, d Directory, doc *policy.Document, old Pins) (pins Pins, unknown []string, err error) {
	if d == nil {
		return old, nil, nil
	}
	pins = Pins{}
	for i := range doc.Statements {
		for _, n := range doc.Statements[i].Principals {
			if _, done := pins[n.Value]; done || !n.Entity() || slices.Contains(unknown, n.Value) {
				continue
			}
			if id, done := old[n.Value]; done {
				pins[n.Value] = id
				continue
			}
			id, known, err := d.UniqueID(ctx, n.Value)
			switch {
			case err != nil:
				return nil, nil, err
			case !known:
			case id == "":
				unknown = append(unknown, n.Value)
			case id != n.Value:
				pins[n.Value] = id
			}
		}
	}
	if len(pins) == 0 {
		pins = nil
	}
	return pins, unknown, nil
}

// Text is a stored policy as whoever reads it sees it: as it was written, but for users
// who have another ARN by now, and for those who are gone, who are named by unique id.
func (p Pins) Text(ctx context.Context, d Directory, text string) (string, error) {
	shown := map[string]string{}
	for written, id := range p {
		if id == "" || d == nil {
			continue
		}
		now, err := d.ARN(ctx, id)
		if err != nil {
			return "", err
		}
		// The ARN of a session has its own form, and roles keep their names.
		_, session, _ := strings.Cut(written, ":assumed-role/")
		_, session, ofSession := strings.Cut(session, "/")
		switch {
		case now == "" && ofSession:
			shown[written] = id + ":" + session
		case now == "":
			shown[written] = id
		case now != written && !ofSession:
			shown[written] = now
		}
	}
	if len(shown) == 0 {
		return text, nil
	}
	return rewrite(text, shown), nil
}

// rewrite replaces principals in the text of a policy, and leaves everything else of it
// as it is: conditions may name the same ARNs, and mean whoever has them.
func rewrite(text string, shown map[string]string) string {
	var out strings.Builder
	rest := 0 // where what is not written yet begins
	d := jsontext.NewDecoder(strings.NewReader(text))
	for {
		token, err := d.ReadToken()
		if err != nil { // the end: it was a policy when it was stored
			out.WriteString(text[rest:])
			return out.String()
		}
		if token.Kind() != '"' {
			continue
		}
		to, ok := shown[token.String()]
		if !ok || !ofPrincipal(string(d.StackPointer())) {
			continue
		}
		end := int(d.InputOffset()) - 1
		start := strings.LastIndexByte(text[:end], '"') + 1 // no ARN has a quotation mark
		out.WriteString(text[rest:start])
		out.WriteString(to)
		rest = end
	}
}

// ofPrincipal reports whether a JSON pointer is to a value of a statement's Principal:
// /Statement/0/Principal/AWS/1, of which the numbers may be missing.
func ofPrincipal(pointer string) bool {
	part := strings.Split(pointer, "/")[1:]
	number := func(i int) bool {
		if i >= len(part) {
			return false
		}
		_, err := strconv.Atoi(part[i])
		return err == nil
	}
	if number(1) {
		part = slices.Delete(part, 1, 2)
	}
	if number(3) {
		part = part[:3]
	}
	return len(part) == 3 && part[0] == "Statement" && (part[1] == "Principal" || part[1] == "NotPrincipal") && part[2] == "AWS"
}
