package portal

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// spec is what its owner said of a portal.
type spec struct {
	Description string            `json:"description,omitempty"`
	Role        string            `json:"role"`
	IDP         idp               `json:"idp"`
	Tags        map[string]string `json:"tags,omitempty"`
}

// idp is who signs the users in.
type idp struct {
	ProviderARN string   `json:"providerArn"`
	Scopes      []string `json:"scopes"`
	Audience    string   `json:"audience,omitempty"`
}

// state is our part of a portal's document.
type state struct {
	Status  string    `json:"status"`
	Reason  string    `json:"reason,omitempty"`
	Updated time.Time `json:"updated"`
	// Gateway is the id of the one whose users it serves, Source how the owner named it.
	Gateway string `json:"gateway"`
	Source  string `json:"source"`
	// Served is what its pages go by, the last that became ACTIVE.
	Served *spec `json:"served,omitempty"`
	// Serial grows with each accepted change.
	Serial int64 `json:"serial"`
}

type document = store.Resource[spec, state]

// portals are the documents of this service.
var portals = store.Collection[spec, state]{Kind: "consent-portal"}

// placeTable tells whose portal an id is, and which portal a gateway has: browsers say no
// account and no region. A key is "id/ID", in lower case, or "gateway/ARN".
const placeTable = "consent-portal-place"

func idKey(id string) string       { return "id/" + strings.ToLower(id) }
func gatewayKey(arn string) string { return "gateway/" + arn }

// get reads a portal, or says that there is none.
func get(r store.Reader, scope store.Scope, id string) (document, error) {
	doc, err := portals.Get(r, scope, id)
	return doc, missing(err, id)
}

func missing(err error, id string) error {
	if errors.Is(err, store.ErrNotFound) {
		return fault.NotFound("No consent portal found with id '%s'", fault.Clip(id, 120))
	}
	return err
}

func (s *Service) document(ctx context.Context, scope store.Scope, id string) (doc document, err error) {
	err = s.cfg.Store.View(ctx, func(r store.Reader) (err error) {
		doc, err = get(r, scope, id)
		return err
	})
	return doc, err
}

// settled reports whether a portal has no work under way.
func settled(status string) bool {
	switch status {
	case agentcorecontrol.ConsentPortalStatusCREATING, agentcorecontrol.ConsentPortalStatusUPDATING, agentcorecontrol.ConsentPortalStatusDELETING:
		return false
	}
	return true
}

// Portal is one as its pages see it.
type Portal struct {
	Scope         store.Scope
	ID, ARN, Name string
	// Gateway is the id of its gateway, Role the ARN of the role that it acts as.
	Gateway, Role string
	// Provider is the name of the credential provider by which users sign in, with these
	// Scopes and, unless it is empty, this Audience.
	Provider string
	Scopes   []string
	Audience string
	// URL is where browsers find it, without a slash at its end.
	URL string
}

// Find returns the portal with an id, in whatever case, or a ResourceNotFoundException:
// also for one that was never ACTIVE.
func (s *Service) Find(ctx context.Context, id string) (Portal, error) {
	at, ok, err := s.places.Find(ctx, s.cfg.Store, idKey(id))
	if err != nil {
		return Portal{}, err
	}
	if !ok {
		return Portal{}, missing(store.ErrNotFound, id)
	}
	doc, err := s.document(ctx, at.Scope, at.ID)
	if err != nil {
		return Portal{}, err
	}
	if doc.State.Served == nil {
		return Portal{}, fault.NotFound("Consent portal '%s' is %s and does not serve yet", doc.ID, doc.State.Status)
	}
	sp := doc.State.Served
	return Portal{
		Scope: doc.Scope, ID: doc.ID, ARN: ARN(doc.Scope, doc.ID), Name: doc.Name, Gateway: doc.State.Gateway, Role: sp.Role,
		Provider: providerName(doc.Scope, sp.IDP.ProviderARN), Scopes: sp.IDP.Scopes, Audience: sp.IDP.Audience, URL: s.URL(doc.ID),
	}, nil
}

// ActsAs reports whether the portal with an id acts as a role: one that is gone does not.
func (s *Service) ActsAs(ctx context.Context, id, role string) (bool, error) {
	p, err := s.Find(ctx, id)
	if fault.Is(err, "ResourceNotFoundException") {
		return false, nil
	}
	return err == nil && p.Role == role, err
}

// Changed returns a channel that is closed when a portal changes.
func (s *Service) Changed() <-chan struct{} { return s.cfg.Store.Changed(portals.Topic()) }

// Of returns the URL of the portal of the gateway with an ARN, empty where it has none.
func (s *Service) Of(ctx context.Context, gatewayARN string) (string, error) {
	at, ok, err := s.places.Find(ctx, s.cfg.Store, gatewayKey(gatewayARN))
	if err != nil || !ok {
		return "", err
	}
	return s.URL(at.ID), nil
}
