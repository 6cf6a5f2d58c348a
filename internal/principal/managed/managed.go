// Package managed holds the managed policies that exist in every account under
// AWS's names, because programs and documents of the ecosystem attach them by those
// names. Their documents are our own words: they allow what AWS describes, as far as
// there is something here that it could be asked of.
package managed

import (
	"crypto/sha256"
	"embed"
	"encoding/base32"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"
)

// Administrator allows everything.
const Administrator = prefix + "AdministratorAccess"

const prefix = "arn:aws:iam::aws:policy/"

// Since is when all of these policies were made, as far as anybody asks.
var Since = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// Policy is one managed policy.
type Policy struct {
	ARN, Description string
	// Document is its one version.
	Document string
}

// ID is the unique id of a policy, the same always.
func (p Policy) ID() string {
	sum := sha256.Sum256([]byte("outcrop managed policy id 1 " + p.ARN))
	return "ANPA" + base32.StdEncoding.EncodeToString(sum[:])[:17]
}

//go:embed policies.json
var files embed.FS

var all = sync.OnceValue(func() []Policy {
	raw, err := files.ReadFile("policies.json")
	if err != nil {
		panic(err) // it is part of the program
	}
	var list []struct {
		Name, Description string
		Statement         json.RawMessage
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		panic(err)
	}
	out := make([]Policy, len(list))
	for i, p := range list {
		out[i] = Policy{prefix + p.Name, p.Description, `{"Version":"2012-10-17","Statement":` + string(p.Statement) + `}`}
	}
	slices.SortFunc(out, func(a, b Policy) int { return strings.Compare(a.ARN, b.ARN) })
	return out
})

// All returns all policies, by ARN. Nobody changes what it returns.
func All() []Policy { return all() }

// Find returns the policy with an ARN.
func Find(arn string) (Policy, bool) {
	i, found := slices.BinarySearchFunc(all(), arn, func(p Policy, arn string) int { return strings.Compare(p.ARN, arn) })
	if !found {
		return Policy{}, false
	}
	return all()[i], true
}
