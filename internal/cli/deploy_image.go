package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/outcrop/outcrop/internal/api/model/outcrop"
	"github.com/outcrop/outcrop/internal/builder"
	"github.com/outcrop/outcrop/internal/bundle"
	"github.com/outcrop/outcrop/internal/client"
)

// repositoryPrefix is before the names of the repositories that deploy makes.
const repositoryPrefix = "outcrop-deploy/"

// findDockerfile sets the Dockerfile to build, where one was named or the folder has
// one and no flag wants a code zip.
func (d *deployment) findDockerfile() error {
	zip := d.entry != "" || d.runtime != ""
	switch {
	case d.folder == "" && (d.dockerfile != "" || d.builder != ""):
		return misuse("--dockerfile and --builder are for a folder; an image is built already")
	case d.dockerfile != "" && zip:
		return misuse("--entry and --runtime are for a code zip; a Dockerfile says itself what it runs")
	case d.builder != "" && !slices.Contains(builder.Tools(), d.builder):
		return misuse("--builder %q is none of %s", d.builder, strings.Join(builder.Tools(), ", "))
	case d.folder == "" || zip && d.builder == "":
		return nil
	case zip:
		return misuse("--entry and --runtime are for a code zip, which no --builder builds")
	}
	folder := canonical(d.folder)
	if d.dockerfile == "" {
		if d.dockerfile = builder.FindFile(folder); d.dockerfile == "" && d.builder != "" {
			return misuse("%s has no Dockerfile for --builder; name one with --dockerfile", d.folder)
		}
		return nil
	}
	path := d.dockerfile
	if !filepath.IsAbs(path) {
		path = filepath.Join(folder, path) // as it is said: inside the folder
	}
	if info, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return misuse("--dockerfile %s is not a file in %s", d.dockerfile, d.folder)
	} else if err != nil {
		return fmt.Errorf("read Dockerfile: %w", err)
	}
	d.dockerfile = path
	return nil
}

// deployBuilt builds the folder's image, pushes it to the server's own registry and
// releases it by its digest.
func (p *Program) deployBuilt(ctx context.Context, c *client.Client, d deployment, server *outcrop.GetServerResponse, r release, s *standing) error {
	old, err := p.settled(ctx, c, r)
	if err != nil {
		return err
	}
	if err := r.checkProject(d.folder, old); err != nil {
		return err
	}
	repository := repositoryOf(r.name)
	login, err := c.RegistryLogin(ctx)
	if err == nil {
		err = c.MakeRepository(ctx, repository)
	}
	if err != nil {
		return err
	}
	show := &progress{p: p}
	built, err := builder.Build(ctx, builder.Options{
		Folder: canonical(d.folder), File: d.dockerfile, Platform: "linux/" + cmp.Or(aws.ToString(server.Architecture), "amd64"),
		Reference: login.Host + "/" + repository + ":latest", Tool: d.builder, Fresh: d.fresh, Env: p.Environ,
		Login: builder.Login{Host: login.Host, User: login.User, Password: login.Password, Plain: login.Plain},
		Progress: func(line string, lasting bool) {
			if lasting {
				show.line("%s", harmless(line))
			} else {
				show.update("%s", line)
			}
		},
	})
	show.done()
	var wrong *builder.Error
	if errors.As(err, &wrong) {
		f := &failure{text: wrong.Reason, fix: wrong.Fix, cause: err}
		if d.entry == "" && bundle.HasEntry(d.folder) {
			f.fix += "\nWithout its Dockerfile the folder is deployed by --entry FILE."
		}
		return f
	}
	if err != nil {
		return err
	}
	// ECR's name is good whoever asks, and by the digest it is this very image for ever.
	r.image = fmt.Sprintf("%s.dkr.ecr.%s.amazonaws.com/%s@%s", r.account, c.Target().Region, repository, built.Digest)
	s.uploaded = r.image
	return p.release(ctx, c, r, s)
}

// repositoryOf is the repository of an agent's images, in the letters that it can have.
func repositoryOf(name string) string {
	var parts []string
	for part := range strings.SplitSeq(strings.ToLower(name), "_") {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return repositoryPrefix + strings.Join(parts, "-")
}
