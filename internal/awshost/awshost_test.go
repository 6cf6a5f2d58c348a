package awshost_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/awshost"
)

func TestParse(t *testing.T) {
	for host, want := range map[string]awshost.Name{
		"bedrock-agentcore.us-east-1.amazonaws.com":        {Service: "bedrock-agentcore", Region: "us-east-1"},
		"BedRock-AgentCore.us-east-1.amazonaws.com.":       {Service: "bedrock-agentcore", Region: "us-east-1"},
		"bedrock-agentcore-control.us-gov-west-1.api.aws":  {Service: "bedrock-agentcore", Region: "us-gov-west-1"},
		"bedrock-agentcore-control-fips.us-east-1.api.aws": {Service: "bedrock-agentcore", Region: "us-east-1"},
		"gw-1.gateway.bedrock-agentcore.eu-west-1.api.aws": {Service: "bedrock-agentcore", Region: "eu-west-1", Prefix: "gw-1"},
		"s3.amazonaws.com":                                      {Service: "s3"},
		"s3.us-east-1.amazonaws.com":                            {Service: "s3", Region: "us-east-1"},
		"my.bucket.s3.us-east-1.amazonaws.com":                  {Service: "s3", Region: "us-east-1", Prefix: "my.bucket"},
		"sts.s3.amazonaws.com":                                  {Service: "s3", Prefix: "sts"},
		"s3.s3.local.amazonaws.com":                             {Service: "s3", Region: "local", Prefix: "s3"},
		"bucket.s3-us-west-2.amazonaws.com":                     {Service: "s3", Region: "us-west-2", Prefix: "bucket"},
		"bucket.s3-fips.us-east-1.amazonaws.com":                {Service: "s3", Region: "us-east-1", Prefix: "bucket"},
		"bucket.s3-fips.dualstack.us-east-1.amazonaws.com":      {Service: "s3", Region: "us-east-1", Prefix: "bucket"},
		"bucket.s3.dualstack.cn-north-1.amazonaws.com.cn":       {Service: "s3", Region: "cn-north-1", Prefix: "bucket"},
		"sts.amazonaws.com":                                     {Service: "sts"},
		"sts-fips.us-east-1.amazonaws.com":                      {Service: "sts", Region: "us-east-1"},
		"iam.amazonaws.com":                                     {Service: "iam"},
		"api.ecr.us-east-1.amazonaws.com":                       {Service: "ecr", Region: "us-east-1"},
		"123456789012.dkr.ecr.us-east-1.amazonaws.com":          {Service: "ecr", Region: "us-east-1", Prefix: "123456789012", Registry: true},
		"123456789012.dkr.ecr-fips.us-east-1.amazonaws.com":     {Service: "ecr", Region: "us-east-1", Prefix: "123456789012", Registry: true},
		"bedrock-runtime.us-east-1.amazonaws.com":               {Service: "bedrock", Region: "us-east-1"},
		"login.auth.us-east-1.amazoncognito.com":                {Service: "cognito-idp", Region: "us-east-1", Prefix: "login"},
		"dynamodb.us-east-1.amazonaws.com":                      {Service: "dynamodb", Region: "us-east-1"},
		"a1.execute-api.us-east-1.amazonaws.com":                {Service: "execute-api", Region: "us-east-1", Prefix: "a1"},
		"app-1.us-east-1.elb.amazonaws.com":                     {Service: "elb", Prefix: "app-1.us-east-1"},
		"extra.bedrock-agentcore.us-east-1.amazonaws.com":       {Service: "bedrock-agentcore", Region: "us-east-1", Prefix: "extra"},
		"ec2-1-2-3-4.compute-1.amazonaws.com":                   {Service: "compute-1", Prefix: "ec2-1-2-3-4"},
		strings.Repeat("a", 63) + ".s3.us-east-1.amazonaws.com": {Service: "s3", Region: "us-east-1", Prefix: strings.Repeat("a", 63)},
	} {
		if got, ok := awshost.Parse(host); !ok || got != want {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", host, got, ok, want)
		}
	}
}

