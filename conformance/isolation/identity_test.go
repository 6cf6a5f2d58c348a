package isolation

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// identity is what a session's metadata service has told it.
type identity struct {
	Token string // of the metadata service
	Keys  aws.Credentials
}

// begin starts a session and has it tell who it is.
func (r *rig) begin(of *control.GetAgentRuntimeOutput, session string) identity {
	r.Helper()
	const ask = "credentials:http://169.254.169.254"
	token, document, ok := strings.Cut(strings.TrimPrefix(r.try(of, session, ask)[ask], "got: "), " ")
	var got struct{ AccessKeyId, SecretAccessKey, Token string }
	if err := json.Unmarshal([]byte(document), &got); err != nil || !ok || got.Token == "" {
		r.Fatalf("session %s has no credentials: %v", session, err)
	}
	return identity{token, aws.Credentials{AccessKeyID: got.AccessKeyId, SecretAccessKey: got.SecretAccessKey, SessionToken: got.Token}}
}

// arn is whom the server takes the holder of these credentials for.
func (who identity) arn(r *rig) string {
	r.Helper()
	cfg := r.AWS()
	cfg.Credentials = credentials.StaticCredentialsProvider{Value: who.Keys}
	out, err := sts.NewFromConfig(cfg).GetCallerIdentity(r.Context(), &sts.GetCallerIdentityInput{})
	must(r.T, err)
	return *out.Arn
}

// requests are signed by somebody's credentials for the address at which guests
// reach the server, as the guest program takes them.
func (r *rig) requests(who identity) map[string]string {
	r.Helper()
	const base = "http://192.0.0.1:8642"
	out := map[string]string{}
	for what, q := range map[string]struct{ service, method, url, body, kind string }{
		"identity": {"sts", "POST", base + "/", "Action=GetCallerIdentity&Version=2011-06-15", "application/x-www-form-urlencoded"},
		"runtimes": {"bedrock-agentcore", "POST", base + "/runtimes/", "{}", "application/json"},
		"sessions": {"outcrop", "GET", base + "/_outcrop/v1/sessions", "", ""},
		"code":     {"s3", "GET", base + "/" + bucket + "/agent.zip", "", ""},
		"invoke":   {"bedrock-agentcore", "POST", base + "/runtimes/" + url.PathEscape(*r.other.AgentRuntimeArn) + "/invocations", "{}", "application/json"},
	} {
		req, err := http.NewRequest(q.method, q.url, nil)
		must(r.T, err)
		hash := sha256.Sum256([]byte(q.body))
		text := hex.EncodeToString(hash[:])
		req.Header.Set("X-Amz-Content-Sha256", text)
		if q.kind != "" {
			req.Header.Set("Content-Type", q.kind)
		}
		must(r.T, v4.NewSigner().SignHTTP(r.Context(), who.Keys, req, text, q.service, r.Region, time.Now(), func(o *v4.SignerOptions) {
			o.DisableURIPathEscaping = q.service == "s3"
		}))
		header := map[string]string{}
		for k := range req.Header {
			header[k] = req.Header.Get(k)
		}
		raw, err := json.Marshal(map[string]any{"Method": q.method, "URL": q.url, "Body": q.body, "Header": header})
		must(r.T, err)
		out[what] = string(raw)
	}
	return out
}

// redacted is a text without anybody's keys.
func redacted(text string, of ...identity) string {
	for _, who := range of {
		for _, s := range []string{who.Token, who.Keys.SecretAccessKey, who.Keys.SessionToken} {
			text = strings.ReplaceAll(text, s, "[redacted]")
		}
	}
	return text
}
