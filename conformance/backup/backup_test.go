package backup

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
)

const (
	bucket     = "kept"
	secretText = "the-key-to-another-service"
)

// kit is one server and what a person does with it.
type kit struct {
	*server.Server
	t *testing.T
}

type outcome struct {
	out, err string
	code     int
}

// outcrop runs a command on the server's data directory.
func (k *kit) outcrop(stdin string, args ...string) outcome {
	k.t.Helper()
	cmd := exec.Command(server.Binary(k.t), append([]string{args[0], "--data", k.DataDir}, args[1:]...)...)
	cmd.Env, cmd.Stdin = k.Cmd.Env, strings.NewReader(stdin)
	return run(k.t, cmd)
}

func run(t *testing.T, cmd *exec.Cmd) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

func (k *kit) must(args ...string) string {
	k.t.Helper()
	r := k.outcrop("", args...)
	if r.code != 0 {
		k.t.Fatalf("%v: %+v\nserver:\n%s", args, r, k.Log())
	}
	return r.out
}

func (k *kit) s3() *s3.Client {
	return s3.NewFromConfig(k.AWS(), func(o *s3.Options) { o.UsePathStyle = true })
}

func (k *kit) put(key string, body []byte) error {
	_, err := k.s3().PutObject(k.t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: bytes.NewReader(body)})
	return err
}

func (k *kit) get(key string) ([]byte, error) {
	out, err := k.s3().GetObject(k.t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: &key})
	if err != nil {
		return nil, err
	}
	defer out.Body.Close()
	return io.ReadAll(out.Body)
}

// registry is a login to the server's registry.
func (k *kit) registry(tag string) (name.Reference, []remote.Option) {
	k.t.Helper()
	aws := func(args ...string) string {
		cmd := exec.Command(pinned.Program(k.t, "aws"), args...)
		cmd.Env = append(k.Env(), "AWS_CONFIG_FILE=/nonexistent", "AWS_PAGER=", "HOME="+k.t.TempDir())
		r := run(k.t, cmd)
		if r.code != 0 && !strings.Contains(r.err, "RepositoryAlreadyExists") {
			k.t.Fatalf("%s\n%s", r.err, k.Log())
		}
		return strings.TrimSpace(r.out)
	}
	aws("ecr", "create-repository", "--repository-name", "agents")
	ref, err := name.ParseReference(strings.TrimPrefix(k.URL, "http://") + "/agents:" + tag)
	if err != nil {
		k.t.Fatal(err)
	}
	return ref, []remote.Option{remote.WithAuth(&authn.Basic{Username: "AWS", Password: aws("ecr", "get-login-password")})}
}

// body is the content of an object, of a size and a seed.
func body(seed, size int) []byte {
	r := rand.New(rand.NewPCG(uint64(seed), 1))
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// work puts and removes objects, invokes, and pushes, until stop is closed.
// acknowledged counts what was written before a moment.
type work struct {
	acknowledged atomic.Int64
	stop         chan struct{}
	all          sync.WaitGroup
}

func (k *kit) work() *work {
	w := &work{stop: make(chan struct{})}
	loop := func(do func(n int) error) {
		w.all.Go(func() {
			for n := 1; ; n++ {
				select {
				case <-w.stop:
					return
				default:
				}
				if err := do(n); err != nil {
					k.t.Errorf("while the backup runs: %v", err)
					return
				}
			}
		})
	}
	loop(func(n int) error { // in order, so that a gap shows
		if err := k.put(fmt.Sprintf("row/%06d", n), body(n, 20_000)); err != nil {
			return err
		}
		w.acknowledged.Store(int64(n))
		return nil
	})
	loop(func(n int) error { // comes and goes
		key := fmt.Sprintf("fleeting/%d", n%3)
		if err := k.put(key, body(n, 40_000)); err != nil {
			return err
		}
		_, err := k.s3().DeleteObject(k.t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: &key})
		return err
	})
	loop(func(int) error {
		if r := k.outcrop("", "invoke", "hello"); r.code != 0 {
			return errors.New(r.err)
		}
		return nil
	})
	return w
}

