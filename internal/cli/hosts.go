package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/outcrop/outcrop/internal/awshost"
	"github.com/outcrop/outcrop/internal/client/statefile"
)

// defaultProxy is where the proxy listens unless told otherwise.
const defaultProxy = "127.0.0.1:8643"

// hostsFlags are serve's for AWS's host names and TLS.
type hostsFlags struct {
	awsHosts            string
	agentHosts          string
	proxyListen         string
	tlsListen, tlsNames []string
	certificate, key    string
}

func (h *hostsFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&h.awsHosts, "aws-hosts", "", "answer AWS's host names, by a proxy that clients are told of by outcrop env --aws-hosts: `which` is all, or served for those of services that are served")
	fs.Lookup("aws-hosts").NoOptDefVal = "all"
	fs.StringVar(&h.agentHosts, "agent-aws-hosts", "served", "AWS's host names that lead agents to this server, in their sandboxes: `which` is served, those of services that it serves, or none")
	fs.StringVar(&h.proxyListen, "proxy-listen", "", "`HOST:PORT` of that proxy, along with --aws-hosts (default "+defaultProxy+")")
	fs.StringArrayVar(&h.tlsListen, "tls-listen", nil, "`HOST:PORT` to speak TLS on, besides --listen; 127.0.0.1:443 serves clients with a hosts file (may be repeated)")
	fs.StringArrayVar(&h.tlsNames, "tls-name", nil, "host `name` or IP address of this server, for the private CA (outcrop ca; may be repeated)")
	fs.StringVar(&h.certificate, "tls-cert", "", "certificate `file` of your own (PEM, with its chain) for --tls-listen; read again when it changes")
	fs.StringVar(&h.key, "tls-key", "", "its key `file` (PEM)")
}

// check refuses what cannot be meant.
func (h *hostsFlags) check() error {
	switch {
	case h.awsHosts != "" && h.awsHosts != "all" && h.awsHosts != "served":
		return misuse("--aws-hosts is all or served, not %q; its value stands behind an equals sign: --aws-hosts=served", h.awsHosts)
	case h.agentHosts != "served" && h.agentHosts != "none":
		return misuse("--agent-aws-hosts is served or none, not %q", h.agentHosts)
	case h.proxyListen != "" && h.awsHosts == "":
		return misuse("--proxy-listen is for --aws-hosts")
	case (h.certificate == "") != (h.key == ""):
		return misuse("--tls-cert and --tls-key belong together")
	case len(h.tlsListen) == 0 && h.certificate != "":
		return misuse("--tls-cert is for --tls-listen, and there is none; add --tls-listen 0.0.0.0:8644")
	case len(h.tlsListen) == 0 && len(h.tlsNames) > 0:
		return misuse("--tls-name is for --tls-listen, and there is none; add --tls-listen 0.0.0.0:8644")
	}
	for _, address := range h.tlsListen {
		if err := checkAddress("--tls-listen", address, "0.0.0.0:8644"); err != nil {
			return err
		}
	}
	if h.proxyListen != "" {
		if err := checkAddress("--proxy-listen", h.proxyListen, defaultProxy); err != nil {
			return err
		}
	}
	for _, name := range h.tlsNames {
		_, ipErr := netip.ParseAddr(name)
		if _, ok := awshost.Clean(name); !ok && ipErr != nil {
			return misuse("--tls-name %s is neither a host name nor an IP address", name)
		}
	}
	return nil
}

// listenHosts binds the further ports.
func (p *Program) listenHosts(ctx context.Context, h hostsFlags) (opt HostsOptions, err error) {
	defer func() {
		if err != nil {
			opt.close()
		}
	}()
	opt = HostsOptions{Certificate: h.certificate, Key: h.key, Names: h.tlsNames, ServedOnly: h.awsHosts == "served", NoAgents: h.agentHosts == "none"}
	for _, address := range h.tlsListen {
		l, err := bind(ctx, "--tls-listen", address)
		if err != nil {
			return opt, err
		}
		opt.TLS = append(opt.TLS, l)
	}
	if h.awsHosts == "" {
		return opt, nil
	}
	if h.proxyListen != "" {
		opt.Proxy, err = bind(ctx, "--proxy-listen", h.proxyListen)
		return opt, err
	}
	// Nobody chose the port, so that another does as well.
	if opt.Proxy, err = bind(ctx, "--proxy-listen", defaultProxy); errors.Is(err, syscall.EADDRINUSE) {
		opt.Proxy, err = bind(ctx, "--proxy-listen", "127.0.0.1:0")
	}
	return opt, err
}

// close closes what was bound.
func (o HostsOptions) close() {
	for _, l := range o.TLS {
		_ = l.Close() // nothing was accepted
	}
	if o.Proxy != nil {
		_ = o.Proxy.Close()
	}
}

// note tells clients of this user where the listeners are.
func (o HostsOptions) note(r *statefile.Record) {
	for _, l := range o.TLS {
		r.TLSAddresses = append(r.TLSAddresses, l.Addr().String())
	}
	if o.Proxy != nil {
		r.ProxyURL = urlOf(o.Proxy.Addr())
	}
}

// secureURLs are where clients on this machine reach a server over TLS.
func secureURLs(r statefile.Record) []string {
	var urls []string
	for _, address := range r.TLSAddresses {
		urls = append(urls, "https"+strings.TrimPrefix(urlOf(addr(address)), "http"))
	}
	return urls
}

// bind listens on an address that a flag names.
func bind(ctx context.Context, flag, address string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, network(address), address)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fail("Choose another port, or stop what has it.", "%s %s is taken by %s: %w", flag, address, whoListens(resolve(address)), err)
	case errors.Is(err, syscall.EACCES):
		return nil, fail(fmt.Sprintf("Let ordinary users have it: sudo sysctl net.ipv4.ip_unprivileged_port_start=%s\nor choose a port from 1024 on.", portOf(address)),
			"only root may listen on %s %s: %w", flag, address, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fail("ip addr shows the addresses there are.", "no interface of this machine has the address of %s %s: %w", flag, address, err)
	}
	f := misuse("%s %s: %w", flag, address, err)
	f.fix = flag + " takes HOST:PORT, such as " + defaultProxy
	return nil, f
}

// portOf is the port of an address, or all of it.
func portOf(address string) string {
	if _, port, err := net.SplitHostPort(address); err == nil {
		return port
	}
	return address
}
