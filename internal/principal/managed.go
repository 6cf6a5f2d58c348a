package principal

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/principal/managed"
	"github.com/outcrop/outcrop/internal/store"
)

// Policy is a managed policy: the account's own, or one that comes with the server
// under a name of AWS's.
type Policy struct {
	ID, Name, Path, ARN, Description string
	// DefaultVersion is the id of the version in force.
	DefaultVersion string
	// Attachments and Boundaries count the holders that it is attached to, or whose
	// boundary it is.
	Attachments, Boundaries int
	Created, Updated        time.Time
	Tags                    []Tag
	// AWS says that it is not the account's, and cannot be changed.
	AWS bool
}

// Version is one version of a managed policy.
type Version struct {
	ID       string
	Document string
	Default  bool
	Created  time.Time
}

// policyState is what is stored of an account's own policy. Its document's name is
// the policy's in lower case.
type policyState struct {
	Name        string         `json:"name"`
	Path        string         `json:"path"`
	Description string         `json:"description,omitempty"`
	Tags        []Tag          `json:"tags,omitempty"`
	Versions    []versionState `json:"versions"`
	Default     string         `json:"default"`
	Last        int            `json:"last"` // number of the version made last
}

type versionState struct {
	ID       string    `json:"id"`
	Document string    `json:"document"`
	Created  time.Time `json:"created"`
}

type policyDoc = store.Resource[none, policyState]

func policies() store.Collection[none, policyState] {
	return store.Collection[none, policyState]{Kind: "iam-policy"}
}

func (s *policyState) version(id string) int {
	return slices.IndexFunc(s.Versions, func(v versionState) bool { return v.ID == id })
}

func (d *Directory) policy(doc policyDoc) Policy {
	s := doc.State
	return Policy{
		ID: doc.ID, Name: s.Name, Path: s.Path, ARN: d.arn("policy", s.Path, s.Name), Description: s.Description,
		DefaultVersion: s.Default, Created: doc.Created, Updated: doc.Updated, Tags: s.Tags,
	}
}

// ofAWS is one that comes with the server.
func ofAWS(p managed.Policy) Policy {
	path, name := splitPolicyARN(p.ARN)
	return Policy{
		ID: p.ID(), Name: name, Path: path, ARN: p.ARN, Description: p.Description, DefaultVersion: "v1",
		Created: managed.Since, Updated: managed.Since, AWS: true,
	}
}

// splitPolicyARN returns path and name.
func splitPolicyARN(arn string) (path, name string) {
	_, rest, _ := strings.Cut(arn, ":policy/")
	i := strings.LastIndexByte(rest, '/')
	return "/" + rest[:i+1], rest[i+1:]
}

func noPolicy(arn string) error {
	return noSuch("Policy %s does not exist or is not attachable.", arn)
}

// lookupPolicy returns one of the account's own policies.
func (d *Directory) lookupPolicy(r store.Reader, arn string) (policyDoc, error) {
	path, name := splitPolicyARN(arn)
	doc, err := policies().ByName(r, d.scope(), "", strings.ToLower(name))
	if errors.Is(err, store.ErrNotFound) || err == nil && (doc.State.Path != path || d.arn("policy", path, doc.State.Name) != arn) {
		return doc, noSuch("Policy %s was not found.", arn)
	}
	return doc, err
}

// attachable refuses what is no managed policy; "" is none, which may be absent.
func (d *Directory) attachable(r store.Reader, arn string) error {
	if arn == "" {
		return nil
	}
	if _, ok := managed.Find(arn); ok {
		return nil
	}
	_, err := d.lookupPolicy(r, arn)
	if fault.Is(err, CodeNoSuchEntity) {
		return noPolicy(arn)
	}
	return err
}

// NewPolicy is what CreatePolicy takes; Name and Document are required.
type NewPolicy struct {
	Name, Path, Description, Document string
	Tags                              []Tag
}

