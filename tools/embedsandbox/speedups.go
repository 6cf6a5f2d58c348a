package main

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

const (
	boots         = "runsc/cmd/sentry/sentrycmd/boot.go"
	sentryFilters = "runsc/boot/filter/filter_precompiled.go"
	goferFilters  = "runsc/fsgofer/filter/filter_precompiled.go"
	filterOptions = "runsc/boot/filter/config/config_precompiled.go"
	systrapFilter = "pkg/sentry/platform/systrap/filters.go"
	pagesFiles    = "pkg/sentry/state/stateio/pagesfile.go"
)

// speedups are the changes without which a sandbox is the same and takes longer to
// start; docs/benchmarks.md says how much longer. Nothing but gVisor itself can do
// what they do.
//
// Its system call filters are compiled here and not at each start, by its own code:
// only the build rules that run it are upstream's alone. Of the options, those are
// compiled that the supervisor asks for. One rule names the process that it is for
// without saying so, and would name the one that compiled it.
//
// The process of a sandbox whose files only the gofer opens executes itself a second
// time, to be rid of its capabilities in all threads. It can drop them in place, as
// it does where it opens files itself (--apply-caps): it is the user nobody from its
// beginning. It keeps none, as before, though that option would leave it one.
//
// It collects no garbage before the guest runs, nor in the second after, when the
// guest is waited for, unless it has 128 MiB. From then on all is as it was.
//
// A snapshot's pages are read by 128 threads, meant for disks and with as many
// processors' worth of Go's scheduler, into mapped memory, whose every page is
// cleared and faulted in first. They come from memory here: see pageCopier.
var speedups = []repair{
	{
		file: filterOptions,
		old:  "	programs := make([]precompiledseccomp.Program, len(opts))\n",
		new: `	all := opts
	opts = nil
	for _, o := range all {
		if o.Platform.ConfigKey() == "systrap" && !o.HostNetworkRawSockets && !o.NVProxy && !o.TPUProxy && !o.RDMAProxy {
			opts = append(opts, o)
		}
	}
	programs := make([]precompiledseccomp.Program, len(opts))
`,
	},
	{
		file: systrapFilter,
		old:  "			seccomp.EqualTo(os.Getpid()),\n",
		new:  "			seccomp.EqualTo(vars.GetUint64(\"self_pid\")),\n",
	},
	{
		file: systrapFilter,
		old:  "import (\n	\"os\"\n\n",
		new:  "import (\n",
	},
	{
		file: sentryFilters,
		old:  "	precompiledPrograms = programs\n",
		new:  "	register(programs)\n	precompiledPrograms = programs\n",
	},
	{
		file: goferFilters,
		old:  "	precompiledPrograms = programs\n",
		new:  "	register(programs)\n	precompiledPrograms = programs\n",
	},
	{
		file: sandboxes,
		old:  "			nss = append(nss, specs.LinuxNamespace{Type: specs.UserNamespace})\n			cmd.Args = append(cmd.Args, \"--setup-root\")\n",
		new:  "			nss = append(nss, specs.LinuxNamespace{Type: specs.UserNamespace})\n			cmd.Args = append(cmd.Args, \"--setup-root\", \"--apply-caps=true\")\n",
	},
	{
		file: boots,
		old:  "		if gPlatform.Requirements().RequiresCapSysPtrace {\n",
		new:  "		if gPlatform.Requirements().RequiresCapSysPtrace && (conf.DirectFS || conf.Network == config.NetworkHost) {\n",
	},
	{
		file: boots,
		old:  "	\"fmt\"\n	\"os\"\n	\"path/filepath\"\n",
		new:  "	\"fmt\"\n	\"math\"\n	\"os\"\n	\"path/filepath\"\n",
	},
	{
		file: boots,
		old:  "	// Set traceback level\n	debug.SetTraceback(conf.Traceback)\n",
		new: `	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(128 << 20)

	// Set traceback level
	debug.SetTraceback(conf.Traceback)
`,
	},
	{
		file: boots,
		old:  "	timer.Log()\n\n	ws := l.WaitExit()\n",
		new: `	timer.Log()

	time.AfterFunc(time.Second, func() {
		debug.SetGCPercent(100)
		debug.SetMemoryLimit(math.MaxInt64)
	})
	ws := l.WaitExit()
`,
	},
	{
		file: pagesFiles,
		old:  "	pagesFileFDDefaultMaxParallel = 128\n",
		new:  "	pagesFileFDDefaultMaxParallel = 2\n",
	},
	{
		file: pagesFiles,
		old: `func NewPagesFileFDReaderDefault(fd int32) *FDReader {
	return NewPagesFileFDReader(fd, pagesFileFDDefaultMaxIOBytes, pagesFileFDDefaultMaxParallel)
}
`,
		new: `func NewPagesFileFDReaderDefault(fd int32) AsyncReader {
	return &pageCopier{fd: int(fd), buffers: make([][]byte, pagesFileFDDefaultMaxParallel)}
}
`,
	},
}

// What is added to gVisor, and what is run to compile its filters. They are parts of
// the copy's identity, as the repairs are.
var (
	//go:embed _added/pagecopier.go
	pageCopier string
	//go:embed precompile/main.go
	precompile string
)

// add puts the files into the gVisor in dir that are Outcrop's own.
func add(dir string) error {
	for name, text := range map[string]string{"pkg/sentry/state/stateio/pagecopier.go": pageCopier, "pkg/sentry/fsimpl/devpts/shown.go": shownTerminal} {
		if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// noPrograms stands in place of what precompile writes, for an architecture that is
// not this machine's: programs are compiled on the one only that they are for.
// Sandboxes compile them at each start then.
const noPrograms = `package filter

import "gvisor.dev/gvisor/pkg/seccomp/precompiledseccomp"

func register(map[string]precompiledseccomp.Program) {}
`

// compileFilters has the system call filters of the gVisor in dir compiled.
func compileFilters(dir string) error {
	for _, arch := range []string{"amd64", "arm64"} {
		for _, file := range []string{sentryFilters, goferFilters} {
			path := filepath.Join(dir, filepath.FromSlash(filepath.Dir(file)), "programs_"+arch+".go")
			if err := os.WriteFile(path, []byte(noPrograms), 0o644); err != nil {
				return err
			}
		}
	}
	progress("compiling system call filters (the first time, gVisor takes minutes)")
	if err := goCommand(dir, runtime.GOARCH, "run", "./tools/embedsandbox/precompile", dir); err != nil {
		return fmt.Errorf("compile system call filters: %w", err)
	}
	return nil
}
