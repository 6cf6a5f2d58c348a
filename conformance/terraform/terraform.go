// Package terraform runs Terraform with the aws provider against a server.
package terraform

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/conformance/server"
)

// Version of the aws provider that tests are written for.
const Version = "5.100.0"

// Terraform runs in a directory of its own.
type Terraform struct {
	*testing.T
	path, dir string
	env       []string
}

// New copies a configuration and prepares it. The test skips, and says why, where
// there is no Terraform or no provider: none is installed for it.
func New(t *testing.T, s *server.Server, config string) *Terraform {
	t.Helper()
	path, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("not run: there is no terraform on PATH")
	}
	provider := provider()
	if provider == "" {
		t.Skipf("not run: there is no terraform-provider-aws_v%s of this machine's kind; name a folder of providers by OUTCROP_TERRAFORM_PLUGINS", Version)
	}
	tf := &Terraform{T: t, path: path, dir: t.TempDir()}
	if err := os.CopyFS(tf.dir, os.DirFS(config)); err != nil {
		t.Fatal(err)
	}
	// What the user has configured stays out.
	rc := filepath.Join(tf.dir, "terraformrc")
	if err := os.WriteFile(rc, []byte("disable_checkpoint = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// Both make much garbage of the provider's schemas.
	tf.env = append(s.Env(), "GOGC=400", "TF_CLI_CONFIG_FILE="+rc, "TF_IN_AUTOMATION=1", "TF_INPUT=0", "AWS_CONFIG_FILE="+filepath.Join(tf.dir, "none"))
	tf.env = append(tf.env, "AWS_CA_BUNDLE=") // a provider that is configured again refuses one, and the server speaks plain HTTP
	tf.env = append(tf.env, reattach+"="+tf.serve(provider))
	tf.Run("init", "-no-color")
	return tf
}

// reattach tells Terraform of providers that run already.
const reattach = "TF_REATTACH_PROVIDERS"

// serve runs the provider, once for all commands: Terraform itself starts it several
// times for each, and reads its 700 MB every time to see that they are the same. What
// it returns says where the provider is.
func (tf *Terraform) serve(provider string) string {
	tf.Helper()
	cmd := exec.Command(provider, "-debug")
	cmd.Dir, cmd.Env = tf.dir, tf.env
	out, err := cmd.StdoutPipe()
	if err != nil {
		tf.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tf.Fatal(err)
	}
	tf.Cleanup(func() {
		_ = cmd.Process.Kill() // there is nothing for it to tidy up
		_ = cmd.Wait()         // it was killed
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, at, ok := strings.Cut(lines.Text(), reattach+"="); ok {
			return strings.Trim(at, "'")
		}
	}
	tf.Fatalf("%s -debug does not say where it is", provider)
	return ""
}

// depth is how far below a folder providers are looked for:
// ROOT/HOST/NAMESPACE/aws/VERSION/PLATFORM/FILE, and some above.
const depth = 9

// provider returns the aws provider, found by the name of its file where programs are
// installed, or empty.
func provider() string {
	home, _ := os.UserHomeDir()
	for _, root := range []string{
		os.Getenv("OUTCROP_TERRAFORM_PLUGINS"), os.Getenv("TF_PLUGIN_CACHE_DIR"),
		filepath.Join(home, ".terraform.d"), filepath.Join(home, ".local", "share", "terraform"), "/usr/local/share/terraform", "/usr/share/terraform", "/opt",
	} {
		if root == "" {
			continue
		}
		if found := find(root); found != "" {
			return found
		}
	}
	return ""
}

func find(root string) (found string) {
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && path == root:
			return fs.SkipAll
		case err != nil:
			return fs.SkipDir // not ours to read
		case d.IsDir() && strings.Count(strings.TrimPrefix(path, root), string(filepath.Separator)) >= depth:
			return fs.SkipDir
		case !d.IsDir() && strings.HasPrefix(d.Name(), "terraform-provider-aws_v"+Version):
			found = path
			return fs.SkipAll
		}
		return nil
	}) // what cannot be read has none
	return found
}

// Try runs a command.
func (tf *Terraform) Try(args ...string) (string, error) {
	cmd := exec.CommandContext(tf.Context(), tf.path, args...)
	cmd.Dir, cmd.Env = tf.dir, tf.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Run runs a command that has to succeed.
func (tf *Terraform) Run(args ...string) string {
	tf.Helper()
	out, err := tf.Try(args...)
	if err != nil {
		tf.Fatalf("terraform %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// Apply makes what the configuration says, with some variables (NAME=VALUE), and then
// wants a plan that finds nothing to do.
func (tf *Terraform) Apply(variables ...string) string {
	tf.Helper()
	out := tf.Run(append([]string{"apply", "-no-color", "-auto-approve"}, vars(variables)...)...)
	plan, err := tf.Try(append([]string{"plan", "-no-color", "-detailed-exitcode"}, vars(variables)...)...)
	if err != nil { // 2 is a change, 1 an error
		tf.Errorf("a plan right after apply: %v\n%s", err, plan)
	}
	return out
}

// Destroy takes it all away.
func (tf *Terraform) Destroy(variables ...string) {
	tf.Helper()
	tf.Run(append([]string{"destroy", "-no-color", "-auto-approve"}, vars(variables)...)...)
}

func vars(variables []string) []string {
	var out []string
	for _, v := range variables {
		out = append(out, "-var="+v)
	}
	return out
}
