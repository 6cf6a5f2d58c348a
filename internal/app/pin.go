package app

import (
	"context"
	"log/slog"

	"github.com/outcrop/outcrop/internal/auth/pin"
	"github.com/outcrop/outcrop/internal/resourcepolicy"
)

// pinPolicies pins whom the policies name that older versions stored, before anybody
// asks. It logs who could not be pinned: nobody is let in by those names any more.
func pinPolicies(ctx context.Context, p *parts, log *slog.Logger) error {
	for _, upgrade := range []func() ([]pin.Lost, error){
		func() ([]pin.Lost, error) { return p.directory.PinTrusts(ctx) },
		func() ([]pin.Lost, error) { return p.keys.Pin(ctx, p.directory) },
		func() ([]pin.Lost, error) { return p.secrets.Pin(ctx, p.directory) },
		func() ([]pin.Lost, error) { return p.images.Pin(ctx, p.directory) },
		func() ([]pin.Lost, error) { return resourcepolicy.Pin(ctx, p.store, p.directory) },
	} {
		lost, err := upgrade()
		if err != nil {
			return err
		}
		for _, l := range lost {
			log.Warn("a policy names somebody who is not there, and allows nobody anything by that name until it is written again",
				"resource", l.Resource, "principal", l.Principal)
		}
	}
	return nil
}
