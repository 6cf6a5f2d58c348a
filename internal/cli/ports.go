package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/client"
)

const portsLong = `Forwards ports of this machine's loopback to ports of a session, for HTTP and WebSockets, until Ctrl-C. A port of a session
is reached if its agent has it among its allowed ports (outcrop deploy --allowed-ports), and something in the sandbox
listens on it.

LOCAL:REMOTE names both; REMOTE alone is the same port here, and 0:REMOTE or :REMOTE takes a free one. Where they are is
printed on standard output, a line each. Every request is signed with your key on its way, so whoever can connect to the
port on this machine may do what you may do there: other users of the machine, too. Nobody else's machine can.

A new session is started unless -s names one. It ends when nobody has used it for its idle timeout, as any other.`

// portPair is one port here and one in a session.
type portPair struct{ local, remote int }

func newPorts(p *Program, f *flags) *cobra.Command {
	var v invocation
	cmd := &cobra.Command{
		Use:     "ports NAME|ARN [LOCAL:]REMOTE...",
		Short:   "Forward local ports to ports of a session",
		Long:    portsLong,
		Example: "  outcrop ports hello 8100\n  outcrop ports hello -s 4f1c2d0e-6a53-4d3b-9a86-0c6f6f1d2b11 3000:8100 0:8200",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) >= 2 {
				return nil
			}
			return below(cmd, "which ports of which agent? Such as: outcrop ports hello 8100")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			v.ref = args[0]
			var pairs []portPair
			for _, text := range args[1:] {
				pair, err := parsePorts(text)
				if err != nil {
					return below(cmd, "%s", err)
				}
				pairs = append(pairs, pair)
			}
			return p.forward(cmd.Context(), f, v, pairs)
		},
	}
	cmd.Flags().StringVarP(&v.session, "session", "s", "", "id of the `SESSION`, 33 to 256 characters (default: a new one)")
	cmd.Flags().StringVar(&v.qualifier, "qualifier", "", "`endpoint` of the agent (default DEFAULT)")
	return cmd
}

// parsePorts reads 8100, 3000:8100, :8100 or 0:8100.
func parsePorts(text string) (portPair, error) {
	local, remote, both := strings.Cut(text, ":")
	if !both {
		remote = local
	}
	there, err := strconv.ParseUint(remote, 10, 16)
	if err != nil || there == 0 {
		return portPair{}, fmt.Errorf("%q names no port of a session, which are from %d to %d: REMOTE or LOCAL:REMOTE, such as 3000:8100", text, leastPort, mostPort)
	}
	here, err := strconv.ParseUint(cmp.Or(local, "0"), 10, 16)
	if err != nil {
		return portPair{}, fmt.Errorf("%q names no port of this machine: LOCAL is a number up to 65535, or 0 for a free one", text)
	}
	return portPair{int(here), int(there)}, nil
}

// forward forwards until ctx ends.
func (p *Program) forward(ctx context.Context, f *flags, v invocation, pairs []portPair) error {
	c, err := p.openSession(ctx, f, &v)
	if err != nil {
		return err
	}
	if err := checkAllowed(ctx, c, v, pairs); err != nil {
		return err
	}
	var servers []*http.Server
	var listeners []net.Listener
	defer func() {
		for _, s := range servers {
			_ = s.Close() // with what it forwards
		}
		for _, l := range listeners {
			_ = l.Close() // of which no server was made: nobody was let in
		}
	}()
	for _, pair := range pairs {
		l, err := listenLocal(ctx, pair.local)
		if err != nil {
			return err
		}
		listeners = append(listeners, l)
	}
	if err := p.beginSession(ctx, c, v); err != nil {
		return err
	}
	failed := make(chan error, len(pairs))
	for i, pair := range pairs {
		handler, err := c.Port(v.place(), pair.remote, func(err error) { p.say("port %d: %v", pair.remote, client.Explain(err)) })
		if err != nil {
			return err
		}
		s := &http.Server{Handler: onlyLoopback(handler), ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
		servers = append(servers, s)
		go func() { failed <- s.Serve(listeners[i]) }()
		if _, err := fmt.Fprintf(p.Stdout, "http://%s -> port %d\n", listeners[i].Addr(), pair.remote); err != nil {
			return err
		}
	}
	p.say("Session %s. Forwarding until Ctrl-C.", v.session)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-failed:
		return fmt.Errorf("forward: %w", err)
	}
}

func listenLocal(ctx context.Context, port int) (net.Listener, error) {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp4", address)
	if err != nil {
		return nil, fail("Take a free one: 0:REMOTE", "listen on %s: %w", address, innermost(err))
	}
	return l, nil
}

// checkAllowed refuses ports that the agent's version does not open. Of another
// endpoint than DEFAULT the version may be another.
func checkAllowed(ctx context.Context, c *client.Client, v invocation, pairs []portPair) error {
	if v.qualifier != "" && v.qualifier != "DEFAULT" {
		return nil
	}
	id := v.arn[strings.LastIndexByte(v.arn, '/')+1:]
	r, err := c.Control().GetAgentRuntime(ctx, &bedrockagentcorecontrol.GetAgentRuntimeInput{AgentRuntimeId: &id})
	if err != nil {
		return err
	}
	for _, pair := range pairs {
		if !allowed(r.AllowedPorts, pair.remote) {
			return notAllowed(aws.ToString(r.AgentRuntimeName), r.AllowedPorts, pair.remote, v.where)
		}
	}
	return nil
}

// beginSession has the session live, which the URL of its ports does not do, and
// runs nothing of the agent's. An image without bash is no obstacle: its session
// has begun when that is found out.
func (p *Program) beginSession(ctx context.Context, c *client.Client, v invocation) error {
	stream, err := startCommand(ctx, c, v, ":", 0)
	if err == nil {
		for range stream.Events() { // until it has ended
		}
		err = errors.Join(stream.Err(), stream.Close())
	}
	var refused *client.Error
	if errors.As(client.Explain(err), &refused) && strings.HasPrefix(refused.Message, "The command cannot be run") {
		return nil
	}
	if err != nil {
		return p.invokeFailure(ctx, c, err, v)
	}
	return nil
}

// onlyLoopback keeps pages of the internet out, whose names may lead here: what
// passes is signed.
func onlyLoopback(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if ip := net.ParseIP(strings.Trim(host, "[]")); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "outcrop ports answers to localhost and 127.0.0.1 alone", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}
