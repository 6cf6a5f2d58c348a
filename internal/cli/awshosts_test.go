package cli

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/ca"
	"github.com/outcrop/outcrop/internal/client/statefile"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
)

// authority makes a CA in a data directory and returns its certificate.
func authority(t *testing.T, data string, names ...string) []byte {
	t.Helper()
	box := secrettest.Box(t)
	a, err := ca.Open(t.Context(), ca.Config{Dir: filepath.Join(data, "ca"), Box: box, Names: names, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return a.Root()
}

// proxied makes a server known that answers AWS's names.
func (u *account) proxied() (root []byte) { return u.proxiedAt("http://127.0.0.1:8642") }

func (u *account) proxiedAt(url string) (root []byte) {
	u.t.Helper()
	r := u.knows(url, u.data())
	r.ProxyURL, r.TLSAddresses = "http://127.0.0.1:8643", []string{"0.0.0.0:8644", "127.0.0.1:443"}
	if err := u.program().state().Add(r); err != nil {
		u.t.Fatal(err)
	}
	return authority(u.t, u.data())
}

func certificatesIn(b []byte) (n int) {
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			return n
		}
		n++
	}
}

// TestAWSHostsRoundTrip goes from one way to the other and back in a real shell.
func TestAWSHostsRoundTrip(t *testing.T) {
	for scenario, before := range map[string][]string{
		"clean": {},
		"AWS user behind a proxy": {
			"HTTPS_PROXY=http://proxy:3128", "NO_PROXY=.corp, .amazonaws.com,s3.us-east-1.amazonaws.com,.api.aws", "AWS_ENDPOINT_URL=http://localhost:4566", "AWS_ENDPOINT_URL_S3=http://s3",
			"AWS_PROFILE=work", "BEDROCK_AGENTCORE_DP_ENDPOINT=http://dp", "SSL_CERT_FILE=own.pem", "NODE_EXTRA_CA_CERTS=",
		},
	} {
		t.Run(scenario, func(t *testing.T) {
			u := newUser(t)
			root := u.proxied()
			own := authority(t, filepath.Join(u.home, "other"))
			if err := os.WriteFile(filepath.Join(u.home, "own.pem"), own, 0o600); err != nil {
				t.Fatal(err)
			}
			script := `env -0 > before
eval "$("$OUTCROP" env --aws-hosts)" || exit 1
env -0 > during
eval "$("$OUTCROP" env --aws-hosts)" || exit 1
env -0 > again
eval "$("$OUTCROP" env)" || exit 1
env -0 > endpoints
eval "$("$OUTCROP" env --aws-hosts)" || exit 1
env -0 > back
eval "$("$OUTCROP" env --unset)" || exit 1
env -0 > after`
			cmd := exec.Command("sh", "-c", script)
			cmd.Dir = u.home
			cmd.Env = append([]string{"HOME=" + u.home, "PATH=" + os.Getenv("PATH"), "OUTCROP_TEST_AS_MAIN=1", "OUTCROP=" + os.Args[0], "GOCOVERDIR=" + u.home, "GORACE=atexit_sleep_ms=0"}, before...)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v, printed %q", err, out)
			}
			was, during := readEnv(t, u, "before"), readEnv(t, u, "during")
			for name, want := range map[string]string{
				"HTTPS_PROXY": "http://127.0.0.1:8643", "https_proxy": "http://127.0.0.1:8643", "AWS_SECRET_ACCESS_KEY": testSecret, "AWS_REGION": testRegion, "NODE_USE_ENV_PROXY": "1",
			} {
				if during[name] != want {
					t.Errorf("%s is %q, want %q", name, during[name], want)
				}
			}
			for name := range during {
				if strings.HasPrefix(name, "AWS_ENDPOINT_URL") || strings.HasSuffix(name, "P_ENDPOINT") && !strings.HasPrefix(name, envSaved) || name == "AWS_PROFILE" {
					t.Errorf("%s is set", name)
				}
			}
			past := "localhost,127.0.0.1,::1"
			if was["NO_PROXY"] != "" {
				past = ".corp," + past
			}
			if during["NO_PROXY"] != past {
				t.Errorf("NO_PROXY is %q, want %q", during["NO_PROXY"], past)
			}
			bundle, err := os.ReadFile(during["SSL_CERT_FILE"])
			if err != nil || !x509.NewCertPool().AppendCertsFromPEM(bundle) || !bytes.HasSuffix(bundle, root) || bytes.Contains(bundle, own) != (was["SSL_CERT_FILE"] != "") {
				t.Errorf("the bundle has %d certificates, %v", certificatesIn(bundle), err)
			}
			for _, name := range append(bundleVariables(), "NODE_EXTRA_CA_CERTS") {
				if during[name] != during["SSL_CERT_FILE"] {
					t.Errorf("%s is %q", name, during[name])
				}
			}
			checkDuring(t, readEnv(t, u, "endpoints"))
			if e := readEnv(t, u, "endpoints"); e["HTTPS_PROXY"] != was["HTTPS_PROXY"] || e["SSL_CERT_FILE"] != was["SSL_CERT_FILE"] || e["NODE_USE_ENV_PROXY"] != "" {
				t.Errorf("with endpoints there is left %v", e)
			}
			delete(during, envMarker) // its order differs
			for _, file := range []string{"again", "back"} {
				is := readEnv(t, u, file)
				delete(is, envMarker)
				if !maps.Equal(during, is) {
					t.Errorf("%s: %v\nwant %v", file, is, during)
				}
			}
			if is := readEnv(t, u, "after"); !maps.Equal(was, is) {
				t.Errorf("after: %v\nwant %v", is, was)
			}
		})
	}
}

