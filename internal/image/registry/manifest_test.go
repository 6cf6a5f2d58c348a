package registry_test

import (
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/image/registry"
)

func TestManifestForms(t *testing.T) {
	d := string(digest("x"))
	config := `"config":{"mediaType":"c","digest":"` + d + `","size":1}`
	oci := `{"schemaVersion":2,"mediaType":"` + registry.TypeOCIManifest + `",` + config + `,"layers":[]`
	for name, test := range map[string]struct{ mediaType, text, want string }{
		"plain":                      {"", oci + "}", ""},
		"type with parameter":        {registry.TypeOCIManifest + "; charset=utf-8", oci + "}", ""},
		"type outside only":          {registry.TypeDockerManifest, `{"schemaVersion":2,` + config + `,"layers":[]}`, ""},
		"index":                      {registry.TypeOCIIndex, `{"schemaVersion":2,"manifests":[]}`, ""},
		"unknown members":            {"", oci + `,"x":{"y":[1]}}`, ""},
		"layers kept elsewhere":      {"", strings.TrimSuffix(oci, "[]") + `[{"mediaType":"application/vnd.oci.image.layer.nondistributable.v1.tar","digest":"` + d + `","size":1}]}`, ""},
		"no JSON":                    {"", "{", "no JSON"},
		"not an object":              {"", "[]", "no JSON"},
		"name twice":                 {"", oci + `,"layers":[]}`, "no JSON"},
		"something behind":           {"", oci + "} {}", "no JSON"},
		"no type":                    {"", `{"schemaVersion":2}`, "media type ''"},
		"schema 1":                   {"application/vnd.docker.distribution.manifest.v1+prettyjws", `{"schemaVersion":1}`, "is not kept here"},
		"broken type":                {"a/b/c", oci + "}", "is no media type"},
		"version":                    {registry.TypeOCIManifest, `{"schemaVersion":1,` + config + `}`, "schemaVersion is 1"},
		"image without config":       {registry.TypeOCIManifest, `{"schemaVersion":2,"layers":[]}`, "no config"},
		"image with manifests":       {"", oci + `,"manifests":[]}`, "has manifests"},
		"index with layers":          {registry.TypeOCIIndex, `{"schemaVersion":2,"manifests":[],"layers":[]}`, "has layers"},
		"digest of an unknown kind":  {"", strings.Replace(oci, "sha256", "md5", 1) + "}", "no digest that is kept"},
		"negative size":              {"", strings.Replace(oci, `"size":1`, `"size":-1`, 1) + "}", "the limit is"},
		"two sizes":                  {"", strings.TrimSuffix(oci, "[]") + `[{"digest":"` + d + `","size":2}]}`, "two sizes"},
		"subject without digest":     {"", oci + `,"subject":{}}`, "no digest that is kept"},
		"more others than there may": {registry.TypeOCIIndex, `{"schemaVersion":2,"manifests":[` + strings.Repeat("{},", registry.MaxReferences) + `{}]}`, "the limit is 4096"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := registry.ParseManifest(test.mediaType, []byte(test.text))
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func FuzzManifest(f *testing.F) {
	f.Add(registry.TypeOCIManifest, `{"schemaVersion":2,"config":{"digest":"`+string(digest("x"))+`","size":1}}`)
	f.Add(registry.TypeOCIIndex, `{"schemaVersion":2,"manifests":[{"digest":"`+string(digest("y"))+`","size":1}]}`)
	f.Add("", "{}")
	f.Fuzz(func(t *testing.T, mediaType, text string) {
		m, err := registry.ParseManifest(mediaType, []byte(text))
		if (m == nil) == (err == nil) && err == nil {
			t.Error("neither manifest nor error")
		}
		if f, ok := err.(interface{ Error() string }); ok && len(f.Error()) > 1000 {
			t.Errorf("the refusal has %d bytes", len(f.Error()))
		}
	})
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{"a/b", "v1.0", string(digest("x")), "123456789012.dkr.ecr.us-east-1.amazonaws.com", "sha512:", ":", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := registry.ParseDigest(text); err == nil && string(d) != text {
			t.Errorf("digest %q was read as %q", text, d)
		}
		if s, ok := registry.ParseHost(text); ok && !strings.HasPrefix(text, s.Account+".dkr.ecr") {
			t.Errorf("host %q was read as %v", text, s)
		}
		if registry.ValidRepository(text) && (strings.ContainsAny(text, ":@ \x00") || strings.HasPrefix(text, "/") || strings.Contains(text, "..")) {
			t.Errorf("repository %q is valid", text)
		}
		if i, err := registry.ParseReference(text); err == nil && i.Tag+string(i.Digest) != text {
			t.Errorf("reference %q was read as %s", text, i)
		}
	})
}
