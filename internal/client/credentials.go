package client

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// CredentialsName is the file in the data directory that holds the account's
// root access key for clients on the same machine: mode 0600, written by serve.
const CredentialsName = "credentials.json"

// Credentials is the content of that file.
type Credentials struct {
	AccountID       string `json:"accountId"`
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
	Region          string `json:"region"`
}

// Format hides the secret from logs and errors, whatever the verb.
func (c Credentials) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "%s/[redacted]", c.AccessKeyID)
}

// ReadCredentials reads the key of the server whose data directory is dir.
// Errors wrap fs.ErrNotExist and fs.ErrPermission.
func ReadCredentials(dir string) (Credentials, error) {
	path := filepath.Join(dir, CredentialsName)
	b, err := os.ReadFile(path)
	if err != nil {
		return Credentials{}, fmt.Errorf("read access key: %w", err)
	}
	var c Credentials
	if err := json.Unmarshal(b, &c); err != nil {
		return Credentials{}, fmt.Errorf("read access key %s: %w", path, err)
	}
	if c.AccessKeyID == "" || c.SecretAccessKey == "" {
		return Credentials{}, fmt.Errorf("read access key %s: it holds no key", path)
	}
	return c, nil
}
