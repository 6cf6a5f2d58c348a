package converse

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// signingName is Bedrock's in signatures.
const signingName = "bedrock"

// Sign returns a function that signs requests for Bedrock in a region.
func Sign(keys aws.CredentialsProvider, region string, now func() time.Time) func(*http.Request, []byte) error {
	signer := v4.NewSigner()
	return func(r *http.Request, body []byte) error {
		c, err := keys.Retrieve(r.Context())
		if err != nil {
			return fmt.Errorf("get credentials for Bedrock: %w", err)
		}
		sum := sha256.Sum256(body)
		return signer.SignHTTP(r.Context(), c, r, hex.EncodeToString(sum[:]), signingName, region, now())
	}
}
