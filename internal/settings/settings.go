// Package settings reads what files of the operator have in common: strict JSON, whose
// mistakes are named by their place, and keys, which stand in a variable of the
// environment or in a file of their own and never in the configuration.
package settings

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/secret"
)

// MaxFile is the longest file that is read, in bytes.
const MaxFile = 1 << 20

// Decode reads the one JSON object of a file. The error names what is wrong: a member
// that is unknown or of another type, or the line where it is no JSON.
func Decode(data []byte, to any) error {
	if len(data) > MaxFile {
		return fmt.Errorf("it is longer than %d KiB", MaxFile>>10)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(to); err != nil {
		return explain(data, reflect.TypeOf(to), err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something after its JSON object")
	}
	return nil
}

func explain(data []byte, to reflect.Type, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	// Of the ends of files nothing is wrapped: an io.EOF is a lost connection elsewhere.
	case errors.Is(err, io.EOF):
		return errors.New("it is empty. Write a JSON object, {} at least")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it is not JSON: it ends before its JSON object does")
	case errors.As(err, &syntax):
		line := 1 + bytes.Count(data[:min(int(syntax.Offset), len(data))], []byte("\n"))
		return fmt.Errorf("it is not JSON: line %d: %w", line, err)
	case errors.As(err, &kind):
		return fmt.Errorf("%s must not be a %s", kind.Field, kind.Value)
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		hint := ""
		if strings.Contains(strings.ToLower(name), "key") {
			hint = "; a key is named by apiKeyEnv (a variable of the server's environment) or apiKeyFile (a file), and never written here"
		}
		if path, known := unknown(data, to, ""); path != "" {
			name = strconv.Quote(path)
			if n := len(known); hint == "" && n > 0 && n <= maxKnown {
				hint = "; known are " + strings.Join(known, ", ")
			}
		}
		return fmt.Errorf("it has a member %s, which is unknown%s", name, hint)
	}
	return fmt.Errorf("it is not JSON: %w", err)
}

// Problems gathers all that is wrong with a file.
type Problems []error

// Add says what is wrong at a field, as in "providers.a.url is missing".
func (p *Problems) Add(field, format string, args ...any) {
	*p = append(*p, fmt.Errorf("%s %s", field, fmt.Sprintf(format, args...)))
}

// Err returns all problems in one error, or nil.
func (p Problems) Err() error { return errors.Join(p...) }

// Key says where a key is. The zero value is none.
type Key struct {
	// APIKeyEnv names a variable of the server's environment, APIKeyFile a file.
	APIKeyEnv  string `json:"apiKeyEnv"`
	APIKeyFile string `json:"apiKeyFile"`
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Given tells whether there is to be a key.
func (k Key) Given() bool { return k.APIKeyEnv != "" || k.APIKeyFile != "" }

// Check adds what is wrong with where a key is said to be.
func (k Key) Check(field string, p *Problems) {
	if k.APIKeyEnv != "" && !variableName.MatchString(k.APIKeyEnv) {
		p.Add(field+".apiKeyEnv", "must be the name of a variable, not a key")
	}
	if k.APIKeyEnv != "" && k.APIKeyFile != "" {
		p.Add(field, "has apiKeyEnv and apiKeyFile; one is enough")
	}
}

// Host is what of the server's surroundings files may name.
type Host struct {
	// Getenv reads the variables that apiKeyEnv names; nil knows none.
	Getenv func(name string) string
	// ReadFile reads the files that apiKeyFile and others name; nil knows none.
	ReadFile func(path string) ([]byte, error)
}

// Read reads the key, which may be none. The error never holds it.
func (k Key) Read(h Host) (secret.String, error) {
	switch {
	case k.APIKeyEnv != "":
		if h.Getenv != nil {
			if v := strings.TrimSpace(h.Getenv(k.APIKeyEnv)); v != "" {
				return secret.NewString(v), nil
			}
		}
		return secret.String{}, fmt.Errorf("apiKeyEnv: the variable %s is not set where the server runs", k.APIKeyEnv)
	case k.APIKeyFile != "":
		if h.ReadFile == nil {
			return secret.String{}, errors.New("apiKeyFile cannot be read here")
		}
		b, err := h.ReadFile(k.APIKeyFile)
		if err != nil {
			return secret.String{}, fmt.Errorf("apiKeyFile: %w", err)
		}
		if v := strings.TrimSpace(string(b)); v != "" {
			return secret.NewString(v), nil
		}
		return secret.String{}, fmt.Errorf("apiKeyFile: %s is empty", k.APIKeyFile)
	}
	return secret.String{}, nil
}

// CheckURL adds what is wrong with the URL of a service. Its path is followed by what
// the service is asked.
func CheckURL(field, text string, p *Problems) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
		p.Add(field, "must be an http or https URL")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		p.Add(field, "must have neither credentials nor a query nor a fragment")
	}
}