// CreatePolicy makes a managed policy with one version.
func (d *Directory) CreatePolicy(ctx context.Context, in NewPolicy) (p Policy, err error) {
	if err := checkName("policyName", in.Name, 128); err != nil {
		return p, err
	}
	s := policyState{Name: in.Name, Description: in.Description, Default: "v1", Last: 1}
	if s.Path, err = checkPath(in.Path); err != nil {
		return p, err
	}
	if s.Tags, err = retag(nil, in.Tags); err != nil {
		return p, err
	}
	if err := checkManaged(in.Document); err != nil {
		return p, err
	}
	s.Versions = []versionState{{ID: "v1", Document: in.Document, Created: d.cfg.Now().UTC()}}
	id, err := newUniqueID(d.cfg.Rand, "ANPA")
	if err != nil {
		return p, err
	}
	err = d.update(ctx, func(tx store.Tx) error {
		if n, err := count(tx, d.scope(), policies()); err != nil {
			return err
		} else if n >= MaxPolicies {
			return limit("Cannot exceed quota for PoliciesPerAccount: %d", MaxPolicies)
		}
		doc, err := policies().Create(tx, policyDoc{Scope: d.scope(), ID: id, Name: strings.ToLower(in.Name), State: s})
		if errors.Is(err, store.ErrExists) {
			return exists("A policy called %s already exists. Duplicate names are not allowed.", in.Name)
		}
		p = d.policy(doc)
		return err
	})
	return p, err
}

func checkManaged(document string) error {
	if length(document) > MaxManagedLength {
		return limit("Cannot exceed quota for PolicySize: %d", MaxManagedLength)
	}
	return checkIdentityPolicy(document)
}

// Policy returns a managed policy, with its counts.
func (d *Directory) Policy(ctx context.Context, arn string) (p Policy, err error) {
	err = d.view(ctx, func(r store.Reader) error {
		if aws, ok := managed.Find(arn); ok {
			p = ofAWS(aws)
		} else {
			doc, err := d.lookupPolicy(r, arn)
			if err != nil {
				return err
			}
			p = d.policy(doc)
		}
		uses, err := d.policyUses(r)
		p.Attachments, p.Boundaries = uses[arn].attached, uses[arn].boundary
		return err
	})
	return p, err
}

// Policies returns the managed policies whose path begins with prefix, by name: the
// account's own, AWS's, or both.
func (d *Directory) Policies(ctx context.Context, prefix string, own, aws bool) (out []Policy, err error) {
	err = d.view(ctx, func(r store.Reader) error {
		out = nil
		if own {
			for doc, err := range policies().Each(r, d.scope(), "") {
				if err != nil {
					return err
				}
				out = append(out, d.policy(doc))
			}
		}
		if aws {
			for _, p := range managed.All() {
				out = append(out, ofAWS(p))
			}
		}
		out = slices.DeleteFunc(out, func(p Policy) bool { return !strings.HasPrefix(p.Path, prefix) })
		uses, err := d.policyUses(r)
		for i := range out {
			out[i].Attachments, out[i].Boundaries = uses[out[i].ARN].attached, uses[out[i].ARN].boundary
		}
		return err
	})
	slices.SortFunc(out, func(a, b Policy) int { return strings.Compare(a.Name, b.Name) })
	return out, err
}

type policyUse struct{ attached, boundary int }

// policyUses counts the uses of all policies.
func (d *Directory) policyUses(r store.Reader) (map[string]policyUse, error) {
	out := map[string]policyUse{}
	for _, k := range []HolderKind{UserHolder, GroupHolder, RoleHolder} {
		for doc, err := range holders(k).Each(r, d.scope(), "") {
			if err != nil {
				return nil, err
			}
			for _, arn := range doc.State.Attached {
				u := out[arn]
				u.attached++
				out[arn] = u
			}
			u := out[doc.State.Boundary]
			u.boundary++
			out[doc.State.Boundary] = u
		}
	}
	return out, nil
}

// Entity is a holder that a policy is used by.
type Entity struct {
	Holder
	ID, Path string
}

// EntitiesOf returns the holders that a policy is attached to, or with boundary
// those whose boundary it is.
func (d *Directory) EntitiesOf(ctx context.Context, arn string, boundary bool) (out []Entity, err error) {
	if _, err := d.Policy(ctx, arn); err != nil {
		return nil, err
	}
	for _, k := range []HolderKind{UserHolder, GroupHolder, RoleHolder} {
		docs, err := d.list(ctx, k, "", func(s *holderState) bool {
			return boundary && s.Boundary == arn || !boundary && slices.Contains(s.Attached, arn)
		})
		if err != nil {
			return nil, err
		}
		for _, doc := range docs {
			out = append(out, Entity{Holder{k, doc.State.Name}, doc.ID, doc.State.Path})
		}
	}
	return out, nil
}

// DeletePolicy deletes a policy that is attached to nobody and has no version but
// the one in force.
func (d *Directory) DeletePolicy(ctx context.Context, arn string) error {
	if err := ownPolicy(arn); err != nil {
		return err
	}
	return d.update(ctx, func(tx store.Tx) error {
		doc, err := d.lookupPolicy(tx, arn)
		if err != nil {
			return err
		}
		if len(doc.State.Versions) > 1 {
			return conflict("This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")
		}
		uses, err := d.policyUses(tx)
		if err != nil {
			return err
		}
		if uses[arn] != (policyUse{}) {
			return conflict("Cannot delete a policy attached to entities.")
		}
		return policies().Delete(tx, d.scope(), doc.ID)
	})
}