func (w *work) end() {
	close(w.stop)
	w.all.Wait()
}

func TestBackup(t *testing.T) {
	k := &kit{server.Start(t, server.Options{Args: []string{"--hibernate-after", "1s"}}), t}
	id := server.SessionID("kept")
	k.must("deploy", "../terminal/testdata/agent", "--name", "hello", "--storage", "/mnt/work", "--env", "SECRET="+secretText)
	k.must("exec", "hello", "-s", id, "--", "mkdir /mnt/work/d && echo remembered > /mnt/work/d/f && ln -s d/f /mnt/work/l && chmod 750 /mnt/work/d")
	if _, err := k.s3().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		t.Fatal(err)
	}
	large := body(1, 20<<20)
	if err := errors.Join(k.put("large", large), k.put("small", []byte("small"))); err != nil {
		t.Fatal(err)
	}
	pushed, err := random.Image(200_000, 3)
	if err != nil {
		t.Fatal(err)
	}
	ref, login := k.registry("v1")
	if err := remote.Write(ref, pushed, login...); err != nil {
		t.Fatal(err)
	}

	dir := t.TempDir()
	archive, passphrase := filepath.Join(dir, "archive"), filepath.Join(dir, "passphrase")
	if err := os.WriteFile(passphrase, []byte("correct horse battery staple\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	k.Until("the session hibernates", func() bool { return strings.Contains(k.must("sessions", "--json"), `"HIBERNATED"`) })
	w := k.work()
	for w.acknowledged.Load() < 20 {
		time.Sleep(10 * time.Millisecond) // until it is at work
	}
	before := w.acknowledged.Load()
	said := k.outcrop("", "backup", archive, "--passphrase-file", passphrase)
	w.end()
	if said.code != 0 || said.out != "" || strings.Contains(said.err, "Left out") {
		t.Fatalf("%+v", said)
	}
	t.Logf("%s, while %d objects were put after the %d that were there", strings.TrimSpace(said.err), w.acknowledged.Load()-before, before)
	sealed(t, archive)
	if left, err := os.ReadDir(filepath.Join(k.DataDir, "backup")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := k.put("later", nil); err != nil {
		t.Errorf("after the backup: %v", err)
	}

	restored := filepath.Join(dir, "restored")
	k.killedRestore(archive, passphrase, restored)
	k.refusals(archive, passphrase, restored)
	there := k.restore(archive, passphrase, restored)
	if there.Account != k.Account || there.AccessKeyID != k.AccessKeyID || there.SecretAccessKey != k.SecretAccessKey || there.Region != k.Region {
		t.Error("the account is another")
	}
	for key, want := range map[string][]byte{"large": large, "small": []byte("small")} {
		if got, err := there.get(key); err != nil || sha256.Sum256(got) != sha256.Sum256(want) {
			t.Errorf("%s is %d bytes, %v", key, len(got), err)
		}
	}
	there.rows(before)
	there.image(pushed, "v1")
	if out := there.must("exec", "hello", "-s", id, "--", "cat /mnt/work/l; stat -c %a /mnt/work/d; echo $SECRET"); out != "remembered\n750\n"+secretText+"\n" {
		t.Errorf("the session finds %q", out)
	}
	there.must("invoke", "hello")
	for _, line := range []string{"outcrop: command: mkdir /mnt/work/d", "the session starts afresh: the file in which it hibernated is gone"} {
		if out := there.must("logs", "hello", "-s", id); !strings.Contains(out, line) {
			t.Errorf("the log lacks %q: %s", line, out)
		}
	}
	// It is a server like any other: what is new is kept, and can be backed up.
	if err := there.put("after", []byte("x")); err != nil {
		t.Error(err)
	}
	there.must("deploy", "../terminal/testdata/agent", "--name", "another")
	if r := there.outcrop("", "backup", filepath.Join(dir, "again"), "--passphrase-file", passphrase); r.code != 0 {
		t.Errorf("%+v", r)
	}
}

// sealed wants nothing readable in a file, and that nobody else may read it.
func sealed(t *testing.T, archive string) {
	t.Helper()
	raw, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(archive)
	if err != nil || info.Mode().Perm() != 0o600 || !bytes.HasPrefix(raw, []byte("age-encryption.org/v1\n")) {
		t.Errorf("its mode is %v, and it begins %q: %v", info.Mode(), raw[:40], err)
	}
	for _, text := range []string{secretText, "accountId", "encryptedKeyset", "remembered", bucket} {
		if bytes.Contains(raw, []byte(text)) {
			t.Errorf("the archive shows %q", text)
		}
	}
}

// rows wants those objects that were acknowledged before the backup began, and of
// the later ones no gap and nothing broken.
func (k *kit) rows(before int64) {
	k.t.Helper()
	last := int64(0)
	for n := int64(1); ; n++ {
		got, err := k.get(fmt.Sprintf("row/%06d", n))
		if err != nil {
			last = n - 1
			break
		}
		if !bytes.Equal(got, body(int(n), 20_000)) {
			k.t.Errorf("object %d is another", n)
		}
	}
	if last < before {
		k.t.Errorf("it has %d objects, and %d were there before", last, before)
	}
	out, err := k.s3().ListObjectsV2(k.t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(bucket)})
	if err != nil {
		k.t.Fatal(err)
	}
	rows := int64(0)
	for _, o := range out.Contents {
		if got, err := k.get(*o.Key); err != nil || int64(len(got)) != *o.Size {
			k.t.Errorf("%s is %d bytes of %d, %v", *o.Key, len(got), *o.Size, err)
		}
		if strings.HasPrefix(*o.Key, "row/") {
			rows++
		}
	}
	if rows != last && !*out.IsTruncated {
		k.t.Errorf("%d objects without a gap, %d in all", last, rows)
	}
}

// image wants an image as it was pushed, and that another can be.
func (k *kit) image(want v1.Image, tag string) {
	k.t.Helper()
	ref, login := k.registry(tag)
	got, err := remote.Image(ref, login...)
	if err != nil {
		k.t.Fatal(err)
	}
	had, err := want.Digest()
	has, hasErr := got.Digest()
	if err := errors.Join(err, hasErr, whole(got)); err != nil || has != had {
		k.t.Errorf("the image is %v, was %v: %v", has, had, err)
	}
	more, err := random.Image(1000, 1)
	if err == nil {
		err = remote.Write(ref, more, login...)
	}
	if err != nil {
		k.t.Errorf("push another: %v", err)
	}
}

// whole reads all of an image; its reader compares the digests.
func whole(image v1.Image) error {
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		r, err := layer.Compressed()
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			return err
		}
		if err := r.Close(); err != nil {
			return err
		}
	}
	return nil
}

