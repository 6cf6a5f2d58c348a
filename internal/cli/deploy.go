package cli

import (
	"cmp"
	"context"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/api/model/outcrop"
	"github.com/outcrop/outcrop/internal/bundle"
	"github.com/outcrop/outcrop/internal/client"
)

const deployLong = `Packages an agent's folder with its dependencies, uploads it and makes it the agent's new version. Dependencies are
those of requirements.txt or pyproject.toml, fetched by uv or pip for the server's platform, binaries only.

A folder with a Dockerfile is built to a container image for the server's platform, by whichever of docker, buildah and
podman answers on this machine, and pushed to the server's own registry; --entry or --runtime packages it all the same.

--image deploys a container image in place of a folder, from any registry that the server reaches, or from the
server's own. Its tag is resolved now: deploy again to have what it stands for later.

An agent that is there already is updated: what no flag changes stays as it is, environment variables included. When
nothing has changed at all it stays at its version.

--network vpc:PROFILE has it reach what a network profile opens, instead of the internet: outcrop network --help.
--storage gives each of its sessions a directory that is there again when the session comes back.
--allowed-ports opens ports of its sessions to their URL, and to outcrop ports: 8000 to 12000 without 8443, 5 entries at most.
--protocol mcp deploys an MCP server: port 8000, /mcp. a2a is port 9000, /; http and agui are port 8080, /invocations.`

// deployment is what was asked for.
type deployment struct {
	folder, image, name, runtime, entry, role, description string
	dockerfile, builder                                    string
	env                                                    []string
	clearEnv, wait, fresh, json                            bool
	timeout                                                time.Duration
	surroundings
	callers callers
}

func newDeploy(p *Program, f *flags) *cobra.Command {
	d := deployment{}
	cmd := &cobra.Command{
		Use:   "deploy FOLDER | --image IMAGE",
		Short: "Package an agent's folder, build its Dockerfile, or name a container image, and deploy it",
		Long:  deployLong,
		Example: `  outcrop deploy examples/hello
  outcrop deploy . --name hello --runtime PYTHON_3_12 --entry main.py
  outcrop deploy . --env MODEL=small --env API_BASE
  outcrop deploy . --network vpc:office --storage /mnt/work
  outcrop deploy examples/mcp --protocol mcp
  outcrop deploy . --allowed-ports 8100,8200-8210
  outcrop deploy . --issuer https://login.example.com --allow-client my-app --pass-header Authorization
  outcrop deploy . --builder buildah --fresh
  outcrop deploy . --dockerfile deploy/Dockerfile
  outcrop deploy --image registry.example.com/team/my-agent:v1
  outcrop deploy --image 127.0.0.1:8642/my-agent:v1 --name hello`,
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := emptyLists(cmd.Flags()); err != nil {
				return err
			}
			if err := d.take(args); err != nil {
				return err
			}
			return p.deploy(cmd.Context(), f, d)
		},
	}
	fs := cmd.Flags()
	fs.Var((*nonEmpty)(&d.image), "image", "container `image` to deploy in place of a folder, as REGISTRY/REPOSITORY:TAG")
	fs.Var((*nonEmpty)(&d.name), "name", "agent's `name`: a letter, then letters, digits and _, 48 at most (default: the folder's, or the repository's)")
	fs.Var((*nonEmpty)(&d.runtime), "runtime", "`runtime` to run it with, such as PYTHON_3_12 or 3.12 (default: what fits the folder, of what the server has)")
	fs.Var((*nonEmpty)(&d.entry), "entry", "`file` that starts it, inside the folder (default: main.py, agent.py, app.py ...)")
	fs.Var((*nonEmpty)(&d.dockerfile), "dockerfile", "`file` to build an image with, inside the folder (default: its Dockerfile or Containerfile, if it has one)")
	fs.Var((*nonEmpty)(&d.builder), "builder", "`tool` to build it with: docker, buildah or podman (default: the first that answers)")
	fs.StringArrayVar(&d.env, "env", nil, "environment variable `NAME=VALUE`, or NAME to take it from here (may be repeated)")
	fs.BoolVar(&d.clearEnv, "clear-env", false, "forget the environment variables of earlier deployments")
	d.flags(fs)
	d.callers.flags(fs)
	fs.Var((*nonEmpty)(&d.role), "role", "ARN or name of its execution `role` (default: outcrop-default, which is made if it is not there)")
	fs.Var((*nonEmpty)(&d.description), "description", "`text` that describes it")
	fs.BoolVar(&d.wait, "wait", true, "wait until it is READY")
	spanVar(fs, &d.timeout, "timeout", 10*time.Minute, "how long to wait")
	fs.BoolVar(&d.fresh, "fresh", false, "fetch the dependencies, or build every step of a Dockerfile, again even if they are cached")
	fs.BoolVar(&d.json, "json", false, "print JSON")
	return cmd
}

