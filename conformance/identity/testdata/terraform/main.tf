terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}

provider "aws" {
  region                      = "us-east-1"
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_credentials_validation = true
}

variable "team" {
  type = string
}

resource "aws_cognito_user_pool" "people" {
  name = "people"

  password_policy {
    minimum_length                   = 10
    require_lowercase                = true
    require_numbers                  = true
    require_symbols                  = false
    require_uppercase                = true
    temporary_password_validity_days = 3
  }

  admin_create_user_config {
    allow_admin_create_user_only = true
  }

  schema {
    name                = "team"
    attribute_data_type = "String"
    mutable             = true
    string_attribute_constraints {
      min_length = "1"
      max_length = "64"
    }
  }

  dynamic "schema" { # a pool gets attributes later
    for_each = var.team == "a" ? [] : ["rank"]
    content {
      name                = schema.value
      attribute_data_type = "Number"
      mutable             = true
      number_attribute_constraints {
        min_value = "0"
        max_value = "9"
      }
    }
  }

  tags = {
    team = var.team
  }
}

resource "aws_cognito_user_pool_domain" "people" {
  domain       = "people-of-terraform"
  user_pool_id = aws_cognito_user_pool.people.id
}

resource "aws_cognito_resource_server" "tools" {
  identifier   = "https://tools.example.com"
  name         = "tools"
  user_pool_id = aws_cognito_user_pool.people.id

  scope {
    scope_name        = "invoke"
    scope_description = "Call tools of ${var.team}"
  }
}

resource "aws_cognito_user_pool_client" "machine" {
  name                                 = "machine"
  user_pool_id                         = aws_cognito_user_pool.people.id
  generate_secret                      = true
  allowed_oauth_flows_user_pool_client = true
  allowed_oauth_flows                  = ["client_credentials"]
  allowed_oauth_scopes                 = aws_cognito_resource_server.tools.scope_identifiers
  supported_identity_providers         = ["COGNITO"]
  access_token_validity                = 10
  token_validity_units {
    access_token = "minutes"
  }
}

resource "aws_cognito_user_pool_client" "app" {
  name                                 = "app of ${var.team}"
  user_pool_id                         = aws_cognito_user_pool.people.id
  allowed_oauth_flows_user_pool_client = true
  allowed_oauth_flows                  = ["code"]
  allowed_oauth_scopes                 = ["openid", "email"]
  callback_urls                        = ["http://localhost:3999/callback"]
  supported_identity_providers         = ["COGNITO"]
  explicit_auth_flows                  = ["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]
}

resource "aws_cognito_user" "ada" {
  user_pool_id = aws_cognito_user_pool.people.id
  username     = "ada"
  password     = "Analytical1"

  attributes = {
    email          = "ada@example.com"
    email_verified = true
  }
}

resource "aws_cognito_user_group" "operators" {
  user_pool_id = aws_cognito_user_pool.people.id
  name         = "operators"
  description  = "Operators of ${var.team}"
  precedence   = var.team == "a" ? 10 : 5
  role_arn     = "arn:aws:iam::111122223333:role/operators"
}

resource "aws_cognito_user_group" "plain" {
  user_pool_id = aws_cognito_user_pool.people.id
  name         = "plain"
}

resource "aws_cognito_user_in_group" "ada" {
  for_each     = toset([aws_cognito_user_group.operators.name, aws_cognito_user_group.plain.name])
  user_pool_id = aws_cognito_user_pool.people.id
  group_name   = each.value
  username     = aws_cognito_user.ada.username
}

output "client" {
  value = aws_cognito_user_pool_client.app.id
}