// ownPolicy refuses changes of AWS's policies.
func ownPolicy(arn string) error {
	if _, ok := managed.Find(arn); ok {
		return fault.New(CodeDenied, http.StatusForbidden, "Policy %s is outside your own account.", arn)
	}
	return nil
}

// changePolicy lets fn change what is stored of a policy of the account.
func (d *Directory) changePolicy(ctx context.Context, arn string, fn func(*policyState) error) error {
	if err := ownPolicy(arn); err != nil {
		return err
	}
	return d.update(ctx, func(tx store.Tx) error {
		doc, err := d.lookupPolicy(tx, arn)
		if err != nil {
			return err
		}
		if err := fn(&doc.State); err != nil {
			return err
		}
		_, err = policies().Replace(tx, doc)
		return err
	})
}

// CreateVersion makes another version of a policy, which may be put in force.
func (d *Directory) CreateVersion(ctx context.Context, arn, document string, asDefault bool) (v Version, err error) {
	if err := checkManaged(document); err != nil {
		return v, err
	}
	err = d.changePolicy(ctx, arn, func(s *policyState) error {
		if len(s.Versions) >= MaxVersions {
			return limit("A managed policy can have up to %d versions. Before you create a new version, you must delete an existing version.", MaxVersions)
		}
		s.Last++
		made := versionState{ID: "v" + strconv.Itoa(s.Last), Document: document, Created: d.cfg.Now().UTC()}
		s.Versions = append(slices.Clone(s.Versions), made)
		if asDefault {
			s.Default = made.ID
		}
		v = Version{ID: made.ID, Document: document, Default: asDefault, Created: made.Created}
		return nil
	})
	return v, err
}

// Versions returns the versions of a policy, the newest first.
func (d *Directory) Versions(ctx context.Context, arn string) (out []Version, err error) {
	if aws, ok := managed.Find(arn); ok {
		return []Version{{ID: "v1", Document: aws.Document, Default: true, Created: managed.Since}}, nil
	}
	err = d.view(ctx, func(r store.Reader) error {
		out = nil
		doc, err := d.lookupPolicy(r, arn)
		for _, v := range doc.State.Versions {
			out = append(out, Version{ID: v.ID, Document: v.Document, Default: v.ID == doc.State.Default, Created: v.Created})
		}
		return err
	})
	slices.Reverse(out)
	return out, err
}

// Version returns one version of a policy; "" is the one in force.
func (d *Directory) Version(ctx context.Context, arn, id string) (Version, error) {
	all, err := d.Versions(ctx, arn)
	for _, v := range all {
		if v.ID == id || id == "" && v.Default {
			return v, nil
		}
	}
	if err == nil {
		err = noVersion(arn, id)
	}
	return Version{}, err
}

func noVersion(arn, id string) error {
	return noSuch("Policy %s version %s does not exist or is not attachable.", arn, id)
}

// SetDefaultVersion puts a version in force.
func (d *Directory) SetDefaultVersion(ctx context.Context, arn, id string) error {
	return d.changePolicy(ctx, arn, func(s *policyState) error {
		if s.version(id) < 0 {
			return noVersion(arn, id)
		}
		s.Default = id
		return nil
	})
}

// DeleteVersion deletes a version that is not in force.
func (d *Directory) DeleteVersion(ctx context.Context, arn, id string) error {
	return d.changePolicy(ctx, arn, func(s *policyState) error {
		i := s.version(id)
		switch {
		case i < 0:
			return noVersion(arn, id)
		case id == s.Default:
			return conflict("Cannot delete the default version of a policy.")
		}
		s.Versions = slices.Delete(slices.Clone(s.Versions), i, i+1)
		return nil
	})
}

// TagPolicy adds tags to a policy, and UntagPolicy removes those with some keys.
func (d *Directory) TagPolicy(ctx context.Context, arn string, tags []Tag) error {
	return d.changePolicy(ctx, arn, func(s *policyState) (err error) {
		s.Tags, err = retag(s.Tags, tags)
		return err
	})
}

// UntagPolicy removes the tags with some keys; those that are not there are no
// error.
func (d *Directory) UntagPolicy(ctx context.Context, arn string, keys []string) error {
	return d.changePolicy(ctx, arn, func(s *policyState) error {
		for _, key := range keys {
			s.Tags = without(s.Tags, key)
		}
		return nil
	})
}
