# What people declare around a bucket, for the server that the environment names.
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}

provider "aws" {
  s3_use_path_style          = true
  skip_metadata_api_check    = true
  skip_region_validation     = true
  skip_requesting_account_id = true
  default_tags {
    tags = { by = "terraform" }
  }
}

variable "team" {
  type = string
}

resource "aws_s3_bucket" "code" {
  bucket = "terraform-code"
  tags   = { team = var.team }
}

resource "aws_s3_bucket_versioning" "code" {
  bucket = aws_s3_bucket.code.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_public_access_block" "code" {
  bucket                  = aws_s3_bucket.code.id
  block_public_acls       = true
  ignore_public_acls      = true
  block_public_policy     = true
  restrict_public_buckets = false
}

resource "aws_s3_bucket_policy" "code" {
  bucket = aws_s3_bucket.code.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "AgentsOfOthers"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.code.arn, "${aws_s3_bucket.code.arn}/*"]
      Condition = { StringEquals = { "aws:PrincipalTag/team" = "another" } }
    }]
  })
  depends_on = [aws_s3_bucket_public_access_block.code]
}

resource "aws_s3_bucket_ownership_controls" "code" {
  bucket = aws_s3_bucket.code.id
  rule {
    object_ownership = "BucketOwnerPreferred"
  }
}

resource "aws_s3_object" "agent" {
  bucket     = aws_s3_bucket.code.id
  key        = "agent ü.txt"
  content    = "an agent"
  tags       = { team = var.team, kind = "code" }
  depends_on = [aws_s3_bucket_versioning.code]
}

data "aws_s3_object" "agent" {
  bucket = aws_s3_bucket.code.id
  key    = aws_s3_object.agent.key
}

output "tags" {
  value = data.aws_s3_object.agent.tags
}
