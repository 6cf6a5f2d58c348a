package gateway

import (
	"context"
	"fmt"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/protocol"
	"github.com/outcrop/outcrop/internal/store"
)

// shapes are the indexes of the shapes that configurations are read and written as. They
// are stored in the words of the wire, so that a regenerated model never changes what is
// stored, and members that nobody set stay absent.
type shapes struct{ gateway, gatewayOut, target, targetOut, rule, ruleOut, limit, limitOut int }

func newShapes() shapes {
	of := agentcorecontrol.Service.ShapeNamed
	return shapes{
		gateway: of("UpdateGatewayRequest"), gatewayOut: of("GetGatewayResponse"),
		target: of("UpdateGatewayTargetRequest"), targetOut: of("GatewayTarget"),
		rule: of("UpdateGatewayRuleRequest"), ruleOut: of("GatewayRuleDetail"),
		limit: of("BatchPutLimitEntry"), limitOut: of("GatewayRateLimitDetail"),
	}
}

// encode writes a value of the wire for the store.
func encode(shape int, v any) ([]byte, error) {
	return protocol.MarshalJSON(&agentcorecontrol.Service, shape, v, false)
}

// decode reads what encode wrote, as another shape where that has the same members.
func decode(shape int, text []byte, v any) error {
	return protocol.UnmarshalJSON(&agentcorecontrol.Service, shape, text, v)
}

// gatewayConfig opens what the owner of a gateway configured, as it is in v.
func (s *Service) gatewayConfig(ctx context.Context, doc gatewayDoc, v sealed) (*agentcorecontrol.UpdateGatewayRequest, error) {
	out := &agentcorecontrol.UpdateGatewayRequest{}
	return out, s.read(ctx, doc.Scope, s.docs.gateways.Kind, doc.ID, v, s.shapes.gateway, out)
}

// targetConfig opens what the owner of a target configured.
func (s *Service) targetConfig(ctx context.Context, doc configDoc) (*agentcorecontrol.UpdateGatewayTargetRequest, error) {
	out := &agentcorecontrol.UpdateGatewayTargetRequest{}
	return out, s.read(ctx, doc.Scope, s.docs.configs.Kind, doc.ID, doc.Spec, s.shapes.target, out)
}

func (s *Service) read(ctx context.Context, scope store.Scope, kind, id string, v sealed, shape int, out any) error {
	text, err := s.open(ctx, owner(scope, kind, id), scope, v)
	if err != nil {
		return err
	}
	if err := decode(shape, text, out); err != nil {
		return fmt.Errorf("read configuration of %s %s: %w", kind, id, err)
	}
	return nil
}

// write seals a configuration.
func (s *Service) write(ctx context.Context, scope store.Scope, kind, id, key string, shape int, in any) (sealed, error) {
	text, err := encode(shape, in)
	if err != nil {
		return sealed{}, err
	}
	return s.seal(ctx, key, owner(scope, kind, id), scope, text)
}
