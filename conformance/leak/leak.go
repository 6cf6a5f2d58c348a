// Package leak looks for secrets in the clear in what a server has left behind: every
// file of a data directory, and texts such as its log.
package leak

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// shortest is the length in bytes below which a secret would be found by chance.
const shortest = 8

// Secrets are what must not be found, by what they are.
type Secrets map[string]string

// Finding is a secret in the clear.
type Finding struct {
	// Secret is what it is, never its value; Form how it is written there.
	Secret, Form string
	// Place is the file, and Offset where in it, in bytes.
	Place  string
	Offset int64
}

func (f Finding) String() string {
	return fmt.Sprintf("%s (%s) in %s at byte %d", f.Secret, f.Form, f.Place, f.Offset)
}

// Check has a test fail for each secret that is found in the files of a data
// directory or in one of the texts, which are named. except are files, relative to
// the directory, whose purpose is to hold secrets.
func Check(t testing.TB, dir string, s Secrets, texts map[string]string, except ...string) {
	t.Helper()
	if len(s) == 0 {
		t.Fatal("no secrets to look for")
	}
	scan, err := newScanner(s)
	if err != nil {
		t.Fatal(err)
	}
	found, files, size, err := scan.dir(dir, except)
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 || size == 0 {
		t.Fatalf("%s is empty", dir)
	}
	for name, text := range texts {
		more, err := scan.reader(name, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, more...)
	}
	for _, f := range found {
		t.Errorf("in the clear: %s", f)
	}
	t.Logf("looked for %d secrets in %d files, %d MB", len(s), files, size>>20)
}

// pattern is one form of a secret.
type pattern struct {
	bytes        []byte
	secret, form string
}

// scanner finds patterns by their first two bytes.
type scanner struct {
	begin   [1 << 16][]*pattern
	longest int
}

func newScanner(s Secrets) (*scanner, error) {
	out := &scanner{}
	for name, value := range s {
		if len(value) < shortest {
			return nil, fmt.Errorf("secret %s has %d bytes: it would be found by chance", name, len(value))
		}
		for form, text := range forms(value) {
			p := &pattern{bytes: []byte(text), secret: name, form: form}
			at := uint16(p.bytes[0])<<8 | uint16(p.bytes[1])
			out.begin[at] = append(out.begin[at], p)
			out.longest = max(out.longest, len(text))
		}
	}
	return out, nil
}

// forms are how a secret can stand in a file and still be read by anybody.
func forms(value string) map[string]string {
	out := map[string]string{"as it is": value, "hex": hex.EncodeToString([]byte(value)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(value)))}
	// A URL and JSON write some characters otherwise, most secrets none.
	if escaped := url.QueryEscape(value); escaped != value {
		out["as in a URL"] = escaped
	}
	// Base64 of a text that begins before the secret is one of three, by where it
	// begins; the first and the last group depend on what is around.
	for shift := range 3 {
		for name, enc := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
			text := enc.EncodeToString([]byte(strings.Repeat("\x00", shift) + value))
			if text = text[4 : (len(text)-1)/4*4]; len(text) >= shortest {
				out[fmt.Sprint(name, " +", shift)] = text
			}
		}
	}
	// The end of a token is as good as the token to who knows the rest.
	if i := strings.LastIndexByte(value, '.'); i > 0 && len(value)-i > 40 {
		out["its signature"] = value[i+1:]
	}
	return out
}

// dir looks through every regular file below a directory.
func (s *scanner) dir(dir string, except []string) (found []Finding, files int, size int64, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a running server removes files
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || slices.Contains(except, name) {
			return err
		}
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		defer f.Close()
		counted := &counter{Reader: f}
		more, err := s.reader(name, counted)
		found, files, size = append(found, more...), files+1, size+counted.n
		return err
	})
	return found, files, size, err
}

type counter struct {
	io.Reader
	n int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n += int64(n)
	return n, err
}

// reader looks through a stream, in pieces that overlap by the longest pattern.
func (s *scanner) reader(place string, r io.Reader) ([]Finding, error) {
	buf := make([]byte, 1<<20+s.longest)
	var found []Finding
	kept, begin := 0, int64(0)
	for {
		n, err := io.ReadFull(r, buf[kept:])
		piece := buf[:kept+n]
		last := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !last {
			return found, fmt.Errorf("read %s: %w", place, err)
		}
		end := len(piece) - s.longest
		if last {
			end = len(piece)
		}
		for i := 0; i < end && i+1 < len(piece); i++ {
			for _, p := range s.begin[uint16(piece[i])<<8|uint16(piece[i+1])] {
				if len(piece)-i >= len(p.bytes) && string(piece[i:i+len(p.bytes)]) == string(p.bytes) {
					found = append(found, Finding{p.secret, p.form, place, begin + int64(i)})
				}
			}
		}
		if last {
			return found, nil
		}
		kept = copy(buf, piece[end:])
		begin += int64(end)
	}
}
