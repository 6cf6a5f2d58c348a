// Package awshost reads the host names of AWS's endpoints: whether a name is one
// of AWS's, and which service, region and resource it says.
//
// It is a table of names. What is served, and what becomes of a name that is not,
// others decide.
package awshost

import (
	"regexp"
	"slices"
	"strings"
)

// suffixes are the domains that AWS's endpoints stand below.
var suffixes = [...]string{"amazonaws.com", "amazonaws.com.cn", "api.aws", "amazoncognito.com"}

// Suffixes returns the domains that AWS's endpoints stand below, without a dot
// before them.
func Suffixes() []string { return slices.Clone(suffixes[:]) }

// Name is what a host name says.
type Name struct {
	// Service is the name that signatures have for the service, where the table
	// knows it, and else the label that stands for one.
	Service string
	// Region is empty in names that have none.
	Region string
	// Prefix is what stands before the endpoint: the bucket of S3, the account of
	// a registry, a gateway's id.
	Prefix string
	// Registry is set for the names of image registries, which speak the protocol
	// of OCI's distribution and not their service's.
	Registry bool
}

// endpoint is how the names of a service begin, and whether a resource may stand
// before that.
type endpoint struct {
	labels   []string
	service  string
	prefixed bool
	registry bool
	// global is set where a name without a region is an endpoint.
	global bool
}

// endpoints are those whose name is not the service's signing name, whose names
// hold a resource, or that have one name for all regions. The longest that fits
// counts.
var endpoints = [...]endpoint{
	{labels: []string{"bedrock-agentcore"}, service: "bedrock-agentcore"},
	{labels: []string{"bedrock-agentcore-control"}, service: "bedrock-agentcore"},
	{labels: []string{"gateway", "bedrock-agentcore"}, service: "bedrock-agentcore", prefixed: true},
	{labels: []string{"s3"}, service: "s3", prefixed: true, global: true},
	{labels: []string{"sts"}, service: "sts", global: true},
	{labels: []string{"iam"}, service: "iam", global: true},
	{labels: []string{"api", "ecr"}, service: "ecr"},
	{labels: []string{"dkr", "ecr"}, service: "ecr", prefixed: true, registry: true},
	{labels: []string{"bedrock-runtime"}, service: "bedrock"},
	{labels: []string{"cognito-idp"}, service: "cognito-idp"},
	{labels: []string{"auth"}, service: "cognito-idp", prefixed: true}, // amazoncognito.com
	{labels: []string{"lambda"}, service: "lambda"},
	{labels: []string{"logs"}, service: "logs"},
	{labels: []string{"xray"}, service: "xray"},
	{labels: []string{"cloudtrail"}, service: "cloudtrail"},
	{labels: []string{"secretsmanager"}, service: "secretsmanager"},
	{labels: []string{"ssm"}, service: "ssm"},
	{labels: []string{"kms"}, service: "kms"},
	{labels: []string{"cloudformation"}, service: "cloudformation"},
	{labels: []string{"cloudcontrolapi"}, service: "cloudcontrolapi"},
	{labels: []string{"streaming-logs"}, service: "logs"},
	{labels: []string{"monitoring"}, service: "monitoring"},
}

// Is reports whether host, without a port, is a name below one of AWS's domains.
func Is(host string) bool {
	_, ok := below(host)
	return ok
}

// Parse reads host, without a port. It is false for what is not AWS's.
//
// The same endpoint has several names: with -fips behind its first label, with
// dualstack before the region, and below api.aws.
func Parse(host string) (Name, bool) {
	labels, ok := below(host)
	if !ok {
		return Name{}, false
	}
	last := labels[len(labels)-1]
	if region, old := strings.CutPrefix(last, "s3-"); old && region != "fips" {
		return Name{Service: "s3", Region: region, Prefix: strings.Join(labels[:len(labels)-1], ".")}, true
	}
	// A bucket may be called like a service and stand where a region would be, so
	// that names without a region are tried first.
	if n, found := find(labels, true); found {
		return n, true
	}
	rest := labels[:len(labels)-1]
	if len(rest) > 1 && rest[len(rest)-1] == "dualstack" {
		rest = rest[:len(rest)-1]
	}
	if n, found := find(rest, false); found {
		n.Region = last
		return n, true
	}
	if len(rest) > 0 && region.MatchString(last) {
		return Name{Service: plain(rest[len(rest)-1]), Region: last, Prefix: strings.Join(rest[:len(rest)-1], ".")}, true
	}
	return Name{Service: plain(last), Prefix: strings.Join(labels[:len(labels)-1], ".")}, true
}

