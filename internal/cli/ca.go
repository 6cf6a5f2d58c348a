package cli

import (
	"cmp"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/ca"
	"github.com/outcrop/outcrop/internal/client/statefile"
)

const caLong = `Shows the certificate of the server's private CA and how to have clients trust it. The server makes the CA when it is
first started with --aws-hosts or --tls-listen. outcrop env --aws-hosts sets up a shell without any of this.

The CA may sign for AWS's names, localhost and the names that serve was told by --tls-name, and for nothing else, not even
if its key leaks. Other names need another CA: --renew removes this one, and the next start makes it.`

// newAuthority is the way to a CA with other names.
const newAuthority = "Make another, which clients then have to trust: outcrop ca --renew, and start the server again."

func newCA(p *Program, f *flags) *cobra.Command {
	var certificate, renew bool
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "Show the private CA and how clients come to trust it",
		Long:  caLong,
		Example: `  outcrop ca
  outcrop ca --pem > outcrop.pem     the certificate, to take it to another machine
  outcrop ca --renew                 while the server is stopped`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if certificate && renew {
				return below(cmd, "--pem shows the CA and --renew removes it; give one of them, --renew while the server is stopped")
			}
			dir, running, err := p.caDirectory(f)
			if err != nil {
				return err
			}
			if renew {
				return p.renewCA(dir, running)
			}
			return p.showCA(dir, certificate)
		},
	}
	cmd.Flags().BoolVar(&certificate, "pem", false, "print the certificate alone")
	cmd.Flags().BoolVar(&renew, "renew", false, "remove the CA, so that the next start of the server makes another")
	return cmd
}

// caDirectory is where the CA is of the server that is meant, and that server's
// record if it runs.
func (p *Program) caDirectory(f *flags) (dir string, running *statefile.Record, err error) {
	if f.endpoint != "" {
		return "", nil, misuse("the CA lies in the server's data directory: name that with --data, on its own machine")
	}
	records, err := p.records()
	if err != nil {
		return "", nil, err
	}
	live := slices.DeleteFunc(slices.Clone(records), func(r statefile.Record) bool { return !p.state().Alive(r) })
	data := f.data
	if data == "" && len(live) > 0 {
		data = live[0].DataDirectory
	}
	if data = cmp.Or(data, p.defaultData()); data == "" {
		return "", nil, misuse("neither XDG_DATA_HOME nor HOME is set: name the data directory with --data")
	}
	data = canonical(data)
	own, _ := statefile.File{Path: filepath.Join(data, statefile.Name)}.Live() // root's server is in root's list alone
	if i := slices.IndexFunc(append(live, own...), func(r statefile.Record) bool { return r.DataDirectory == data }); i >= 0 {
		running = &append(live, own...)[i]
	}
	return filepath.Join(data, "ca"), running, nil
}

// renewCA removes the CA of a server that does not run.
func (p *Program) renewCA(dir string, running *statefile.Record) error {
	if running != nil {
		return fail(fmt.Sprintf("Stop it first: kill %d", running.PID), "the server at %s uses the CA", running.URL)
	}
	if _, err := ca.Read(dir); errors.Is(err, fs.ErrNotExist) {
		return noCA(dir)
	}
	if err := ca.Remove(dir); err != nil {
		return err
	}
	p.say("Removed. The next outcrop serve with --aws-hosts or --tls-listen makes another, which clients then have to trust.")
	return nil
}

func noCA(dir string) error {
	return fail("Start the server with one: outcrop serve --aws-hosts", "there is no private CA in %s yet", dir)
}

// showCA prints the certificate, or what there is to know about it.
func (p *Program) showCA(dir string, certificate bool) error {
	info, err := ca.Read(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return noCA(dir)
	}
	if err != nil {
		return err
	}
	if certificate {
		return pem.Encode(p.Stdout, &pem.Block{Type: "CERTIFICATE", Bytes: info.Root.Raw})
	}
	names := slices.Clone(info.Names)
	for _, r := range info.Ranges {
		names = append(names, strings.TrimSuffix(strings.TrimSuffix(r.String(), "/32"), "/128"))
	}
	_, err = io.WriteString(p.Stdout, trust(filepath.Join(dir, ca.RootName),
		fmt.Sprintf("% X", sha256.Sum256(info.Root.Raw)), info.Root.NotAfter.Format("2006-01-02"), strings.Join(names, ", ")))
	return err
}

// trust says how clients come to trust the certificate in a file. Variables that
// name a file replace what a client trusts, but for Node.js's.
func trust(file, fingerprint, until, names string) string {
	f := quotePOSIX(file)
	rows := [][2]string{
		{"certificate", file},
		{"SHA-256", strings.ReplaceAll(fingerprint, " ", ":")},
		{"good until", until},
		{"signs for", names + ", and names below these"},
		{"", ""},
		{"one shell", `eval "$(outcrop env --aws-hosts)"   sets all of these variables, with a bundle of your roots and this one`},
		{"Debian, Ubuntu", "sudo cp " + f + " /usr/local/share/ca-certificates/outcrop.crt && sudo update-ca-certificates"},
		{"Fedora, RHEL", "sudo cp " + f + " /etc/pki/ca-trust/source/anchors/outcrop.pem && sudo update-ca-trust"},
		{"macOS", "sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain " + f},
		{"Windows", "certutil -addstore -f Root " + f},
		{"Node.js", "NODE_EXTRA_CA_CERTS=" + f + "   is added to its own roots"},
		{"Python, AWS CLI", "AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE and SSL_CERT_FILE name a file that takes the place of the roots"},
		{"Go", "the system's store, or SSL_CERT_FILE in their place"},
		{"Java", "keytool -importcert -noprompt -alias outcrop -cacerts -storepass changeit -file " + f},
		{"curl", "curl --cacert " + f},
	}
	var b strings.Builder
	for _, r := range rows {
		b.WriteString(strings.TrimRight(fmt.Sprintf("%-16s %s", r[0], r[1]), " ") + "\n")
	}
	return b.String()
}
