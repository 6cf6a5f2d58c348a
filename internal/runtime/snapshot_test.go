package runtime_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/runtime/runtimetest"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/store"
)

// made creates a runtime and waits until it is READY and nothing is left to do
// for its snapshot.
func (k kit) made(in *control.CreateAgentRuntimeInput) string {
	k.Helper()
	out, err := k.Control.CreateAgentRuntime(k.Context(), in)
	if err != nil {
		k.Fatal(err)
	}
	if got := k.settled(*out.AgentRuntimeId); got.Status != types.AgentRuntimeStatusReady {
		k.Fatalf("%s: %s", got.Status, aws.ToString(got.FailureReason))
	}
	k.snapshotDone(*out.AgentRuntimeId)
	return *out.AgentRuntimeId
}

// snapshotDone waits until no snapshot is due.
func (k kit) snapshotDone(id string) {
	k.Helper()
	for {
		changed := k.Store.Changed(store.WorkTopic)
		left := k.snapshotWork(id)
		if len(left) == 0 || len(left) == 1 && left[0].NotBefore.After(time.Now().Add(time.Hour)) {
			return
		}
		k.wait(changed)
	}
}

// snapshotWork is what is planned.
func (k kit) snapshotWork(id string) (items []store.Work) {
	k.Helper()
	err := k.Store.View(k.Context(), func(r store.Reader) (err error) {
		items, err = r.WorkOf(fmt.Sprintf("runtime/%s/%s/%s/snapshot/DEFAULT", runtimetest.Account, runtimetest.Region, id))
		return err
	})
	if err != nil {
		k.Fatal(err)
	}
	return items
}

func (k kit) snapshots() int {
	k.Helper()
	found, err := filepath.Glob(filepath.Join(k.Dir, "snapshots", "versions", "*.sealed"))
	if err != nil {
		k.Fatal(err)
	}
	return len(found)
}

// session is the one that there is.
func (k kit) session() session.Info {
	k.Helper()
	got := k.Sessions.List(everything)
	if len(got) != 1 {
		k.Fatalf("sessions %+v", got)
	}
	return got[0]
}

// TestSnapshotAfterReady: a version is saved in the background, its sessions are
// restored, the next version has its own, and all goes with the runtime. Nothing
// of it can be read.
func TestSnapshotAfterReady(t *testing.T) {
	const canary = "canary-5d1f"
	k := newKit(t, runtimetest.Options{Snapshots: true})
	in := create("quick")
	in.EnvironmentVariables = map[string]string{"API_KEY": canary}
	id := k.made(in)
	if k.snapshots() != 1 || k.Engine.Alive() != 0 {
		t.Fatalf("%d snapshots, %d alive\n%s", k.snapshots(), k.Engine.Alive(), k.Log)
	}
	if answer, err := k.invoke(arn(id), "one", "hi"); err != nil || answer != "hi" {
		t.Errorf("%q, %v", answer, err)
	}
	specs := k.Engine.Specs()
	if len(specs) != 2 || specs[0].Snapshot != nil || specs[1].Snapshot == nil || !specs[0].Savable || specs[0].SafeToCopy {
		t.Errorf("specs %+v", specs)
	}
	if s := k.session(); s.Origin != session.Restored {
		t.Errorf("%+v", s)
	}
	if files := k.Contains(canary); len(files) > 0 {
		t.Errorf("in the clear in %v", files)
	}
	logs := strings.Join(k.Logs(runtime.LogGroup(id, "DEFAULT")), "\n")
	if !strings.Contains(logs, "outcrop: the guest that was booted for a snapshot ended: its snapshot was taken") {
		t.Errorf("logs:\n%s", logs)
	}
	if planned := k.snapshotWork(id); len(planned) != 1 || time.Until(planned[0].NotBefore) < 21*time.Hour || time.Until(planned[0].NotBefore) > 22*time.Hour {
		t.Errorf("the next is planned as %+v", planned)
	}
	if _, err := k.Control.UpdateAgentRuntime(t.Context(), change(id)); err != nil {
		t.Fatal(err)
	}
	k.settled(id)
	k.snapshotDone(id)
	if k.snapshots() != 1 {
		t.Errorf("%d snapshots", k.snapshots())
	}
	if _, err := k.invoke(arn(id), "two", "hi"); err != nil {
		t.Error(err)
	}
	for _, s := range k.Sessions.List(everything) {
		if s.Origin != session.Restored {
			t.Errorf("%+v", s)
		}
	}
	if _, err := k.Control.DeleteAgentRuntime(t.Context(), &control.DeleteAgentRuntimeInput{AgentRuntimeId: &id}); err != nil {
		t.Fatal(err)
	}
	k.gone(id)
	if k.snapshots() != 0 || len(k.snapshotWork(id)) != 0 {
		t.Errorf("%d snapshots and %v are left", k.snapshots(), k.snapshotWork(id))
	}
}

