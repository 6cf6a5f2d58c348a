package app

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image/registry"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

func TestCanonicalReference(t *testing.T) {
	k := kept{port: "8642"}
	scope := store.Scope{Account: "111122223333", Region: "eu-west-1"}
	const own = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/"
	for reference, want := range map[string]string{
		"127.0.0.1:8642/team/agent:v1":        own + "team/agent:v1",
		"localhost:8642/agent@sha256:x":       own + "agent@sha256:x",
		"[::1]:8642/agent":                    own + "agent",
		"127.0.0.1:8642/" + own + "agent:v1":  own + "agent:v1",
		"127.0.0.1:8643/agent":                "127.0.0.1:8643/agent",
		"192.0.2.1:8642/agent":                "192.0.2.1:8642/agent",
		"localhost/agent":                     "localhost/agent",
		own + "agent":                         own + "agent",
		"agent":                               "agent",
		"docker.io/library/python:3.14-slim":  "docker.io/library/python:3.14-slim",
		"registry.example:8642/library/agent": "registry.example:8642/library/agent",
	} {
		if got := k.Canonical(scope, reference); got != want {
			t.Errorf("%s is %s, want %s", reference, got, want)
		}
	}
}

// TestKeptImages reads images of the account where they lie, and says of one that
// is not there what AgentCore says.
func TestKeptImages(t *testing.T) {
	dir := t.TempDir()
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	images, err := registry.New(t.Context(), registry.Config{Dir: filepath.Join(dir, "registry"), Store: db})
	if err != nil {
		t.Fatal(err)
	}
	scope := store.Scope{Account: "111122223333", Region: "eu-west-1"}
	n := registry.Name{Scope: scope, Repository: "agent"}
	if _, err := images.CreateRepository(t.Context(), n, registry.Settings{}); err != nil {
		t.Fatal(err)
	}
	index := `{"schemaVersion":2,"mediaType":"` + registry.TypeOCIIndex + `","manifests":[]}`
	i, _, err := images.Put(t.Context(), n, registry.ImageID{Tag: "v1"}, "", []byte(index))
	if err != nil {
		t.Fatal(err)
	}
	k := kept{images: images, account: scope.Account}
	if k.Repository("999999999999.dkr.ecr.eu-west-1.amazonaws.com", "agent") != nil || k.Repository("127.0.0.1:8642", "agent") != nil {
		t.Error("a registry of somebody else is ours")
	}
	r := k.Repository(registry.Host(scope), "agent")
	for _, reference := range []string{"v1", string(i.Digest)} {
		mediaType, raw, err := r.Manifest(t.Context(), reference)
		if err != nil || mediaType != registry.TypeOCIIndex || string(raw) != index {
			t.Errorf("%s: %s, %s, %v", reference, mediaType, raw, err)
		}
	}
	none := "sha256:" + strings.Repeat("0", 64)
	for _, test := range []struct {
		repository, reference, want string
	}{
		{"agent", "latest", "The image with identifier 'ImageIdentifier(ImageTag=latest)' does not exist in the repository with name 'agent' in registry with id '111122223333'."},
		{"agent", none, "The image with identifier 'ImageIdentifier(ImageDigest=" + none + ")' does not exist in the repository with name 'agent' in registry with id '111122223333'."},
		{"none", "latest", "The image with identifier 'ImageIdentifier(ImageTag=latest)' does not exist in the repository with name 'none' in registry with id '111122223333'."},
	} {
		_, _, err := k.Repository(registry.Host(scope), test.repository).Manifest(t.Context(), test.reference)
		if f := fault.From(err); f.Code != "ValidationException" || f.Message != test.want {
			t.Errorf("%s: %v", test.reference, err)
		}
	}
	if _, err := r.Blob(t.Context(), none); err == nil {
		t.Error("a blob that is not there was opened")
	}
}
