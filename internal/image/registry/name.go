package registry

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"regexp"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/store"
)

// Name says which repository.
type Name struct {
	store.Scope
	// Repository is its name within the account and region: "team/agent".
	Repository string
}

// String is the name that ECR gives the repository.
func (n Name) String() string { return Host(n.Scope) + "/" + n.Repository }

// ARN is that of the repository.
func (n Name) ARN() string {
	return "arn:aws:ecr:" + n.Region + ":" + n.Account + ":repository/" + n.Repository
}

// Host is the name of the registry of an account and region.
func Host(s store.Scope) string { return s.Account + ".dkr.ecr." + s.Region + ".amazonaws.com" }

var (
	host       = regexp.MustCompile(`^([0-9]{12})\.dkr\.ecr(?:-fips)?\.([a-z][a-z0-9-]{1,31})\.amazonaws\.com(?:\.cn)?$`)
	repository = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
	tag        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

// ParseHost reads the name of a registry of ECR.
func ParseHost(name string) (store.Scope, bool) {
	m := host.FindStringSubmatch(name)
	if m == nil {
		return store.Scope{}, false
	}
	return store.Scope{Account: m[1], Region: m[2]}, true
}

// ValidRepository reports whether a repository can have the name.
func ValidRepository(name string) bool {
	return len(name) >= 2 && len(name) <= 256 && repository.MatchString(name)
}

// ValidTag reports whether an image can have the tag.
func ValidTag(text string) bool { return tag.MatchString(text) }

// Digest is the digest of a blob or manifest: "sha256:" and 64 hexadecimal digits
// in lower case, or "sha512:" and 128.
type Digest string

// algorithm is one by which digests are kept.
type algorithm struct {
	prefix string
	size   int // of a digest, in bytes
	make   func() hash.Hash
}

// algorithms are listed by the byte that stands for them in row keys; 0 is none.
func algorithms() [3]algorithm {
	return [...]algorithm{{}, {"sha256:", sha256.Size, sha256.New}, {"sha512:", sha512.Size, sha512.New}}
}

// The bytes of the algorithms.
const (
	sha2Short = 1
	sha2Long  = 2
)

// kind is the byte of a digest's algorithm; that of no digest is SHA-256.
func (d Digest) kind() byte {
	if strings.HasPrefix(string(d), "sha512:") {
		return sha2Long
	}
	return sha2Short
}

// ParseDigest reads a digest.
func ParseDigest(text string) (Digest, error) {
	a := algorithms()[Digest(text).kind()]
	tail, ok := strings.CutPrefix(text, a.prefix)
	if !ok || len(tail) != 2*a.size || strings.Trim(tail, "0123456789abcdef") != "" {
		return "", invalidDigest(text)
	}
	return Digest(text), nil
}

// key is the digest in row keys.
func (d Digest) key() []byte {
	_, tail, _ := strings.Cut(string(d), ":")
	raw, err := hex.DecodeString(tail)
	if err != nil {
		return nil // made by ParseDigest or digestOf, it cannot be
	}
	return append([]byte{d.kind()}, raw...)
}

// digestOfKey reads what key wrote.
func digestOfKey(key []byte) Digest {
	known := algorithms()
	if len(key) == 0 || key[0] == 0 || int(key[0]) >= len(known) {
		return ""
	}
	return Digest(known[key[0]].prefix + hex.EncodeToString(key[1:]))
}

// digestOf is the digest of bytes, by the algorithm of another digest.
func digestOf(raw []byte, like Digest) Digest {
	h := like.hash()
	h.Write(raw)
	return like.of(h)
}

// hash computes digests of the same algorithm; of reads the result.
func (d Digest) hash() hash.Hash { return algorithms()[d.kind()].make() }

func (d Digest) of(h hash.Hash) Digest {
	return Digest(algorithms()[d.kind()].prefix + hex.EncodeToString(h.Sum(nil)))
}

// ImageID names an image by digest, by tag, or by a tag that must have the digest.
type ImageID struct {
	Digest Digest
	Tag    string
}

// ParseReference reads what stands for an image behind a repository's name: a
// digest where it has a colon, or else a tag.
func ParseReference(text string) (ImageID, error) {
	if strings.Contains(text, ":") {
		d, err := ParseDigest(text)
		return ImageID{Digest: d}, err
	}
	if !ValidTag(text) {
		return ImageID{}, invalidTag(text)
	}
	return ImageID{Tag: text}, nil
}

// String is how ECR writes an image in its refusals.
func (i ImageID) String() string {
	null := func(s string) string {
		if s == "" {
			return "null"
		}
		return s
	}
	return fmt.Sprintf("{imageDigest:'%s', imageTag:'%s'}", null(string(i.Digest)), null(i.Tag))
}

// Mutability says whether tags can be moved to other images.
type Mutability string

// The mutabilities of ECR. Those with exclusions treat the tags that a filter
// matches the other way.
const (
	Mutable                Mutability = "MUTABLE"
	Immutable              Mutability = "IMMUTABLE"
	MutableWithExclusion   Mutability = "MUTABLE_WITH_EXCLUSION"
	ImmutableWithExclusion Mutability = "IMMUTABLE_WITH_EXCLUSION"
)

// moves reports whether a tag may be moved.
func (m Mutability) moves(filters []string, tag string) bool {
	excluded := slices.ContainsFunc(filters, func(f string) bool { return wildcard(f, tag) })
	switch m {
	case Immutable:
		return false
	case ImmutableWithExclusion:
		return excluded
	case MutableWithExclusion:
		return !excluded
	}
	return true
}

// wildcard matches a tag with a filter, in which each asterisk stands for any
// number of characters.
func wildcard(filter, tag string) bool {
	first, rest, more := strings.Cut(filter, "*")
	tail, ok := strings.CutPrefix(tag, first)
	if !ok || !more {
		return ok && tail == ""
	}
	for at := 0; at <= len(tail); at++ {
		if wildcard(rest, tail[at:]) {
			return true
		}
	}
	return false
}

// Canonical is an image's reference as ECR writes it, with the name of the
// registry of an account and region, where it is HOST/REPOSITORY at a host, with its
// port, that is own. A repository that has such a name before it keeps that one.
func Canonical(scope store.Scope, reference string, own func(host string) bool) string {
	h, rest, ok := strings.Cut(reference, "/")
	if !ok || !own(h) {
		return reference
	}
	if first, _, nested := strings.Cut(rest, "/"); nested {
		if _, named := ParseHost(first); named {
			return rest
		}
	}
	return Host(scope) + "/" + rest
}