// TestNoSnapshot: the version is READY all the same, its sessions start cold and
// say why, and its log does.
func TestNoSnapshot(t *testing.T) {
	t.Run("unsavable", func(t *testing.T) {
		k := newKit(t, runtimetest.Options{Snapshots: true})
		k.Engine.Unsavable = fmt.Errorf("%w: node 22 has a worker that cannot be told", sandbox.ErrUnsavable)
		id := k.made(create("stubborn"))
		starts := k.Engine.Starts()
		for _, name := range []string{"one", "two"} {
			if answer, err := k.invoke(arn(id), name, "hi"); err != nil || answer != "hi" {
				t.Errorf("%q, %v", answer, err)
			}
		}
		for _, s := range k.Sessions.List(everything) {
			if s.Origin != session.Cold || s.Why != "its guest cannot be saved: node 22 has a worker that cannot be told" {
				t.Errorf("%+v", s)
			}
		}
		if len(k.snapshotWork(id)) != 0 || k.Engine.Starts() != starts+2 {
			t.Errorf("it is tried again: %v, %d starts", k.snapshotWork(id), k.Engine.Starts()-starts)
		}
		k.logged(id, "outcrop: no snapshot, sessions start cold: node 22 has a worker that cannot be told")
		// Another version may be better.
		k.Engine.Unsavable = nil
		if _, err := k.Control.UpdateAgentRuntime(t.Context(), change(id)); err != nil {
			t.Fatal(err)
		}
		k.settled(id)
		k.snapshotDone(id)
		if k.snapshots() != 1 {
			t.Errorf("%d snapshots", k.snapshots())
		}
	})
	t.Run("never ready", func(t *testing.T) {
		k := newKit(t, runtimetest.Options{Snapshots: true})
		k.Engine.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusTeapot)
			go k.Engine.Crash(3) // as an agent that dies while it starts
		})
		id := k.made(create("ill"))
		k.logged(id, "outcrop: no snapshot, sessions start cold: its process exited with status 3 before it was ready")
	})
	t.Run("cannot be resumed", func(t *testing.T) {
		k := newKit(t, runtimetest.Options{Snapshots: true})
		id := k.made(create("brittle"))
		k.Engine.FailResume = fmt.Errorf("%w: other processor", sandbox.ErrSnapshot)
		for _, name := range []string{"one", "two"} {
			if answer, err := k.invoke(arn(id), name, "hi"); err != nil || answer != "hi" {
				t.Errorf("%q, %v", answer, err)
			}
			for len(k.snapshotWork(id)) == 0 || time.Until(k.snapshotWork(id)[0].NotBefore) > time.Hour {
				k.wait(k.Store.Changed(store.WorkTopic)) // until the failure is written down
			}
		}
		// One attempt for the first session and none for the second.
		if got := k.Engine.Starts(); got != 1+2+1 {
			t.Errorf("%d starts", got)
		}
		for _, s := range k.Sessions.List(everything) {
			if s.Origin != session.Cold || !strings.Contains(s.Why, "could not be resumed: snapshot cannot be resumed: other processor") {
				t.Errorf("%+v", s)
			}
		}
	})
	t.Run("lost", func(t *testing.T) {
		k := newKit(t, runtimetest.Options{Snapshots: true})
		id := k.made(create("loser"))
		k.Sessions.DropTemplates(runtimetest.Scope(), id)
		if _, err := k.invoke(arn(id), "one", "hi"); err != nil {
			t.Error(err)
		}
		if s := k.session(); s.Origin != session.Cold || s.Why != "there is no snapshot yet" {
			t.Errorf("%+v", s)
		}
		for k.snapshots() == 0 { // the session had another made
			k.wait(k.Store.Changed(store.WorkTopic))
		}
	})
}

// TestDeletedMeanwhile: a snapshot in the making holds nothing of a runtime that
// is deleted, and leaves nothing.
func TestDeletedMeanwhile(t *testing.T) {
	k := newKit(t, runtimetest.Options{Snapshots: true})
	asked := make(chan struct{}, 1000)
	k.Engine.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot) // it is never ready
		asked <- struct{}{}
	})
	id := k.created("fleeting")
	<-asked
	if _, err := k.Control.DeleteAgentRuntime(t.Context(), &control.DeleteAgentRuntimeInput{AgentRuntimeId: &id}); err != nil {
		t.Fatal(err)
	}
	k.gone(id)
	for {
		code, err := filepath.Glob(filepath.Join(k.Dir, "code", "sha256", "*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(code) == 0 && k.Engine.Alive() == 0 && k.snapshots() == 0 && len(k.snapshotWork(id)) == 0 {
			return
		}
		k.wait(k.Store.Changed(store.WorkTopic))
	}
}

