package sigv4

import (
	"bufio"
	"context"
	"io"
	"io/fs"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The suite's own fixed values.
const (
	suiteKeyID  = "AKIDEXAMPLE"
	suiteSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	suiteDir    = "aws4_testsuite-1.44.5"
)

func suiteTime() time.Time { return time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC) }

// suitePath returns where AWS's published test suite lies, fetching it once into
// $OUTCROP_TESTDATA or the user's cache.
func suitePath(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("OUTCROP_TESTDATA")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		dir = filepath.Join(cache, "outcrop", "testdata")
	}
	path := filepath.Join(dir, suiteDir)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "testdata/fetchvectors.sh", dir).CombinedOutput(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("fetch the published test suite: %v\n%s", err, out)
		}
		t.Skipf("the published test suite is not here and cannot be fetched (%v); CI=true makes this a failure\n%s", err, out)
	}
	return path
}

// TestPublishedSuite verifies every signed request of AWS's own suite, compares
// our canonical request with the published one, and refuses each request with
// its signature changed in one bit.
func TestPublishedSuite(t *testing.T) {
	root := suitePath(t)
	keys := staticKeys{suiteKeyID: {Secret: suiteSecret}}
	v := New(Config{Keys: keys, Now: suiteTime, SpoolDir: t.TempDir()})
	count := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".sreq" {
			return err
		}
		count++
		t.Run(strings.TrimSuffix(d.Name(), ".sreq"), func(t *testing.T) {
			r := readRequest(t, path)
			c, err := Parse(r)
			if err != nil {
				t.Fatalf("Parse: %v", err)
			}
			id, err := v.Verify(t.Context(), r, c, Expect{Service: "service", Region: "us-east-1"})
			if strings.HasSuffix(path, "post-sts-header-after.sreq") {
				if err == nil || !strings.Contains(err.Error(), "'X-Amz-Security-Token' must be a 'SignedHeader'") {
					t.Errorf("a token that is not signed: %v", err)
				}
				r.Header.Del(headerToken) // the rest of it must verify
				id, err = v.Verify(t.Context(), r, c, Expect{Service: "service", Region: "us-east-1"})
			}
			if err != nil {
				t.Errorf("Verify: %v", err)
			}
			checkCanonical(t, path, c)
			if id != nil {
				checkBody(t, path, id)
			}
			r = readRequest(t, path)
			c.signature[31] ^= 1
			if _, err := v.Verify(t.Context(), r, c, Expect{}); err == nil {
				t.Error("a changed signature was accepted")
			}
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if count != 34 {
		t.Errorf("the suite had %d requests, want 34", count)
	}
}

func checkCanonical(t *testing.T, path string, c Claim) {
	t.Helper()
	want, err := os.ReadFile(strings.TrimSuffix(path, ".sreq") + ".creq")
	if err != nil {
		t.Fatal(err)
	}
	published := strings.ReplaceAll(string(want), "\r\n", "\n")
	hash := published[strings.LastIndexByte(published, '\n')+1:]
	var s scratch
	r := readRequest(t, path)
	if err := s.canonicalRequest(r, r.Host, &c, false, hash); err != nil {
		t.Fatal(err)
	}
	if string(s.buf) != published {
		t.Errorf("canonical request:\n%s\nwant:\n%s", s.buf, published)
	}
}

func checkBody(t *testing.T, path string, id *Identity) {
	t.Helper()
	want, err := io.ReadAll(readRequest(t, path).Body)
	if err != nil {
		t.Fatal(err)
	}
	body, err := id.Body()
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(body)
	if err != nil || string(got) != string(want) {
		t.Errorf("body = %q, %v; want %q", got, err, want)
	}
}

// readRequest reads a request file of the suite. http.ReadRequest cannot: some
// request lines hold raw spaces and UTF-8.
func readRequest(t *testing.T, path string) *http.Request {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(raw), "\r\n", "\n")
	head, body, _ := strings.Cut(text, "\n\n")
	line, headers, _ := strings.Cut(head, "\n")
	line = line[:strings.LastIndexByte(line, ' ')]
	method, target, _ := strings.Cut(line, " ")
	header, err := textproto.NewReader(bufio.NewReader(strings.NewReader(headers + "\n\n"))).ReadMIMEHeader()
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	_, query, _ := strings.Cut(target, "?")
	r := &http.Request{
		Method: method, RequestURI: target, URL: &url.URL{RawQuery: query},
		Header: http.Header(header), Host: header.Get("Host"),
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
	delete(r.Header, "Host")
	// The signature is published twice, and in one case the one inside the
	// request is not the one of the canonical request beside it.
	authz, err := os.ReadFile(strings.TrimSuffix(path, ".sreq") + ".authz")
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", strings.TrimSpace(string(authz)))
	return r
}

// staticKeys is a KeySource of fixed keys that accepts any token.
type staticKeys map[string]Key

func (s staticKeys) Key(_ context.Context, id, _ string) (Key, error) {
	if k, ok := s[id]; ok {
		return k, nil
	}
	return Key{}, ErrUnknownKey
}
