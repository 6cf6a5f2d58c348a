# A database's password under a key of one's own, for the server that the environment
# names.
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}

provider "aws" {
  skip_metadata_api_check    = true
  skip_region_validation     = true
  skip_requesting_account_id = true
  default_tags {
    tags = { by = "terraform" }
  }
}

variable "password" {
  type = string
}

data "aws_caller_identity" "me" {}

resource "aws_iam_role" "reader" {
  name = "terraform-reader"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { AWS = "arn:aws:iam::${data.aws_caller_identity.me.account_id}:root" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_kms_key" "secrets" {
  description             = "of the secrets"
  enable_key_rotation     = true
  deletion_window_in_days = 7
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "account"
      Effect    = "Allow"
      Principal = { AWS = "arn:aws:iam::${data.aws_caller_identity.me.account_id}:root" }
      Action    = "kms:*"
      Resource  = "*"
      }, {
      Effect    = "Allow"
      Principal = { AWS = aws_iam_role.reader.arn }
      Action    = "kms:Decrypt"
      Resource  = "*"
    }]
  })
}

resource "aws_kms_alias" "secrets" {
  name          = "alias/secrets"
  target_key_id = aws_kms_key.secrets.key_id
}

resource "aws_kms_key" "signer" {
  description              = "of assertions"
  customer_master_key_spec = "ECC_NIST_P256"
  key_usage                = "SIGN_VERIFY"
  deletion_window_in_days  = 7
}

resource "aws_secretsmanager_secret" "password" {
  name                    = "terraform/password"
  description             = "of the database"
  kms_key_id              = aws_kms_key.secrets.arn
  recovery_window_in_days = 0
}

resource "aws_secretsmanager_secret_version" "password" {
  secret_id     = aws_secretsmanager_secret.password.id
  secret_string = var.password
}

resource "aws_secretsmanager_secret_policy" "password" {
  secret_arn = aws_secretsmanager_secret.password.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "account"
      Effect    = "Allow"
      Principal = { AWS = ["arn:aws:iam::${data.aws_caller_identity.me.account_id}:root", aws_iam_role.reader.arn] }
      Action    = "secretsmanager:GetSecretValue"
      Resource  = "*"
    }]
  })
}

data "aws_secretsmanager_secret_version" "password" {
  secret_id  = aws_secretsmanager_secret.password.id
  depends_on = [aws_secretsmanager_secret_version.password]
}

output "read" {
  value     = data.aws_secretsmanager_secret_version.password.secret_string
  sensitive = true
}