// restore restores an archive and starts a server there.
func (k *kit) restore(archive, passphrase, to string) *kit {
	k.t.Helper()
	cmd := exec.Command(server.Binary(k.t), "restore", archive, "--passphrase-file", passphrase, "--data", to)
	cmd.Env = k.Cmd.Env
	if r := run(k.t, cmd); r.code != 0 || !strings.Contains(r.err, "Start it: ") {
		k.t.Fatalf("%+v", r)
	}
	if _, err := os.Lstat(to + ".restoring"); !errors.Is(err, os.ErrNotExist) { // of the one that was killed, too
		k.t.Errorf("it left %s.restoring: %v", to, err)
	}
	return &kit{server.Start(k.t, server.Options{DataDir: to}), k.t}
}

// killedRestore kills a restore in the middle; nothing stands under the name.
func (k *kit) killedRestore(archive, passphrase, to string) {
	k.t.Helper()
	raw, err := os.ReadFile(archive)
	if err != nil {
		k.t.Fatal(err)
	}
	cmd := exec.Command(server.Binary(k.t), "restore", "-", "--passphrase-file", passphrase, "--data", to)
	cmd.Env = k.Cmd.Env
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		k.t.Fatal(err)
	}
	_, _ = in.Write(raw[:len(raw)/2]) // it waits for the rest
	k.Until("the restore has begun", func() bool {
		found, _ := filepath.Glob(to + ".restoring/*")
		return len(found) > 2
	})
	if err := cmd.Process.Kill(); err != nil {
		k.t.Fatal(err)
	}
	_ = errors.Join(cmd.Wait(), in.Close()) // it was killed
	if _, err := os.Lstat(to); !errors.Is(err, os.ErrNotExist) {
		k.t.Errorf("a killed restore left %s: %v", to, err)
	}
}

