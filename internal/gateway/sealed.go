package gateway

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// sealed is what an owner configured, compressed and sealed: it may hold what is a secret
// to them (parameters, whole documents), and the owner may want it under a key of theirs.
type sealed struct {
	// Key is the ARN of the key of KMS that it is under, empty for the server's.
	Key  string `json:"key,omitempty"`
	Data []byte `json:"data"`
}

// maxSealed bounds what is unpacked, in bytes: a schema of 10 MB, and its tools.
const maxSealed = 64 << 20

// owner says whose a sealed value is; kind is that of its document.
func owner(scope store.Scope, kind, id string) secret.Owner {
	return secret.Owner{Scope: scope.String(), Kind: kind, ID: id}
}

// box seals under a key, or under the server's where none is named.
func (s *Service) box(ctx context.Context, scope store.Scope, key string) (*secret.Box, error) {
	if key == "" {
		return s.cfg.Box, nil
	}
	box, _, err := s.cfg.Keys.Box(ctx, scope, key)
	return box, err
}

// seal must not be called within a transaction: a key of KMS is read from the store.
func (s *Service) seal(ctx context.Context, key string, of secret.Owner, scope store.Scope, plain []byte) (sealed, error) {
	box, err := s.box(ctx, scope, key)
	if err != nil {
		return sealed{}, fmt.Errorf("seal %s: %w", of, err)
	}
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed) // a level that there is
	if _, err := w.Write(plain); err != nil {
		return sealed{}, err
	}
	if err := w.Close(); err != nil {
		return sealed{}, err
	}
	data, err := box.Seal(ctx, of, secret.NewBytes(b.Bytes()))
	return sealed{key, data}, err
}

// open undoes seal.
func (s *Service) open(ctx context.Context, of secret.Owner, scope store.Scope, v sealed) ([]byte, error) {
	box, err := s.box(ctx, scope, v.Key)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", of, err)
	}
	packed, err := box.Open(ctx, of, v.Data)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", of, err)
	}
	r, err := gzip.NewReader(bytes.NewReader(packed.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", of, err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxSealed+1))
	if err == nil && len(plain) > maxSealed {
		err = errors.New("it is larger than anything that is sealed")
	}
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", of, err)
	}
	return plain, nil
}

// keyField is the member of a request that names a key.
const keyField = "kmsKeyArn"

// checkKey refuses a key that the caller may not seal and open with, or that cannot be
// used (spec/gateway.md 2.1).
func (s *Service) checkKey(ctx context.Context, arn string) error {
	if arn == "" {
		return nil
	}
	call := pipeline.From(ctx)
	err := call.Authorize(ctx, auth.Requirement{Action: "kms:GenerateDataKey", Resource: arn}, auth.Requirement{Action: "kms:Decrypt", Resource: arn})
	if err != nil {
		return err
	}
	if prefix := "arn:aws:kms:" + call.Scope.Region + ":" + call.Scope.Account + ":key/"; !strings.HasPrefix(arn, prefix) {
		return fault.Invalid(keyField, "%s: the key must be one of this account and region, with an ARN that begins with %s", keyField, prefix)
	}
	_, _, err = s.cfg.Keys.Box(ctx, call.Scope, arn)
	return keyFault(err)
}

// keyFault words what KMS refuses for those who asked something of a gateway.
func keyFault(err error) error {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Code == "AccessDeniedException" {
		return err
	}
	return fault.Invalid(keyField, "The key that encrypts the gateway cannot be used: %s", f.Message).Because(err)
}
