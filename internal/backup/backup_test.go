package backup_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"github.com/outcrop/outcrop/internal/backup"
)

// pair is an age key, and what opens what it sealed; its passphrases would take a
// second each.
func pair(t testing.TB) (seals, opens backup.Key) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	if seals, err = backup.Recipients([]string{id.Recipient().String()}); err == nil {
		opens, err = backup.Identities(strings.NewReader("# a comment\n" + id.String() + "\n"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return seals, opens
}

var head = backup.Head{Version: "1.2.3", Account: "123456789012", Region: "eu-west-1"}

// tree makes a directory with one of each.
func tree(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	err := errors.Join(
		os.MkdirAll(filepath.Join(dir, "sub", "empty"), 0o755), os.WriteFile(filepath.Join(dir, "a"), []byte("content"), 0o640),
		os.WriteFile(filepath.Join(dir, "sub", "large"), bytes.Repeat([]byte("0123456789"), 300_000), 0o600),
		os.Symlink("../a", filepath.Join(dir, "sub", "link")), os.Symlink("/etc/passwd", filepath.Join(dir, "sub", "out")),
		os.WriteFile(filepath.Join(dir, "sub", "odd\nname \u00e9"), nil, 0o400), os.Chmod(filepath.Join(dir, "sub", "empty"), 0o500),
	)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// archive is a tree as an archive.
func archive(t testing.TB, key backup.Key, dir string) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := backup.NewWriter(&out, key, head)
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		if err != nil || name == "." {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		target, _ := os.Readlink(path)
		body, _ := os.ReadFile(path)
		_, err = w.Add(filepath.ToSlash(name), info, target, bytes.NewReader(body))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func everything(string) (belongs, owned bool) { return true, true }

// extract reads an archive into a new directory.
func extract(t testing.TB, raw []byte, key backup.Key, accept func(string) (bool, bool)) (string, backup.End, error) {
	t.Helper()
	dir := t.TempDir()
	r, err := backup.NewReader(bytes.NewReader(raw), key)
	if err != nil {
		return dir, backup.End{}, err
	}
	defer r.Close()
	if r.Head.Account != head.Account || r.Head.Version != head.Version {
		t.Errorf("its head is %+v", r.Head)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	end, err := r.Extract(t.Context(), root, accept)
	return dir, end, err
}

// listing is a tree in words.
func listing(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		info, statErr := os.Lstat(path)
		if err = errors.Join(err, statErr); err != nil || path == dir {
			return err
		}
		target, _ := os.Readlink(path)
		body, _ := os.ReadFile(path)
		if info.Mode()&fs.ModeSymlink != 0 {
			body = nil
		}
		modified := info.ModTime().UnixNano()
		if !info.Mode().IsRegular() && !info.IsDir() {
			modified = 0
		}
		fmt.Fprintf(&b, "%q %v %d %q %d %x\n", strings.TrimPrefix(path, dir), info.Mode(), modified, target, len(body), body[:min(len(body), 20)])
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRoundTrip(t *testing.T) {
	seals, opens := pair(t)
	from := tree(t)
	raw := archive(t, seals, from)
	if bytes.Contains(raw, []byte("content")) || bytes.Contains(raw, []byte("123456789012")) {
		t.Error("the archive can be read")
	}
	to, end, err := extract(t, raw, opens, everything)
	if err != nil || end.Files != 3 || end.Bytes != 3_000_007 {
		t.Fatalf("%+v, %v", end, err)
	}
	if got, want := listing(t, to), listing(t, from); got != want {
		t.Errorf("extracted\n%swant\n%s", got, want)
	}
	if seals, opens := fmt.Sprintf("%v %+v", seals, opens), "[redacted] [redacted]"; seals != opens {
		t.Errorf("keys print as %s", seals)
	}
}

// TestDamage: whatever is changed or cut off, nothing passes for whole.
func TestDamage(t *testing.T) {
	seals, opens := pair(t)
	raw := archive(t, seals, tree(t))
	for _, at := range []int{0, 30, len(raw) / 4, len(raw) / 2, len(raw) - 1} {
		changed := bytes.Clone(raw)
		changed[at] ^= 1
		if _, _, err := extract(t, changed, opens, everything); !errors.Is(err, backup.ErrDamaged) && !errors.Is(err, backup.ErrWrongKey) {
			t.Errorf("byte %d of %d changed: %v", at, len(raw), err)
		}
		if _, _, err := extract(t, raw[:at], opens, everything); !errors.Is(err, backup.ErrDamaged) && !errors.Is(err, backup.ErrWrongKey) {
			t.Errorf("cut at %d of %d: %v", at, len(raw), err)
		}
	}
	if _, _, err := extract(t, append(bytes.Clone(raw), 0), opens, everything); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("longer: %v", err)
	}
	_, other := pair(t)
	if _, _, err := extract(t, raw, other, everything); !errors.Is(err, backup.ErrWrongKey) {
		t.Errorf("another key: %v", err)
	}
	if _, _, err := extract(t, raw, opens, func(name string) (bool, bool) { return name != "a", false }); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("an entry that does not belong: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err := backup.NewReader(bytes.NewReader(raw), opens)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if _, err := r.Extract(ctx, root, everything); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
}

// forged is an archive of entries that Writer would not make, with its own end.
func forged(t *testing.T, entries ...tar.Header) (raw []byte, opens backup.Key) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	sealed, err := age.Encrypt(&out, id.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	packed, err := zstd.NewWriter(sealed)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(packed)
	for _, h := range entries {
		body := []byte(h.Linkname)
		if h.Typeflag == tar.TypeReg {
			h.Linkname, h.Size = "", int64(len(body))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write(body); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(w.Close(), packed.Close(), sealed.Close()); err != nil {
		t.Fatal(err)
	}
	if opens, err = backup.Identities(strings.NewReader(id.String())); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), opens
}

// TestHostile: who has the public key can write what they like, and reaches
// nothing outside.
func TestHostile(t *testing.T) {
	first := tar.Header{Typeflag: tar.TypeReg, Name: "outcrop-backup.json", Mode: 0o600, Linkname: `{"format":1,"version":"1.2.3","account":"123456789012"}`}
	for name, entries := range map[string][]tar.Header{
		"above":         {first, {Typeflag: tar.TypeReg, Name: "../x", Linkname: "x"}},
		"absolute":      {first, {Typeflag: tar.TypeReg, Name: "/tmp/outcrop-x", Linkname: "x"}},
		"through link":  {first, {Typeflag: tar.TypeSymlink, Name: "l", Linkname: ".."}, {Typeflag: tar.TypeReg, Name: "l/x", Linkname: "x"}},
		"over link":     {first, {Typeflag: tar.TypeSymlink, Name: "l", Linkname: "../x"}, {Typeflag: tar.TypeReg, Name: "l", Linkname: "x"}},
		"twice":         {first, {Typeflag: tar.TypeReg, Name: "x", Linkname: "x"}, {Typeflag: tar.TypeReg, Name: "x", Linkname: "y"}},
		"hard link":     {first, {Typeflag: tar.TypeLink, Name: "x", Linkname: "/etc/passwd"}},
		"device":        {first, {Typeflag: tar.TypeChar, Name: "x", Devmajor: 1, Devminor: 3}},
		"no end":        {first, {Typeflag: tar.TypeReg, Name: "x", Linkname: "x"}},
		"no head":       {{Typeflag: tar.TypeReg, Name: "x", Linkname: "x"}},
		"bad head":      {{Typeflag: tar.TypeReg, Name: "outcrop-backup.json", Linkname: "{"}},
		"end of others": {first, {Typeflag: tar.TypeReg, Name: "outcrop-backup.end", Linkname: `{"files":0,"bytes":0,"digest":"00"}`}},
	} {
		raw, opens := forged(t, entries...)
		outside := t.TempDir()
		dir, _, err := extract(t, raw, opens, everything)
		if err == nil {
			t.Errorf("%s: it was extracted", name)
		}
		for _, at := range []string{filepath.Join(filepath.Dir(dir), "x"), "/tmp/outcrop-x", filepath.Join(outside, "x")} {
			if _, err := os.Lstat(at); err == nil {
				t.Errorf("%s: it wrote %s", name, at)
			}
		}
	}
	raw, opens := forged(t, tar.Header{Typeflag: tar.TypeReg, Name: "outcrop-backup.json", Linkname: `{"format":2,"version":"9.0.0"}`})
	if _, _, err := extract(t, raw, opens, everything); !errors.Is(err, backup.ErrNewer) || !strings.Contains(err.Error(), "9.0.0") {
		t.Errorf("of a newer version: %v", err)
	}
}

// TestShortened: a file that shrinks while it is read does not break the archive.
func TestShortened(t *testing.T) {
	seals, opens := pair(t)
	info, err := os.Stat(filepath.Join(tree(t), "a"))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w, err := backup.NewWriter(&out, seals, head)
	if err != nil {
		t.Fatal(err)
	}
	if short, err := w.Add("a", info, "", strings.NewReader("con")); err != nil || !short {
		t.Errorf("%v, %v", short, err)
	}
	if short, err := w.Add("b", info, "", strings.NewReader("content and more")); err != nil || short {
		t.Errorf("%v, %v", short, err)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	dir, _, err := extract(t, out.Bytes(), opens, everything)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a": "con\x00\x00\x00\x00", "b": "content"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
}

func TestPassphrase(t *testing.T) {
	if _, err := backup.Passphrase("elevenchars"); err == nil {
		t.Error("a short one was taken")
	}
	key, err := backup.Passphrase("correct horse battery staple")
	if err != nil {
		t.Fatal(err)
	}
	raw := archive(t, key, tree(t))
	if _, _, err := extract(t, raw, key, everything); err != nil {
		t.Error(err)
	}
	other, err := backup.Passphrase("correct horse battery stable")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := extract(t, raw, other, everything); !errors.Is(err, backup.ErrWrongKey) {
		t.Errorf("another passphrase: %v", err)
	}
	for _, bad := range []string{"", "age1", "ssh-ed25519 AAAA"} {
		if _, err := backup.Recipients([]string{bad}); err == nil {
			t.Errorf("%q was taken for a recipient", bad)
		}
	}
	if _, err := backup.Identities(strings.NewReader("AGE-SECRET-KEY-1NOPE")); err == nil || strings.Contains(err.Error(), "NOPE") {
		t.Errorf("what is no identity: %v", err)
	}
	if _, err := backup.NewWriter(io.Discard, backup.Key{}, head); err == nil {
		t.Error("an archive without a key")
	}
}

// FuzzReader feeds what is behind the seal: whoever has the public key can write it.
func FuzzReader(f *testing.F) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		f.Fatal(err)
	}
	opens, err := backup.Identities(strings.NewReader(id.String()))
	if err != nil {
		f.Fatal(err)
	}
	var tarball bytes.Buffer
	w := tar.NewWriter(&tarball)
	for name, body := range map[string]string{"outcrop-backup.json": `{"format":1}`, "a/b": "x", "outcrop-backup.end": "{}"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(body)), Mode: 0o600}); err != nil {
			f.Fatal(err)
		}
		_, _ = w.Write([]byte(body))
	}
	f.Add(tarball.Bytes(), false)
	f.Add([]byte("\x28\xb5\x2f\xfd"), true)
	f.Fuzz(func(t *testing.T, raw []byte, packedAlready bool) {
		var out bytes.Buffer
		sealed, err := age.Encrypt(&out, id.Recipient())
		if err != nil {
			t.Fatal(err)
		}
		if packedAlready {
			_, _ = sealed.Write(raw)
		} else {
			packed, _ := zstd.NewWriter(sealed, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true))
			_, _ = packed.Write(raw)
			_ = packed.Close()
		}
		_ = sealed.Close()
		r, err := backup.NewReader(&out, opens)
		if err != nil {
			return
		}
		defer r.Close()
		for {
			err := r.Next(func(e backup.Entry, body io.Reader) error {
				if !fs.ValidPath(e.Name) {
					t.Errorf("name %q", e.Name)
				}
				if body != nil {
					_, _ = io.Copy(io.Discard, body)
				}
				return nil
			})
			if err != nil {
				return
			}
		}
	})
}

func BenchmarkArchive(b *testing.B) {
	seals, _ := pair(b)
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a"), nil, 0o600); err != nil {
		b.Fatal(err)
	}
	const size = 64 << 20
	if err := os.Truncate(filepath.Join(dir, "a"), size); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "a"))
	if err != nil {
		b.Fatal(err)
	}
	body := make([]byte, size)
	state := uint64(1)
	for i := range body { // half random, as code and models are
		state = state*6364136223846793005 + 1442695040888963407
		body[i] = byte(state>>60) * 17
	}
	b.SetBytes(size)
	for b.Loop() {
		w, err := backup.NewWriter(io.Discard, seals, head)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.Add("a", info, "", bytes.NewReader(body)); err != nil {
			b.Fatal(err)
		}
		if _, err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
