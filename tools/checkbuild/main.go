// Command checkbuild looks at built programs without running them: that each is
// for the system and processor in its name, NAME-OS-ARCH or NAME-OS-ARCH.exe, needs
// no library of its host on Linux. With -sandbox those for Linux must hold the sandbox
// executable of their processor and no other; with -version all must say that version,
// and have been built reproducibly. scripts/cross and scripts/release call it.
package main

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	sandbox := flag.Bool("sandbox", false, "programs for Linux hold their sandbox executable")
	version := flag.String("version", "", "the `version` that they are of")
	flag.Parse()
	var errs []error
	if flag.NArg() == 0 {
		errs = append(errs, errors.New("no programs to look at"))
	}
	for _, path := range flag.Args() {
		if err := check(path, *sandbox, *version); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintln(os.Stderr, "checkbuild:", err)
		os.Exit(1)
	}
}

// check looks at one program.
func check(path string, sandbox bool, version string) error {
	system, arch, err := target(path)
	if err != nil {
		return err
	}
	switch system {
	case "linux":
		err = checkELF(path, arch)
	case "darwin":
		err = checkMachO(path, arch)
	case "windows":
		err = checkPE(path, arch)
	default:
		err = fmt.Errorf("nothing is known of programs for %s", system)
	}
	if err != nil {
		return err
	}
	if err := checkSettings(path, system, arch, version); err != nil {
		return err
	}
	if sandbox && system == "linux" {
		return checkSandbox(path, arch)
	}
	return nil
}

// target is what a program's name says that it is for.
func target(path string) (system, arch string, err error) {
	name := filepath.Base(path)
	bare, exe := strings.CutSuffix(name, ".exe")
	parts := strings.Split(bare, "-")
	if len(parts) < 3 {
		return "", "", errors.New("its name does not end with a system and a processor")
	}
	system, arch = parts[len(parts)-2], parts[len(parts)-1]
	if exe != (system == "windows") {
		return "", "", errors.New("programs for Windows, and no others, end with .exe")
	}
	return system, arch, nil
}

func checkELF(path, arch string) error {
	f, err := elf.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[arch]; f.Machine != want || f.Type != elf.ET_EXEC {
		return fmt.Errorf("it is %v for %v", f.Type, f.Machine)
	}
	if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return errors.New("it needs the libraries of its host")
	}
	return nil
}

func checkMachO(path, arch string) error {
	f, err := macho.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if want := map[string]macho.Cpu{"amd64": macho.CpuAmd64, "arm64": macho.CpuArm64}[arch]; f.Cpu != want || f.Type != macho.TypeExec {
		return fmt.Errorf("it is %v for %v", f.Type, f.Cpu)
	}
	return nil
}

func checkPE(path, arch string) error {
	f, err := pe.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if want := map[string]uint16{"amd64": pe.IMAGE_FILE_MACHINE_AMD64, "arm64": pe.IMAGE_FILE_MACHINE_ARM64}[arch]; f.Machine != want {
		return fmt.Errorf("it is for machine %#x", f.Machine)
	}
	return nil
}

// checkSettings reads what Go notes of a build.
func checkSettings(path, system, arch, version string) error {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return err
	}
	have := map[string]string{}
	for _, s := range info.Settings {
		have[s.Key] = s.Value
	}
	settings := map[string]string{"GOOS": system, "GOARCH": arch, "CGO_ENABLED": "0"}
	if version != "" {
		settings["-trimpath"] = "true"
	}
	for key, want := range settings {
		if have[key] != want {
			return fmt.Errorf("it was built with %s=%s, not %s", key, have[key], want)
		}
	}
	if version == "" {
		return nil
	}
	body, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Contains(body, []byte(version)) { // Go leaves -ldflags out where -trimpath is
		return fmt.Errorf("it does not say version %s", version)
	}
	return nil
}

// checkSandbox looks for the names of what is embedded.
func checkSandbox(path, arch string) error {
	body, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for _, other := range []string{"amd64", "arm64"} {
		name := "embedded/outcrop-sandbox-linux-" + other + ".zst"
		if has := bytes.Contains(body, []byte(name)); has != (other == arch) {
			return fmt.Errorf("that it holds %s is %t", name, has)
		}
	}
	return nil
}
