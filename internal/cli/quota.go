package cli

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// QuotaOptions say how much of a server one account may have. A quota that is not
// in Given is the server's default.
type QuotaOptions struct {
	Given map[string]int
	// Strict holds AWS's own limits where Outcrop's are wider.
	Strict bool
}

// The quotas, by what they bound.
const (
	QuotaRuntimes          = "runtimes"
	QuotaVersions          = "versions"
	QuotaEndpoints         = "endpoints"
	QuotaCapacityProviders = "capacity-providers"
	QuotaMutations         = "mutations"
	QuotaGets              = "gets"
	QuotaLists             = "lists"
)

// register adds the flags of quotas.
func (o *QuotaOptions) register(fs *pflag.FlagSet) {
	fs.Var((*quotas)(o), "quota", "`NAME=NUMBER` that one account may have in one region (may be repeated)")
	fs.BoolVar(&o.Strict, "strict", false, "hold AWS's own limits where Outcrop's are wider: sessions of 8 hours at most, images of ECR for arm64, execution roles that exist, and AWS's rates of calls")
}

// quotas is a flag that collects them.
type quotas QuotaOptions

func (q *quotas) String() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(q.Given)) {
		parts = append(parts, name+"="+strconv.Itoa(q.Given[name]))
	}
	return strings.Join(parts, ",")
}

// maxQuota is more than anybody has.
const maxQuota = 1_000_000

// Set reads NAME=NUMBER.
func (q *quotas) Set(text string) error {
	name, n, err := parseQuota(text)
	if err != nil {
		return err
	}
	if q.Given == nil {
		q.Given = map[string]int{}
	}
	q.Given[name] = n
	return nil
}

func (*quotas) Type() string { return "NAME=NUMBER" }

func parseQuota(text string) (string, int, error) {
	name, number, ok := strings.Cut(text, "=")
	least := 1
	switch name {
	case QuotaRuntimes, QuotaVersions, QuotaEndpoints, QuotaCapacityProviders:
	case QuotaMutations, QuotaGets, QuotaLists:
		least = 0
	default:
		return "", 0, fmt.Errorf("%q is no quota; there are runtimes, versions, endpoints, capacity-providers, mutations, gets and lists", name)
	}
	n, err := strconv.Atoi(number)
	if !ok || err != nil || n < least || n > maxQuota {
		return "", 0, fmt.Errorf("%q is no NAME=NUMBER with a number of %d to %d", text, least, maxQuota)
	}
	return name, n, nil
}
