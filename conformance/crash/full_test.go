package crash

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/conformance/agent"
	"github.com/outcrop/outcrop/conformance/server"
)

// ownMounts marks a test process that may mount what it likes.
const ownMounts = "OUTCROP_CRASH_OWN_MOUNTS"

// diskSize holds the sandbox executable, the zip and some objects.
const diskSize = 256 << 20

// TestDiskFull fills the disk of the data directory. Writes are refused in words,
// reads go on, nothing that was acknowledged is lost, a server starts, and with
// some space everything works again.
func TestDiskFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("a small disk is a mount, which needs root")
	}
	if os.Getenv(ownMounts) == "" {
		again(t)
		return
	}
	disk := filepath.Join(server.OpenDir(t), "disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, fmt.Sprintf("size=%d", diskSize)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	f := &full{rig: newRig(t, server.Options{DataDir: filepath.Join(disk, "data")}), t: t, disk: disk, journal: newJournal()}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the server said:\n%s", tail(f.Log()))
		}
	})
	f.prepare()
	f.fill()
	f.refusals()
	f.intact()
	// A server that finds the disk full starts and can be read.
	f.Kill()
	f.Restart()
	f.connect()
	f.intact()
	f.refusals()
	f.free()
	f.works()
}

// again runs this test in a mount namespace of its own.
func again(t *testing.T) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), ownMounts+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("in a mount namespace of its own: %v", err)
	}
}

type full struct {
	*rig
	t       *testing.T
	disk    string
	journal *journal
}

func (f *full) prepare() {
	if _, err := f.objects.CreateBucket(f.t.Context(), &s3.CreateBucketInput{Bucket: aws.String(plainBucket)}); err != nil {
		f.t.Fatal(err)
	}
	if err := f.visit(f.t.Context(), server.SessionID("before")); err != nil { // unpacks the sandbox executable
		f.t.Fatal(err)
	}
	roomy, err := agent.Pack(map[string][]byte{"main.py": []byte("pass\n"), "zeros": make([]byte, roomySize)})
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := f.objects.PutObject(f.t.Context(), &s3.PutObjectInput{Bucket: aws.String(codeBucket), Key: aws.String(roomyKey), Body: bytes.NewReader(roomy)}); err != nil {
		f.t.Fatal(err)
	}
}

// roomy is a zip that is small until it is unpacked.
const (
	roomyKey  = "roomy.zip"
	roomySize = 32 << 20
)

// put stores an object and journals it. A refused one must leave nothing.
func (f *full) put(key string, size int) error {
	body := bytes.Repeat([]byte(key[:1]), size)
	name := "object/" + plainBucket + "/" + key
	before := f.journal.fates[name].acked
	err := f.journal.change(name, digest(body), func() error {
		_, err := f.objects.PutObject(f.t.Context(), &s3.PutObjectInput{Bucket: aws.String(plainBucket), Key: &key, Body: bytes.NewReader(body)})
		return err
	})
	if err != nil {
		f.journal.settle(name, before)
	}
	return err
}

// balloon is what the operator will find to delete.
const (
	balloon     = "balloon"
	balloonSize = 16 << 20
)

// fill leaves no byte: first beside the API, then through it, and then again
// beside it.
func (f *full) fill() {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.disk, balloon), make([]byte, balloonSize), 0o600); err != nil {
		f.t.Fatal(err)
	}
	for i, refused := 0, 0; refused < 3; i++ {
		if err := f.put(fmt.Sprintf("%d-%d", i%10, i), 8<<20>>(refused*4)); err != nil {
			f.inWords("PutObject", err)
			refused++
		}
		if i > 1000 {
			f.t.Fatal("the disk does not fill")
		}
	}
	file, err := os.Create(filepath.Join(f.disk, "rest"))
	if err != nil {
		f.t.Fatal(err)
	}
	defer file.Close()
	for size := 1 << 20; size > 0; {
		if _, err := file.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	// The store's log may have room in its file: use it up.
	for i := 0; ; i++ {
		if err := f.put(fmt.Sprintf("small-%d", i), 4<<10); err != nil {
			f.inWords("PutObject", err)
			return
		}
		if i > 20000 {
			f.t.Fatal("the store takes small objects for ever")
		}
	}
}

// inWords wants a refusal that says what is wrong, not AWS's opaque sentence.
func (f *full) inWords(what string, err error) {
	f.t.Helper()
	var told smithy.APIError
	if !errors.As(err, &told) || !strings.Contains(told.ErrorMessage(), "disk") || !strings.Contains(told.ErrorMessage(), "full") {
		f.t.Errorf("%s on a full disk: %v", what, err)
	}
}

