package upstream_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	model "github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/gateway/passthrough"
	"github.com/outcrop/outcrop/internal/gateway/rest"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/gateway/upstream"
	"github.com/outcrop/outcrop/internal/outbound"
)

// authority signs certificates for a test.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// sign makes what an authority signs, or what signs itself where there is none.
func (a *authority) sign(t testing.TB, c x509.Certificate) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(time.Hour)
	}
	c.SerialNumber, c.Subject, c.BasicConstraintsValid = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: "test"}, true
	parent, signer := &c, key
	if a != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, &c, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t, made, key}
}

// service is a server of all kinds of targets, with a certificate.
type service struct {
	*httptest.Server
	reached atomic.Int32
}

func serving(t *testing.T, chain ...*authority) *service {
	t.Helper()
	s := &service{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.reached.Add(1)
		var m struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
		}
		body, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(body, &m)
		w.Header().Set("Content-Type", "application/json")
		switch m.Method {
		case "initialize":
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}}`, m.ID)
		case "server/discover":
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no"}}`, m.ID)
		case "notifications/initialized":
			w.WriteHeader(http.StatusAccepted)
		case "tools/call":
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"content":[]}}`, m.ID)
		default:
			fmt.Fprint(w, "{}")
		}
	}))
	pair := tls.Certificate{PrivateKey: chain[0].key}
	for _, c := range chain {
		pair.Certificate = append(pair.Certificate, c.cert.Raw)
	}
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// kinds of targets that may have authorities of their own, and how each is called.
func kinds(url string) map[string]func(context.Context, []byte) (target.Server, func() error, error) {
	client := upstream.HTTP(outbound.Config{Private: outbound.Private{Ranges: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}}, nil)
	called := func(ctx context.Context, s target.Server, tool string) func() error {
		return func() error { _, err := s.Call(ctx, target.Call{Tool: tool}); return err }
	}
	return map[string]func(context.Context, []byte) (target.Server, func() error, error){
		"mcpServer": func(ctx context.Context, trusted []byte) (target.Server, func() error, error) {
			src := target.Source{Certificates: trusted, Config: &model.TargetConfiguration{Mcp: &model.McpTargetConfiguration{McpServer: &model.McpServerTargetConfiguration{Endpoint: &url}}}}
			s, err := upstream.New(upstream.Config{Client: client}).Open(src, target.Catalogue{})
			return s, called(ctx, s, "t"), err
		},
		"openApiSchema": func(ctx context.Context, trusted []byte) (target.Server, func() error, error) {
			src := target.Source{Certificates: trusted, Schema: fmt.Appendf(nil, `{"openapi":"3.0.3","info":{"title":"x","version":"1"},"servers":[{"url":%q}],
				"paths":{"/x":{"get":{"operationId":"t","responses":{"200":{"description":"ok"}}}}}}`, url)}
			s, err := rest.OpenAPI{Config: rest.Config{Client: client}}.Open(src, target.Catalogue{})
			return s, called(ctx, s, "t"), err
		},
		"passthrough": func(ctx context.Context, trusted []byte) (target.Server, func() error, error) {
			src := target.Source{Certificates: trusted, Config: &model.TargetConfiguration{Http: &model.HttpTargetConfiguration{Passthrough: &model.PassthroughTargetConfiguration{Endpoint: &url}}}}
			s, err := passthrough.Driver{Config: passthrough.Config{Client: client}}.Open(src, target.Catalogue{})
			return s, func() error {
				resp, err := s.(target.Web).Send(ctx, &target.Request{Method: "GET", Path: "/"})
				if err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				return err
			}, err
		},
	}
}

// TestAuthorities: the authorities of a target are trusted beside those that everybody
// trusts, for the names and the times that their certificates are for, and for that target alone.
func TestAuthorities(t *testing.T) {
	here := x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	var none *authority
	house := none.sign(t, x509.Certificate{IsCA: true, KeyUsage: x509.KeyUsageCertSign})
	between := house.sign(t, x509.Certificate{IsCA: true, KeyUsage: x509.KeyUsageCertSign})
	other := none.sign(t, x509.Certificate{IsCA: true, KeyUsage: x509.KeyUsageCertSign})
	expired, elsewhere := here, x509.Certificate{DNSNames: []string{"else.example"}}
	expired.NotBefore, expired.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	for name, tt := range map[string]struct {
		chain   []*authority
		trusted []byte
		want    string // of the refusal; empty is none
	}{
		"good":             {[]*authority{house.sign(t, here)}, house.pem(), ""},
		"among others":     {[]*authority{house.sign(t, here)}, append(other.pem(), house.pem()...), ""},
		"with one between": {[]*authority{between.sign(t, here), between}, house.pem(), ""},
		"of another":       {[]*authority{house.sign(t, here)}, other.pem(), "signed by an unknown authority; have its authority trusted by certificateConfigurations"},
		"of nobody known":  {[]*authority{house.sign(t, here)}, nil, "signed by an unknown authority"},
		"for another name": {[]*authority{house.sign(t, elsewhere)}, house.pem(), "the server's certificate is for another name"},
		"expired":          {[]*authority{house.sign(t, expired)}, house.pem(), "the server's certificate is not valid: x509: certificate has expired"},
		"of no authority":  {[]*authority{house.sign(t, here).sign(t, here)}, house.pem(), "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			at := serving(t, tt.chain...)
			for kind, open := range kinds(at.URL) {
				at.reached.Store(0)
				s, call, err := open(t.Context(), tt.trusted)
				if err != nil {
					t.Fatal(kind, err)
				}
				err = call()
				if got := at.reached.Load(); tt.want == "" && (err != nil || got == 0) || tt.want != "" && (err == nil || got > 0 || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("%s: %v, reached %d times; want %q", kind, err, got, tt.want)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestAuthoritiesChange: a target that is changed trusts no connection that it had
// before: neither one whose authority is gone, nor one of another target.
func TestAuthoritiesChange(t *testing.T) {
	var none *authority
	house := none.sign(t, x509.Certificate{IsCA: true, KeyUsage: x509.KeyUsageCertSign})
	at := serving(t, house.sign(t, x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}))
	for kind, open := range kinds(at.URL) {
		first, call, err := open(t.Context(), house.pem())
		if err != nil {
			t.Fatal(kind, err)
		}
		if err := call(); err != nil { // and keeps its connection
			t.Fatal(kind, err)
		}
		second, again, err := open(t.Context(), nil)
		if err != nil {
			t.Fatal(kind, err)
		}
		if err := again(); err == nil || !strings.Contains(err.Error(), "unknown authority") {
			t.Errorf("%s: %v", kind, err)
		}
		if err := call(); err != nil {
			t.Error(kind, err)
		}
		for _, s := range []target.Server{first, second} {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
