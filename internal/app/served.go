package app

import (
	"context"
	"net"
	"net/url"
	"strings"

	"github.com/outcrop/outcrop/internal/awshost"
)

// served tells which URLs are resources of this server, to its authorization server.
type served struct {
	public  func() string          // the URL that the operator gave the server, or its first
	reaches func(host string) bool // whether a host with its port is this machine at our port
	// prefix is what a gateway's own host name stands for before paths, or nothing.
	prefix func(host string) string
	// runtimes knows those resources by path and query, gateways theirs by path alone.
	runtimes func(context.Context, *url.URL) (bool, error)
	gateways func(ctx context.Context, path string) (bool, error)
}

// serves reports whether a URL is that of a resource, for who reached the server at a
// host: there, at any other name of the server's that is known, or at AWS's.
func (s served) serves(ctx context.Context, host, resource string) (bool, error) {
	u, err := url.Parse(resource)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Fragment != "" {
		return false, nil
	}
	if prefix := s.prefix(u.Hostname()); prefix != "" {
		if u.RawQuery != "" || !s.ourPort(u, host) {
			return false, nil
		}
		return s.gateways(ctx, prefix+u.EscapedPath())
	}
	if !s.ours(u, host) {
		return false, nil
	}
	if is, err := s.runtimes(ctx, u); is || err != nil || u.RawQuery != "" {
		return is, err
	}
	return s.gateways(ctx, u.EscapedPath())
}

func (s served) ours(u *url.URL, host string) bool {
	if strings.EqualFold(u.Host, host) || s.reaches(u.Host) {
		return true
	}
	if public, err := url.Parse(s.public()); err == nil && strings.EqualFold(u.Host, public.Host) {
		return true
	}
	name, ok := awshost.Parse(u.Host)
	return ok && name.Service == "bedrock-agentcore" && name.Prefix == ""
}

// ourPort reports whether a gateway's own name is asked at the port where this server
// is: names alone do not say which of a machine's servers is meant.
func (s served) ourPort(u *url.URL, host string) bool {
	if awshost.Is(u.Hostname()) {
		return u.Port() == ""
	}
	_, reached, err := net.SplitHostPort(host)
	if err != nil {
		reached = "" // the scheme's own
	}
	public, err := url.Parse(s.public())
	return u.Port() == reached || err == nil && u.Port() == public.Port()
}