// logged wants a line in the log of DEFAULT.
func (k kit) logged(id, line string) {
	k.Helper()
	logs := strings.Join(k.Logs(runtime.LogGroup(id, "DEFAULT")), "\n")
	if !strings.Contains(logs, line) {
		k.Errorf("logs:\n%s\nwant %q", logs, line)
	}
}

// TestPassthrough: whom the operator names, and nobody else, is passed through to the
// machine's network stack, the guest that is saved for a snapshot included.
func TestPassthrough(t *testing.T) {
	for _, tt := range []struct {
		names []string
		want  bool
	}{{nil, false}, {[]string{"other", "trusted2"}, false}, {[]string{"other", "trusted"}, true}, {[]string{runtime.AllRuntimes}, true}} {
		k := newKit(t, runtimetest.Options{Snapshots: true, Passthrough: tt.names})
		in := create("trusted")
		in.EnvironmentVariables = map[string]string{"passthrough": "true", "OUTCROP_PASSTHROUGH": "*"} // not an agent's to say
		id := k.made(in)
		if _, err := k.invoke(arn(id), "one", "hi"); err != nil {
			t.Fatal(err)
		}
		for _, spec := range k.Engine.Specs() {
			if spec.Passthrough != tt.want {
				t.Errorf("%q: Passthrough is %t", tt.names, spec.Passthrough)
			}
		}
		if s := k.session(); s.Origin != session.Restored || s.Passthrough != tt.want {
			t.Errorf("%q: %+v", tt.names, s)
		}
	}
}

// TestSnapshotWishes: what a runtime says about its snapshots.
func TestSnapshotWishes(t *testing.T) {
	tests := []struct {
		name      string
		env, tags map[string]string
		snapshots int
		want      sandbox.Spec
		why       string
	}{
		{"plain", nil, nil, 1, sandbox.Spec{Savable: true}, ""},
		{"on", map[string]string{"OUTCROP_SNAPSHOT": "on"}, map[string]string{"outcrop:snapshot": "off"}, 1, sandbox.Spec{Savable: true}, ""},
		{"off", map[string]string{"OUTCROP_SNAPSHOT": "off"}, nil, 0, sandbox.Spec{}, "OUTCROP_SNAPSHOT=off"},
		{"off_by_tag", nil, map[string]string{"outcrop:snapshot": "off"}, 0, sandbox.Spec{}, "OUTCROP_SNAPSHOT=off"},
		{"safe", map[string]string{"OUTCROP_SNAPSHOT": "safe"}, nil, 1, sandbox.Spec{Savable: true, SafeToCopy: true}, ""},
		{"hook", map[string]string{"OUTCROP_RESTORE_HOOK": "/var/task/hook --fast"}, nil, 1, sandbox.Spec{Savable: true, RestoreHook: []string{"/var/task/hook", "--fast"}}, ""},
	}
	k := newKit(t, runtimetest.Options{Snapshots: true})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := kit{k.Kit, t}
			in := create(tt.name)
			in.EnvironmentVariables, in.Tags = tt.env, tt.tags
			before := k.snapshots()
			id := k.made(in)
			if _, err := k.invoke(arn(id), "one", "hi"); err != nil {
				t.Fatal(err)
			}
			specs := k.Engine.Specs()
			got := specs[len(specs)-1]
			if got.Savable != tt.want.Savable || got.SafeToCopy != tt.want.SafeToCopy || fmt.Sprint(got.RestoreHook) != fmt.Sprint(tt.want.RestoreHook) {
				t.Errorf("%+v", got)
			}
			if n := k.snapshots() - before; n != tt.snapshots {
				t.Errorf("%d snapshots", n)
			}
			for _, s := range k.Sessions.List(func(key session.Key) bool { return key.Owner == id }) {
				if s.Why != tt.why {
					t.Errorf("%+v", s)
				}
			}
		})
	}
	in := create("typo")
	in.EnvironmentVariables = map[string]string{"OUTCROP_SNAPSHOT": "no"}
	_, err := k.Control.CreateAgentRuntime(t.Context(), in)
	k.refused(err, "ValidationException", "OUTCROP_SNAPSHOT must be on, off or safe")
	in = create("typo")
	in.Tags = map[string]string{"outcrop:snapshot": "OFF"}
	_, err = k.Control.CreateAgentRuntime(t.Context(), in)
	k.refused(err, "ValidationException", "tags.outcrop:snapshot must be on, off or safe")
}

