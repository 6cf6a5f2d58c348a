package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/outcrop/outcrop/internal/client"
	"github.com/outcrop/outcrop/internal/principal"
)

// writeCredentials gives the root key to clients of the same user and returns
// account and region. A new account takes cfg.Region; later ones of the same
// data directory keep the region that was written first.
func writeCredentials(ctx context.Context, cfg Config, d *principal.Directory) (account, region string, err error) {
	root, err := d.Root(ctx)
	if err != nil {
		return "", "", err
	}
	want := client.Credentials{
		AccountID: d.Account().ID, AccessKeyID: root.AccessKeyID, SecretAccessKey: root.Secret.Reveal(), Region: cfg.Region,
	}
	have, err := client.ReadCredentials(cfg.DataDir)
	switch {
	case err == nil && have.Region != "":
		want.Region = have.Region
		if have == want {
			return want.AccountID, want.Region, nil
		}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		cfg.Log.Warn("credentials file is replaced", "error", err)
	}
	body, err := json.MarshalIndent(want, "", "  ")
	if err != nil {
		return "", "", err
	}
	path := filepath.Join(cfg.DataDir, client.CredentialsName)
	if err := replaceFile(path, append(body, '\n')); err != nil {
		return "", "", fmt.Errorf("write %s: %w", path, err)
	}
	return want.AccountID, want.Region, nil
}

// replaceFile writes a private file whole or not at all.
func replaceFile(path string, body []byte) error {
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a start that was killed
		return err
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(body); err != nil {
		return errors.Join(err, f.Close(), os.Remove(tmp))
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return os.Rename(tmp, path)
}
