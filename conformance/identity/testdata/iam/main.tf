# What people declare of IAM, for the server that the environment names.
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}

provider "aws" {
  skip_metadata_api_check = true
  skip_region_validation  = true
  default_tags {
    tags = { by = "terraform" }
  }
}

variable "team" {
  type = string
}

data "aws_caller_identity" "me" {}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["bedrock-agentcore.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.me.account_id]
    }
  }
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "AWS"
      identifiers = [aws_iam_user.ann.arn]
    }
  }
}

data "aws_iam_policy_document" "read" {
  statement {
    sid       = "Read"
    actions   = ["s3:GetObject", "s3:ListBucket"]
    resources = ["arn:aws:s3:::code-${var.team}", "arn:aws:s3:::code-${var.team}/*"]
  }
}

resource "aws_iam_policy" "read" {
  name        = "read"
  path        = "/teams/"
  description = "reads code"
  policy      = data.aws_iam_policy_document.read.json
  tags        = { team = var.team }
}

resource "aws_iam_role" "agent" {
  name                 = "agent"
  path                 = "/teams/"
  description          = "runs agents of ${var.team}"
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  max_session_duration = 7200
  permissions_boundary = aws_iam_policy.read.arn
  tags                 = { team = var.team }
}

resource "aws_iam_role_policy" "logs" {
  name = "logs"
  role = aws_iam_role.agent.id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "logs:PutLogEvents", Resource = "*" }]
  })
}

resource "aws_iam_role_policy_attachment" "read" {
  role       = aws_iam_role.agent.name
  policy_arn = aws_iam_policy.read.arn
}

resource "aws_iam_role_policy_attachment" "aws" {
  role       = aws_iam_role.agent.name
  policy_arn = "arn:aws:iam::aws:policy/BedrockAgentCoreFullAccess"
}

resource "aws_iam_group" "developers" {
  name = "developers"
  path = "/teams/"
}

resource "aws_iam_group_policy" "invoke" {
  name   = "invoke"
  group  = aws_iam_group.developers.name
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "bedrock-agentcore:Invoke*", Resource = "*" }] })
}

resource "aws_iam_group_policy_attachment" "read" {
  group      = aws_iam_group.developers.name
  policy_arn = aws_iam_policy.read.arn
}

resource "aws_iam_user" "ann" {
  name          = "ann"
  path          = "/teams/"
  force_destroy = true
  tags          = { team = var.team }
}

resource "aws_iam_user_policy" "pass" {
  name   = "pass"
  user   = aws_iam_user.ann.name
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "iam:PassRole", Resource = aws_iam_role.agent.arn }] })
}

resource "aws_iam_user_policy_attachment" "read" {
  user       = aws_iam_user.ann.name
  policy_arn = aws_iam_policy.read.arn
}

resource "aws_iam_user_group_membership" "ann" {
  user   = aws_iam_user.ann.name
  groups = [aws_iam_group.developers.name]
}

resource "aws_iam_group_membership" "developers" {
  name  = "developers"
  users = [aws_iam_user.ann.name]
  group = aws_iam_group.developers.name
}

resource "aws_iam_access_key" "ann" {
  user   = aws_iam_user.ann.name
  status = var.team == "green" ? "Inactive" : "Active"
}

resource "aws_iam_service_linked_role" "network" {
  aws_service_name = "network.bedrock-agentcore.amazonaws.com"
}

data "aws_iam_role" "agent" {
  name = aws_iam_role.agent.name
}

data "aws_iam_policy" "aws" {
  arn = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
}

data "aws_iam_users" "all" {
  depends_on = [aws_iam_user.ann]
}

data "aws_iam_roles" "teams" {
  path_prefix = "/teams/"
  depends_on  = [aws_iam_role.agent]
}

data "aws_iam_principal_policy_simulation" "ann" {
  policy_source_arn = aws_iam_user.ann.arn
  action_names      = ["iam:PassRole"]
  resource_arns     = [aws_iam_role.agent.arn]
  depends_on        = [aws_iam_user_policy.pass]
}

output "seen" {
  value = {
    account = data.aws_caller_identity.me.account_id
    role    = data.aws_iam_role.agent.arn
    passes  = data.aws_iam_principal_policy_simulation.ann.all_allowed
    users   = data.aws_iam_users.all.names
    roles   = data.aws_iam_roles.teams.names
    managed = data.aws_iam_policy.aws.name
    forge   = data.aws_iam_openid_connect_provider.forge.arn
  }
}

resource "aws_iam_openid_connect_provider" "forge" {
  url             = "https://forge.example.com/realms/ci"
  client_id_list  = var.team == "green" ? ["sts.amazonaws.com"] : ["builds", "sts.amazonaws.com"]
  thumbprint_list = var.team == "green" ? ["9e99a48a9960b14926bb7f3b02e22da2b0ab7280"] : []
  tags            = { team = var.team }
}

resource "aws_iam_role" "builds" {
  name = "builds"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = aws_iam_openid_connect_provider.forge.arn }
      Condition = { StringEquals = { "forge.example.com/realms/ci:aud" = "sts.amazonaws.com" } }
    }]
  })
}

data "aws_iam_openid_connect_provider" "forge" {
  url        = "https://${aws_iam_openid_connect_provider.forge.url}"
  depends_on = [aws_iam_role.builds]
}
