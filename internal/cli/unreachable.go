package cli

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/outcrop/outcrop/internal/client"
	"github.com/outcrop/outcrop/internal/client/statefile"
)

// startCommand starts the server again that r tells of, where it was.
func (p *Program) startCommand(r statefile.Record) string {
	command := "outcrop serve" + p.listenFlag(r.URL)
	for _, address := range r.TLSAddresses {
		command += " --tls-listen " + quotePOSIX(address)
	}
	if r.DataDirectory != canonical(p.defaultData()) {
		command += " --data " + quotePOSIX(r.DataDirectory)
	}
	return command
}

// listenFlag is what serve has to be told to listen at an endpoint; empty where it
// does so by itself, or cannot: --listen speaks no TLS.
func (p *Program) listenFlag(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" || u.Hostname() == "" {
		return ""
	}
	address := net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "80"))
	_, port, _ := net.SplitHostPort(p.address)
	if address == p.address || u.Hostname() == "localhost" && u.Port() == port {
		return ""
	}
	return " --listen " + quotePOSIX(address)
}

// known finds the server at endpoint in this user's list.
func (p *Program) known(endpoint string) (statefile.Record, bool) {
	records, err := p.records()
	i := slices.IndexFunc(records, func(r statefile.Record) bool { return r.URL == endpoint || speaksTLS(r, endpoint) })
	if err != nil || i < 0 {
		return statefile.Record{}, false
	}
	return records[i], true
}

// startAgain starts the server at endpoint again, as far as this user's list knows it.
func (p *Program) startAgain(endpoint string) string {
	if r, ok := p.known(endpoint); ok {
		return p.startCommand(r)
	}
	return "outcrop serve" + p.listenFlag(endpoint)
}

// explainUnreachable says what to do when nobody answers, which depends on who
// said where to ask.
func (p *Program) explainUnreachable(err *client.UnreachableError) *failure {
	if p.target == nil {
		return fail("Start one: outcrop serve", "%w", err)
	}
	reason := err.Err.Error()
	var errno syscall.Errno
	if errors.As(err, &errno) {
		reason = errno.Error()
	}
	f := fail("", "no server answers at %s: %s", p.target.Endpoint, reason)
	f.cause = err
	switch p.target.Source {
	case "AWS_ENDPOINT_URL":
		f.fix = "The address is from AWS_ENDPOINT_URL. Start a server there: " + p.startAgain(p.target.Endpoint) + "\n" +
			"or take the address of the one that runs: eval \"$(outcrop env)\"\n" +
			"or forget it: eval \"$(outcrop env --unset)\""
	case "--endpoint":
		f.fix = "Check --endpoint, or start a server there: " + p.startAgain(p.target.Endpoint)
	default:
		f.fix = "Its process runs and does not answer; it may be ending. A closer look: outcrop doctor"
		if r, ok := p.known(p.target.Endpoint); !ok || !p.state().Alive(r) { // it ended since we looked
			f.fix = "It has ended; its own log says why. Start it again: " + p.startAgain(p.target.Endpoint)
		}
	}
	return f
}

// explainLost finds out why a call got no answer: the server has ended, it broke
// the call off, or it is none of ours.
func (p *Program) explainLost(ctx context.Context, lost *client.LostError) *failure {
	if p.target == nil {
		return &failure{text: lost.Error(), cause: lost}
	}
	at := p.target.Endpoint
	if lost.Timeout() {
		f := fail("It is overloaded, or something else has that port: outcrop doctor", "the server at %s does not answer", at)
		f.cause = lost
		return f
	}
	seen, err := settledProbe(ctx, at, p.trusted)
	var (
		gone    *client.UnreachableError
		foreign *client.NotOutcropError
	)
	f := &failure{cause: lost}
	switch {
	case errors.As(err, &gone):
		f.text = "the server at " + at + " ended before it had answered"
		f.fix = "The call may have had its effect. The server's own log says why it ended. Start it again: " + p.startAgain(at)
	case err == nil && seen.Outcrop:
		f.text = "the server at " + at + " broke the call off before it had answered"
		f.fix = "The call may have had its effect. The server answers now, and its own log says what happened."
	case errors.As(err, &foreign):
		return p.explainForeign(foreign)
	case strings.HasPrefix(at, "http://") && client.SpeaksTLS(ctx, at):
		return p.explainForeign(&client.NotOutcropError{Detail: "it wants TLS", Err: lost})
	default:
		return p.explainForeign(&client.NotOutcropError{Detail: "it closes the connection without an answer", Err: lost})
	}
	return f
}

// settledProbe asks who is at an endpoint where a connection was just lost. A
// server that is being killed takes connections for some moments longer.
func settledProbe(ctx context.Context, endpoint string, roots *x509.CertPool) (client.Sighting, error) {
	const looks, pause = 6, 100 * time.Millisecond
	for i := 1; ; i++ {
		seen, err := client.Probe(ctx, endpoint, roots)
		var lost *client.LostError
		if err = client.Explain(err); !errors.As(err, &lost) || lost.Timeout() || i == looks {
			return seen, err
		}
		select {
		case <-ctx.Done():
			return seen, err
		case <-time.After(pause):
		}
	}
}

// explainForeign says what to do when something answers that is none of ours.
func (p *Program) explainForeign(e *client.NotOutcropError) *failure {
	if p.target == nil {
		return fail("Check --endpoint and AWS_ENDPOINT_URL.", "%w", e)
	}
	shown := *e
	shown.Endpoint = p.target.Endpoint
	f := &failure{text: shown.Error(), cause: e}
	switch p.target.Source {
	case "AWS_ENDPOINT_URL":
		f.fix = "The address is from AWS_ENDPOINT_URL. Take that of your running server: eval \"$(outcrop env)\"\n" +
			"or forget it: eval \"$(outcrop env --unset)\""
	case "--endpoint":
		f.fix = "Check the host and port of --endpoint."
	default:
		f.fix = "Something has taken your server's port: outcrop doctor"
	}
	switch {
	case !strings.HasPrefix(p.target.Endpoint, "https://"):
	case strings.Contains(shown.Detail, "without TLS"):
		f.fix += "\nWithout TLS it is http" + strings.TrimPrefix(p.target.Endpoint, "https")
	case strings.Contains(shown.Detail, "certificate"):
		f.fix += "\nIf it is one, trust its CA, whose certificate outcrop ca --pem prints on its machine: AWS_CA_BUNDLE=FILE"
	}
	return f
}
