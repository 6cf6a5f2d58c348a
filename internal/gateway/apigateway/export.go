package apigateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Stage names a stage of a REST API.
type Stage struct{ RestAPI, Name, Region string }

// URL is where the stage is called. A pattern, of an operator whose API Gateway is not
// AWS's, has {restApiId}, {stage} and {region} in it; none is AWS's.
func (s Stage) URL(pattern string) string {
	if pattern == "" {
		pattern = "https://{restApiId}.execute-api.{region}.amazonaws.com/{stage}"
		if strings.HasPrefix(s.Region, "cn-") {
			pattern = "https://{restApiId}.execute-api.{region}.amazonaws.com.cn/{stage}"
		}
	}
	return strings.NewReplacer("{restApiId}", url.PathEscape(s.RestAPI), "{stage}", url.PathEscape(s.Name), "{region}", url.PathEscape(s.Region)).Replace(pattern)
}

// Check holds that the names can be parts of a host and a path. Its error is a *Refusal.
func (s Stage) Check() error {
	r := &Refusal{}
	if !isName(s.RestAPI, "-") {
		r.add("restApiId is %q; it has letters, digits and hyphens alone", s.RestAPI)
	}
	if !isName(s.Name, "-_") {
		r.add("stage is %q; it has letters, digits, hyphens and underscores alone", s.Name)
	}
	if len(r.reasons) > 0 {
		return r
	}
	return nil
}

func isName(s, more string) bool {
	return s != "" && len(s) <= 128 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune(more, r)
	})
}

// Failure is an export that API Gateway did not give.
type Failure struct {
	Status int
	// Type and Message are those of the error, empty where there are none.
	Type, Message string
}

// Error implements error.
func (f *Failure) Error() string {
	text := fmt.Sprintf("API Gateway answers GetExport with %d", f.Status)
	for _, more := range []string{f.Type, f.Message} {
		if more != "" {
			text += ": " + more
		}
	}
	switch f.Status {
	case http.StatusNotFound:
		text += "; see that the REST API and the stage exist, in the gateway's account and region, and that the stage is deployed"
	case http.StatusForbidden, http.StatusUnauthorized:
		text += "; the gateway's role needs apigateway:GET on the stage's exports"
	}
	return text
}

// Export asks for the stage's OpenAPI document at an endpoint of API Gateway, such as
// https://apigateway.eu-west-1.amazonaws.com, by a client that signs.
//
// Errors: *Refusal for a stage that cannot be named so or an export that is too long,
// *Failure for what API Gateway refuses; any other is of the way there.
func Export(ctx context.Context, client *http.Client, endpoint string, s Stage) ([]byte, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" {
		return nil, errors.New("the endpoint of API Gateway is no URL")
	}
	u = u.JoinPath("restapis", s.RestAPI, "stages", s.Name, "exports", "oas30")
	// With them, an operation's security schemes tell AWS_IAM from keys.
	u.RawQuery = "extensions=authorizers"
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("request the export of %s: %w", s.RestAPI, err)
	}
	r.Header.Set("Accept", "application/json")
	answer, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("export stage %s of %s: %w", s.Name, s.RestAPI, err)
	}
	defer answer.Body.Close()
	limit := int64(MaxExport)
	if answer.StatusCode != http.StatusOK {
		limit = 64 << 10
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read the export of %s: %w", s.RestAPI, err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, failure(answer, body)
	}
	if int64(len(body)) > limit {
		r := &Refusal{}
		r.add("the export has more than %d bytes; deploy the resources that are tools as an API of their own", MaxExport)
		return nil, r
	}
	return body, nil
}

// failure reads an error of API Gateway's, which speaks restJson1.
func failure(answer *http.Response, body []byte) *Failure {
	var doc struct {
		Message string `json:"message"`
		Type    string `json:"__type"`
	}
	_ = json.Unmarshal(body, &doc) // what is none has no message
	f := &Failure{Status: answer.StatusCode, Type: answer.Header.Get("X-Amzn-Errortype"), Message: doc.Message}
	if f.Type == "" {
		f.Type = doc.Type
	}
	f.Type, _, _ = strings.Cut(f.Type, ":")
	if len(f.Message) > 1000 {
		f.Message = strings.ToValidUTF8(f.Message[:1000], "")
	}
	return f
}