// region is how AWS writes them: us-east-1, us-gov-west-1.
var region = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]+)+-\d{1,2}$`)

// IsRegion reports whether name looks like that of a region. AWS adds regions, so
// there is no list of them here.
func IsRegion(name string) bool { return region.MatchString(name) }

// find looks for the endpoint at the end of labels.
func find(labels []string, global bool) (Name, bool) {
	best := -1
	for i, e := range endpoints {
		at := len(labels) - len(e.labels)
		if at < 0 || at > 0 && !e.prefixed || global && !e.global || best >= 0 && len(endpoints[best].labels) >= len(e.labels) {
			continue
		}
		end := slices.Clone(labels[at:])
		end[len(end)-1] = plain(end[len(end)-1])
		end[0] = plain(end[0])
		if slices.Equal(end, e.labels) {
			best = i
		}
	}
	if best < 0 {
		return Name{}, false
	}
	e := endpoints[best]
	return Name{Service: e.service, Registry: e.registry, Prefix: strings.Join(labels[:len(labels)-len(e.labels)], ".")}, true
}

// plain takes the mark of the FIPS endpoints off.
func plain(label string) string { return strings.TrimSuffix(label, "-fips") }

// below returns the labels before AWS's domain.
func below(host string) ([]string, bool) {
	for _, s := range suffixes {
		if !endsIn(host, s) { // most hosts, of each request several times
			continue
		}
		clean, ok := Clean(host)
		name, found := strings.CutSuffix(clean, "."+s)
		return strings.Split(name, "."), ok && found
	}
	return nil, false
}

// endsIn reports whether a host may be below a domain, before it is read.
func endsIn(host, domain string) bool {
	host = strings.TrimSuffix(host, ".")
	return len(host) > len(domain) && strings.EqualFold(host[len(host)-len(domain):], domain)
}

// maxName is the longest name DNS has, in bytes.
const maxName = 253

// Clean returns a host name in lower case and without the dot at its end. It is
// false for what DNS would not take: other characters than letters, digits,
// hyphens and underscores, and labels that are empty or too long.
func Clean(host string) (string, bool) {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if len(host) > maxName {
		return "", false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || strings.IndexFunc(label, foreign) >= 0 {
			return "", false
		}
	}
	return host, true
}

func foreign(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_')
}

// Lines returns the names of the endpoints in a region for a hosts file, which
// knows no wildcards: those of the services for which served is true. account is
// that of the registry. Names of buckets and gateways are not among them.
func Lines(region, account string, served func(service string) bool) []string {
	var out []string
	for _, e := range endpoints {
		name := strings.Join(e.labels, ".") + "."
		switch {
		case !served(e.service) || e.prefixed && !e.registry && e.service != "s3":
			continue
		case e.registry:
			name = account + "." + name
		}
		if e.global {
			out = append(out, name+suffixes[0])
		}
		out = append(out, name+region+"."+domain(region))
	}
	return out
}

// Gateway is the name that AWS gives a gateway of a region.
func Gateway(id, region string) string {
	return id + ".gateway.bedrock-agentcore." + region + "." + domain(region)
}

// PoolDomain is the name that AWS gives a user pool of a region whose domain is prefix.
func PoolDomain(prefix, region string) string {
	return prefix + ".auth." + region + "." + suffixes[3]
}

// domain is where the endpoints of a region stand.
func domain(region string) string {
	if strings.HasPrefix(region, "cn-") {
		return suffixes[1]
	}
	return suffixes[0]
}
