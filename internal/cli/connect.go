package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/client"
	"github.com/outcrop/outcrop/internal/client/statefile"
)

// defaultListen is where serve listens unless told otherwise.
const defaultListen = "127.0.0.1:8642"

// connect returns a client of the server that the flags and the environment
// mean. It sends nothing.
func (p *Program) connect(ctx context.Context, f *flags) (*client.Client, error) {
	t, err := p.locate(ctx, f, true)
	if err != nil {
		return nil, err
	}
	t.Token = f.token
	return p.clientOf(t)
}

// clientOf returns a client of a server.
func (p *Program) clientOf(t client.Target) (_ *client.Client, err error) {
	p.target = &t
	if p.trusted, err = p.roots(t.Endpoint); err != nil {
		return nil, err
	}
	c, err := client.New(client.Config{Target: t, Proxy: http.ProxyFromEnvironment, Roots: p.trusted, UserAgent: "outcrop/" + p.Version, Now: p.Now})
	if err != nil {
		return nil, misuse("%w", err)
	}
	return c, nil
}

// locate finds the server: what a flag says, what the shell's AWS variables say
// (if shell is set), or the newest one of this user that runs.
func (p *Program) locate(ctx context.Context, f *flags, shell bool) (client.Target, error) {
	records, err := p.records()
	if err != nil {
		return client.Target{}, err
	}
	switch {
	case f.endpoint != "":
		return p.locateURL(f, records, f.endpoint, "--endpoint")
	case f.data != "":
		return p.locateData(f, records)
	case shell && p.env("AWS_ENDPOINT_URL") != "":
		return p.locateURL(f, records, p.env("AWS_ENDPOINT_URL"), "AWS_ENDPOINT_URL")
	}
	live := slices.DeleteFunc(slices.Clone(records), func(r statefile.Record) bool { return !p.state().Alive(r) })
	if len(live) == 0 {
		return client.Target{}, p.nothingRuns(ctx, records)
	}
	p.sayWhich(live)
	return p.targetOf(f, live[0], "the newest server of this user")
}

// sayWhich says which of several servers was chosen, and how to choose another.
func (p *Program) sayWhich(live []statefile.Record) {
	if len(live) < 2 {
		return
	}
	p.say("%d servers of yours run; this is the newest: %s with data in %s", len(live), live[0].URL, live[0].DataDirectory)
	for _, r := range live[1:] {
		p.say("  another: --endpoint %s or --data %s", r.URL, quotePOSIX(r.DataDirectory))
	}
}

// locateURL uses the shell's key if it has one, and else that of the running
// server which listens there.
func (p *Program) locateURL(f *flags, records []statefile.Record, endpoint, source string) (client.Target, error) {
	url, live, err := p.serverAt(records, endpoint)
	if err != nil {
		return client.Target{}, err
	}
	t := client.Target{
		Endpoint: url, Region: f.region,
		AccessKeyID: p.env("AWS_ACCESS_KEY_ID"), SecretAccessKey: p.env("AWS_SECRET_ACCESS_KEY"),
		SessionToken: p.env("AWS_SESSION_TOKEN"), Source: source,
	}
	if live != nil && (t.AccessKeyID == "" || t.SecretAccessKey == "" || source == "--endpoint") {
		t, err := p.targetOf(f, *live, source)
		t.Endpoint = url // as it was asked for: the server may have others
		return t, err
	}
	if f.token == "" && (t.AccessKeyID == "" || t.SecretAccessKey == "") {
		return t, fail("Take them from where the server runs: outcrop env",
			"%s names %s, where no server of yours runs, and AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set", source, url)
	}
	if t.Region == "" {
		t.Region, err = p.shellsRegion()
	}
	return t, err
}

// serverAt returns an endpoint as lists of servers have it, and the server of this
// user which runs there, or nil.
func (p *Program) serverAt(records []statefile.Record, endpoint string) (url string, live *statefile.Record, err error) {
	base, err := client.ParseEndpoint(strings.TrimRight(endpoint, "/"))
	if err != nil {
		return "", nil, misuse("%w", err)
	}
	url = base.String()
	for i, r := range records {
		if (r.URL == url || speaksTLS(r, url)) && p.state().Alive(r) {
			return url, &records[i], nil
		}
	}
	return url, nil, nil
}

// locateData finds the server that uses a data directory.
func (p *Program) locateData(f *flags, records []statefile.Record) (client.Target, error) {
	dir := canonical(f.data)
	for _, r := range records {
		if r.DataDirectory == dir && p.state().Alive(r) {
			return p.targetOf(f, r, "--data")
		}
	}
	// Another user's server, root's for one, is in that user's list alone; the
	// directory itself tells where it listens, if we may read it.
	own := statefile.File{Path: filepath.Join(dir, statefile.Name)}
	live, err := own.Live()
	if errors.Is(err, fs.ErrPermission) {
		return client.Target{}, p.keyUnreadable(dir, err)
	}
	if len(live) > 0 {
		return p.targetOf(f, live[0], "--data")
	}
	return client.Target{}, fail("Start it: outcrop serve --data "+quotePOSIX(f.data), "no server is running on the data directory %s", dir)
}

