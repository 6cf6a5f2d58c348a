package gateway

import (
	"errors"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/tag"
)

// gatewaySpec is what its owner said of a gateway.
type gatewaySpec struct {
	// Config is the wire's UpdateGatewayRequest without the identifier.
	Config sealed            `json:"config"`
	Tags   map[string]string `json:"tags,omitempty"`
}

// gatewayState is our part of a gateway's document, and what listings tell.
type gatewayState struct {
	Status         string    `json:"status"`
	Reasons        []string  `json:"reasons,omitempty"`
	Updated        time.Time `json:"updated"`
	Description    string    `json:"description,omitempty"`
	AuthorizerType string    `json:"authorizerType"`
	ProtocolType   string    `json:"protocolType,omitempty"`
	// Domains are the host names of domainOverride, in lower case.
	Domains []string `json:"domains,omitempty"`
	// Notes say why its issuer could not be had when it was set up, if it could not.
	Notes []string `json:"notes,omitempty"`
	// Served is the configuration that callers meet, the last that became READY, and
	// ServedSerial its serial.
	Served       *sealed `json:"served,omitempty"`
	ServedSerial int64   `json:"servedSerial,omitempty"`
	// Serial grows with each accepted change.
	Serial int64 `json:"serial"`
}

// targetState is our part of a target's document, and what listings tell: what it is
// configured with and what it offers are documents of their own, and may be large.
type targetState struct {
	Status      string     `json:"status"`
	Reasons     []string   `json:"reasons,omitempty"`
	Updated     time.Time  `json:"updated"`
	Synced      *time.Time `json:"synced,omitempty"`
	Description string     `json:"description,omitempty"`
	// These are of the configuration that was accepted last.
	Kind       string `json:"kind"`
	Listing    string `json:"listing,omitempty"`
	Priority   *int32 `json:"priority,omitempty"`
	Credential string `json:"credential,omitempty"`
	Grant      string `json:"grant,omitempty"`
	Static     bool   `json:"static,omitempty"` // it says itself what it offers
	// Private is set where it has a private endpoint.
	Private bool `json:"private,omitempty"`
	// Serial grows with each accepted change, and Served is that whose catalogue serves,
	// 0 while none does.
	Serial int64 `json:"serial"`
	Served int64 `json:"served,omitempty"`
	// Consent is what somebody has to agree to, and User who agreed to the last one.
	Consent *consent `json:"consent,omitempty"`
	User    string   `json:"user,omitempty"`
}

// consent is a page that somebody has to visit before the target can be asked.
type consent struct {
	URL  string `json:"url"`
	User string `json:"user"`
}

// catalogueState is our part of a catalogue's document.
type catalogueState struct {
	// Serial is that of the target's change which it was made for, and Made when.
	Serial int64     `json:"serial"`
	Made   time.Time `json:"made"`
}

type (
	gateways   = store.Collection[gatewaySpec, gatewayState]
	targets    = store.Collection[struct{}, targetState]
	configs    = store.Collection[sealed, struct{}]
	catalogues = store.Collection[sealed, catalogueState]

	gatewayDoc   = store.Resource[gatewaySpec, gatewayState]
	targetDoc    = store.Resource[struct{}, targetState]
	configDoc    = store.Resource[sealed, struct{}]
	catalogueDoc = store.Resource[sealed, catalogueState]
)

// collections are the documents of this service: a gateway, and below it its targets,
// each with a configuration and a catalogue, its rules and its rate limits.
type collections struct {
	gateways   gateways
	targets    targets
	configs    configs
	catalogues catalogues
	rules      rules
	limits     limits
}

func newCollections() collections {
	return collections{
		gateways:   gateways{Kind: "gateway"},
		targets:    targets{Kind: "gateway-target"},
		configs:    configs{Kind: "gateway-target-configuration"},
		catalogues: catalogues{Kind: "gateway-target-catalogue"},
		rules:      rules{Kind: "gateway-rule"},
		limits:     limits{Kind: "gateway-rate-limit"},
	}
}

// gateway reads a gateway, or says that there is none.
func (c collections) gateway(r store.Reader, scope store.Scope, id string) (gatewayDoc, error) {
	doc, err := c.gateways.Get(r, scope, id)
	if errors.Is(err, store.ErrNotFound) {
		return doc, fault.NotFound("No gateway found with id '%s'", id)
	}
	return doc, err
}

// target reads a target, or says that there is none.
func (c collections) target(r store.Reader, scope store.Scope, gateway, id string) (targetDoc, error) {
	doc, err := c.targets.Get(r, scope, childID(gateway, id))
	if errors.Is(err, store.ErrNotFound) {
		if _, err := c.gateway(r, scope, gateway); err != nil {
			return doc, err
		}
		return doc, fault.NotFound("No target found with id '%s' in gateway '%s'", id, gateway)
	}
	return doc, err
}

// childID is the id of a document of what is below a gateway.
func childID(gateway, id string) string { return gateway + "/" + id }

// ownID undoes childID.
func ownID(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }

// changed is what those wait for who serve a gateway.
func changed(scope store.Scope, id string) store.Topic {
	return store.Topic("gateway/" + scope.Account + "/" + scope.Region + "/" + id)
}

// touch tells those who serve a gateway that it has changed.
func touch(tx store.Tx, scope store.Scope, id string) {
	tx.Touch(changed(scope, id))
	tx.Touch(anyTopic)
}

// anyTopic changes when any gateway does.
const anyTopic store.Topic = "gateway"

// workKey keeps the items of one gateway, or of one target, in order.
func workKey(scope store.Scope, id string) string {
	return strings.Join([]string{"gateway", scope.Account, scope.Region, id}, "/")
}

// The service owns the resources gateway/ID, for package resource.

// Tags returns the tags of a gateway.
func (s *Service) Tags(r store.Reader, scope store.Scope, path string) (map[string]string, error) {
	id, ok := strings.CutPrefix(path, arnKind)
	if !ok || strings.Contains(id, "/") {
		return nil, fault.NotFound("No resource found with the ARN 'arn:aws:bedrock-agentcore:%s:%s:%s'", scope.Region, scope.Account, path)
	}
	doc, err := s.docs.gateway(r, scope, id)
	return doc.Spec.Tags, err
}

// SetTags replaces the tags of a gateway that Tags has found.
func (s *Service) SetTags(tx store.Tx, scope store.Scope, path string, tags map[string]string) error {
	if err := tag.Check(tags); err != nil {
		return err
	}
	_, err := s.docs.gateways.Update(tx, scope, strings.TrimPrefix(path, arnKind), func(d *gatewayDoc) error { d.Spec.Tags = tags; return nil })
	return err
}

// PolicyNames are the ARNs by which a policy may name a gateway: one.
func (s *Service) PolicyNames(scope store.Scope, path string) []string {
	if id, ok := strings.CutPrefix(path, arnKind); ok && !strings.Contains(id, "/") {
		return []string{ARN(scope, id)}
	}
	return nil
}

// settledGateway reports whether a gateway in this status may be changed.
func settledGateway(status string) bool {
	return status == agentcorecontrol.GatewayStatusREADY || status == agentcorecontrol.GatewayStatusFAILED || status == agentcorecontrol.GatewayStatusUPDATE_UNSUCCESSFUL
}
