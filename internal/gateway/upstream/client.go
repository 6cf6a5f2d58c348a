package upstream

import (
	"net/http"
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
		if s.Private != nil {
			via, ok := resources[s.Private.Resource]
			if s.Private.Resource != "" && !ok {
				return nil, target.Unfitf("privateEndpoint: this server does not know the resource configuration %s any more; have the operator say where it is: outcrop serve --private-endpoint %s=HOST:PORT", s.Private.Resource, s.Private.Resource)
			}
			if s.Private.Resource == "" {
				via = outbound.Via{Host: s.Private.Host, Network: s.Private.Network}
			}
			mine.Via = &via
		}
		return outbound.New(mine), nil
	}
}
