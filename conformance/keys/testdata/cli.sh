# What people type to keep a secret under a key of their own, and sign with one.
set -euo pipefail
KEY=$(aws kms create-key --description "of the script" --query KeyMetadata.KeyId --output text)
aws kms create-alias --alias-name alias/script --target-key-id "$KEY"
ARN=$(aws secretsmanager create-secret --name script/token --secret-string '{"token":"opensesame"}' --kms-key-id alias/script --query ARN --output text)
aws secretsmanager get-secret-value --secret-id "$ARN" --query SecretString --output text
aws secretsmanager update-secret --secret-id script/token --secret-string '{"token":"openrice"}' --query Name --output text
aws secretsmanager get-secret-value --secret-id script/token --version-stage AWSPREVIOUS --query SecretString --output text
# Version 1 of the CLI takes bytes as they are and version 2 base64; both read files.
aws kms encrypt --key-id alias/script --plaintext fileb://<(printf hello) --query CiphertextBlob --output text | base64 -d > "$SCRATCH/ciphertext"
aws kms decrypt --ciphertext-blob "fileb://$SCRATCH/ciphertext" --query Plaintext --output text
SIGNER=$(aws kms create-key --key-spec ECC_NIST_P256 --key-usage SIGN_VERIFY --query KeyMetadata.KeyId --output text)
aws kms sign --key-id "$SIGNER" --message fileb://<(printf hello) --signing-algorithm ECDSA_SHA_256 --query SigningAlgorithm --output text
aws secretsmanager delete-secret --secret-id script/token --force-delete-without-recovery --query Name --output text
aws kms schedule-key-deletion --key-id "$KEY" --pending-window-in-days 7 --query KeyState --output text
