package issuer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/google/uuid"

	"github.com/outcrop/outcrop/internal/store"
)

// place is where what is named without a scope lies.
type place struct {
	Scope store.Scope `json:"scope"`
	Pool  string      `json:"pool"`
}

func poolName(id string) []byte   { return []byte("pool/" + id) }
func clientName(id string) []byte { return []byte("client/" + id) }
func goneName(id string) []byte   { return []byte("gone/" + id) }

// decoyName finds what is no place: the key of a pool's decoys (see decoyKey).
func decoyName(id string) []byte { return []byte("decoy/" + id) }

// domainName is unique in a region: the host names of all accounts stand below one.
func domainName(region, prefix string) []byte { return []byte("domain/" + region + "/" + prefix) }

func putName(tx store.Tx, name []byte, p place) error {
	value, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return tx.PutRow(names, name, value)
}

// find returns where the named thing lies, or store.ErrNotFound.
func find(r store.Reader, name []byte) (place, error) {
	var p place
	value, err := r.Row(names, name)
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(value, &p); err != nil {
		return p, fmt.Errorf("read %s: %w", name, err)
	}
	return p, nil
}

// The alphabets of ids, as Cognito has them.
const (
	mixed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	lower = "abcdefghijklmnopqrstuvwxyz0123456789"
)

// letters returns n random letters of an alphabet, each as likely.
func letters(rand io.Reader, alphabet string, n int) (string, error) {
	out := make([]byte, 0, n)
	limit := byte(256 / len(alphabet) * len(alphabet) & 0xff) // 0 where all of a byte fits
	var b [64]byte
	for len(out) < n {
		if _, err := io.ReadFull(rand, b[:]); err != nil {
			return "", fmt.Errorf("make random letters: %w", err)
		}
		for _, x := range b {
			if (limit == 0 || x < limit) && len(out) < n {
				out = append(out, alphabet[int(x)%len(alphabet)])
			}
		}
	}
	return string(out), nil
}

// newUUID names users and tokens.
func newUUID(rand io.Reader) (string, error) {
	id, err := uuid.NewRandomFromReader(rand)
	if err != nil {
		return "", fmt.Errorf("make uuid: %w", err)
	}
	return id.String(), nil
}

// poolIDSize and clientIDSize are the random letters of Cognito's ids.
const (
	poolIDSize   = 9
	clientIDSize = 26
	// secretSize is the length of a client secret: 51 letters of 36 are 263 bits.
	secretSize = 51
)

// IsPoolID reports whether id has the form of a pool's: its region, an underscore
// and letters.
func IsPoolID(id string) bool {
	region, rest, ok := strings.Cut(id, "_")
	if !ok || len(rest) != poolIDSize || region == "" || len(region) > 32 || strings.Trim(region, lower+"-") != "" {
		return false
	}
	return strings.Trim(rest, mixed) == ""
}

// RegionOf returns the region in a pool's id.
func RegionOf(poolID string) string {
	region, _, _ := strings.Cut(poolID, "_")
	return region
}

// ARN names a pool.
func ARN(scope store.Scope, poolID string) string {
	return "arn:aws:cognito-idp:" + scope.Region + ":" + scope.Account + ":userpool/" + poolID
}

func isTaken(err error) bool { return errors.Is(err, store.ErrExists) }