// TestSessionStorage: the directory is there, is the session's own, survives its
// sandbox, and starts empty with another version.
func TestSessionStorage(t *testing.T) {
	k := newKit(t, runtimetest.Options{Snapshots: true})
	mount := func(path string) types.FilesystemConfiguration {
		return &types.FilesystemConfigurationMemberSessionStorage{Value: types.SessionStorageConfiguration{MountPath: &path}}
	}
	in := create("keeper")
	in.FilesystemConfigurations = []types.FilesystemConfiguration{mount("/mnt/work/")}
	id := k.made(in)
	if got := k.get(id, ""); len(got.FilesystemConfigurations) != 1 {
		t.Errorf("%+v", got.FilesystemConfigurations)
	}
	where := func(name string) string {
		t.Helper()
		if _, err := k.invoke(arn(id), name, "hi"); err != nil {
			t.Fatal(err)
		}
		specs := k.Engine.Specs()
		v := specs[len(specs)-1].Volumes
		if len(v) != 1 || v[0].Target != "/mnt/work" || v[0].Bytes != 1<<30 {
			t.Fatalf("volumes %+v", v)
		}
		return v[0].Source
	}
	one, two := where("one"), where("two")
	if one == two || k.Engine.Specs()[0].Volumes[0].Source == one {
		t.Error("sessions share their storage")
	}
	key := session.Key{Scope: runtimetest.Scope(), Owner: id, Endpoint: "DEFAULT", ID: runtimetest.SessionID("one")}
	if err := k.Sessions.Stop(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if again := where("one"); again != one {
		t.Errorf("it came back to %s, was %s", again, one)
	}
	for name, list := range map[string][]types.FilesystemConfiguration{
		"at most one sessionStorage": {mount("/mnt/a"), mount("/mnt/b")},
		"pattern":                    {mount("/etc/passwd")},
		"outcrop serve --access-point": {&types.FilesystemConfigurationMemberEfsAccessPoint{Value: types.EfsAccessPointConfiguration{
			AccessPointArn: aws.String("arn:aws:elasticfilesystem:us-west-2:111122223333:access-point/fsap-12345678"), MountPath: aws.String("/mnt/efs"),
		}}},
	} {
		in := create("refused")
		in.FilesystemConfigurations = list
		_, err := k.Control.CreateAgentRuntime(t.Context(), in)
		k.refused(err, "ValidationException", name)
	}
}

// TestAccessPoints: sessions of all runtimes that name one find the directory that the
// operator gave; where it is gone none starts, and says so.
func TestAccessPoints(t *testing.T) {
	const efs = "arn:aws:elasticfilesystem:us-west-2:111122223333:access-point/fsap-12345678"
	const s3 = "arn:aws:s3files:us-west-2:111122223333:file-system/fs-0123456789abcdef0/access-point/fsap-0123456789abcdef0"
	models, data := t.TempDir(), t.TempDir()
	k := newKit(t, runtimetest.Options{Snapshots: true, AccessPoints: map[string]string{efs: models, s3: data}})
	in := create("reader")
	in.FilesystemConfigurations = []types.FilesystemConfiguration{
		&types.FilesystemConfigurationMemberEfsAccessPoint{Value: types.EfsAccessPointConfiguration{AccessPointArn: aws.String(efs), MountPath: aws.String("/mnt/models/")}},
		&types.FilesystemConfigurationMemberSessionStorage{Value: types.SessionStorageConfiguration{MountPath: aws.String("/mnt/own")}},
		&types.FilesystemConfigurationMemberS3FilesAccessPoint{Value: types.S3FilesAccessPointConfiguration{AccessPointArn: aws.String(s3), MountPath: aws.String("/mnt/data")}},
	}
	id := k.made(in)
	for _, name := range []string{"one", "two"} {
		if _, err := k.invoke(arn(id), name, "hi"); err != nil {
			t.Fatal(err)
		}
	}
	for _, spec := range k.Engine.Specs() {
		v := spec.Volumes
		want := []sandbox.Volume{{Source: models, Target: "/mnt/models", Shared: true}, {Source: data, Target: "/mnt/data", Shared: true}}
		if len(v) != 3 || !slices.Equal(v[:2], want) || v[2].Shared || v[2].Target != "/mnt/own" {
			t.Errorf("volumes %+v", v)
		}
	}
	twice := create("twice")
	twice.FilesystemConfigurations = []types.FilesystemConfiguration{in.FilesystemConfigurations[0], in.FilesystemConfigurations[0]}
	_, err := k.Control.CreateAgentRuntime(t.Context(), twice)
	k.refused(err, "ValidationException", "mountPath '/mnt/models/' is given twice")
	if err := os.Remove(models); err != nil {
		t.Fatal(err)
	}
	_, err = k.invoke(arn(id), "three", "hi")
	k.refused(err, "RuntimeClientError", "the directory that stands for access point '"+efs+"' is not there")
	k.logged(id, "outcrop: the agent cannot be started: the directory that stands for access point '"+efs+"' is not there")
}
