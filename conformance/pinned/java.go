package pinned

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Java resolves the dependencies of a project, a directory with a pom.xml and the
// jars.sha256 that `make lock` wrote, and returns the host's Java and the class path.
// Without Java or Maven the test is skipped, except in continuous integration.
func Java(t testing.TB, project string) (java, classPath string) {
	t.Helper()
	java, maven := command(t, "java"), command(t, "mvn")
	lib := t.TempDir()
	args := []string{"-q", "-B", "-f", filepath.Join(project, "pom.xml"), "dependency:copy-dependencies", "-DoutputDirectory=" + lib}
	if dir := os.Getenv("OUTCROP_TESTDATA"); dir != "" {
		args = append(args, "-Dmaven.repo.local="+filepath.Join(dir, "maven"))
	}
	if out, err := exec.CommandContext(t.Context(), maven, args...).CombinedOutput(); err != nil {
		t.Fatalf("mvn dependency:copy-dependencies: %v: %s", err, out)
	}
	check(t, lib, filepath.Join(project, "jars.sha256"))
	return java, filepath.Join(lib, "*")
}

// command finds a program of the host.
func command(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	const advice = "a JDK of 17 or newer and Maven are missing (apt-get install -y maven default-jdk-headless)"
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s: %v", advice, err)
	}
	t.Skipf("%s: %v", advice, err)
	return ""
}

// check holds that a directory has the files of a list as sha256sum writes it, and no
// others.
func check(t testing.TB, dir, list string) {
	t.Helper()
	f, err := os.Open(list)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var listed int
	for lines := bufio.NewScanner(f); lines.Scan(); listed++ {
		want, name, _ := strings.Cut(lines.Text(), "  ")
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != want {
			t.Fatalf("%s is not what %s says: run `make lock` if it changed on purpose", name, list)
		}
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != listed || listed == 0 {
		t.Fatalf("%d jars, and %s has %d: run `make lock` (%v)", len(all), list, listed, err)
	}
}
