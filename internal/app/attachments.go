package app

import (
	"context"
	"errors"
	"strings"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/policy"
	"github.com/outcrop/outcrop/internal/image/registry"
	"github.com/outcrop/outcrop/internal/key"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/resource"
	"github.com/outcrop/outcrop/internal/resourcepolicy"
	"github.com/outcrop/outcrop/internal/secretstore"
	"github.com/outcrop/outcrop/internal/store"
)

// attachments are attached's part for the resources of one service. They keep what they
// have read, compiled and pinned, until something of the topic is written.
type attachments struct {
	store store.Store
	topic store.Topic
	// find reads what the resource with an ARN has.
	find func(ctx context.Context, arn string) (attachment, error)
	read store.Cache[string, attachment] // by ARN
}

// attachment is what a resource has.
type attachment struct {
	documents []*policy.Document
	tags      map[string]string
	must      bool // its policy has to allow
	there     bool
}

func (a *attachments) of(ctx context.Context, arn string) (attachment, error) {
	if found, ok := a.read.Get(arn); ok {
		return found, nil
	}
	watch := a.store.Watch(a.topic)
	found, err := a.find(ctx, arn)
	if err == nil && found.there {
		a.read.Put(arn, found, watch)
	}
	return found, err
}

// ResourcePolicies returns the policy of a resource.
func (a *attachments) ResourcePolicies(ctx context.Context, r auth.Requirement) ([]*policy.Document, bool, error) {
	found, err := a.of(ctx, r.Resource)
	return found.documents, found.must, err
}

// ResourceTags returns the tags of a resource.
func (a *attachments) ResourceTags(ctx context.Context, arn string) (map[string]string, error) {
	found, err := a.of(ctx, arn)
	return found.tags, err
}

// attach adds the policy of a resource, for whom its principals were pinned to.
func (a *attachment) attach(doc *policy.Document, pins map[string]string, arn string) {
	a.documents = []*policy.Document{doc.Named("of " + arn).Pinned(pins)}
}

// keyPolicies are those of KMS's keys, which have to allow.
func keyPolicies(st store.Store, keys *key.Keys) *attachments {
	return &attachments{store: st, topic: key.Topic(), find: func(ctx context.Context, arn string) (attachment, error) {
		s, there, err := keys.Settings(ctx, arn)
		if err != nil || !there {
			return attachment{}, err
		}
		out := attachment{tags: s.Tags, must: true, there: true}
		doc, err := policy.Parse([]byte(s.Policy), policy.Resource)
		if err == nil {
			out.attach(doc, s.Pins, arn)
		}
		return out, err
	}}
}

// secretPolicies are those of secrets.
func secretPolicies(st store.Store, secrets *secretstore.Secrets) *attachments {
	return &attachments{store: st, topic: secretstore.Topic(), find: func(ctx context.Context, arn string) (attachment, error) {
		s, there, err := secrets.Settings(ctx, arn)
		if err != nil || !there {
			return attachment{}, err
		}
		out := attachment{tags: s.Tags, there: true}
		if s.Policy == "" {
			return out, nil
		}
		doc, err := policy.Parse([]byte(s.Policy), policy.Resource)
		if err == nil {
			out.attach(doc, s.Pins, arn)
		}
		return out, err
	}}
}

// repositories are those of repositories of images.
func repositories(st store.Store, images *registry.Storage) *attachments {
	return &attachments{store: st, topic: registry.Topic(), find: func(ctx context.Context, arn string) (attachment, error) {
		scope, path := scopeOf(arn)
		name, ok := cutRepository(path)
		if !ok {
			return attachment{}, nil
		}
		r, err := images.Repository(ctx, registry.Name{Scope: scope, Repository: name})
		if err != nil {
			return attachment{}, absent(err)
		}
		out := attachment{tags: r.Tags, there: true}
		if r.Policy == "" {
			return out, nil
		}
		// What does not compile is of before policies were checked, when none could deny.
		if doc, err := resourcepolicy.Compile(r.Policy, arn); err == nil {
			out.attach(doc, r.Pins, arn)
		}
		return out, nil
	}}
}

// agentCore is attached's part for AgentCore's resources, whose tags their owners have.
type agentCore struct {
	attachments
	owners map[string]resource.Owner // by the first part of the path
}

func newAgentCore(st store.Store, owners map[string]resource.Owner) *agentCore {
	return &agentCore{owners: owners, attachments: attachments{store: st, topic: resourcepolicy.Topic(), find: func(ctx context.Context, arn string) (attachment, error) {
		out := attachment{there: true} // most have none, and that is kept too
		scope, _ := scopeOf(arn)
		if !scope.Valid() {
			return out, nil
		}
		var text string
		var pins map[string]string
		err := st.View(ctx, func(r store.Reader) (err error) {
			text, pins, err = resourcepolicy.Get(r, scope, arn)
			return err
		})
		if errors.Is(err, store.ErrNotFound) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		doc, err := resourcepolicy.Compile(text, arn)
		if err == nil {
			out.attach(doc, pins, arn)
		}
		return out, err
	}}}
}

// buckets is attached's part for S3's buckets and what is in them: their bucket has the
// policy, and the tags in conditions.
type buckets struct {
	attachments
	account string
}

func newBuckets(st store.Store, account string, objects *object.Storage) *buckets {
	return &buckets{account: account, attachments: attachments{store: st, topic: object.BucketTopic(), find: func(ctx context.Context, arn string) (attachment, error) {
		_, name := scopeOf(arn)
		if object.CheckBucketName(name) != nil {
			return attachment{}, nil
		}
		b, err := objects.Bucket(ctx, account, name)
		if err != nil {
			return attachment{}, absent(err)
		}
		out := attachment{tags: b.Tags, there: true}
		if b.Policy == "" {
			return out, nil
		}
		doc, err := policy.Parse([]byte(b.Policy), policy.Resource)
		if err == nil {
			out.attach(doc, b.Pins, arn)
		}
		return out, err
	}}}
}

// bucketOf is the ARN of the bucket that an object's ARN names, or its own.
func bucketOf(arn string) string {
	const service = "arn:aws:s3:::"
	name, _, _ := strings.Cut(strings.TrimPrefix(arn, service), "/")
	return service + name
}

// ResourcePolicies returns the policy of a bucket.
func (b *buckets) ResourcePolicies(ctx context.Context, r auth.Requirement) ([]*policy.Document, bool, error) {
	r.Resource = bucketOf(r.Resource)
	return b.attachments.ResourcePolicies(ctx, r)
}

// ResourceTags returns the tags of a bucket.
func (b *buckets) ResourceTags(ctx context.Context, arn string) (map[string]string, error) {
	return b.attachments.ResourceTags(ctx, bucketOf(arn))
}

// ResourceKey answers for s3:ResourceAccount, with which AgentCore's own tools and managed
// policies keep to the buckets of the account: here are no others.
func (b *buckets) ResourceKey(_ context.Context, _, key string) ([]string, error) {
	if key != "s3:resourceaccount" {
		return nil, nil
	}
	return []string{b.account}, nil
}
