#!/bin/bash
# Administers OpenID Connect providers with the AWS CLI, and says what is not as it should be.
set -eu
export AWS_PAGER=
trap 'echo "line $LINENO failed" >&2' ERR

is() { [ "$1" = "$2" ] || { echo "line ${BASH_LINENO[0]}: $1, want $2" >&2; exit 1; }; }
refused() { # CODE COMMAND...
  local code=$1 out; shift
  if out=$("$@" 2>&1); then echo "line ${BASH_LINENO[0]}: $* is not refused" >&2; exit 1; fi
  case $out in *"($code)"*) ;; *) echo "line ${BASH_LINENO[0]}: $out, want $code" >&2; exit 1 ;; esac
}

print=9e99a48a9960b14926bb7f3b02e22da2b0ab7280
arn=$(aws iam create-open-id-connect-provider --url https://idp.example.com/realm --client-id-list a b --thumbprint-list $print --tags Key=team,Value=red --query OpenIDConnectProviderArn --output text)
is "$arn" "arn:aws:iam::$ACCOUNT:oidc-provider/idp.example.com/realm"
p="--open-id-connect-provider-arn $arn"
refused EntityAlreadyExists aws iam create-open-id-connect-provider --url https://idp.example.com/realm
refused InvalidInput aws iam create-open-id-connect-provider --url https://idp.example.com/realm?x=1
aws iam add-client-id-to-open-id-connect-provider $p --client-id c
aws iam remove-client-id-from-open-id-connect-provider $p --client-id a
aws iam update-open-id-connect-provider-thumbprint $p --thumbprint-list ${print/9e/AA}
aws iam tag-open-id-connect-provider $p --tags Key=env,Value=test
is "$(aws iam list-open-id-connect-provider-tags $p --query 'Tags[].Key' --output text)" "env	team"
is "$(aws iam get-open-id-connect-provider $p --query '[Url,ClientIDList[0],ClientIDList[1],ThumbprintList[0]]' --output text)" "idp.example.com/realm	b	c	${print/9e/AA}"
is "$(aws iam list-open-id-connect-providers --query 'OpenIDConnectProviderList[].Arn' --output text)" "$arn"

# Somebody who may administer the providers of one team, and make those of one host.
aws iam create-user --user-name bob > /dev/null
read -r id secret <<< "$(aws iam create-access-key --user-name bob --query 'AccessKey.[AccessKeyId,SecretAccessKey]' --output text)"
aws iam put-user-policy --user-name bob --policy-name own --policy-document '{"Version":"2012-10-17","Statement":[
 {"Effect":"Allow","Action":"iam:*OpenIDConnectProvider*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"blue"}}},
 {"Effect":"Allow","Action":["iam:CreateOpenIDConnectProvider","iam:TagOpenIDConnectProvider"],"Resource":"arn:aws:iam::'$ACCOUNT':oidc-provider/blue.example.com/*","Condition":{"StringEquals":{"aws:RequestTag/team":"blue"}}}]}'
bob() { AWS_ACCESS_KEY_ID=$id AWS_SECRET_ACCESS_KEY=$secret AWS_SESSION_TOKEN= "$@"; }
refused AccessDenied bob aws iam get-open-id-connect-provider $p
refused AccessDenied bob aws iam create-open-id-connect-provider --url https://red.example.com/a --tags Key=team,Value=blue
refused AccessDenied bob aws iam create-open-id-connect-provider --url https://blue.example.com/a
blue=$(bob aws iam create-open-id-connect-provider --url https://blue.example.com/a --tags Key=team,Value=blue --query OpenIDConnectProviderArn --output text)
bob aws iam add-client-id-to-open-id-connect-provider --open-id-connect-provider-arn "$blue" --client-id a
refused AccessDenied bob aws iam delete-open-id-connect-provider $p
bob aws iam delete-open-id-connect-provider --open-id-connect-provider-arn "$blue"

aws iam untag-open-id-connect-provider $p --tag-keys env team
aws iam delete-open-id-connect-provider $p
aws iam delete-open-id-connect-provider $p
refused NoSuchEntity aws iam get-open-id-connect-provider $p
echo ok