// refusals tries everything that writes.
func (f *full) refusals() {
	f.t.Helper()
	ctx := f.t.Context()
	input := func(name string) *control.CreateAgentRuntimeInput {
		in := f.account.Input(codeBucket, name, f.python())
		in.Description = aws.String(strings.Repeat("x", 4096)) // more than a page of the store
		return in
	}
	calls := map[string]func() error{
		"PutObject, small":  func() error { return f.put("refused-small", 4<<10) },
		"PutObject, medium": func() error { return f.put("refused-medium", 512<<10) },
		"PutObject, large":  func() error { return f.put("refused-large", 4<<20) },
		"CreateAgentRuntime": func() error {
			_, err := f.runtimes.CreateAgentRuntime(ctx, input("refused"))
			return err
		},
		"UpdateAgentRuntime": func() error {
			in := input("base")
			_, err := f.runtimes.UpdateAgentRuntime(ctx, &control.UpdateAgentRuntimeInput{
				AgentRuntimeId: f.base.AgentRuntimeId, AgentRuntimeArtifact: in.AgentRuntimeArtifact, RoleArn: in.RoleArn,
				NetworkConfiguration: in.NetworkConfiguration, Description: in.Description,
			})
			return err
		},
		"UploadPart": func() error {
			out, err := f.objects.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String(plainBucket), Key: aws.String("refused")})
			if err != nil {
				return err
			}
			_, err = f.objects.UploadPart(ctx, &s3.UploadPartInput{Bucket: aws.String(plainBucket), Key: aws.String("refused"),
				UploadId: out.UploadId, PartNumber: aws.Int32(1), Body: bytes.NewReader(make([]byte, 1<<20))})
			return err
		},
	}
	for what, call := range calls {
		if err := call(); err != nil {
			f.inWords(what, err)
			f.t.Logf("%s: %v", what, err)
		} else {
			f.t.Errorf("%s succeeded on a full disk", what)
		}
	}
	// What is there can still be run: a session needs no disk.
	if err := f.visit(ctx, server.SessionID("full", time.Now().UnixNano())); err != nil {
		f.t.Errorf("invoke on a full disk: %v", err)
	}
}

// intact holds everything acknowledged against what is there.
func (f *full) intact() {
	f.t.Helper()
	var s *survey
	eventually(f.t, recovery, func() (err error) {
		s, err = f.survey(f.t.Context())
		return err
	})
	found := resources(s.found)
	for name := range found {
		if strings.HasPrefix(name, "upload/") {
			delete(found, name) // begun by refusals, as far as it came
		}
	}
	for _, err := range f.journal.reconcile(found) {
		f.t.Error(err)
	}
}

func (f *full) free() {
	f.t.Helper()
	if err := os.Remove(filepath.Join(f.disk, balloon)); err != nil {
		f.t.Fatal(err)
	}
}

// works wants the API to make room, and everything to be as ever.
func (f *full) works() {
	f.t.Helper()
	ctx := f.t.Context()
	// There is room for a runtime, but not yet for its code: its work waits.
	in := f.account.Input(codeBucket, "roomy", f.python())
	in.AgentRuntimeArtifact = f.artifact(roomyKey)
	var roomy *control.CreateAgentRuntimeOutput
	eventually(f.t, recovery, func() (err error) { // the store looks for room once a second
		roomy, err = f.runtimes.CreateAgentRuntime(ctx, in)
		return err
	})
	eventually(f.t, recovery, func() error {
		if !strings.Contains(f.Log(), "work will be tried again") {
			return errors.New("the work for a zip that does not fit was not tried")
		}
		return nil
	})
	for name := range f.journal.fates {
		key, ok := strings.CutPrefix(name, "object/"+plainBucket+"/")
		if !ok {
			continue
		}
		if err := f.journal.change(name, absent, func() error {
			_, err := f.objects.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(plainBucket), Key: &key})
			return err
		}); err != nil {
			f.t.Error(err)
		}
	}
	// The bytes go in the background.
	eventually(f.t, recovery, func() error { return f.put("large", 32<<20) })
	if err := f.settled(ctx, *roomy.AgentRuntimeId); err != nil {
		f.t.Errorf("the runtime that waited for room: %v", err)
	}
	out, err := f.runtimes.CreateAgentRuntime(ctx, f.account.Input(codeBucket, "after", f.python()))
	if err != nil {
		f.t.Fatal(err)
	}
	if err := f.settled(ctx, *out.AgentRuntimeId); err != nil {
		f.t.Error(err)
	}
	if err := f.visit(ctx, server.SessionID("after")); err != nil {
		f.t.Error(err)
	}
	for line := range strings.Lines(f.Log()) {
		if strings.Contains(line, "panic") {
			f.t.Errorf("the server said %s", line)
		}
	}
}