// targetOf adds a server's key to where it listens.
func (p *Program) targetOf(f *flags, r statefile.Record, source string) (client.Target, error) {
	key, err := client.ReadCredentials(r.DataDirectory)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return client.Target{}, p.keyUnreadable(r.DataDirectory, err)
	case errors.Is(err, fs.ErrNotExist):
		return client.Target{}, fail("If its data directory was moved or deleted, stop it (pid "+fmt.Sprint(r.PID)+") and start it again.",
			"the server at %s has no access key in %s", r.URL, r.DataDirectory)
	case err != nil:
		return client.Target{}, damagedKey(r.DataDirectory, err)
	}
	return client.Target{
		Endpoint: r.URL, Region: cmp.Or(f.region, key.Region, r.Region),
		AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretAccessKey, Source: source,
	}, nil
}

// keyUnreadable says whose the key is and what others can do. Making it readable
// is not among that: whoever can read it is the account's root user.
func (p *Program) keyUnreadable(dir string, cause error) *failure {
	owner := cmp.Or(ownerOf(dir), "its owner")
	f := fail(othersServer(owner), "the server's data directory %s belongs to %s: its key is readable by %s only", dir, owner, owner)
	f.cause = cause
	return f
}

func othersServer(owner string) string {
	return "Run a server of your own: outcrop serve --data DIRECTORY --listen 127.0.0.1:8652\n" +
		"or let " + owner + " run outcrop env and give you what it prints."
}

// nothingRuns says why there is no server to talk to.
func (p *Program) nothingRuns(ctx context.Context, stopped []statefile.Record) *failure {
	if len(stopped) > 0 {
		r := stopped[0]
		return fail("Start it again: "+p.startCommand(r), "no server is running; the last one was at %s with data directory %s", r.URL, r.DataDirectory)
	}
	if seen, err := client.Probe(ctx, "http://"+p.address, nil); err != nil || !seen.Outcrop {
		return fail("Start one: outcrop serve", "no server is running")
	}
	// None of ours, or its list is elsewhere: without its key it is of no use.
	holder := whoListens(p.address)
	if holder.uid >= 0 && holder.uid == os.Getuid() {
		return fail("Name its data directory: --data DIRECTORY", "a server of yours runs at http://%s, but no list names its data directory", p.address)
	}
	owner := cmp.Or(holder.user, "another user")
	return fail(othersServer(owner), "the server at http://%s belongs to %s: its key is readable by %s only", p.address, owner, owner)
}

// records returns the servers of this user's list, newest first, running or not.
func (p *Program) records() ([]statefile.Record, error) {
	s := p.state()
	if s.Path == "" {
		return nil, nil
	}
	records, err := s.List()
	if errors.Is(err, fs.ErrPermission) {
		return nil, fail("Remove it as root, or run this command as root too.",
			"%s, the list of your servers, belongs to %s, most likely because outcrop ran under sudo", s.Path, cmp.Or(ownerOf(s.Path), ownerOf(filepath.Dir(s.Path)), "another user"))
	}
	if err != nil {
		return nil, fail("Remove it and start your servers again.", "%w", err)
	}
	return records, nil
}

// state is the per-user list of servers; its Path is empty where the
// environment names no home.
func (p *Program) state() statefile.File {
	dir := p.env("XDG_STATE_HOME")
	if !filepath.IsAbs(dir) { // the XDG base directory specification ignores relative ones
		home := p.home()
		if home == "" {
			return statefile.File{}
		}
		dir = filepath.Join(home, ".local", "state")
	}
	return statefile.File{Path: filepath.Join(dir, "outcrop", statefile.Name)}
}

// defaultData is the data directory unless a flag names one; empty without a home.
func (p *Program) defaultData() string {
	dir := p.env("XDG_DATA_HOME")
	if !filepath.IsAbs(dir) {
		home := p.home()
		if home == "" {
			return ""
		}
		dir = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(dir, "outcrop")
}

func (p *Program) home() string { return cmp.Or(p.env("HOME"), p.env("USERPROFILE")) }

// canonical makes a path absolute and follows links as far as it exists, so that
// one directory has one name.
func canonical(dir string) string {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return dir
	}
	for rest, at := "", abs; ; {
		if real, err := filepath.EvalSymlinks(at); err == nil {
			return filepath.Join(real, rest)
		}
		parent := filepath.Dir(at)
		if parent == at {
			return abs
		}
		rest, at = filepath.Join(filepath.Base(at), rest), parent
	}
}
