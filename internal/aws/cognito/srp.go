package cognito

import (
	"context"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/issuer"
	"github.com/outcrop/outcrop/internal/secret"
)

// bySRP begins a sign-in in which the password is proven and not sent.
func (s *Service) bySRP(ctx context.Context, p issuer.Pool, c issuer.Client, parameters map[string]string) (outcome, error) {
	if err := need(parameters, "USERNAME", "SRP_A"); err != nil {
		return outcome{}, err
	}
	name := parameters["USERNAME"]
	if err := s.pools.CheckSecretHash(ctx, c, name, parameters["SECRET_HASH"]); err != nil {
		return outcome{}, err
	}
	made, err := s.pools.StartSRP(ctx, p, c, name, parameters["SRP_A"])
	about(ctx, p, c.ID, made.Sub)
	if err != nil {
		return outcome{}, err
	}
	return outcome{challenge: new(verifier), parameters: map[string]string{
		"SALT": made.Salt, "SRP_B": made.Public, "SECRET_BLOCK": made.Block.Reveal(), "USERNAME": made.User, "USER_ID_FOR_SRP": made.User,
	}}, nil
}

// answerSRP ends it. The block is the session: clients send none beside it.
func (s *Service) answerSRP(ctx context.Context, p issuer.Pool, c issuer.Client, responses map[string]string) (outcome, error) {
	if err := need(responses, "USERNAME", "PASSWORD_CLAIM_SECRET_BLOCK", "PASSWORD_CLAIM_SIGNATURE", "TIMESTAMP"); err != nil {
		return outcome{}, err
	}
	if err := s.pools.CheckSecretHash(ctx, c, responses["USERNAME"], responses["SECRET_HASH"]); err != nil {
		return outcome{}, err
	}
	u, err := s.pools.AnswerSRP(ctx, p, c, issuer.SRPAnswer{
		Name: responses["USERNAME"], Block: secret.NewString(responses["PASSWORD_CLAIM_SECRET_BLOCK"]),
		Signature: responses["PASSWORD_CLAIM_SIGNATURE"], Timestamp: responses["TIMESTAMP"],
	})
	about(ctx, p, c.ID, u.Sub)
	if err != nil {
		return outcome{}, err
	}
	return s.signedIn(ctx, p, c, u)
}

// need refuses parameters without some members, and those of a remembered device. The
// latter by the code at which clients forget the device and try without.
func need(parameters map[string]string, names ...string) error {
	for _, name := range names {
		if parameters[name] == "" {
			return issuer.Invalid("Missing required parameter %s", name)
		}
	}
	if parameters["DEVICE_KEY"] != "" {
		return fault.BadRequest(issuer.CodeNotFound, "Device does not exist. Devices are not remembered here; leave DEVICE_KEY out")
	}
	return nil
}
