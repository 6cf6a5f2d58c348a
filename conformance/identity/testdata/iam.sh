#!/bin/bash
# Administers users and roles with the AWS CLI, and says what is not as it should be.
set -eu
export AWS_PAGER=
trap 'echo "line $LINENO failed" >&2' ERR

is() { [ "$1" = "$2" ] || { echo "line ${BASH_LINENO[0]}: $1, want $2" >&2; exit 1; }; }
refused() { # CODE COMMAND...
  local code=$1 out; shift
  if out=$("$@" 2>&1); then echo "line ${BASH_LINENO[0]}: $* is not refused" >&2; exit 1; fi
  case $out in *"($code)"*) ;; *) echo "line ${BASH_LINENO[0]}: $out, want $code" >&2; exit 1 ;; esac
}

trust='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::'$ACCOUNT':user/team/ann"},"Action":["sts:AssumeRole","sts:TagSession"],"Condition":{"StringEquals":{"sts:ExternalId":"42"}}}]}'
read_s3='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:ListAllMyBuckets","Resource":"*"}]}'

refused NoSuchEntity aws iam get-user --user-name ann
aws iam create-user --user-name ann --path /team/ --tags Key=team,Value=blue > /dev/null
refused EntityAlreadyExists aws iam create-user --user-name Ann
is "$(aws iam list-users --path-prefix /team/ --query 'Users[].UserName' --output text)" ann
aws iam create-role --role-name reader --assume-role-policy-document "$trust" --description 'reads & "lists"' > /dev/null
is "$(aws iam get-role --role-name reader --query Role.Description --output text)" 'reads & "lists"'
is "$(aws iam get-role --role-name reader --query 'Role.AssumeRolePolicyDocument.Statement[0].Condition.StringEquals."sts:ExternalId"' --output text)" 42
aws iam put-role-policy --role-name reader --policy-name list --policy-document "$read_s3"
refused MalformedPolicyDocument aws iam put-role-policy --role-name reader --policy-name bad --policy-document '{"Version":"2012-10-17"}'
is "$(aws iam get-role-policy --role-name reader --policy-name list --query 'PolicyDocument.Statement[0].Action' --output text)" s3:ListAllMyBuckets

read -r id secret <<< "$(aws iam create-access-key --user-name ann --query 'AccessKey.[AccessKeyId,SecretAccessKey]' --output text)"
is "$(aws iam get-access-key-last-used --access-key-id "$id" --query AccessKeyLastUsed.ServiceName --output text)" N/A
ann() { AWS_ACCESS_KEY_ID=$id AWS_SECRET_ACCESS_KEY=$secret AWS_SESSION_TOKEN= "$@"; }
is "$(ann aws sts get-caller-identity --query Arn --output text)" "arn:aws:iam::$ACCOUNT:user/team/ann"
refused AccessDenied ann aws iam get-user
aws iam put-user-policy --user-name ann --policy-name self --policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:GetUser","iam:*AccessKey*"],"Resource":"arn:aws:iam::'$ACCOUNT':user/team/${aws:username}"}]}'
is "$(ann aws iam get-user --query User.UserName --output text)" ann
refused AccessDenied ann aws iam get-user --user-name bob
refused AccessDenied ann aws iam delete-role --role-name reader

role=arn:aws:iam::$ACCOUNT:role/reader
refused AccessDenied ann aws sts assume-role --role-arn "$role" --role-session-name here
read -r sid ssecret token <<< "$(ann aws sts assume-role --role-arn "$role" --role-session-name here --external-id 42 --tags Key=k,Value=v \
  --query 'Credentials.[AccessKeyId,SecretAccessKey,SessionToken]' --output text)"
reader() { AWS_ACCESS_KEY_ID=$sid AWS_SECRET_ACCESS_KEY=$ssecret AWS_SESSION_TOKEN=$token "$@"; }
is "$(reader aws sts get-caller-identity --query Arn --output text)" "arn:aws:sts::$ACCOUNT:assumed-role/reader/here"
reader aws s3api list-buckets > /dev/null
refused AccessDenied reader aws s3api create-bucket --bucket not-allowed