func (p *Program) deploy(ctx context.Context, f *flags, d deployment) error {
	env, err := p.parseEnv(d.env)
	if err != nil {
		return err
	}
	if err := d.checkWords(); err != nil {
		return err
	}
	if d.name != "" && !namePattern.MatchString(d.name) {
		return misuse("--name %q is no agent's name: a letter, then letters, digits and _, 48 at most", d.name)
	}
	if d.timeout <= 0 {
		return misuse("--timeout %s is no time to wait; give it some, such as 10m, or do not wait: --wait=false", inUnits(d.timeout))
	}
	if err := d.callers.check(); err != nil {
		return err
	}
	if err := d.check(env); err != nil {
		return err
	}
	c, err := p.connect(ctx, f)
	if err != nil {
		return err
	}
	s := &standing{}
	err = p.deployTo(ctx, c, d, env, f.suffix(), s)
	if err != nil && ctx.Err() != nil {
		p.sayInterrupted(ctx, c, s)
		return ctx.Err()
	}
	return p.withStanding(ctx, err, s)
}

// deployTo packs, uploads and releases; s is told how far it has come.
func (p *Program) deployTo(ctx context.Context, c *client.Client, d deployment, env map[string]string, where string, s *standing) error {
	server, err := c.Server(ctx)
	if err != nil {
		return err
	}
	if s := server.Sandbox; s != nil && !aws.ToBool(s.Available) {
		p.say("Warning: the server cannot start sandboxes yet: %s", aws.ToString(s.Reason))
		p.say("%s", strings.TrimSuffix(indent(aws.ToString(s.Fix), 2), "\n"))
	}
	if err := p.look(ctx, c, &d.surroundings, where); err != nil {
		return err
	}
	if err := p.lookAtLife(ctx, c, &d.surroundings, d.agent()); err != nil {
		return err
	}
	if d.role != "" { // by its name alone, too
		if d.role, err = p.identity(ctx, c, "role/"+d.role); err != nil {
			return err
		}
	}
	account := aws.ToString(server.Account)
	if d.image != "" {
		s.name = d.agent()
		return p.release(ctx, c, release{deployment: d, name: s.name, env: env, account: account, where: where}, s)
	}
	if d.dockerfile != "" {
		s.name = d.agent()
		return p.deployBuilt(ctx, c, d, server, release{deployment: d, name: s.name, env: env, account: account, where: where}, s)
	}
	show := &progress{p: p}
	b, err := bundle.Build(ctx, p.bundleOptions(d, server, show))
	show.done()
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := b.Close(); closeErr != nil {
			p.say("Warning: %v", closeErr)
		}
	}()
	s.name = cmp.Or(d.name, b.Name)
	if folder := filepath.Base(canonical(d.folder)); d.name == "" && s.name != folder {
		p.say("name %s, of the folder's %q: letters, digits and _; --name chooses another", s.name, folder)
	}
	return p.release(ctx, c, release{deployment: d, name: s.name, env: env, account: account, bundle: b, code: codeOf(account, s.name, c, b), where: where}, s)
}

// agent is the name that is given, or that of the image's repository or the folder.
func (d *deployment) agent() string {
	if d.image != "" {
		return cmp.Or(d.name, imageName(d.image))
	}
	return cmp.Or(d.name, bundle.Name(canonical(d.folder)))
}

// bundleOptions tells bundle what the server can run and what never to take.
func (p *Program) bundleOptions(d deployment, server *outcrop.GetServerResponse, show *progress) bundle.Options {
	o := bundle.Options{
		Folder: d.folder, Entry: d.entry, Runtime: d.runtime, Env: p.Environ, Fresh: d.fresh, CacheDir: p.cacheDir(),
		// A data directory inside the folder holds keys and other people's code.
		Exclude:  []string{aws.ToString(server.DataDirectory)},
		Progress: func(e bundle.Event) { showEvent(show, e) },
	}
	if dir := p.defaultData(); dir != "" {
		o.Exclude = append(o.Exclude, dir)
	}
	for _, i := range server.Interpreters {
		o.Targets = append(o.Targets, bundle.Target{
			Runtime: aws.ToString(i.Runtime), Version: aws.ToString(i.Version), Machine: aws.ToString(i.Machine), Libc: aws.ToString(i.Libc),
		})
	}
	return o
}

func showEvent(show *progress, e bundle.Event) {
	switch {
	case !e.Transient:
		show.line("%s", e.Text)
	case e.Total > 0:
		show.update("%s: %s of %s", e.Text, size(e.Done), size(e.Total))
	default:
		show.update("%s", e.Text)
	}
}

// cacheDir keeps vendored packages; empty, without a home, keeps none.
func (p *Program) cacheDir() string {
	dir := p.env("XDG_CACHE_HOME")
	if !filepath.IsAbs(dir) {
		if p.home() == "" {
			return ""
		}
		dir = filepath.Join(p.home(), ".cache")
	}
	return filepath.Join(dir, "outcrop")
}
