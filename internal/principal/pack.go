package principal

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
)

// maxPacked bounds what a session carries along in its token, in bytes once it is
// packed: a token must fit into a header with what else is there.
const maxPacked = 3072

// maxUnpacked bounds what a token is unpacked to, in bytes. What we pack is far
// less: ten ARNs, a policy and fifty tags.
const maxUnpacked = 256 << 10

// packedSession is what is fixed of a session, in short names.
type packedSession struct {
	Policies   []string          `json:"p,omitempty"`
	ARNs       []string          `json:"a,omitempty"`
	Limited    bool              `json:"l,omitempty"`
	Tags       map[string]string `json:"t,omitempty"`
	Transitive []string          `json:"x,omitempty"`
	Identity   string            `json:"i,omitempty"`
	Provider   string            `json:"f,omitempty"`
	User       bool              `json:"u,omitempty"`
}

// pack writes what is fixed of a session, and how full it is in per cent.
func pack(s auth.Session) (packed []byte, percent int, err error) {
	plain, err := json.Marshal(packedSession{
		Policies: s.Policies, ARNs: s.PolicyARNs, Limited: s.Limited, Tags: s.Tags, Transitive: s.Transitive,
		Identity: s.SourceIdentity, Provider: s.Provider, User: s.User,
	})
	if err != nil || string(plain) == "{}" {
		return nil, 0, err
	}
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		return nil, 0, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, 0, err
	}
	if err := w.Close(); err != nil {
		return nil, 0, err
	}
	percent = (b.Len()*100 + maxPacked - 1) / maxPacked
	if percent > 100 {
		return nil, percent, fault.New(CodeTooLarge, http.StatusBadRequest,
			"Packed policy consumes %d%% of allotted space, please use smaller policy.", percent)
	}
	return b.Bytes(), percent, nil
}

// unpack reads what pack wrote.
func unpack(packed []byte) (auth.Session, error) {
	var p packedSession
	if len(packed) > 0 {
		plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), maxUnpacked))
		if err == nil {
			err = json.Unmarshal(plain, &p)
		}
		if err != nil {
			return auth.Session{}, fmt.Errorf("unpack session: %w", err)
		}
	}
	return auth.Session{
		Policies: p.Policies, PolicyARNs: p.ARNs, Limited: p.Limited, Tags: p.Tags, Transitive: p.Transitive,
		SourceIdentity: p.Identity, Provider: p.Provider, User: p.User,
	}, nil
}
