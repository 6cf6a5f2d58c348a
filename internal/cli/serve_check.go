package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/awshost"
	"github.com/outcrop/outcrop/internal/lambda/endpoint"
)

// InterpreterCheck says why nothing beneath a directory, or no executable, that is
// absolute, can run agents of a server with this data directory; it is empty where
// something can.
type InterpreterCheck func(ctx context.Context, path, dataDir string) (reason string)

// checkServe refuses flags of serve that cannot be meant or cannot work, before anything
// is opened: a server that only finds out later runs, and does not do what it was told.
// It keeps in s what it has read of them.
func (p *Program) checkServe(ctx context.Context, s *serveFlags, dir string) (err error) {
	switch {
	case s.maxSessions < 0:
		return misuse("--max-sessions must not be less than 0; 0 is the server's own limit")
	case s.grace < 0:
		return misuse("--grace must not be less than 0s")
	}
	if err := errors.Join(checkAddress("--listen", s.listen, defaultListen), s.hosts.check(), s.sessions.check(), s.images.check(), s.outbound.check(), s.identity.check(), s.gateway.check()); err != nil {
		return err
	}
	if err := checkPassthrough(s.passthrough); err != nil {
		return err
	}
	if s.shared, err = accessPoints(s.accessPoints, dir); err != nil {
		return err
	}
	if s.connectors, err = configFile("connectors", s.connectors, "docs/targets.md"); err != nil {
		return err
	}
	if s.models, err = configFile("models", s.models, "docs/models.md"); err != nil {
		return err
	}
	if s.lambda != "" {
		if _, err := endpoint.Parse(s.lambda); err != nil {
			return misuse("--lambda-endpoint %s: %s", s.lambda, err)
		}
	}
	if err := checkExecutable(s.sandbox); err != nil {
		return err
	}
	return p.checkInterpreters(ctx, s.interpreters, dir)
}

// checkAddress refuses what is no HOST:PORT.
func checkAddress(flag, address, such string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port) // names of services, too
	}
	if err != nil {
		return misuse("%s %s is no HOST:PORT with a port of 0 to 65535, such as %s", flag, quotePOSIX(address), such)
	}
	return nil
}

// checkExecutable refuses what cannot be started in place of the built-in sandbox.
func checkExecutable(path string) error {
	if path == "" {
		return nil
	}
	const without = "; leave --sandbox out for the built-in one"
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return misuse("--sandbox %s: there is no such file%s", path, without)
	case err != nil:
		return misuse("--sandbox: %w%s", err, without)
	case !info.Mode().IsRegular():
		return misuse("--sandbox %s is no file%s", path, without)
	case info.Mode().Perm()&0o111 == 0:
		return misuse("--sandbox %s cannot be executed: chmod +x it, or leave --sandbox out for the built-in one", path)
	}
	return nil
}

// checkInterpreters refuses directories that bring nothing.
func (p *Program) checkInterpreters(ctx context.Context, paths []string, dataDir string) error {
	if err := interpretersThere(paths); err != nil {
		return err
	}
	for _, path := range paths {
		if p.Interpreter == nil {
			return nil
		}
		if reason := p.Interpreter(ctx, canonical(path), dataDir); reason != "" {
			f := misuse("--interpreter %s: %s", path, reason)
			f.fix = "Name the directory whose bin has the interpreter, or leave the flag out. What is there already: outcrop doctor"
			return f
		}
	}
	return ctx.Err()
}

// interpretersThere refuses paths that lead nowhere.
func interpretersThere(paths []string) error {
	for _, path := range paths {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return misuse("--interpreter %s: there is no such directory", path)
		}
	}
	return nil
}

// checkDockerConfig refuses a file that is named and has no credentials to read.
func checkDockerConfig(path string) error {
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return misuse("--registry-config %s: there is no such file; docker login writes one, to ~/.docker/config.json", path)
	case err != nil:
		return misuse("--registry-config: %w; name a file as docker login writes it", err)
	case json.Unmarshal(text, &map[string]any{}) != nil:
		return misuse("--registry-config %s is no JSON document, as docker login writes it", path)
	}
	return nil
}

// checkRegistry refuses what is neither HOST nor HOST:PORT.
func checkRegistry(flag, registry string) error {
	host, port, err := net.SplitHostPort(registry)
	if err != nil {
		host, port = strings.Trim(registry, "[]"), "443"
	}
	n, err := strconv.Atoi(port)
	_, name := awshost.Clean(host)
	_, ipErr := netip.ParseAddr(host)
	if err != nil || n < 1 || n > 65535 || !name && ipErr != nil {
		return misuse("%s %s is no HOST:PORT with a port of 1 to 65535, such as registry.office:5000; leave out what comes before and after it", flag, quotePOSIX(registry))
	}
	return nil
}

// configFile is the path of a configuration that is there.
func configFile(flag, path, page string) (string, error) {
	if path == "" {
		return "", nil
	}
	if info, err := os.Stat(path); err != nil || info.IsDir() {
		return "", misuse("--%s %s: there is no such file; %s has one to begin with", flag, path, page)
	}
	return canonical(path), nil
}

// checkPassthrough refuses what no agent can be called: a server would wait for it
// in vain. One that is not deployed yet may be named.
func checkPassthrough(names []string) error {
	for _, name := range names {
		if name != "*" && !namePattern.MatchString(name) {
			return misuse("--passthrough %s: no agent can have that name (a letter, then letters, digits and _, 48 at most); name it as outcrop ls does, or '*' for all", name)
		}
	}
	return nil
}

// accessPointPattern are the ARNs that AWS's model lets through.
var accessPointPattern = regexp.MustCompile(`^arn:aws[-a-z]*:(elasticfilesystem:[0-9a-z:-]+:access-point/fsap-[0-9a-f]{8,40}|` +
	`s3files:[0-9a-z:-]+:file-system/fs-[0-9a-f]{17,40}/access-point/fsap-[0-9a-f]{17,40})$`)

// accessPoints reads ARN=DIRECTORY. A directory must be there, and agents must not
// find the server's own data in it.
func accessPoints(given []string, data string) (map[string]string, error) {
	all := map[string]string{}
	for _, text := range given {
		arn, dir, ok := strings.Cut(text, "=")
		if !ok || !accessPointPattern.MatchString(arn) {
			return nil, misuse("--access-point %s: it is not ARN=DIRECTORY with the ARN of an access point of EFS or S3 Files, such as arn:aws:elasticfilesystem:us-east-1:111122223333:access-point/fsap-0123456789abcdef0=/srv/models", text)
		}
		real := canonical(dir)
		if info, err := os.Stat(real); err != nil || !info.IsDir() {
			return nil, misuse("--access-point %s: %s is no directory", arn, dir)
		}
		if within(real, data) || within(data, real) {
			return nil, misuse("--access-point %s: %s and the data directory %s lie in each other, and agents would reach the server's own files; name another", arn, dir, data)
		}
		if all[arn] != "" {
			return nil, misuse("--access-point %s is given twice", arn)
		}
		all[arn] = real
	}
	return all, nil
}
