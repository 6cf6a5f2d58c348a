package upstream

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/outbound"
)

// HTTP returns what Config.Client wants: clients that reach what base lets them reach, and
// by private endpoints what the operator knows of them: resources are the resource
// configurations, by their id.
//
// They keep connections for less than the 5 seconds after which servers of Node.js and
// uvicorn close theirs: a call that is sent at that moment would be lost.
func HTTP(base outbound.Config, resources map[string]outbound.Via) func(target.Source) (*http.Client, error) {
	base.Timeout, base.MaxBody = -1, -1 // calls have limits of their own
	base.Idle, base.IdleTimeout, base.Direct = 1000, 4*time.Second, true
	return func(s target.Source) (*http.Client, error) {
		mine := base
		if len(s.Certificates) > 0 {
			var err error
			if mine.Roots, err = outbound.Trusting(base.Roots, s.Certificates); err != nil {
				return nil, target.Unfitf("certificateConfigurations: %s", err)
			}
		}
		var err error
		if mine.Via, err = via(s.Private, resources); err != nil {
			return nil, err
		}
		return outbound.New(mine), nil
	}
}

// Judge returns what tells, without calling a URL of a target, what HTTP's clients would
// refuse of it.
func Judge(base outbound.Config, resources map[string]outbound.Via) func(context.Context, target.Source, *url.URL) error {
	return func(ctx context.Context, s target.Source, at *url.URL) error {
		mine := base
		var err error
		if mine.Via, err = via(s.Private, resources); err != nil {
			return err
		}
		return mine.Judge(ctx, at)
	}
}

// via is where a private endpoint leads; nil is none.
func via(p *target.Private, resources map[string]outbound.Via) (*outbound.Via, error) {
	switch {
	case p == nil:
		return nil, nil
	case p.Resource == "":
		return &outbound.Via{Host: p.Host, Network: p.Network}, nil
	}
	at, ok := resources[p.Resource]
	if !ok {
		return nil, target.Unfitf("privateEndpoint: this server does not know the resource configuration %s any more; have the operator say where it is: outcrop serve --private-endpoint %s=HOST:PORT", p.Resource, p.Resource)
	}
	return &at, nil
}
