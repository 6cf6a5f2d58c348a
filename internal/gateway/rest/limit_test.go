package rest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/gateway/rest"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// drip is a server whose answer never ends, a byte a second.
type drip struct{ ctx context.Context }

func (drip) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: drip{r.Context()}, ContentLength: -1, Request: r}, nil
}

func (d drip) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		p[0] = 'x'
		return 1, nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

func (drip) Close() error { return nil }

// TestLimitOfTime: a call ends after five minutes, however slowly its answer comes.
func TestLimitOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := rest.OpenAPI{Config: rest.Config{Client: func(target.Source) (*http.Client, error) { return &http.Client{Transport: drip{}}, nil }}}
		s, err := d.Open(target.Source{Schema: []byte(`{"openapi":"3.0.3","info":{"title":"x","version":"1"},"servers":[{"url":"https://server.test"}],
			"paths":{"/":{"get":{"operationId":"get","responses":{"200":{"description":"ok"}}}}}}`)}, target.Catalogue{})
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		_, err = s.Call(t.Context(), target.Call{Tool: "get", Arguments: json.RawMessage(`{}`)})
		const want = "OpenAPIClientException - server.test did not answer within 5m0s"
		if took := time.Since(begun); took != 5*time.Minute || err == nil || err.Error() != want {
			t.Errorf("after %v: %v", took, err)
		}
	})
}