// refusals leave nothing behind.
func (k *kit) refusals(archive, passphrase, to string) {
	k.t.Helper()
	dir := k.t.TempDir()
	raw, err := os.ReadFile(archive)
	if err != nil {
		k.t.Fatal(err)
	}
	cut, changed, other := filepath.Join(dir, "cut"), filepath.Join(dir, "changed"), filepath.Join(dir, "other")
	damaged := bytes.Clone(raw)
	damaged[len(raw)/2] ^= 1
	if err := errors.Join(os.WriteFile(cut, raw[:len(raw)-1], 0o600), os.WriteFile(changed, damaged, 0o600), os.WriteFile(other, []byte("not that one at all"), 0o600)); err != nil {
		k.t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"is damaged or cut off":                        {cut, "--passphrase-file", passphrase},
		"is no archive of Outcrop":                     {changed, "--passphrase-file", passphrase},
		"does not open with that passphrase":           {archive, "--passphrase-file", other},
		"which passphrase? Nobody is at a terminal":    {archive},
		"is not empty, and restore overwrites nothing": {archive, "--passphrase-file", passphrase, "--data", k.DataDir},
	} {
		cmd := exec.Command(server.Binary(k.t), append([]string{"restore", "--data", to}, args...)...)
		cmd.Env = k.Cmd.Env
		if r := run(k.t, cmd); r.code == 0 || !strings.Contains(r.err, want) {
			k.t.Errorf("%v: %+v, want %q", args, r, want)
		}
		if _, err := os.Lstat(to); !errors.Is(err, os.ErrNotExist) {
			k.t.Errorf("%v left %s: %v", args, to, err)
		}
	}
}

// TestBackupKilled: a backup that is killed leaves no file under the name, and
// what it kept of the disk goes.
func TestBackupKilled(t *testing.T) {
	k := &kit{server.Start(t, server.Options{}), t}
	if _, err := k.s3().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		t.Fatal(err)
	}
	if err := k.put("large", body(1, 30<<20)); err != nil {
		t.Fatal(err)
	}
	passphrase := filepath.Join(t.TempDir(), "passphrase")
	if err := os.WriteFile(passphrase, []byte("correct horse battery staple"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(server.Binary(t), "backup", "-", "--passphrase-file", passphrase, "--data", k.DataDir)
	cmd.Env = k.Cmd.Env
	out, err := cmd.StdoutPipe() // of which little is read, so that it waits
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	stages := func() int {
		left, err := os.ReadDir(filepath.Join(k.DataDir, "backup"))
		if err != nil {
			t.Fatal(err)
		}
		return len(left)
	}
	if stages() != 1 {
		t.Errorf("%d stages are left of it", stages())
	}
	k.Kill()
	k.Restart()
	if stages() != 0 {
		t.Error("the server leaves it there")
	}
	// Without a server, too.
	k.Kill()
	archive := filepath.Join(t.TempDir(), "cold")
	if r := k.outcrop("", "backup", archive, "--passphrase-file", passphrase); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	k.Restart()
	there := k.restore(archive, passphrase, filepath.Join(t.TempDir(), "restored"))
	if got, err := there.get("large"); err != nil || !bytes.Equal(got, body(1, 30<<20)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