func TestForeignNames(t *testing.T) {
	for _, host := range []string{
		"", ".", "amazonaws.com", "amazonaws.com.", "api.aws", "aws", "evilamazonaws.com", "sts.amazonaws.com.evil.example", "sts.amazonaws.com..",
		".amazonaws.com", "a..amazonaws.com", "sts.amazonaws.com:443", "sts.amazonaws.com\x00", "sts .amazonaws.com", "sts/x.amazonaws.com", "x@sts.amazonaws.com",
		"127.0.0.1", "::1", "s\u0442s.amazonaws.com", "sts.amazonaws\uff0ecom", "*.amazonaws.com", strings.Repeat("a", 64) + ".amazonaws.com",
		strings.Repeat("a.", 130) + "amazonaws.com", "169.254.169.254", "localhost",
	} {
		if awshost.Is(host) {
			t.Errorf("Is(%q)", host)
		}
		if n, ok := awshost.Parse(host); ok {
			t.Errorf("Parse(%q) = %+v", host, n)
		}
	}
}

func TestLines(t *testing.T) {
	served := func(service string) bool {
		return slices.Contains([]string{"bedrock-agentcore", "s3", "sts", "ecr"}, service)
	}
	want := []string{
		"bedrock-agentcore.us-east-1.amazonaws.com", "bedrock-agentcore-control.us-east-1.amazonaws.com", "s3.amazonaws.com", "s3.us-east-1.amazonaws.com",
		"sts.amazonaws.com", "sts.us-east-1.amazonaws.com", "api.ecr.us-east-1.amazonaws.com", "123456789012.dkr.ecr.us-east-1.amazonaws.com",
	}
	if got := awshost.Lines("us-east-1", "123456789012", served); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, region := range []string{"us-east-1", "cn-north-1"} {
		for _, host := range awshost.Lines(region, "123456789012", func(string) bool { return true }) {
			if n, ok := awshost.Parse(host); !ok || n.Region != region && n.Region != "" || strings.HasSuffix(host, ".cn") != (n.Region == "cn-north-1") {
				t.Errorf("%s reads as %+v, %v", host, n, ok)
			}
		}
	}
}

func TestMade(t *testing.T) {
	for host, want := range map[string]awshost.Name{
		awshost.Gateway("tools-0123456789", "eu-west-1"):  {Service: "bedrock-agentcore", Region: "eu-west-1", Prefix: "tools-0123456789"},
		awshost.Gateway("tools-0123456789", "cn-north-1"): {Service: "bedrock-agentcore", Region: "cn-north-1", Prefix: "tools-0123456789"},
		awshost.PoolDomain("people", "eu-west-1"):         {Service: "cognito-idp", Region: "eu-west-1", Prefix: "people"},
	} {
		if n, ok := awshost.Parse(host); !ok || n != want {
			t.Errorf("%s reads as %+v, %v", host, n, ok)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, host := range []string{"bucket.s3.us-east-1.amazonaws.com", "1.dkr.ecr-fips.x.api.aws", "s3-.amazonaws.com", "dualstack.x.amazonaws.com.cn", "-fips.amazonaws.com", "a.auth.amazoncognito.com."} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		n, ok := awshost.Parse(host)
		clean, valid := awshost.Clean(host)
		if ok != awshost.Is(host) || ok && !valid {
			t.Fatalf("Parse(%q) = %+v, %v", host, n, ok)
		}
		if !ok {
			return
		}
		if !slices.ContainsFunc(awshost.Suffixes(), func(s string) bool { return strings.HasSuffix(clean, "."+s) }) {
			t.Errorf("%q is AWS's", host)
		}
		if again, _ := awshost.Parse(clean); again != n {
			t.Errorf("%q reads as %+v, %q as %+v", host, n, clean, again)
		}
		if n.Prefix != "" && !strings.HasPrefix(clean, n.Prefix+".") {
			t.Errorf("%q has the prefix %q", host, n.Prefix)
		}
	})
}
