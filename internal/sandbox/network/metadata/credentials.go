package metadata

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"time"
)

// ContainerPath is where credentials are found in the form of ECS and EKS, for
// guests whose own environment asks for it: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI
// with AWS_CONTAINER_AUTHORIZATION_TOKEN.
const ContainerPath = "/v2/credentials"

// copiedLife is what a guest is told that others will be copied from.
const copiedLife = time.Minute

// roleForm writes credentials as IMDS does.
func roleForm(_ Config, c Credentials) any {
	return struct {
		Code            string `json:"Code"`
		LastUpdated     string `json:"LastUpdated"`
		Type            string `json:"Type"`
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string `json:"SecretAccessKey"`
		Token           string `json:"Token"`
		Expiration      string `json:"Expiration"`
	}{"Success", stamp(c.Issued), "AWS-HMAC", c.AccessKeyID, c.SecretAccessKey, c.Token, stamp(c.Expires)}
}

// containerForm writes them as ECS does.
func containerForm(cfg Config, c Credentials) any {
	return struct {
		RoleARN         string `json:"RoleArn"`
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string `json:"SecretAccessKey"`
		Token           string `json:"Token"`
		Expiration      string `json:"Expiration"`
	}{cfg.Role, c.AccessKeyID, c.SecretAccessKey, c.Token, stamp(c.Expires)}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func (h *Handler) serveContainer(w http.ResponseWriter, r *http.Request) {
	given := r.Header.Get("Authorization")
	switch {
	case h.cfg.ContainerToken == "" || h.cfg.Credentials == nil:
		refuse(w, http.StatusNotFound)
	case subtle.ConstantTimeCompare([]byte(given), []byte(h.cfg.ContainerToken)) != 1:
		refuse(w, http.StatusUnauthorized)
	default:
		w.Header().Set("Content-Type", "application/json")
		h.serveCredentials(w, r, containerForm)
	}
}

func (h *Handler) serveCredentials(w http.ResponseWriter, r *http.Request, form func(Config, Credentials) any) {
	c, err := h.credentials(r.Context())
	if err == nil {
		if h.cfg.Copied {
			c.Expires = h.cfg.Now().Add(copiedLife)
		}
		var body []byte
		if body, err = json.MarshalIndent(form(h.cfg, c), "", "  "); err == nil {
			write(w, string(body))
			return
		}
	}
	h.cfg.Log.WarnContext(r.Context(), "no credentials for a guest", "role", h.cfg.Role, "error", err)
	refuse(w, http.StatusServiceUnavailable)
}

// credentials returns those that were made last until half of their life is
// over. SDKs ask for better ones when 15 minutes and less are left.
func (h *Handler) credentials(ctx context.Context) (Credentials, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now, c := h.cfg.Now(), h.current
	if now.Before(c.Issued.Add(c.Expires.Sub(c.Issued) / 2)) {
		return c, nil
	}
	// The guest may give up on its own request; the next one profits.
	fresh, err := h.cfg.Credentials(context.WithoutCancel(ctx))
	switch {
	case err == nil:
		h.current = fresh
		return fresh, nil
	case now.Before(c.Expires.Add(-time.Minute)):
		h.cfg.Log.WarnContext(ctx, "a guest keeps its credentials for want of new ones", "role", h.cfg.Role, "error", err)
		return c, nil
	}
	return Credentials{}, err
}
