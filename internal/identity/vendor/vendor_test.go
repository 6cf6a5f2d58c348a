package vendor_test

import (
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/identity/vendor"
)

func TestTable(t *testing.T) {
	table, err := vendor.Published()
	if err != nil || len(table) != 24 {
		t.Fatalf("%d, %v", len(table), err)
	}
	if m := table["MicrosoftOauth2"].For("a/b"); m.TokenEndpoint != "https://login.microsoftonline.com/a%2Fb/oauth2/v2.0/token" {
		t.Errorf("%s", m.TokenEndpoint)
	}
	mine, err := table.With([]byte(`{"GithubOauth2":{"authorizationEndpoint":"https://git.corp/a","tokenEndpoint":"https://git.corp/t"}}`))
	if err != nil || mine["GithubOauth2"].TokenEndpoint != "https://git.corp/t" || mine["GithubOauth2"].Method != "" || mine["GoogleOauth2"] != table["GoogleOauth2"] {
		t.Errorf("%+v, %v", mine["GithubOauth2"], err)
	}
	if table["GithubOauth2"].TokenEndpoint != "https://github.com/login/oauth/access_token" {
		t.Error("the published table was changed")
	}
	for want, file := range map[string]string{
		"there is no such vendor":        `{"GitlabOauth2":{}}`,
		"alone":                          `{"GithubOauth2":{"tokenEndpoint":"https://a/t"}}`,
		"unknown field":                  `{"GithubOauth2":{"token":"https://a/t"}}`,
		"neither CLIENT_SECRET_BASIC":    `{"GithubOauth2":{"clientAuthenticationMethod":"PRIVATE_KEY_JWT"}}`,
		"not an https URL":               `{"GithubOauth2":{"authorizationEndpoint":"javascript:x","tokenEndpoint":"https://a/t"}}`,
		"more than one JSON object":      `{} {}`,
		"read table of OAuth vendors: ":  `[]`,
		"read table of OAuth vendors: E": ``,
	} {
		if _, err := table.With([]byte(file)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", file, err, want)
		}
	}
}
