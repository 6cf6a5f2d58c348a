package app

import (
	"context"
	"fmt"
	"io"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/store"
)

// bundles reads the certificates of authorities for credential providers. Who asks for
// one has been asked for their right to it.
type bundles struct{ p *parts }

var _ identity.Bundles = bundles{}

// Object implements identity.Bundles.
func (b bundles) Object(ctx context.Context, scope store.Scope, uri string, most int64) ([]byte, error) {
	return readObject(ctx, b.p.objects, scope.Account, uri, most)
}

// readObject reads an object of an account, s3://BUCKET/KEY, of so many bytes at most.
func readObject(ctx context.Context, objects *object.Storage, account, uri string, most int64) ([]byte, error) {
	bucket, name := object.SplitURI(uri)
	r, err := objects.Open(ctx, account, bucket, name, "")
	if err != nil {
		return nil, unread(uri, err)
	}
	defer r.Close()
	if r.Size() > most {
		return nil, fault.Validation("%s has %d bytes; it may have at most %d", uri, r.Size(), most)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", uri, err)
	}
	return text, nil
}

// Secret implements identity.Bundles.
func (b bundles) Secret(ctx context.Context, scope store.Scope, arn string) ([]byte, error) {
	found, err := b.p.secrets.Find(ctx, scope, arn)
	if err != nil {
		return nil, unread(arn, err)
	}
	value, _, _, err := b.p.secrets.Value(ctx, found.Ref, "", "")
	if err != nil {
		return nil, unread(arn, err)
	}
	return value.Value.Reveal(), nil
}

// unread words what kept something from being read, as far as its owner can mend it.
func unread(what string, err error) error {
	if f := fault.From(err); f.Status < 500 {
		return fault.Validation("%s cannot be read: %s", what, f.Message).Because(err)
	}
	return err
}
