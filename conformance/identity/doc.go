// Package identity tests user pools and the authorization server with the clients
// that people have: the AWS CLI, boto3, Terraform, and an OpenID Connect client of
// another project. It follows an article with the starter toolkit to its end, calls
// agents by role and by token, attacks both doors, and looks for secrets in what is
// left behind.
package identity
