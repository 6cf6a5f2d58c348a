package s3

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/outcrop/outcrop/conformance/server"
)

// terraform runs Terraform in a directory of its own.
type terraform struct {
	*testing.T
	path, dir string
	env       []string
}

// newTerraform copies testdata/terraform and fetches its provider, from the
// directory OUTCROP_TERRAFORM_PLUGINS (a filesystem mirror) or the registry. It
// skips where there is no Terraform or no provider: no test installs either.
func newTerraform(t *testing.T, s *server.Server) *terraform {
	t.Helper()
	path, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("there is no terraform on PATH")
	}
	tf := &terraform{T: t, path: path, dir: t.TempDir()}
	if err := os.CopyFS(tf.dir, os.DirFS("testdata/terraform")); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(tf.dir, "terraformrc")
	text := "disable_checkpoint = true\n"
	if plugins := os.Getenv("OUTCROP_TERRAFORM_PLUGINS"); plugins != "" {
		text += "provider_installation {\n  filesystem_mirror {\n    path = \"" + plugins + "\"\n  }\n}\n"
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tf.env = append(s.Env(), "TF_CLI_CONFIG_FILE="+config, "TF_IN_AUTOMATION=1", "TF_INPUT=0", "AWS_CONFIG_FILE="+filepath.Join(tf.dir, "none"))
	if out, err := tf.try("init", "-no-color"); err != nil {
		t.Skipf("terraform init: %v\n%s", err, out)
	}
	return tf
}

func (tf *terraform) try(args ...string) (string, error) {
	cmd := exec.CommandContext(tf.Context(), tf.path, args...)
	cmd.Dir, cmd.Env = tf.dir, tf.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (tf *terraform) run(args ...string) string {
	tf.Helper()
	out, err := tf.try(args...)
	if err != nil {
		tf.Fatalf("terraform %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// unchanged wants a plan that finds nothing to do, which exits with 0.
func (tf *terraform) unchanged(team string) {
	tf.Helper()
	out, err := tf.try("plan", "-no-color", "-detailed-exitcode", "-var=team="+team)
	if err != nil {
		tf.Errorf("a plan right after apply: %v\n%s", err, out)
	}
}

// TestTerraform applies a bucket with all that stands around it, finds nothing to
// do, changes tags, and destroys it.
func TestTerraform(t *testing.T) {
	s := server.Start(t, server.Options{})
	tf := newTerraform(t, s)
	c := s3.NewFromConfig(s.AWS(), func(o *s3.Options) { o.UsePathStyle = true })
	for _, team := range []string{"blue", "green"} {
		out := tf.run("apply", "-no-color", "-auto-approve", "-var=team="+team)
		if team == "green" && !strings.Contains(out, "0 added, 2 changed, 0 destroyed") {
			t.Errorf("a change of tags:\n%s", out)
		}
		tf.unchanged(team)
		tags, err := c.GetBucketTagging(t.Context(), &s3.GetBucketTaggingInput{Bucket: aws.String("terraform-code")})
		if err != nil || len(tags.TagSet) != 2 || *tags.TagSet[1].Value != team {
			t.Errorf("the bucket has %+v, %v", tags, err)
		}
	}
	if out := tf.run("output", "-no-color", "-json", "tags"); !strings.Contains(out, `"team":"green"`) || !strings.Contains(out, `"by":"terraform"`) {
		t.Errorf("the object has %s", out)
	}
	versions, err := c.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: aws.String("terraform-code")})
	if err != nil || len(versions.Versions) != 1 {
		t.Errorf("tags made a version: %+v, %v", versions, err)
	}
	tf.run("destroy", "-no-color", "-auto-approve", "-var=team=green")
	if _, err := c.HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: aws.String("terraform-code")}); err == nil {
		t.Error("the bucket is still there")
	}
}
