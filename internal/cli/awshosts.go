package cli

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/awshost"
	"github.com/outcrop/outcrop/internal/ca"
	"github.com/outcrop/outcrop/internal/client"
	"github.com/outcrop/outcrop/internal/client/statefile"
	"github.com/outcrop/outcrop/internal/durable"
)

// bundleVariables name a file that takes the place of what a client trusts.
func bundleVariables() []string {
	return []string{"AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"}
}

// hostsExports are the variables that lead AWS's own host names to t.
func (p *Program) hostsExports(t client.Target) ([]variable, error) {
	r, root, err := p.hostsServer(t)
	if err != nil {
		return nil, err
	}
	bundle, err := p.writeBundle(root)
	if err != nil {
		return nil, err
	}
	vs := credentials(t)
	for _, name := range []string{"HTTPS_PROXY", "https_proxy"} {
		vs = append(vs, variable{name, r.ProxyURL})
	}
	for _, name := range []string{"NO_PROXY", "no_proxy"} {
		vs = append(vs, variable{name, pastProxy(p.before(name))})
	}
	vs = append(vs, bundleExports(bundle)...)
	return append(vs, variable{"NODE_USE_ENV_PROXY", "1"}), nil // it takes a proxy only when it is told to
}

// hostsServer returns the record of the server t, which answers AWS's names, and
// the certificate of its CA in PEM.
func (p *Program) hostsServer(t client.Target) (statefile.Record, []byte, error) {
	r, ok := p.known(t.Endpoint)
	if !ok {
		return r, nil, fail("Run it where the server runs, as its user.", "%s is no server of this user on this machine", t.Endpoint)
	}
	if r.ProxyURL == "" {
		return r, nil, fail(fmt.Sprintf("Stop it (kill %d), and start it again with that: %s --aws-hosts", r.PID, p.startCommand(r)),
			"the server at %s runs without --aws-hosts", r.URL)
	}
	root, err := os.ReadFile(filepath.Join(r.DataDirectory, "ca", ca.RootName))
	if err != nil {
		return r, nil, fmt.Errorf("read certificate of the CA: %w", err)
	}
	return r, root, nil
}

// pastProxy is what goes past the proxy: as before, but for AWS's names, and what
// is on this machine.
func pastProxy(before string) string {
	hosts := strings.FieldsFunc(before, func(r rune) bool { return r == ',' || r == ' ' })
	hosts = slices.DeleteFunc(hosts, func(h string) bool {
		return h == "*" || awshost.Is("x."+strings.TrimLeft(h, "*.")) || strings.Contains(h, "amazonaws.com") // api.aws and its like are seldom there
	})
	for _, own := range []string{"localhost", "127.0.0.1", "::1"} {
		if !slices.Contains(hosts, own) {
			hosts = append(hosts, own)
		}
	}
	return strings.Join(hosts, ",")
}

// systemBundles is where systems keep what they trust, in PEM: Debian, Fedora,
// SUSE, OpenELEC, RHEL 7, Alpine and macOS.
func systemBundles() []string {
	return []string{
		"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/pki/tls/cacert.pem",
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem",
	}
}

// writeBundle writes what this shell's clients trust together with root into one
// file, because the variables that name such a file know no other way to add to it.
func (p *Program) writeBundle(root []byte) (string, error) {
	state := p.state()
	if state.Path == "" {
		return "", misuse("neither XDG_STATE_HOME nor HOME is set, and the bundle of certificates needs a place")
	}
	var all [][]byte
	roots := 0
	for _, name := range append(bundleVariables(), "NODE_EXTRA_CA_CERTS") {
		if path := p.before(name); path != "" {
			body, err := os.ReadFile(path)
			if err != nil {
				return "", fail("Unset it, or have it name the file you mean.", "%s: %w", name, err)
			}
			all = append(all, body)
			roots++
		}
	}
	for _, path := range systemBundles() {
		if body, err := os.ReadFile(path); err == nil {
			all = append(all, body)
			roots++
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	if roots == 0 {
		p.say("Warning: this system keeps its certificates in no file: in this shell, clients that read one trust nothing but Outcrop. Name one in SSL_CERT_FILE before.")
	}
	body := certificates(append(all, root))
	sum := sha256.Sum256(root)
	path := filepath.Join(filepath.Dir(state.Path), "ca-bundle-"+hex.EncodeToString(sum[:6])+".pem")
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, body) {
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	return path, durable.File(path, body)
}

// certificates joins the certificates of PEM files, each once.
func certificates(files [][]byte) []byte {
	var out bytes.Buffer
	seen := map[string]bool{}
	for _, rest := range files {
		for {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			if block.Type == "CERTIFICATE" && !seen[string(block.Bytes)] {
				seen[string(block.Bytes)] = true
				_ = pem.Encode(&out, &pem.Block{Type: block.Type, Bytes: block.Bytes}) // a buffer takes all
			}
		}
	}
	return out.Bytes()
}
