package principal

import (
	"context"
	"errors"
	"strings"

	"github.com/outcrop/outcrop/internal/auth/pin"
	"github.com/outcrop/outcrop/internal/auth/policy"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

var (
	_ pin.Directory = (*Directory)(nil)
	_ pin.Directory = reading{}
)

// UniqueID implements pin.Directory.
func (d *Directory) UniqueID(ctx context.Context, principal string) (id string, known bool, err error) {
	err = d.view(ctx, func(r store.Reader) error {
		id, known, err = reading{d, r}.UniqueID(ctx, principal)
		return err
	})
	return id, known, err
}

// ARN implements pin.Directory.
func (d *Directory) ARN(ctx context.Context, id string) (arn string, err error) {
	err = d.view(ctx, func(r store.Reader) error {
		arn, err = reading{d, r}.ARN(ctx, id)
		return err
	})
	return arn, err
}

// reading is a directory as a transaction sees it. It waits for nothing.
type reading struct {
	d *Directory
	r store.Reader
}

// UniqueID implements pin.Directory.
func (e reading) UniqueID(ctx context.Context, principal string) (id string, known bool, err error) {
	if !strings.HasPrefix(principal, "arn:") {
		arn, err := e.ARN(ctx, principal)
		if arn == "" {
			principal = ""
		}
		return principal, true, err
	}
	h, known := e.d.holderIn(principal)
	session, ofSession := strings.CutPrefix(principal, "arn:aws:sts::"+e.d.account.ID+":assumed-role/")
	if ofSession {
		h.Kind = RoleHolder
		h.Name, _, _ = strings.Cut(session, "/")
	}
	if !known && !ofSession {
		return "", false, nil
	}
	doc, err := e.d.lookup(e.r, h)
	if fault.Is(err, CodeNoSuchEntity) {
		return "", true, nil
	}
	if err != nil {
		return "", true, err
	}
	if !ofSession && e.d.arn(h.Kind.String(), doc.State.Path, doc.State.Name) != principal {
		return "", true, nil // one of that name in another path
	}
	return doc.ID, true, nil
}

// ARN implements pin.Directory.
func (e reading) ARN(_ context.Context, id string) (string, error) {
	for _, kind := range [...]HolderKind{UserHolder, RoleHolder} {
		if !strings.HasPrefix(id, kind.rules().prefix) {
			continue
		}
		doc, err := holders(kind).Get(e.r, e.d.scope(), id)
		if errors.Is(err, store.ErrNotFound) {
			return "", nil
		}
		return e.d.arn(kind.String(), doc.State.Path, doc.State.Name), err
	}
	return "", nil
}

// trust reads a trust policy that is to be stored, and pins whom it names.
func (d *Directory) trust(ctx context.Context, document string) (pin.Pins, error) {
	if length(document) > MaxTrustLength {
		return nil, limit("Cannot exceed quota for ACLSizePerRole: %d", MaxTrustLength)
	}
	doc, err := d.documents.parse(document, policy.Trust)
	if err != nil {
		return nil, wrongDocument(err)
	}
	pins, err := pin.Take(ctx, d, doc)
	if unknown, ok := errors.AsType[*pin.UnknownError](err); ok {
		return nil, malformed(`Invalid principal in policy: "AWS":"%s". The account has no such user or role; make it before the policy that names it`, unknown.Principal)
	}
	return pins, err
}

// PinTrusts pins whom trust policies name that older versions stored (pin.Upgrade).
func (d *Directory) PinTrusts(ctx context.Context) ([]pin.Lost, error) {
	return pin.Upgrade(ctx, d.cfg.Store, holders(RoleHolder), d, func(r *holder) pin.Policy {
		return pin.Policy{Resource: d.arn("role", r.State.Path, r.State.Name), Text: r.State.Trust, Pins: &r.State.TrustPins}
	})
}