is "$(aws iam simulate-principal-policy --policy-source-arn "$role" --action-names s3:ListAllMyBuckets s3:GetObject --query 'EvaluationResults[].EvalDecision' --output text)" "allowed	implicitDeny"
is "$(aws iam get-context-keys-for-custom-policy --policy-input-list '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}]}' --query 'ContextKeyNames[0]' --output text)" aws:securetransport

aws iam update-access-key --user-name ann --access-key-id "$id" --status Inactive
refused InvalidClientTokenId ann aws sts get-caller-identity
refused DeleteConflict aws iam delete-user --user-name ann
aws iam delete-access-key --user-name ann --access-key-id "$id"
aws iam delete-user-policy --user-name ann --policy-name self
aws iam delete-user --user-name ann
refused DeleteConflict aws iam delete-role --role-name reader
aws iam delete-role-policy --role-name reader --policy-name list
aws iam delete-role --role-name reader
refused InvalidClientTokenId reader aws sts get-caller-identity

# Somebody who may make roles, but none that may do more than he is meant to give.
aws iam create-user --user-name bob > /dev/null
read -r id secret <<< "$(aws iam create-access-key --user-name bob --query 'AccessKey.[AccessKeyId,SecretAccessKey]' --output text)"
aws iam put-user-policy --user-name bob --policy-name delegated --policy-document '{"Version":"2012-10-17","Statement":[
 {"Effect":"Allow","Action":"iam:CreateRole","Resource":"arn:aws:iam::'$ACCOUNT':role/app/*","Condition":{"StringEquals":{"iam:PermissionsBoundary":"arn:aws:iam::aws:policy/PowerUserAccess"}}},
 {"Effect":"Allow","Action":"iam:TagRole","Resource":"arn:aws:iam::'$ACCOUNT':role/app/*","Condition":{"StringEquals":{"aws:RequestTag/team":"blue"},"ForAllValues:StringEquals":{"aws:TagKeys":["team"]}}},
 {"Effect":"Allow","Action":["iam:AttachRolePolicy","iam:DetachRolePolicy"],"Resource":"arn:aws:iam::'$ACCOUNT':role/app/*","Condition":{"ArnEquals":{"iam:PolicyARN":"arn:aws:iam::aws:policy/ReadOnlyAccess"}}},
 {"Effect":"Allow","Action":["iam:GetRole","iam:DeleteRole"],"Resource":"arn:aws:iam::'$ACCOUNT':role/app/*"}]}'
bob() { AWS_ACCESS_KEY_ID=$id AWS_SECRET_ACCESS_KEY=$secret AWS_SESSION_TOKEN= "$@"; }
limit="--permissions-boundary arn:aws:iam::aws:policy/PowerUserAccess"
refused AccessDenied bob aws iam create-role --role-name x --path /app/ --assume-role-policy-document "$trust"
refused AccessDenied bob aws iam create-role --role-name x --assume-role-policy-document "$trust" $limit
refused AccessDenied bob aws iam create-role --role-name x --path /app/ --assume-role-policy-document "$trust" --permissions-boundary arn:aws:iam::aws:policy/AdministratorAccess
refused AccessDenied bob aws iam create-role --role-name x --path /app/ --assume-role-policy-document "$trust" $limit --tags Key=team,Value=green
aws iam create-user --user-name ann --path /team/ > /dev/null # whom the trust policy names
bob aws iam create-role --role-name x --path /app/ --assume-role-policy-document "$trust" $limit --tags Key=team,Value=blue > /dev/null
refused AccessDenied bob aws iam attach-role-policy --role-name x --policy-arn arn:aws:iam::aws:policy/AdministratorAccess
bob aws iam attach-role-policy --role-name x --policy-arn arn:aws:iam::aws:policy/ReadOnlyAccess
refused AccessDenied bob aws iam delete-role-permissions-boundary --role-name x
refused AccessDenied bob aws iam get-role --role-name outcrop-default
is "$(bob aws iam get-role --role-name x --query Role.PermissionsBoundary.PermissionsBoundaryArn --output text)" arn:aws:iam::aws:policy/PowerUserAccess
bob aws iam detach-role-policy --role-name x --policy-arn arn:aws:iam::aws:policy/ReadOnlyAccess
bob aws iam delete-role --role-name x
refused ValidationError aws iam generate-credential-report
refused ValidationError aws iam create-user --user-name 'a b'
echo ok
