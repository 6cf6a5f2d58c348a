// Package keys has real clients use the keys of KMS and the secrets of Secrets
// Manager: boto3, the AWS CLI and Terraform, against a server that is killed in
// between and whose data directory is searched for what nobody may read there.
package keys
