package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/api/throttle"
	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/cli"
	"github.com/outcrop/outcrop/internal/outbound"
	"github.com/outcrop/outcrop/internal/runtime"
)

// wire gives the command line the server, which runs on Linux.
func wire(p *cli.Program) {
	p.Serve = func(ctx context.Context, opt cli.ServeOptions) error {
		if err := errors.Join(keepDescriptors(), refuseCores()); err != nil {
			return err
		}
		captureStandardLog(opt.Log)
		return app.Run(ctx, config(opt))
	}
	p.Interpreter = app.CheckInterpreter
	p.Backup = func(ctx context.Context, opt cli.BackupOptions) (cli.BackupReport, error) {
		r, err := app.Backup(ctx, opt.DataDir, opt.Version, opt.Out, opt.Key)
		return cli.BackupReport{
			Account: r.Head.Account, Files: r.Files, Bytes: r.Bytes, Unreadable: r.Unreadable, Unknown: r.Unknown, Changed: r.Changed,
		}, err
	}
	p.Restore = func(ctx context.Context, opt cli.RestoreOptions) (cli.RestoreReport, error) {
		head, end, err := app.Restore(ctx, opt.DataDir, opt.In, opt.Key)
		return cli.RestoreReport{Account: head.Account, Version: head.Version, Created: head.Created, Files: end.Files, Bytes: end.Bytes}, err
	}
	p.Diagnose = func(ctx context.Context, opt cli.ServeOptions) []cli.Finding {
		var out []cli.Finding
		for _, f := range app.Diagnose(ctx, config(opt)) {
			out = append(out, cli.Finding{Name: f.Name, OK: f.OK, Detail: f.Detail, Fix: f.Fix})
		}
		return out
	}
}

func config(opt cli.ServeOptions) app.Config {
	private, _ := outbound.ParsePrivate(opt.Outbound.Private) // cli has checked it
	quota := opt.Quotas.Given
	rates := throttle.Rates{}
	if opt.Quotas.Strict {
		rates = throttle.AWSRates()
	}
	for name, rate := range map[string]*int{cli.QuotaMutations: &rates.Mutations, cli.QuotaGets: &rates.Gets, cli.QuotaLists: &rates.Lists} {
		if n, ok := quota[name]; ok {
			*rate = n
		}
	}
	return app.Config{
		Listener: opt.Listener, DataDir: opt.DataDir, Region: opt.Region, Sandbox: opt.Sandbox,
		InterpreterPrefixes: opt.InterpreterPrefixes, Passthrough: opt.Passthrough, AccessPoints: opt.AccessPoints, NoIndex: opt.NoIndex, MaxSessions: opt.MaxSessions, Grace: opt.Grace, Version: opt.Version, Log: opt.Log,
		Sessions: app.SessionConfig{
			HibernateAfter: opt.Sessions.HibernateAfter, KeepHibernated: opt.Sessions.KeepHibernated, MemoryBudget: opt.Sessions.MaxMemory,
			Memory: opt.Sessions.Memory, CPUs: opt.Sessions.CPUs, Spares: opt.Sessions.Spares, SpareBytes: opt.Sessions.SpareMemory,
			SnapshotLife: opt.Sessions.SnapshotLife, SnapshotBytes: opt.Sessions.Snapshots, StorageBytes: opt.Sessions.Storage,
		},
		NoGuestHosts: opt.Hosts.NoAgents,
		AllowPrivate: private, TrustCA: opt.Outbound.TrustCA, PublicURL: opt.Identity.PublicURL, GatewayDomain: opt.Identity.GatewayDomain, OAuthVendors: opt.Identity.Vendors, TrustedIssuers: opt.Identity.TrustedIssuers,
		Images: app.ImageConfig{
			MaxBytes: opt.Images.Max, Registry: opt.Images.Registry, Private: opt.Images.Private, Insecure: opt.Images.Insecure,
		},
		Quotas: runtime.Quotas{
			Runtimes: quota[cli.QuotaRuntimes], Versions: quota[cli.QuotaVersions],
			Endpoints: quota[cli.QuotaEndpoints], CapacityProviders: quota[cli.QuotaCapacityProviders],
		},
		Rates: rates, Strict: opt.Quotas.Strict, Models: opt.Models, Connectors: opt.Connectors, LambdaEndpoint: opt.LambdaEndpoint,
		GatewayEndpoints: app.GatewayEndpoints{Smithy: opt.Gateway.Smithy, APIGateway: opt.Gateway.APIGateway, Stage: opt.Gateway.Stage, Resources: opt.Gateway.Resources},
		Hosts: app.HostsConfig{
			TLS: opt.Hosts.TLS, Certificate: opt.Hosts.Certificate, Key: opt.Hosts.Key, Names: opt.Hosts.Names,
			Proxy: opt.Hosts.Proxy, ServedOnly: opt.Hosts.ServedOnly,
		},
		Ready: func(account, region string) { opt.Ready(cli.Ready{Account: account, Region: region}) },
	}
}

// keepDescriptors makes sure that what the server's parent left open does not
// reach the sandboxes' supervisor. Go's own descriptors are not inherited anyway.
func keepDescriptors() error {
	const all = ^uint(0)
	if err := unix.CloseRange(3, all, unix.CLOSE_RANGE_CLOEXEC); err != nil && !errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("keep open files to this process: %w", err)
	}
	return nil
}

// captureStandardLog sends what libraries print to the server's log, for whoever
// asks for details. net/http's client prints what an agent says out of turn: it is
// the agent's text, as much as it likes, and none of it belongs on standard error.
func captureStandardLog(to *slog.Logger) {
	log.SetFlags(0)
	log.SetOutput(slog.NewLogLogger(to.Handler(), slog.LevelDebug).Writer())
}
