package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
)

// idleConnection is how long a connection to a guest is kept for the next
// request. A server that closes it at the same moment would lose that request,
// which cannot be repeated; uvicorn and Node close after five seconds, and the
// impatient (gunicorn) after two.
const idleConnection = time.Second

// newTransport returns a client whose connections all lead to the guest's
// port, whatever the URL says.
func newTransport(box sandbox.Sandbox, port uint16) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := box.Dial(ctx, port)
			if err != nil {
				return nil, &DialError{port, err}
			}
			return conn, nil
		},
		// What the agent sends is passed on as it is.
		DisableCompression:     true,
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        idleConnection,
		MaxResponseHeaderBytes: 64 << 10,
		WriteBufferSize:        32 << 10,
		ReadBufferSize:         32 << 10,
	}
}

// HTTPProbe is ready when GET path on the port answers 200.
func HTTPProbe(port uint16, path string) func(context.Context, http.RoundTripper) error {
	url := guestURL(port, path)
	return func(ctx context.Context, guest http.RoundTripper) error {
		body, err := get(ctx, guest, url, path)
		if err != nil {
			return err
		}
		return body.Close()
	}
}

// post sends a Warmup and reads its answer to the end.
func post(ctx context.Context, guest http.RoundTripper, w Warmup) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, guestURL(w.Port, w.Path), http.NoBody)
	if err != nil {
		return err
	}
	resp, err := guest.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("POST %s on port %d: %w", w.Path, w.Port, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("POST %s on port %d answered %s", w.Path, w.Port, resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body) // it warms up until then
	return err
}

// maxHealth bounds what is read of a guest's answer, in bytes.
const maxHealth = 4 << 10

// HTTPHealth asks GET path on the port, as HTTPProbe does, and reads its answer.
func HTTPHealth(port uint16, path string) func(context.Context, http.RoundTripper) (Health, error) {
	url := guestURL(port, path)
	return func(ctx context.Context, guest http.RoundTripper) (Health, error) {
		body, err := get(ctx, guest, url, path)
		if err != nil {
			return Health{}, err
		}
		defer body.Close()
		raw, err := io.ReadAll(io.LimitReader(body, maxHealth))
		if err != nil {
			return Health{}, err
		}
		return parseHealth(raw), nil
	}
}

// parseHealth reads {"status":"Healthy"|"HealthyBusy","time_of_last_update":N},
// N in seconds. A guest that says anything else with its 200 is healthy.
func parseHealth(raw []byte) Health {
	var status struct {
		Status string `json:"status"`
	}
	if json.Unmarshal(raw, &status) != nil {
		return Health{}
	}
	h := Health{Busy: status.Status == "HealthyBusy"}
	// By itself: a time that is none makes no other status of it.
	var at struct {
		Updated float64 `json:"time_of_last_update"`
	}
	if json.Unmarshal(raw, &at) == nil && at.Updated > 0 && at.Updated < 1e11 {
		h.Changed = time.UnixMilli(int64(at.Updated * 1000))
	}
	return h
}

func guestURL(port uint16, path string) string {
	return "http://localhost:" + strconv.Itoa(int(port)) + path
}

// get returns the body of an answer of 200.
func get(ctx context.Context, guest http.RoundTripper, url, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := guest.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, errors.Join(errors.New("GET "+path+" answered "+resp.Status), resp.Body.Close())
	}
	return resp.Body, nil
}