func TestAWSHostsNeedsAServerThatDoes(t *testing.T) {
	u := newUser(t)
	u.knows("http://127.0.0.1:8642", u.data())
	u.golden("env/aws-hosts-off", u.run("env", "--aws-hosts"))
	u.golden("env/hosts-file-off", u.run("env", "--hosts-file"))
	u.environ = append(u.environ, "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b")
	u.golden("env/aws-hosts-elsewhere", u.run("env", "--aws-hosts", "--endpoint", "http://192.0.2.1:1"))
	u.proxied()
	u.environ = append(u.environ, "AWS_CA_BUNDLE=/no/such.pem")
	u.golden("env/aws-hosts-bundle-gone", u.run("env", "--aws-hosts"))
}

// TestHostsFile: services, gateways and domains of user pools have lines, and services have
// theirs where the others cannot be listed.
func TestHostsFile(t *testing.T) {
	denied := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target := r.Header.Get("X-Amz-Target")
		switch {
		case denied && target != "":
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"__type":"AccessDeniedException","message":"not you"}`)
		case r.URL.Path == "/gateways/" && r.URL.Query().Get("nextToken") == "":
			_, _ = io.WriteString(w, `{"items":[{"gatewayId":"tools-0123456789"}],"nextToken":"more"}`)
		case r.URL.Path == "/gateways/":
			_, _ = io.WriteString(w, `{"items":[{"gatewayId":"web-9876543210"}]}`)
		case strings.HasSuffix(target, ".ListUserPools"):
			_, _ = io.WriteString(w, `{"UserPools":[{"Id":"eu-west-1_a"},{"Id":"eu-west-1_b"}]}`)
		case strings.HasSuffix(target, ".DescribeUserPool"):
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			domain := `,"Domain":"people"`
			if !bytes.Contains(body, []byte("_a")) {
				domain = ""
			}
			_, _ = io.WriteString(w, `{"UserPool":{"Id":"x"`+domain+`}}`)
		default:
			t.Errorf("%s %s %s", r.Method, r.URL, target)
		}
	}))
	defer server.Close()
	u := newUser(t)
	u.proxiedAt(server.URL)
	u.golden("env/hosts-file", u.run("env", "--hosts-file", "--region", "eu-west-1"))
	denied = true
	u.golden("env/hosts-file-denied", u.run("env", "--hosts-file", "--region", "eu-west-1"))
}

func TestCA(t *testing.T) {
	u := newUser(t)
	u.golden("ca/none", u.run("ca"))
	root := authority(t, u.data(), "agents.example.com", "192.0.2.7")
	if r := u.run("ca", "--pem"); r.stdout != string(root) || r.code != 0 {
		t.Errorf("%s", r)
	}
	r := u.run("ca")
	for _, part := range []string{filepath.Join(u.data(), "ca", "ca.pem"), "amazonaws.com, ", "agents.example.com, ", "192.0.2.7, ", "update-ca-certificates", "keytool"} {
		if !strings.Contains(r.stdout, part) {
			t.Errorf("%q is not in\n%s", part, r)
		}
	}
	other := newUser(t)
	other.knows("http://127.0.0.1:8642", other.data())
	authority(t, other.data())
	other.golden("ca/renew-running", other.run("ca", "--renew"))
	u.golden("ca/renew", u.run("ca", "--renew"))
	u.golden("ca/renew-none", u.run("ca", "--renew"))
	if again := authority(t, u.data()); bytes.Equal(again, root) {
		t.Error("the same CA again")
	}
}

func TestServeHosts(t *testing.T) {
	u := newUser(t)
	var proxy string
	r := serving(t, u, func(opt ServeOptions) {
		if opt.Hosts.Proxy == nil || len(opt.Hosts.TLS) != 2 || !opt.Hosts.ServedOnly || !slices.Equal(opt.Hosts.Names, []string{"agents.example.com"}) {
			t.Errorf("%+v", opt.Hosts)
			return
		}
		proxy = "http://" + opt.Hosts.Proxy.Addr().String()
		live, err := statefile.File{Path: u.program().state().Path}.Live()
		if err != nil || len(live) != 1 || live[0].ProxyURL != proxy || len(live[0].TLSAddresses) != 2 {
			t.Errorf("%+v, %v", live, err)
		}
		opt.Hosts.close()
	}, "--listen", "127.0.0.1:0", "--aws-hosts=served", "--proxy-listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0", "--tls-listen", "[::1]:0", "--tls-name", "agents.example.com")
	if !strings.Contains(r.stderr, "through the proxy "+proxy) || !strings.Contains(r.stderr, `eval "$(outcrop env --aws-hosts)"`) || r.code != 0 {
		t.Errorf("%s", r)
	}
	u.golden("serve/secure", r)
	addr, _ := listener(t)
	for _, flag := range []string{"--tls-listen", "--proxy-listen"} {
		r := u.run("serve", "--listen", "127.0.0.1:0", "--aws-hosts", flag, addr)
		if r.code != exitFailure || !strings.Contains(r.stderr, flag+" "+addr+" is taken by ") {
			t.Errorf("%s", r)
		}
	}
}

func TestServeSaysWhichCAIsNeeded(t *testing.T) {
	p := newUser(t).program()
	f := p.explain(t.Context(), p.explainServe(&ca.ScopeError{Name: "agents.example.com"}, "/data"))
	if !strings.Contains(f.text, "agents.example.com") || !strings.Contains(f.fix, "outcrop ca --renew") {
		t.Errorf("%+v", f)
	}
}
